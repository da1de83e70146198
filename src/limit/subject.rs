//! Whom a request is counted against.

use std::net::{IpAddr, Ipv6Addr};

/// The one subject of a policy for everybody together.
pub const EVERYBODY: &str = "all";

/// A client address as a subject: IPv4 alone, also when written as IPv6 (`::ffff:192.0.2.1`); IPv6 by its /64, the least
/// that a network hands to one customer (RFC 6177), who can use all 2⁶⁴ addresses in it.
pub fn address(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("{}/64", prefix(ip, 64)),
    }
}

/// The wider network of a client address: of IPv6 the /56, which is what many providers hand to one customer (RFC 6177),
/// who can use all 256 /64s in it. `None` for IPv4: a neighbour in a /24 is usually somebody else, and each further
/// address costs money.
pub fn network(ip: IpAddr) -> Option<String> {
    match ip.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => Some(format!("{}/56", prefix(ip, 56))),
    }
}

/// A client address as a number, the same for all that [`address`] counts as one.
pub(super) fn number(ip: IpAddr) -> u128 {
    bits(ip, 64)
}

/// The customer behind a client address as a number: the address where that is IPv4, and otherwise the [`network`].
pub fn customer(ip: IpAddr) -> u128 {
    bits(ip, 56)
}

/// IPv4 in full, of IPv6 the first `bits`.
fn bits(ip: IpAddr, bits: u32) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => prefix(ip, bits).to_bits(),
    }
}

fn prefix(ip: Ipv6Addr, bits: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << (128 - bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_customer_is_one_subject() {
        let of = |text: &str| address(ip(text));
        assert_eq!(of("203.0.113.7"), "203.0.113.7");
        assert_eq!(of("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("203.0.113.7"), of("203.0.113.8"));
    }

    #[test]
    fn an_ipv6_network_is_a_56_and_ipv4_has_none() {
        let of = |text: &str| network(ip(text));
        assert_eq!(of("2001:db8:1:2ff:3:4:5:6").as_deref(), Some("2001:db8:1:200::/56"));
        assert_eq!(of("2001:db8:1:200::1"), of("2001:db8:1:2ff::1"));
        assert_ne!(of("2001:db8:1:200::1"), of("2001:db8:1:300::1"));
        assert_eq!((of("203.0.113.7"), of("::ffff:203.0.113.7")), (None, None));
    }

    #[test]
    fn addresses_have_one_number_where_they_are_one_subject() {
        let pairs =
            ["203.0.113.7", "::ffff:203.0.113.7", "203.0.113.8", "2001:db8:1:2::1", "2001:db8:1:2::2", "::", "::1"];
        for one in pairs {
            for other in pairs {
                let same = address(ip(one)) == address(ip(other));
                assert_eq!(number(ip(one)) == number(ip(other)), same, "{one} {other}");
            }
        }
    }
}
