//! What `--store` takes, and what is said about the rest.

use std::env;

use super::{
    file::File,
    fleet::{ask, kept},
    llm::CHAT,
    message::{post_json, response},
    origin::Origin,
    process::{Ended, Proxy, run},
    within,
};
use crate::support::redis::{Server, Tls};

const GOOD: [&str; 2] = ["--upstream=http://127.0.0.1:9", "--listen=127.0.0.1:0"];
const SECRET: &str = "s3cret";

async fn ended(args: &[&str], environment: &[(&str, &str)]) -> Ended {
    let args: Vec<_> = GOOD.iter().chain(args).copied().collect();
    run(&args, environment).await
}

#[tokio::test]
async fn what_stores_cannot_be_made_of_ends_the_program_before_it_serves() {
    let (keys, none, pem) = (File::with("abc\n"), File::with(" \n"), File::with("not PEM\n"));
    let missing = env::temp_dir().join("larder-no-such-file");
    let missing = missing.to_str().expect("a path of text");
    let redis = "--store=redis://127.0.0.1:9";
    let tls = "--store=rediss://127.0.0.1:9";
    // The arguments, the flag that is named, and what it takes.
    let cases: &[(&[&str], &str, &str)] = &[
        (&[redis, "--store=memory:1MiB"], "--store", "nearest first"),
        (&["--store=memory:1MiB", redis, "--store=memory:1MiB"], "--store", "nearest first"),
        (&["--store=memory:1MiB", "--store=memory:2MiB"], "--store", "nearest first"),
        (&[redis, "--store-prefix="], "--store-prefix", "visible ASCII"),
        (&[redis, "--store-prefix=a*b"], "--store-prefix", "visible ASCII"),
        (&[redis, "--store-prefix=a b"], "--store-prefix", "visible ASCII"),
        (&[redis, "--store-prefix", &"x".repeat(129)], "--store-prefix", "1 to 128"),
        (&[redis, "--store-keys", missing], "--store-keys", "64 hexadecimal digits"),
        (&[redis, "--store-keys", keys.path()], "--store-keys", "64 hexadecimal digits"),
        (&[redis, "--store-keys", none.path()], "--store-keys", "64 hexadecimal digits"),
        (&[tls, "--store-ca", missing], "--store-ca", "PEM"),
        (&[tls, "--store-ca", pem.path()], "--store-ca", "PEM"),
        (&[redis, "--store-ca", pem.path()], "--store-ca", "rediss://"),
    ];
    let mut wrong = Vec::new();
    for (args, flag, takes) in cases {
        let Ended { code, errors, .. } = ended(args, &[]).await;
        let said = errors.contains(flag) && errors.contains(takes);
        if !said || code.is_none_or(|code| code == 0) || errors.contains("panicked") || errors.contains("listening") {
            wrong.push(format!("{args:?}: {code:?}, {errors}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_keys_content_is_not_said() {
    let keys = File::with(&format!("{}{SECRET}\n", "ab".repeat(29)));
    let Ended { code, errors, .. } = ended(&["--store=redis://127.0.0.1:9", "--store-keys", keys.path()], &[]).await;
    assert!(code.is_some_and(|code| code != 0), "{errors}");
    assert!(errors.contains("--store-keys") && !errors.contains(SECRET) && !errors.contains("abab"), "{errors}");
}

#[tokio::test]
async fn a_password_is_in_no_message() {
    let bad = [
        "redis://:s3cret@h/x",
        "redis://user:s3cret@h:99999",
        "redis://:s3cret@a,b",
        "redis://:s3cret@",
        "redis://:s3cret@h?no_such=1",
        "redis://h?ssl=maybe&password=s3cret",
        "redis://h?passwort=s3cret",
        // With signs that are to be escaped.
        "redis://:a/s3cret@h",
        "redis://:a?s3cret@h",
        "redis://:a?b&s3cret@h",
        "redis://:a?s3cret=1@h",
        "redis://:a?ssl=s3cret@h",
        "redis://:a#s3cret@h",
        "redis://:a s3cret@h",
        "redis://:s3cret b@h",
        "rediss://:s3cret@h?ssl=false",
        "http://user:s3cret@h",
        "redis:user:s3cret@h",
        ":s3cret@h:6379",
        "unix:///x?ssl=true&pass=s3cret",
    ];
    let mut wrong = Vec::new();
    for url in bad {
        let flag = format!("--store={url}");
        let by_flag = ended(&[&flag], &[]).await;
        let by_argument = ended(&["--store", "memory:1MiB", "--store", url], &[]).await;
        let by_variable = ended(&[], &[("LARDER_STORE", url)]).await;
        for Ended { code, errors, out } in [by_flag, by_argument, by_variable] {
            if code != Some(2) || !errors.contains("--store") || (out + &errors).contains(SECRET) {
                wrong.push(format!("{url}: {code:?}, {errors}"));
            }
        }
    }
    // Nor is it where a flag is wrong.
    for args in [
        &["redis://:s3cret@h"][..],
        &["--stor=redis://:s3cret@h"],
        &["--stor", "redis://:s3cret@h"],
        &["--upstream", "redis://:s3cret@h"],
    ] {
        let Ended { code, errors, .. } = run(args, &[]).await;
        if code != Some(2) || errors.contains(SECRET) {
            wrong.push(format!("{args:?}: {code:?}, {errors}"));
        }
    }
    let help = ended(&["--help"], &[("LARDER_STORE", "memory:1MiB redis://:s3cret@h")]).await;
    assert!(!(help.out + &help.errors).contains(SECRET));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_password_is_not_logged_and_opens_the_store() {
    let origin =
        Origin::answering(|_, number| response(200, &[("Cache-Control", "max-age=600")], number.to_string())).await;
    let mut server = Server::with(&[&format!("requirepass {SECRET}")]).await;
    let (right, wrong) = (server.url().replace("//", "//:s3cret@"), server.url().replace("//", "//u:no-s3cret@"));
    let url = origin.url();
    let start = async |stores: &str| {
        let environment = [("LARDER_STORE", stores), ("LARDER_STORE_TIMEOUT", "10s"), ("LARDER_LOG", "trace")];
        Proxy::launch(&["--profile=http", "--upstream", &url, "--listen=127.0.0.1:0"], &environment).await
    };
    // Two stores in one variable.
    let tiers = start(&format!("memory:1MiB {right}")).await;
    let alone = start(&right).await;
    let refused = start(&wrong).await;
    ask(&tiers, "/a", &[]).await;
    assert!(ask(&alone, "/a", &[]).await.is_hit(), "they share a store");
    server.kill();
    for _ in 0..2 {
        assert_eq!(ask(&tiers, "/a", &[]).await.text(), "1");
        assert_ne!(ask(&alone, "/b", &[]).await.text(), "1");
    }
    assert!(ask(&tiers, "/a", &[]).await.is_hit(), "there is a memory in front");
    assert!(!ask(&refused, "/a", &[]).await.is_hit(), "its password is wrong");
    for proxy in [&tiers, &alone, &refused] {
        ask(proxy, "/last", &[]).await;
        proxy.log().find(|line| line.contains("/last")).await;
        let leak = proxy.log().all().into_iter().find(|line| line.contains(SECRET));
        assert_eq!(leak, None);
    }
}

#[tokio::test]
async fn entries_lie_in_redis_under_the_prefix_and_closed_by_the_keys() {
    let origin = Origin::answering(|_, number| {
        response(200, &[("Cache-Control", "max-age=600"), ("X-Mark", "plain-text")], number.to_string())
    })
    .await;
    let tls = Tls::start().await;
    let [old, new, both] =
        ["1".repeat(64), "2".repeat(64), "2".repeat(64) + "\n" + &"1".repeat(64)].map(|text| File::with(&text));
    let ca = File::with(tls.ca_pem());
    let store = format!("--store={}", tls.url());
    let start = async |keys: Option<&File>| {
        let mut args =
            vec!["--profile=http", "--store-timeout=10s", "--store-prefix=mine", &store, "--store-ca", ca.path()];
        if let Some(keys) = keys {
            args.extend(["--store-keys", keys.path()]);
        }
        Proxy::start(&origin, &args).await
    };
    let first = start(Some(&old)).await;
    assert_eq!(ask(&first, "/a", &[]).await.text(), "1");
    assert_eq!(kept(&first, "/a", &[]).await.text(), "1");
    let names = tls.server.keys("mine:responses:*").await;
    assert_eq!(names.len(), 1, "{names:?}");
    let entry = tls.server.get(&names[0]).await.expect("an entry");
    assert!(!entry.windows(10).any(|part| part == b"plain-text"), "it is encrypted");
    assert!(ask(&start(Some(&both)).await, "/a", &[]).await.is_hit(), "the previous key opens it");
    assert!(!ask(&start(Some(&new)).await, "/a", &[]).await.is_hit(), "another doesn't");
    assert!(!ask(&start(None).await, "/a", &[]).await.is_hit(), "none doesn't");
}

#[tokio::test]
async fn the_demo_keeps_its_answers_in_redis() {
    let server = Server::start().await;
    let store = format!("--store={}", server.url());
    let proxy = Proxy::launch(&["--demo", "--listen=127.0.0.1:0", "--store-timeout=10s", &store], &[]).await;
    for body in [
        r#"{"model":"demo","messages":[{"role":"user","content":"hi"}]}"#,
        r#"{"model":"demo","stream":true,"messages":[{"role":"user","content":"ho"}]}"#,
    ] {
        let first = proxy.ask(post_json(CHAT, &[], body)).await;
        assert_eq!(first.status(), 200, "{}", first.cache());
        // It is written behind the response; who asks meanwhile reads along.
        let again = within(async {
            loop {
                let again = proxy.ask(post_json(CHAT, &[], body)).await;
                if again.is_hit() {
                    return again;
                }
                assert!(again.cache().contains("collapsed"), "{}", again.cache());
            }
        });
        assert_eq!(again.await.body, first.body);
    }
    assert_eq!(server.keys("larder:responses:chat:demo:*").await.len(), 2);
}
