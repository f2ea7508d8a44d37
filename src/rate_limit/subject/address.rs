//! [`Address`]: the address of the client, which may hide behind proxies but not invent one.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use http::request::Parts;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::header::forwarded::{ForwardedField, Hop};

type PeerFn = Arc<dyn Fn(&Parts) -> Option<SocketAddr> + Send + Sync>;

/// Tells clients apart by their addresses.
///
/// That is the address of the peer, who opened the connection. If that is a
/// [trusted proxy](Self::trusted_proxies), it is the one that this proxy says it had the request from, and so on: the
/// hops are gone through from the right to the left for as long as they are trusted proxies themselves, and the first
/// that is not is the client.
///
/// Where a proxy doesn't say, or says what can't be read, its own address stands for whoever is behind it. It is never
/// one that is written further to the left, as that may have been forged. If all hops are trusted, the leftmost is the
/// client.
///
/// IPv4 in IPv6 (`::ffff:192.0.2.1`) is the IPv4 address. Of other IPv6 addresses only the [network](Self::ipv6_prefix)
/// counts, since a client has billions of them to choose from.
///
/// ```
/// use http::Request;
/// use larder::{header::forwarded::ForwardedField, rate_limit::Address};
/// use std::net::SocketAddr;
///
/// let address = Address::new().trusted_proxies(["10.0.0.0/8".parse().unwrap()]);
/// let request = Request::get("/")
///     .extension(SocketAddr::from(([10, 0, 0, 1], 4711)))
///     .header("x-forwarded-for", "203.0.113.9, 198.51.100.7, 10.0.0.2");
/// let (head, ()) = request.body(()).unwrap().into_parts();
/// // The client claims to have come from 203.0.113.9.
/// assert_eq!(address.client(&head), Some([198, 51, 100, 7].into()));
/// ```
#[derive(Clone)]
#[must_use]
pub struct Address {
    trusted: Vec<IpNet>,
    field: ForwardedField,
    ipv6_prefix: u8,
    peer: PeerFn,
}

impl Address {
    /// The address of the peer; nobody is trusted.
    pub fn new() -> Self {
        Self {
            trusted: Vec::new(),
            field: ForwardedField::default(),
            ipv6_prefix: 64,
            peer: Arc::new(|head| head.extensions.get().copied()),
        }
    }

    /// The networks of the proxies that are believed, in place of those named before. Default: none.
    ///
    /// Each of them has to add to the [field](Self::field) the address from which it had the request. Trust the proxies
    /// alone: a client within these networks can say of itself what it likes.
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.trusted = networks.into_iter().map(canonical).collect();
        self
    }

    /// The field that the trusted proxies write. The other one is never looked at. Default:
    /// [`ForwardedField::XForwardedFor`].
    ///
    /// If it were guessed by which of them is there, a client could choose: a proxy that adds to `X-Forwarded-For`
    /// hands a `Forwarded` on as the client made it up. For the same reason each of the proxies has to write the same
    /// one.
    pub fn field(mut self, field: ForwardedField) -> Self {
        self.field = field;
        self
    }

    /// How many bits of an IPv6 address count; more than 128 are 128. Default: 64, a subnet ([RFC 4291 §2.5.4]), which
    /// most clients have for themselves.
    ///
    /// Many have a /56 or a /48 ([RFC 6177]), and so 256 or 65,536 subnets; where that matters, set a limit on those as well.
    ///
    /// [RFC 4291 §2.5.4]: https://www.rfc-editor.org/rfc/rfc4291#section-2.5.4
    /// [RFC 6177]: https://www.rfc-editor.org/rfc/rfc6177
    pub fn ipv6_prefix(mut self, bits: u8) -> Self {
        self.ipv6_prefix = bits.min(128);
        self
    }

    /// Where a request has the address of its peer. Default: a [`SocketAddr`] in its extensions.
    ///
    /// For axum, which needs `into_make_service_with_connect_info::<SocketAddr>()`:
    ///
    /// ```
    /// use axum::extract::ConnectInfo;
    /// use larder::rate_limit::Address;
    /// use std::net::SocketAddr;
    ///
    /// let address = Address::new().peer(|head| head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0));
    /// # let _ = address;
    /// ```
    pub fn peer(mut self, peer: impl Fn(&Parts) -> Option<SocketAddr> + Send + Sync + 'static) -> Self {
        self.peer = Arc::new(peer);
        self
    }

    /// The address of the client, or of its network; `None` if the peer's isn't known, since nobody vouches for the
    /// fields then.
    ///
    /// Reads the field no further than to the first hop that is not trusted. Does not allocate.
    #[must_use]
    pub fn client(&self, head: &Parts) -> Option<IpAddr> {
        let mut client = (self.peer)(head)?.ip().to_canonical();
        let mut hops = self.field.hops(&head.headers);
        while self.trusts(client)
            && let Some(Hop::Address(address)) = hops.next()
        {
            client = address.to_canonical();
        }
        Some(self.network(client))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    fn network(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                let host_bits = 128 - u32::from(self.ipv6_prefix);
                Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(host_bits).unwrap_or(0)).into()
            }
        }
    }
}

impl Default for Address {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("trusted", &self.trusted)
            .field("field", &self.field)
            .field("ipv6_prefix", &self.ipv6_prefix)
            .finish_non_exhaustive()
    }
}

/// A network of IPv4 in IPv6 as one of IPv4, since that is what addresses are compared as.
fn canonical(network: IpNet) -> IpNet {
    let mapped = |network: Ipv6Net| {
        let prefix = network.prefix_len().checked_sub(96)?;
        Ipv4Net::new(network.addr().to_ipv4_mapped()?, prefix).ok()
    };
    match network {
        IpNet::V4(_) => network,
        IpNet::V6(network) => mapped(network).map_or(IpNet::V6(network), IpNet::V4),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::Request;
    use proptest::prelude::*;

    use super::*;

    const XFF: &str = "x-forwarded-for";

    fn head(peer: &str, fields: &[(&str, &str)]) -> Parts {
        let peer: IpAddr = peer.parse().expect("an address");
        let mut request = Request::get("/").extension(SocketAddr::new(peer, 4711));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn trusting(networks: &[&str]) -> Address {
        Address::new().trusted_proxies(networks.iter().map(|network| network.parse().expect("a network")))
    }

    fn client(address: &Address, peer: &str, fields: &[(&str, &str)]) -> String {
        address.client(&head(peer, fields)).expect("a client").to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let fields = [(XFF, "192.0.2.1"), ("forwarded", "for=192.0.2.1"), ("x-real-ip", "192.0.2.1")];
        for address in [Address::new(), trusting(&["10.0.0.0/8", "fd00::/8"]), trusting(&["203.0.113.8/32"])] {
            for field in [ForwardedField::XForwardedFor, ForwardedField::Forwarded] {
                assert_eq!(client(&address.clone().field(field), "203.0.113.9", &fields), "203.0.113.9");
            }
        }
    }

    #[test]
    fn what_a_client_wrote_itself_is_not_believed() {
        let address = trusting(&["10.0.0.0/8"]);
        for forged in [
            "192.0.2.1",
            "192.0.2.1, 192.0.2.2",
            "10.0.0.1",
            "127.0.0.1",
            "10.0.0.1, 10.0.0.2, 10.0.0.3",
            "unknown",
            "",
            ",,,",
            "\"",
            "\u{e9}",
        ] {
            let added = format!("{forged}, 203.0.113.9");
            assert_eq!(client(&address, "10.0.0.1", &[(XFF, &added)]), "203.0.113.9", "{forged}");
            let two = format!("{added}, 10.9.9.9");
            assert_eq!(client(&address, "10.0.0.1", &[(XFF, &two)]), "203.0.113.9", "{forged}");
            let own_line = [(XFF, forged), (XFF, "203.0.113.9")];
            assert_eq!(client(&address, "10.0.0.1", &own_line), "203.0.113.9", "{forged}");
        }
        let address = address.field(ForwardedField::Forwarded);
        for forged in ["for=192.0.2.1", "for=192.0.2.1;by=\"", "for=\"", "for=10.0.0.1", ",", "for=192.0.2.1;by=\"\\"] {
            for added in ["for=203.0.113.9", "for=\"203.0.113.9:1234\";by=\"_a\"", "by=\"\\\",\";for=203.0.113.9"] {
                let value = format!("{forged}, {added}");
                assert_eq!(client(&address, "10.0.0.1", &[("forwarded", &value)]), "203.0.113.9", "{value}");
            }
        }
    }

    #[test]
    fn the_field_that_proxies_do_not_write_is_not_believed() {
        let fields = [("forwarded", "for=192.0.2.1"), (XFF, "203.0.113.9")];
        let address = trusting(&["10.0.0.0/8"]);
        assert_eq!(client(&address, "10.0.0.1", &fields), "203.0.113.9");
        assert_eq!(client(&address, "10.0.0.1", &fields[..1]), "10.0.0.1");
        let address = address.field(ForwardedField::Forwarded);
        assert_eq!(client(&address, "10.0.0.1", &fields), "192.0.2.1");
        assert_eq!(client(&address, "10.0.0.1", &fields[1..]), "10.0.0.1");
    }

    #[test]
    fn a_chain_of_proxies_ends_at_the_first_that_is_not_trusted() {
        let address = trusting(&["10.0.0.0/8", "198.51.100.7/32", "2001:db8:cd::/48"]);
        for (value, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.9, 198.51.100.7", "203.0.113.9"),
            ("203.0.113.9, 198.51.100.7, 2001:db8:cd::5, 10.1.1.1", "203.0.113.9"),
            ("203.0.113.9:50000, [2001:db8:cd::5]:443, 10.1.1.1:80", "203.0.113.9"),
            ("203.0.113.9, 198.51.100.8, 10.1.1.1", "198.51.100.8"),
            ("203.0.113.9, 2001:db8:ce::5, 10.1.1.1", "2001:db8:ce::"),
            ("203.0.113.9, 11.0.0.1", "11.0.0.1"),
            ("192.0.2.1, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
        ] {
            assert_eq!(client(&address, "10.0.0.1", &[(XFF, value)]), expected, "{value}");
        }
    }

    #[test]
    fn a_hop_that_cannot_be_read_hides_what_is_left_of_it() {
        let address = trusting(&["10.0.0.0/8"]);
        for unknown in ["unknown", "_hidden", "", "unix:", "10.0.0.256", "10.0.0.3 10.0.0.4", "gateway.internal"] {
            let value = format!("203.0.113.9, {unknown}");
            assert_eq!(client(&address, "10.0.0.1", &[(XFF, &value)]), "10.0.0.1", "{value}");
            let value = format!("203.0.113.9, 10.3.3.3, {unknown}, 10.2.2.2");
            assert_eq!(client(&address, "10.0.0.1", &[(XFF, &value)]), "10.2.2.2", "{value}");
        }
        let address = address.field(ForwardedField::Forwarded);
        for unknown in ["for=unknown", "for=_hidden", "proto=https", "", "for=10.0.0.3;for=10.0.0.4", "10.0.0.3"] {
            let value = format!("for=203.0.113.9, {unknown}, for=10.2.2.2");
            assert_eq!(client(&address, "10.0.0.1", &[("forwarded", &value)]), "10.2.2.2", "{value}");
        }
    }

    #[test]
    fn a_chain_of_none_but_trusted_proxies_ends_at_its_left() {
        let address = trusting(&["10.0.0.0/8"]);
        assert_eq!(client(&address, "10.0.0.1", &[(XFF, "10.4.4.4, 10.3.3.3"), (XFF, "10.2.2.2")]), "10.4.4.4");
        assert_eq!(client(&address, "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client(&address, "10.0.0.1", &[(XFF, "")]), "10.0.0.1");
        assert_eq!(client(&trusting(&["0.0.0.0/0"]), "10.0.0.1", &[(XFF, "192.0.2.1, 192.0.2.2")]), "192.0.2.1");
    }

    #[test]
    fn one_client_is_not_two_by_how_its_address_is_written() {
        let address = trusting(&["10.0.0.0/8"]);
        for value in
            ["203.0.113.9", "203.0.113.9:1", "::ffff:203.0.113.9", "::FFFF:cb00:7109", "[::ffff:203.0.113.9]:2"]
        {
            for peer in ["10.0.0.1", "::ffff:10.0.0.1"] {
                assert_eq!(client(&address, peer, &[(XFF, value)]), "203.0.113.9", "{value} from {peer}");
            }
        }
        assert_eq!(client(&address, "::ffff:203.0.113.9", &[]), "203.0.113.9");
        for network in ["::ffff:10.0.0.0/104", "::ffff:10.0.0.1/128", "::ffff:0.0.0.0/96"] {
            let address = trusting(&[network]);
            for peer in ["10.0.0.1", "::ffff:10.0.0.1"] {
                assert_eq!(client(&address, peer, &[(XFF, "2001:db8::1")]), "2001:db8::", "{network}");
            }
        }
        assert_eq!(client(&trusting(&["::/0"]), "10.0.0.1", &[(XFF, "192.0.2.1")]), "10.0.0.1", "not of that family");
    }

    #[test]
    fn a_client_has_one_subject_in_all_of_its_network() {
        let one = "2001:db8:1:2:3:4:5:6";
        for (bits, expected) in
            [(64, "2001:db8:1:2::"), (56, "2001:db8:1::"), (48, "2001:db8:1::"), (0, "::"), (128, one), (255, one)]
        {
            assert_eq!(client(&Address::new().ipv6_prefix(bits), one, &[]), expected, "{bits}");
        }
        let address = Address::new();
        assert_eq!(client(&address, one, &[]), client(&address, "2001:db8:1:2:ffff::1", &[]));
        assert_ne!(client(&address, one, &[]), client(&address, "2001:db8:1:3:3:4:5:6", &[]));
        assert_eq!(client(&address.ipv6_prefix(0), "203.0.113.9", &[]), "203.0.113.9", "IPv4 is left whole");
        let proxy = trusting(&["2001:db8:1:2:3:4:5:6/128"]);
        assert_eq!(
            client(&proxy, "2001:db8:1:2:3:4:5:7", &[(XFF, "192.0.2.1")]),
            "2001:db8:1:2::",
            "a neighbour of a proxy"
        );
    }

    #[test]
    fn nobody_vouches_where_the_peer_is_not_known() {
        let (head, ()) = Request::get("/").header(XFF, "203.0.113.9").body(()).expect("a request").into_parts();
        let address = trusting(&["0.0.0.0/0", "::/0"]);
        assert_eq!(address.client(&head), None);
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        assert_eq!(address.peer(move |_| Some(loopback)).client(&head), Some(Ipv4Addr::new(203, 0, 113, 9).into()));
    }

    proptest! {
        #[test]
        fn no_field_makes_a_client_what_its_proxy_did_not_see(
            forged in "[ -~]{0,40}",
            seen: IpAddr,
            proxies in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..4),
            forwarded: bool,
        ) {
            let address = trusting(&["10.0.0.0/8"]);
            prop_assume!(!address.trusts(seen.to_canonical()));
            let hops = [seen].into_iter().chain(proxies.iter().map(|(a, b)| Ipv4Addr::new(10, 0, *a, *b).into()));
            let (address, name, member): (_, _, fn(IpAddr) -> String) = match forwarded {
                true => (address.field(ForwardedField::Forwarded), "forwarded", |hop| match hop {
                    IpAddr::V4(_) => format!("for={hop}"),
                    IpAddr::V6(_) => format!("for=\"[{hop}]\""),
                }),
                false => (address, XFF, |hop| hop.to_string()),
            };
            let value = [forged].into_iter().chain(hops.map(member)).collect::<Vec<_>>().join(", ");
            let head = head("10.0.0.1", &[(name, &value)]);
            prop_assert_eq!(address.client(&head), Some(address.network(seen.to_canonical())), "{}", value);
        }
    }
}
