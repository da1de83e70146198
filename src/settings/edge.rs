//! What is between clients and this server: proxies, connections, and what browsers are told of https.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::reader::{Read, Reader, name};
use super::values;

/// Which header tells, on the word of a trusted proxy, whom a request comes from. Only the one that the proxy writes
/// may be read: the others it passes on as the client sent them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, a list of addresses.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// None: the peer is the client.
    None,
}

/// The proxies in front of this server.
#[derive(Clone, Debug)]
pub struct Proxies {
    /// Who is believed about whom they forward for.
    pub trusted: Vec<IpNet>,
    /// What they say it with, in each request.
    pub header: ForwardedHeader,
    /// Whether they say it at the beginning of each connection, by the PROXY protocol.
    pub protocol: bool,
}

impl Proxies {
    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        const EXAMPLE: &str = "10.0.0.0/8,fd00::/8";
        let trusted = reader.optional("server.trusted_proxies", EXAMPLE, |text| values::list_of(text, network));
        let header = reader.required("server.forwarded_header", forwarded_header);
        let protocol = reader.required("server.proxy_protocol", |text| match text {
            "off" => Ok(false),
            "required" => Ok(true),
            _ => Err("must be off or required".to_owned()),
        });
        let (trusted, protocol) = (trusted?.unwrap_or_default(), protocol?);
        if protocol && trusted.is_empty() {
            let reason = format!("must be given, because {} is required", name("server.proxy_protocol"));
            return Err(reader.refuse("server.trusted_proxies", &reason, EXAMPLE));
        }
        if trusted.iter().any(|network| network.prefix_len() == 0) {
            reader.note(format!(
                "{} has every address: any client can claim to be another one, and escape the limits",
                name("server.trusted_proxies")
            ));
        }
        Ok(Self { trusted, header: header?, protocol })
    }

    /// Whether the word of `address`, which is in its canonical form, is taken.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// Who may read what is meant for the operators: `/metrics` and what the health checks tell in detail. Counts of mails that were
/// sent, and that were not, tell whoever compares them who has an account.
#[derive(Clone, Debug)]
pub struct Operators(Vec<IpNet>);

impl Operators {
    /// For a server at `bind`: a connection from this machine to one address of it comes from the same.
    pub(super) fn read(reader: &mut Reader, bind: Option<&SocketAddr>) -> Read<Self> {
        let example = "127.0.0.1,::1,10.1.2.0/24";
        let networks = reader.optional("server.operator_networks", example, |text| values::list_of(text, network))?;
        let mut networks = networks.unwrap_or_default();
        if networks.iter().any(|network| network.prefix_len() == 0) {
            reader.note(format!(
                "{} has every address: from the counts in /metrics anybody can learn who has an account",
                name("server.operator_networks")
            ));
        }
        let own = bind.map(SocketAddr::ip).filter(|own| !own.is_unspecified());
        networks.extend(own.map(|own| IpNet::from(own.to_canonical())));
        Ok(Self(networks))
    }

    /// Whether `address`, which is in its canonical form, is one of theirs.
    pub fn have(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn forwarded_header(text: &str) -> Result<ForwardedHeader, String> {
    match text {
        "x-forwarded-for" => Ok(ForwardedHeader::XForwardedFor),
        "forwarded" => Ok(ForwardedHeader::Forwarded),
        "none" => Ok(ForwardedHeader::None),
        _ => Err("must be x-forwarded-for, forwarded or none".to_owned()),
    }
}

/// An IPv4 network that is written as IPv6 is the IPv4 network: addresses are compared in their canonical form.
fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse().map(|ip: IpAddr| IpNet::from(ip));
    let network = address.or_else(|_| text.parse::<IpNet>());
    let network = network.map_err(|_| "must be a network such as 10.0.0.0/8, or one IP address".to_owned())?.trunc();
    let canonical = match network.addr().to_canonical() {
        IpAddr::V4(v4) if network.addr().is_ipv6() && network.prefix_len() >= 96 => {
            IpNet::new(v4.into(), network.prefix_len() - 96).unwrap_or(network)
        }
        _ => network,
    };
    Ok(canonical)
}

/// How many connections are held, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    /// At most so many at once; others wait to be accepted.
    pub most: usize,
    /// At most so many of one client, no more than a tenth of all but eight; further ones are closed at once.
    pub most_per_client: usize,
    /// How long one is kept that asks for nothing.
    pub keep_alive: Duration,
    /// How long the head of a request may take to arrive, and how long its body.
    pub request_timeout: Duration,
}

impl Connections {
    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        let most = reader.number("server.max_connections", 16..=1_000_000);
        let most_per_client: Read<usize> = reader.number("server.max_connections_per_client", 8..=1_000_000);
        let keep_alive = reader.duration("server.keep_alive", "1s", "10m");
        let request_timeout = reader.duration("server.request_timeout", "1s", "5m");
        let most = most?;
        Ok(Self {
            most,
            most_per_client: most_per_client?.min((most / 10).max(8)),
            keep_alive: keep_alive?,
            request_timeout: request_timeout?,
        })
    }

    /// How long a connection may go on without an answer being written to it. Longer than an idle one is kept and than a
    /// request takes that comes as slowly as is allowed; whatever is left then is there to hold a connection.
    pub fn patience(&self) -> Duration {
        self.keep_alive + 3 * self.request_timeout
    }
}

/// What browsers are told to reach by https only (`Strict-Transport-Security`, RFC 6797), for two years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hsts {
    /// Nothing.
    Off,
    /// This host.
    Host,
    /// This host and all names under it.
    Subdomains,
    /// The same, and that browsers may have it built in.
    Preload,
}

impl Hsts {
    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        reader.required("server.hsts", |text| match text {
            "off" => Ok(Self::Off),
            "on" => Ok(Self::Host),
            "subdomains" => Ok(Self::Subdomains),
            "preload" => Ok(Self::Preload),
            _ => Err("must be off, on, subdomains or preload".to_owned()),
        })
    }

    /// The header's value.
    pub fn value(self) -> Option<&'static str> {
        match self {
            Self::Off => None,
            Self::Host => Some("max-age=63072000"),
            Self::Subdomains => Some("max-age=63072000; includeSubDomains"),
            Self::Preload => Some("max-age=63072000; includeSubDomains; preload"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn proxies_are_networks_and_compared_as_such() {
        let proxies = load(&[("GATEPOST_TRUSTED_PROXIES", "10.1.2.3/8, 192.0.2.1, fd00::/8, ::ffff:172.16.0.0/108")])
            .server
            .proxies;
        let shown: Vec<String> = proxies.trusted.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8", "172.16.0.0/12"]);
        assert!(proxies.trusts("172.16.1.1".parse().unwrap()) && !proxies.trusts("192.0.2.2".parse().unwrap()));
        assert!(
            refused(&[("GATEPOST_TRUSTED_PROXIES", "10.0.0.0/8,nginx")])[0]
                .reason
                .starts_with("\"nginx\" must be a network")
        );
        let everyone = load(&[("GATEPOST_TRUSTED_PROXIES", "0.0.0.0/0")]);
        assert!(everyone.notes.iter().any(|note| note.contains("GATEPOST_TRUSTED_PROXIES")));
    }

    #[test]
    fn no_client_may_hold_more_than_a_tenth_of_the_connections_but_eight() {
        let of = |variables: &[(&str, &str)]| load(variables).server.connections.most_per_client;
        let most = |most| of(&[("GATEPOST_SERVER_MAX_CONNECTIONS", most)]);
        assert_eq!((of(&[]), most("500"), most("16"), most("100000")), (1000, 50, 8, 1000));
        assert_eq!(of(&[("GATEPOST_SERVER_MAX_CONNECTIONS_PER_CLIENT", "20")]), 20);
    }

    #[test]
    fn operators_are_on_this_machine_unless_the_settings_say_otherwise() {
        let have =
            |variables: &[(&str, &str)], address: &str| load(variables).server.operators.have(address.parse().unwrap());
        for address in ["127.0.0.1", "127.9.9.9", "::1"] {
            assert!(have(&[], address), "{address}");
        }
        assert!(!have(&[], "10.0.0.1") && !have(&[], "2001:db8::1"));
        let given = [("GATEPOST_SERVER_OPERATOR_NETWORKS", "10.1.2.0/24")];
        assert!(have(&given, "10.1.2.3") && !have(&given, "10.1.3.3") && !have(&given, "127.9.9.9"));
        let bound = [("GATEPOST_BIND", "10.0.0.5:80"), ("SMTP_URL", "smtp://localhost")];
        assert!(have(&bound, "10.0.0.5") && have(&bound, "::1") && !have(&bound, "10.0.0.6"));
        assert_eq!(refused(&[("GATEPOST_SERVER_OPERATOR_NETWORKS", "here")])[0].key, "server.operator_networks");
    }

    #[test]
    fn the_proxy_protocol_needs_proxies_that_are_trusted() {
        let required = ("GATEPOST_SERVER_PROXY_PROTOCOL", "required");
        let problems = refused(&[required]);
        assert_eq!((problems.len(), problems[0].key.as_str()), (1, "server.trusted_proxies"));
        assert!(problems[0].reason.contains("GATEPOST_SERVER_PROXY_PROTOCOL"), "{problems:?}");
        assert!(load(&[required, ("GATEPOST_TRUSTED_PROXIES", "10.0.0.0/8")]).server.proxies.protocol);
        assert!(!load(&[]).server.proxies.protocol);
        assert_eq!(refused(&[("GATEPOST_SERVER_PROXY_PROTOCOL", "on")])[0].reason, "must be off or required");
    }

    #[test]
    fn one_header_is_trusted_and_no_other() {
        let header = |text: &str| load(&[("GATEPOST_SERVER_FORWARDED_HEADER", text)]).server.proxies.header;
        assert_eq!(load(&[]).server.proxies.header, ForwardedHeader::XForwardedFor);
        assert_eq!(header("forwarded"), ForwardedHeader::Forwarded);
        assert_eq!(header("none"), ForwardedHeader::None);
        assert_eq!(refused(&[("GATEPOST_SERVER_FORWARDED_HEADER", "both")]).len(), 1);
    }

    #[test]
    fn connections_have_bounds_and_outlive_slow_requests() {
        let connections = load(&[]).server.connections;
        assert!(connections.patience() > connections.keep_alive + 2 * connections.request_timeout);
        for (variable, value) in [
            ("GATEPOST_SERVER_MAX_CONNECTIONS", "0"),
            ("GATEPOST_SERVER_KEEP_ALIVE", "0s"),
            ("GATEPOST_SERVER_REQUEST_TIMEOUT", "1h"),
            ("GATEPOST_SERVER_HSTS", "always"),
        ] {
            assert_eq!(refused(&[(variable, value)]).len(), 1, "{variable}={value}");
        }
    }
}
