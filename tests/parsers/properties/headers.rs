//! Headers of requests.

use std::net::IpAddr;

use gatepost::domain::{Device, FlowToken, Language};
use gatepost::http::fuzzing;
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
    let trusted: [IpNet; 2] = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let (proxy, stranger): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "203.0.113.9".parse().unwrap());
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    assert_eq!(fuzzing::client_address(stranger, &lines, &trusted), stranger);
    assert_eq!(fuzzing::client_address(proxy, &lines, &[]), proxy);

    let client = fuzzing::client_address(proxy, &lines, &trusted);
    assert_eq!(client, client.to_canonical(), "one address, one form");
    if !is_trusted(client) {
        let forged: Vec<&[u8]> = [b"198.51.100.66, 10.9.9.9".as_slice()].into_iter().chain(lines.clone()).collect();
        assert_eq!(fuzzing::client_address(proxy, &forged, &trusted), client, "a line further left counted");
    }
    // What our own proxy adds is believed whatever came before.
    let added: Vec<&[u8]> = lines.into_iter().chain([b"192.0.2.7".as_slice()]).collect();
    assert_eq!(fuzzing::client_address(proxy, &added, &trusted), "192.0.2.7".parse::<IpAddr>().unwrap());
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
