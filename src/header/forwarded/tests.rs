//! Chains as honest proxies write them, and as others would like them to be read.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::{
    ForwardedField::{Forwarded, XForwardedFor},
    *,
};
use crate::header::arbitrary::field_value;

fn headers<V: AsRef<[u8]>>(field: ForwardedField, lines: &[V]) -> HeaderMap {
    let value = |line: &V| HeaderValue::from_bytes(line.as_ref()).expect("a field value");
    lines.iter().map(|line| (field.name(), value(line))).collect()
}

fn hops<V: AsRef<[u8]>>(field: ForwardedField, lines: &[V]) -> Vec<Hop> {
    field.hops(&headers(field, lines)).collect()
}

/// The address, or nothing if it is unknown.
fn words(field: ForwardedField, lines: &[&str]) -> Vec<String> {
    let word = |hop| match hop {
        Hop::Address(address) => address.to_string(),
        Hop::Unknown => String::new(),
    };
    hops(field, lines).into_iter().map(word).collect()
}

#[test]
fn the_hop_next_to_the_server_comes_first() {
    for (lines, expected) in [
        (&[][..], &[][..]),
        (&["192.0.2.1"], &["192.0.2.1"]),
        (&["192.0.2.1, 192.0.2.2,192.0.2.3 ,\t192.0.2.4 "], &["192.0.2.4", "192.0.2.3", "192.0.2.2", "192.0.2.1"]),
        (&["192.0.2.1, 192.0.2.2", "192.0.2.3"], &["192.0.2.3", "192.0.2.2", "192.0.2.1"]),
    ] {
        assert_eq!(words(XForwardedFor, lines), expected, "{lines:?}");
        let lines: Vec<_> = lines.iter().map(|line| line.replace("192", "for=192")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        assert_eq!(words(Forwarded, &lines), expected, "{lines:?}");
    }
}

#[test]
fn the_examples_of_rfc_7239_are_read() {
    for (value, expected) in [
        (r#"for="_gazonk""#, &[""][..]),
        (r#"For="[2001:db8:cafe::17]:4711""#, &["2001:db8:cafe::17"]),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", &["192.0.2.60"]),
        ("for=192.0.2.43, for=198.51.100.17", &["198.51.100.17", "192.0.2.43"]),
        ("for=_hidden, for=_SEVKISEK", &["", ""]),
        (r#"for=192.0.2.43, for="[2001:db8:cafe::17]""#, &["2001:db8:cafe::17", "192.0.2.43"]),
        (r#"for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown"#, &["", "2001:db8:cafe::17", "192.0.2.43"]),
        (r#"for="192.0.2.43:47011", for="192.0.2.43:_zk""#, &["192.0.2.43", "192.0.2.43"]),
        (r#"for="unknown:47011""#, &[""]),
    ] {
        assert_eq!(words(Forwarded, &[value]), expected, "{value}");
    }
}

#[test]
fn an_address_is_read_in_every_form_that_proxies_write() {
    for (text, expected) in [
        ("192.0.2.1:8080", "192.0.2.1"),
        ("192.0.2.1:1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:DB8::1]:65535", "2001:db8::1"),
        ("2001:db8::1:80", "2001:db8::1:80"),
        ("::1", "::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "::ffff:192.0.2.1"),
    ] {
        assert_eq!(words(XForwardedFor, &[text]), [expected], "{text}");
        for element in [
            format!("for={text}"),
            format!(r#"FOR="{text}""#),
            format!(r#"by="a,\"b;for=";for="{text}" ; proto=http"#),
            format!(r#"for="\{text}""#),
        ] {
            assert_eq!(words(Forwarded, &[&element]), [expected], "{element}");
        }
    }
}

#[test]
fn what_is_no_address_is_unknown() {
    for text in [
        "",
        " ",
        "unknown",
        "UNKNOWN",
        "_hidden",
        "unix:",
        "localhost",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.01",
        "3221225985",
        "0xc0.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:123456",
        "192.0.2.1:-1",
        "192.0.2.1:_",
        "192.0.2.1:80:80",
        "192.0.2.1 80",
        "192.0.2.1/32",
        "[192.0.2.1]",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]80",
        "[2001:db8::1]:",
        "[fe80::1%eth0]",
        "fe80::1%1",
        "\u{661}92.0.2.1",
    ] {
        assert_eq!(words(XForwardedFor, &[text]), [""], "{text:?}");
        for element in [format!("for={text}"), format!(r#"for="{text}""#)] {
            assert_eq!(words(Forwarded, &[&element]), [""], "{element:?}");
        }
    }
    let long = format!(r#"for="{}192.0.2.1""#, " ".repeat(MAX_NODE));
    for element in [
        "proto=http",
        ";",
        "for",
        "for:192.0.2.1",
        "xfor=192.0.2.1",
        "for=192.0.2.1;for=192.0.2.1",
        "for=192.0.2.1;proto=http;For=192.0.2.2",
        r#"for="192.0.2.1"#,
        r#"for=192.0.2.1""#,
        r#"for=192.0.2.1;a=b, c""#,
        r#"for="192.0.2.1"x"#,
        r#"for="192.0"".2.1""#,
        r#"for="192.0.2.1\""#,
        r#"for=""#,
        "for='192.0.2.1'",
        "for =192.0.2.1",
        "for= 192.0.2.1",
        &long,
    ] {
        assert_eq!(words(Forwarded, &[element]), [""], "{element}");
    }
}

#[test]
fn a_member_left_empty_hides_nobody_further_to_the_left() {
    assert_eq!(words(XForwardedFor, &["192.0.2.1, , 192.0.2.2,"]), ["", "192.0.2.2", "", "192.0.2.1"]);
    assert_eq!(words(XForwardedFor, &["192.0.2.1", ""]), ["", "192.0.2.1"]);
    assert_eq!(words(Forwarded, &["for=192.0.2.1,,", "proto=http"]), ["", "", "", "192.0.2.1"]);
}

/// Members as an honest proxy adds them, and what they say.
fn honest() -> impl Strategy<Value = (String, Hop)> {
    let address = prop_oneof![any::<Ipv4Addr>().prop_map(IpAddr::V4), any::<Ipv6Addr>().prop_map(IpAddr::V6)];
    let node = prop_oneof![
        (address.clone(), any::<u16>())
            .prop_map(|(address, port)| (SocketAddr::new(address, port).to_string(), Hop::Address(address))),
        address.prop_map(|address| match address {
            IpAddr::V4(_) => (address.to_string(), Hop::Address(address)),
            IpAddr::V6(_) => (format!("[{address}]"), Hop::Address(address)),
        }),
        "_[a-z0-9._-]{1,8}".prop_map(|name| (name, Hop::Unknown)),
        Just(("unknown".to_owned(), Hop::Unknown)),
    ];
    let quoted = r#""([ -!#-\[\]-~]|\\[ -~]){0,8}""#;
    (node, proptest::option::of(quoted)).prop_map(|((node, hop), by)| match by {
        Some(by) => (format!(r#"by={by};for="{node}";proto=https"#), hop),
        None => (format!(r#"for="{node}""#), hop),
    })
}

proptest! {
    #[test]
    fn nothing_forged_changes_what_is_right_of_it(
        forged in field_value(),
        members in proptest::collection::vec((honest(), any::<bool>()), 1..5),
    ) {
        let mut lines = vec![forged.as_bytes().to_vec()];
        for ((member, _), own_line) in &members {
            let last = lines.last_mut().expect("a line");
            match own_line {
                true => lines.push(member.clone().into_bytes()),
                false => last.extend_from_slice(format!(", {member}").as_bytes()),
            }
        }
        let expected: Vec<_> = members.iter().rev().map(|((_, hop), _)| *hop).collect();
        let found = hops(Forwarded, &lines);
        prop_assert_eq!(&found[..expected.len()], expected);
    }

    #[test]
    fn any_field_values_are_read_without_panic(lines in proptest::collection::vec(field_value(), 0..4)) {
        for field in [XForwardedFor, Forwarded] {
            let commas = lines.iter().flat_map(|line| line.as_bytes()).filter(|byte| **byte == b',').count();
            let found = hops(field, &lines);
            prop_assert!(found.len() >= lines.len() && found.len() <= lines.len() + commas);
        }
    }

    #[test]
    fn anything_like_a_list_is_read_without_panic(
        line in r#"((for|by)=["\\]?[0-9a-f.:\[\]_"\\]{0,12}["\\]?[,; ]?){0,6}"#,
    ) {
        let _ = hops(Forwarded, &[&line]);
        let _ = hops(XForwardedFor, &[&line]);
    }

    #[test]
    fn every_address_comes_back(addresses in proptest::collection::vec(any::<(IpAddr, Option<u16>)>(), 1..6)) {
        let text = |(address, port): &(IpAddr, Option<u16>)| match port {
            Some(port) => SocketAddr::new(*address, *port).to_string(),
            None => address.to_string(),
        };
        let expected: Vec<_> = addresses.iter().rev().map(|(address, _)| Hop::Address(*address)).collect();
        let line = addresses.iter().map(text).collect::<Vec<_>>().join(", ");
        prop_assert_eq!(hops(XForwardedFor, &[line]), expected);
    }
}
