//! Headers of every kind, against the one rule: nobody chooses an address.

use proptest::prelude::*;

use super::*;

fn proxies(header: ForwardedHeader) -> Proxies {
    let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).to_vec();
    Proxies { trusted, header, protocol: false }
}

fn by(header: ForwardedHeader, peer: &str, lines: &[&[u8]]) -> String {
    let proxies = proxies(header);
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(read_header(&proxies).unwrap(), HeaderValue::from_bytes(line).unwrap());
    }
    forwarded(peer.parse().unwrap(), &headers, &proxies).to_string()
}

fn by_x(peer: &str, lines: &[&str]) -> String {
    by(ForwardedHeader::XForwardedFor, peer, &lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>())
}

fn by_standard(line: &str) -> String {
    by(ForwardedHeader::Forwarded, "10.0.0.1", &[line.as_bytes()])
}

#[test]
fn an_untrusted_peer_cannot_choose_its_address() {
    assert_eq!(by_x("203.0.113.9", &["1.2.3.4"]), "203.0.113.9");
    assert_eq!(by(ForwardedHeader::Forwarded, "203.0.113.9", &[b"for=1.2.3.4"]), "203.0.113.9");
}

#[test]
fn a_trusted_proxys_word_is_read_from_the_right() {
    assert_eq!(by_x("10.0.0.1", &["1.2.3.4, 203.0.113.9"]), "203.0.113.9");
    assert_eq!(by_x("10.0.0.1", &["1.2.3.4", "203.0.113.9, 10.0.0.7"]), "203.0.113.9");
    assert_eq!(by_x("10.0.0.1", &["1.2.3.4, rubbish, 10.0.0.2"]), "10.0.0.2");
    assert_eq!(by_x("10.0.0.1", &[]), "10.0.0.1");
    assert_eq!(by(ForwardedHeader::XForwardedFor, "10.0.0.1", &[b"\xff\xfe, 203.0.113.9"]), "203.0.113.9");
}

#[test]
fn addresses_come_in_many_forms() {
    for (entry, expected) in [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:1234", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("[::ffff:cb00:7109]:1", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("\t 203.0.113.9 ", "203.0.113.9"),
        // These are not told, so it is the proxy.
        ("unknown", "10.0.0.1"),
        ("_hidden", "10.0.0.1"),
        ("", "10.0.0.1"),
        ("203.0.113.9:", "10.0.0.1"),
        ("203.0.113.9:1 2", "10.0.0.1"),
        ("203.0.113.9%eth0", "10.0.0.1"),
        ("fe80::1%", "10.0.0.1"),
        ("[2001:db8::1", "10.0.0.1"),
        ("[2001:db8::1]443", "10.0.0.1"),
        ("203.0.113.009", "10.0.0.1"),
        ("3405803785", "10.0.0.1"),
        ("\"203.0.113.9\"", "10.0.0.1"),
    ] {
        assert_eq!(by_x("10.0.0.1", &[entry]), expected, "{entry:?}");
    }
}

#[test]
fn a_trusted_network_knows_its_addresses_in_every_form() {
    assert_eq!(by_x("10.0.0.1", &["203.0.113.9, ::ffff:10.0.0.7"]), "203.0.113.9");
}

#[test]
fn the_standard_header_is_read_as_rfc_7239_writes_it() {
    for (line, expected) in [
        ("for=203.0.113.9", "203.0.113.9"),
        ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=203.0.113.9;proto=http;by=10.0.0.1", "203.0.113.9"),
        ("proto=http;FOR=203.0.113.9; by=10.0.0.1;", "203.0.113.9"),
        (";; for=\"203.0.113.9:_x\" ;", "203.0.113.9"),
        ("for=1.2.3.4, for=203.0.113.9, for=10.0.0.7", "203.0.113.9"),
        ("for=\"203.0.113\\.9\"", "203.0.113.9"),
        ("for=203.0.113.9;ext=\"a, b; \\\"for=1.2.3.4\"", "203.0.113.9"),
        ("for=unknown", "10.0.0.1"),
        ("for=\"_SEVKISEK\"", "10.0.0.1"),
        ("for=1.2.3.4, for=_hidden, for=10.0.0.7", "10.0.0.7"),
        ("proto=https", "10.0.0.1"),
        ("for=203.0.113.9;for=1.2.3.4", "10.0.0.1"),
        ("for=203.0.113.9 x", "10.0.0.1"),
        ("for=\"203.0.113.9\"x", "10.0.0.1"),
        ("for=\"203.0.113.9", "10.0.0.1"),
        ("203.0.113.9", "10.0.0.1"),
    ] {
        assert_eq!(by_standard(line), expected, "{line}");
    }
}

#[test]
fn a_quote_that_is_left_open_changes_nothing_of_what_a_proxy_appends() {
    for claim in ["for=1.2.3.4;x=\"", "\"", "for=\"1.2.3.4", "for=1.2.3.4, x=\"\\", "\\", "for=1.2.3.4;\"", ",,,\","] {
        assert_eq!(by_standard(&format!("{claim}, for=203.0.113.9")), "203.0.113.9", "{claim}");
        assert_eq!(by_standard(&format!("{claim}, for=\"[2001:db8::1]:80\";proto=https")), "2001:db8::1", "{claim}");
    }
}

#[test]
fn a_header_of_many_hops_is_looked_at_for_a_few() {
    let hops = "10.0.0.2,".repeat(10_000);
    assert_eq!(by_x("10.0.0.1", &[&format!("203.0.113.9,{hops}10.0.0.3")]), "10.0.0.2");
    assert_eq!(by_x("10.0.0.1", &[&",".repeat(64 * 1024)]), "10.0.0.1");
    assert_eq!(by_standard(&"\\\"".repeat(32 * 1024)), "10.0.0.1");
}

proptest! {
    #[test]
    fn whatever_a_client_sends_the_proxys_entry_counts(claim in proptest::collection::vec(any::<u8>(), 0..200)) {
        let claim: Vec<u8> = claim.into_iter().map(|byte| if byte < 32 || byte == 127 { b'"' } else { byte }).collect();
        let after = |entry: &[u8]| [&claim, &b", "[..], entry].concat();
        let x = by(ForwardedHeader::XForwardedFor, "10.0.0.1", &[&after(b"203.0.113.9")]);
        prop_assert_eq!(x, "203.0.113.9");
        let standard = by(ForwardedHeader::Forwarded, "10.0.0.1", &[&after(b"for=\"[2001:db8::1]:1\";proto=https")]);
        prop_assert_eq!(standard, "2001:db8::1");
        // In a line of its own, as some proxies add it.
        prop_assert_eq!(by(ForwardedHeader::XForwardedFor, "10.0.0.1", &[&claim, b"203.0.113.9"]), "203.0.113.9");
        // From somebody who is not believed.
        prop_assert_eq!(by(ForwardedHeader::Forwarded, "203.0.113.9", &[&claim]), "203.0.113.9");
    }

    #[test]
    fn whoever_is_told_is_written_in_the_header(line in "[0-9a-f:.,;=for\" \\\\_]{0,80}") {
        let found = by_standard(&line);
        prop_assert!(found == "10.0.0.1" || line.contains("for"), "{} from {}", found, line);
    }

    #[test]
    fn an_address_is_read_back_from_every_form(address: u128, port: u16) {
        let address = Ipv6Addr::from(address);
        let expected = IpAddr::from(address).to_canonical().to_string();
        for form in [format!("{address}"), format!("[{address}]"), format!("[{address}]:{port}")] {
            prop_assert_eq!(super::address(&form).unwrap().to_string(), &*expected);
            let element = format!("for=\"{form}\"");
            prop_assert_eq!(told_for(element.as_bytes()).unwrap().to_string(), &*expected);
        }
    }
}
