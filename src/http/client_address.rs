//! Whom a request comes from.
//!
//! It comes from the peer of its connection, unless that is a trusted proxy (`server.trusted_proxies`). Then the proxy's
//! header is read from the right: what a trusted proxy has written stands there, and what stands left of the first
//! address that is no trusted proxy's anybody could have made up. Where an entry is no address (`unknown`, `_hidden`,
//! rubbish) the client is the one who wrote that entry: nobody gets an address of their own choice, at worst several
//! clients share the address of the proxy that does not tell them apart.

use std::net::{IpAddr, Ipv6Addr};

use actix_http::RequestHead;
use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue, X_FORWARDED_FOR};

use super::Site;
use super::seldom::Seldom;
use crate::settings::{ForwardedHeader, Proxies, Server};

/// What proxies write into the requests that they pass on.
const PASSED_ON: [&str; 4] = ["x-forwarded-for", "forwarded", "x-real-ip", "via"];

/// Nobody has more proxies in a row; whatever claims to have is not looked at any further.
const MOST_HOPS: usize = 64;

/// The client's address, in its canonical form: IPv4 that is written as IPv6 is IPv4.
pub(super) fn of(request: &RequestHead, proxies: &Proxies) -> IpAddr {
    forwarded(peer(request), request.headers(), proxies)
}

/// The address of the connection: the peer's, or the one that a trusted peer has announced by the PROXY protocol.
fn peer(request: &RequestHead) -> IpAddr {
    request.peer_addr.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip().to_canonical())
}

/// Whether the request comes from an operator. Where a proxy has passed it on, that is who the proxy says: not the proxy itself, nor
/// another one, whose own addresses say nothing then; and no loopback address, which is not this machine's in the mouth of another.
pub(super) fn is_operators(request: &RequestHead, server: &Server) -> bool {
    let (peer, client) = (peer(request), of(request, &server.proxies));
    let was_passed_on = || PASSED_ON.iter().any(|name| request.headers().contains_key(*name));
    let is_itself =
        if client == peer { !was_passed_on() } else { !client.is_loopback() && !server.proxies.trusts(client) };
    is_itself && server.operators.have(client)
}

pub(super) fn forwarded(peer: IpAddr, headers: &HeaderMap, proxies: &Proxies) -> IpAddr {
    let Some(name) = read_header(proxies).filter(|_| proxies.trusts(peer)) else { return peer };
    let is_forwarded = name == FORWARDED;
    let lines = headers.get_all(name).rev().map(HeaderValue::as_bytes);
    let entries = lines.flat_map(|line| FromTheRight { rest: Some(line), quotes: is_forwarded });
    let mut client = peer;
    for entry in entries.take(MOST_HOPS) {
        let told = if is_forwarded { told_for(entry) } else { text(entry).and_then(address) };
        let Some(address) = told else { return client };
        client = address;
        if !proxies.trusts(client) {
            return client;
        }
    }
    client
}

pub(super) fn read_header(proxies: &Proxies) -> Option<HeaderName> {
    match proxies.header {
        ForwardedHeader::XForwardedFor => Some(X_FORWARDED_FOR),
        ForwardedHeader::Forwarded => Some(FORWARDED),
        ForwardedHeader::None => None,
    }
}

/// The members of a comma list, the last one first. A comma in quotes is none. It is read from the right so that nothing
/// further left, not even a quote that is left open, can change what a proxy has appended.
struct FromTheRight<'a> {
    rest: Option<&'a [u8]>,
    quotes: bool,
}

impl<'a> Iterator for FromTheRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let mut quoted = false;
        for (at, byte) in rest.iter().enumerate().rev() {
            match byte {
                b'"' if self.quotes && !(quoted && is_escaped(&rest[..at])) => quoted = !quoted,
                b',' if !quoted => {
                    self.rest = Some(&rest[..at]);
                    return Some(&rest[at + 1..]);
                }
                _ => {}
            }
        }
        // What is left of an open quote is no member.
        Some(if quoted { b"" } else { rest })
    }
}

/// Whether a quote behind `before` is part of a quoted text: behind an odd number of backslashes.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

fn text(entry: &[u8]) -> Option<&str> {
    Some(std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']))
}

/// The address in the `for` of an element of `Forwarded`: `for="[2001:db8::1]:4711";proto=https`.
fn told_for(element: &[u8]) -> Option<IpAddr> {
    let (mut rest, mut found) = (text(element)?, None);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(';') {
            rest = after.trim_start();
            continue;
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after)?;
        if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
        rest = after.trim_start();
        if !rest.is_empty() && !rest.starts_with(';') {
            return None;
        }
    }
    address(&found?)
}

/// A token or a quoted text, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, _) = text.split_once([';', ' ', '\t']).unwrap_or((text, ""));
        return (!token.contains('"')).then(|| (token.to_owned(), &text[token.len()..]));
    };
    let (mut value, mut characters) = (String::new(), quoted.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

/// An address as proxies write it: `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]:443`, `fe80::1%eth0`.
fn address(entry: &str) -> Option<IpAddr> {
    let is_port = |port: &str| {
        let digits = port.strip_prefix(':').unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let (host, port) = match entry.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None if entry.bytes().filter(|byte| *byte == b':').count() == 1 => entry.split_at(entry.find(':')?),
        None => (entry, ""),
    };
    if !port.is_empty() && !is_port(port) {
        return None;
    }
    let address = match host.split_once('%') {
        // The zone says over which of the proxy's interfaces; there is only one client of that address at it.
        Some((address, zone)) if !zone.is_empty() => address.parse::<Ipv6Addr>().ok()?.into(),
        _ => host.parse::<IpAddr>().ok()?,
    };
    Some(address.to_canonical())
}

/// Looks at headers that claim to tell a client's address and are passed over, which mostly means that a proxy is missing
/// in the settings: then all of its clients share one limit, and see one another's address in their mails.
pub(super) struct PassedOver {
    untrusted_peer: Seldom,
    other_header: Seldom,
}

impl PassedOver {
    /// Has seen nothing yet.
    pub(super) fn new() -> Self {
        Self { untrusted_peer: Seldom::new(), other_header: Seldom::new() }
    }

    /// Counts a request with such a header; tells it in the log at the first time, and then at most every hour.
    pub(super) fn look(&self, request: &RequestHead, site: &Site) {
        let has = |name| request.headers().contains_key(name);
        let (x, standard) = (has(X_FORWARDED_FOR), has(FORWARDED));
        let proxies = &site.server.proxies;
        let Some(name) = read_header(proxies).filter(|_| x || standard) else { return };
        let counted = |why| site.metrics.forwarding_passed_over.with_label_values(&[why]).inc();
        let peer = peer(request);
        if !proxies.trusts(peer) {
            counted("untrusted_peer");
            self.untrusted_peer.warn(|| {
                format!(
                    "{peer} sends X-Forwarded-For or Forwarded and is not believed: its requests count as its own. \
                     If it is your reverse proxy, add it to server.trusted_proxies (GATEPOST_TRUSTED_PROXIES)"
                )
            });
        } else if !has(name) {
            counted("other_header");
            self.other_header.warn(|| {
                let (read, sent) = if x { ("Forwarded", "X-Forwarded-For") } else { ("X-Forwarded-For", "Forwarded") };
                format!(
                    "the trusted proxy {peer} sends {sent}, and {read} is what is read: its requests count as its own. \
                     Set server.forwarded_header (GATEPOST_SERVER_FORWARDED_HEADER) to the one that it writes"
                )
            });
        }
    }
}

#[cfg(test)]
mod tests;
