//! Headers of requests.

use std::net::IpAddr;

use gatepost::domain::{Device, FlowToken, Language};
use gatepost::http::fuzzing;
use gatepost::settings::{ForwardedHeader, Proxies};
use ipnet::IpNet;

/// Whether `text` can be put into a line of a header, a log or a mail without beginning another.
pub(super) fn is_one_line(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// A token out of a cookie stands there as it is, between semicolons; lines are separated by line feeds.
pub(super) fn cookies(input: &[u8]) {
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let (session, flow) = fuzzing::cookies(&lines);
    if let Some(session) = session {
        assert!(!session.contains(';'), "{session:?}");
        let ends_a_cookie = |line: &&[u8]| {
            let mut cookies = line.split(|byte| *byte == b';');
            cookies.any(|cookie| cookie.trim_ascii().ends_with(session.as_bytes()))
        };
        assert!(lines.iter().any(ends_a_cookie), "{session:?}");
    }
    if let Some(flow) = flow {
        assert_eq!(FlowToken::parse(&flow).expect("a token").expose(), flow);
    }
}

/// A peer that is no proxy of ours cannot choose its address; behind a proxy nothing counts that stands left of the client.
pub(super) fn forwarded(input: &[u8]) {
    forwarded_by(ForwardedHeader::XForwardedFor, input, ["198.51.100.66, 10.9.9.9", "192.0.2.7"]);
    forwarded_by(ForwardedHeader::Forwarded, input, ["for=198.51.100.66, for=10.9.9.9", "for=192.0.2.7"]);
}

fn forwarded_by(header: ForwardedHeader, input: &[u8], [forged, added]: [&str; 2]) {
    let trusted: [IpNet; 2] = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let ours = Proxies { trusted: trusted.to_vec(), header, protocol: false };
    let none = Proxies { trusted: Vec::new(), header, protocol: false };
    let (proxy, stranger): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "203.0.113.9".parse().unwrap());
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    assert_eq!(fuzzing::client_address(stranger, &lines, &ours), stranger);
    assert_eq!(fuzzing::client_address(proxy, &lines, &none), proxy);

    let client = fuzzing::client_address(proxy, &lines, &ours);
    assert_eq!(client, client.to_canonical(), "one address, one form");
    if !is_trusted(client) {
        let forged: Vec<&[u8]> = [forged.as_bytes()].into_iter().chain(lines.clone()).collect();
        assert_eq!(fuzzing::client_address(proxy, &forged, &ours), client, "a line further left counted");
    }
    // What our own proxy adds is believed whatever came before.
    let added: Vec<&[u8]> = lines.into_iter().chain([added.as_bytes()]).collect();
    assert_eq!(fuzzing::client_address(proxy, &added, &ours), "192.0.2.7".parse::<IpAddr>().unwrap());
}

/// A line of the PROXY protocol that is taken says so, and an address in it stands there; the binary form has room for it.
pub(super) fn proxy(input: &[u8]) {
    let [line, binary] = fuzzing::proxied(input);
    if let Some(told) = line {
        let text = std::str::from_utf8(input).expect("a line");
        assert!(text.starts_with("PROXY ") && text.ends_with("\r\n"), "{text:?}");
        let words: Vec<&str> = text.split([' ', '\r']).collect();
        assert!(told.is_none_or(|from| words[2].parse() == Ok(from.ip()) && words[4].parse() == Ok(from.port())));
    }
    if let Some(Some(from)) = binary {
        assert!(input.len() >= 4 + if from.is_ipv4() { 12 } else { 36 });
    }
}

/// A language is one that the header names, or English; a device is a short line.
pub(super) fn language(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let language = Language::negotiate(&text);
    assert!(language == Language::English || text.to_ascii_lowercase().contains(language.as_str()), "{text:?}");
    let device = Device::describe(Some(&text));
    let shown = device.as_str();
    assert!(!shown.is_empty() && shown.chars().count() <= 60 && is_one_line(shown), "{shown:?}");
}

/// `If-None-Match` names an answer only with its tag, or with all.
pub(super) fn etag(input: &[u8]) {
    const TAG: &str = "0123456789abcdef0123456789abcdef";
    if fuzzing::names_answer(input, &format!("\"{TAG}\"")) {
        let text = String::from_utf8_lossy(input);
        assert!(text.contains(TAG) || text.trim() == "*", "{text:?}");
    }
}
