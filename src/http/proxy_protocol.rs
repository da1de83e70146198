//! The PROXY protocol, versions 1 and 2: what a proxy that passes bytes on says about a connection before they begin.
//!
//! Source: "The PROXY protocol", `HAProxy`, doc/proxy-protocol.txt. Exactly the header is read from the connection, and
//! nothing of what follows it. Whoever calls has made sure that the peer may be believed, and sets the deadline.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// How version 2 begins. No HTTP request does.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins.
const WORD: &[u8] = b"PROXY ";
/// The longest line of version 1, its end included (section 2.1).
const LONGEST_LINE: usize = 107;
/// The most of addresses and further facts of version 2. They are a few hundred bytes where a proxy sends certificates'.
const MOST_FACTS: usize = 4096;

/// Reads the header: the address that the connection comes from, or `None` where the proxy speaks for itself (a health
/// check) or does not know. Fails on anything else, of which it has read a few bytes then.
pub(super) async fn read(stream: &mut TcpStream) -> Result<Option<SocketAddr>> {
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == *SIGNATURE {
        return read_binary(stream).await;
    }
    if start.starts_with(WORD) { read_line(stream, &start).await } else { Err(malformed()) }
}

async fn read_binary(stream: &mut TcpStream) -> Result<Option<SocketAddr>> {
    let (kind, family) = (stream.read_u8().await?, stream.read_u8().await?);
    let length = usize::from(stream.read_u16().await?);
    if length > MOST_FACTS {
        return Err(malformed());
    }
    let mut facts = vec![0; length];
    stream.read_exact(&mut facts).await?;
    binary(kind, family, &facts)
}

/// Section 2.2: version and command, family and protocol, then the addresses.
pub(super) fn binary(kind: u8, family: u8, facts: &[u8]) -> Result<Option<SocketAddr>> {
    match (kind, family) {
        (0x21, 0x11) => {
            let [a, b, c, d, _, _, _, _, high, low, ..] = *facts else { return Err(malformed()) };
            let has_all = facts.len() >= 12;
            let address = SocketAddr::from((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])));
            if has_all { Ok(Some(address)) } else { Err(malformed()) }
        }
        (0x21, 0x21) => {
            let (Some(source), Some(&[high, low, _, _])) = (facts.first_chunk::<16>(), facts.get(32..36)) else {
                return Err(malformed());
            };
            Ok(Some(SocketAddr::from((Ipv6Addr::from(*source), u16::from_be_bytes([high, low])))))
        }
        // A connection of the proxy's own, or one that is neither TCP over IPv4 nor over IPv6: these are to be taken with
        // the address that they have.
        (0x20 | 0x21, _) => Ok(None),
        _ => Err(malformed()),
    }
}

async fn read_line(stream: &mut TcpStream, start: &[u8]) -> Result<Option<SocketAddr>> {
    let mut line = start.to_vec();
    while !line.contains(&b'\n') {
        let mut seen = [0; LONGEST_LINE];
        let count = stream.peek(&mut seen).await?;
        let seen = seen.get(..count).unwrap_or_default();
        // All of what is there belongs to the line, or all up to its end.
        let count = seen.iter().position(|byte| *byte == b'\n').map_or(count, |end| end + 1);
        if count == 0 || line.len() + count > LONGEST_LINE {
            return Err(malformed());
        }
        let from = line.len();
        line.resize(from + count, 0);
        stream.read_exact(line.get_mut(from..).unwrap_or_default()).await?;
    }
    text(&line)
}

/// Section 2.1: `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443`, with its line end.
pub(super) fn text(line: &[u8]) -> Result<Option<SocketAddr>> {
    let line = std::str::from_utf8(line).map_err(|_| malformed())?;
    let words: Vec<&str> = line.strip_suffix("\r\n").ok_or_else(malformed)?.split(' ').collect();
    let ip = |family: &str, text: &str| {
        let address = text.parse::<IpAddr>().ok()?;
        (address.is_ipv4() == (family == "TCP4")).then_some(address)
    };
    let port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
    match *words {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        ["PROXY", family @ ("TCP4" | "TCP6"), source, target, source_port, target_port] => {
            let source = (ip(family, source), port(source_port));
            match (source, ip(family, target), port(target_port)) {
                ((Some(address), Some(port)), Some(_), Some(_)) => Ok(Some(SocketAddr::new(address, port))),
                _ => Err(malformed()),
            }
        }
        _ => Err(malformed()),
    }
}

fn malformed() -> Error {
    Error::new(ErrorKind::InvalidData, "the connection does not begin with a PROXY header")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(found: &Result<Option<SocketAddr>>) -> String {
        match found {
            Ok(Some(address)) => address.to_string(),
            Ok(None) => "itself".to_owned(),
            Err(_) => "malformed".to_owned(),
        }
    }

    #[test]
    fn a_line_names_its_source() {
        for (line, expected) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", "192.0.2.1:56324"),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", "[2001:db8::1]:1"),
            ("PROXY UNKNOWN\r\n", "itself"),
            ("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", "itself"),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n", "malformed"),
            ("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "malformed"),
            ("PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", "malformed"),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n", "malformed"),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n", "malformed"),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", "malformed"),
            ("PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n", "malformed"),
            ("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n", "malformed"),
            ("PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", "malformed"),
            ("proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n", "malformed"),
        ] {
            assert_eq!(told(&text(line.as_bytes())), expected, "{line:?}");
        }
    }

    #[test]
    fn a_binary_header_names_its_source() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 1, 187];
        assert_eq!(told(&binary(0x21, 0x11, &v4)), "192.0.2.1:56324");
        assert_eq!(told(&binary(0x21, 0x11, &[&v4[..], &[4, 0, 1, 0]].concat())), "192.0.2.1:56324");
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        (v6[15], v6[33]) = (1, 80);
        assert_eq!(told(&binary(0x21, 0x21, &v6)), "[2001:db8::1]:80");
        assert_eq!(told(&binary(0x20, 0x11, &v4)), "itself");
        assert_eq!(told(&binary(0x21, 0x00, &[])), "itself");
        assert_eq!(told(&binary(0x21, 0x31, &[0; 216])), "itself");
        for (kind, family, facts) in
            [(0x21, 0x11, &v4[..11]), (0x21, 0x21, &v6[..35]), (0x22, 0x11, &v4[..]), (0x11, 0x11, &v4[..])]
        {
            assert_eq!(told(&binary(kind, family, facts)), "malformed", "{kind:x} {family:x}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(kind: u8, family: u8, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (binary(kind, family, &bytes), text(&bytes));
        }
    }
}
