//! Origins: a scheme, a host and perhaps a port, and nothing behind them.

use std::net::IpAddr;

use url::{Host, Url};

/// Reads what people type to open this server.
pub(super) fn public_url(text: &str) -> Result<Url, String> {
    let url = origin(text)?;
    let unspecified = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_unspecified(),
        Some(Host::Ipv6(ip)) => ip.is_unspecified(),
        _ => false,
    };
    if unspecified {
        Err("must have a host that people can open; this one means every address".to_owned())
    } else {
        Ok(url)
    }
}

/// Reads an http or https URL that has nothing behind its host and port.
pub(super) fn origin(text: &str) -> Result<Url, String> {
    let scheme = || "must start with http:// or https://".to_owned();
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => scheme(),
        error => format!("is not a URL: {error}"),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(scheme());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not have a user or a password".to_owned());
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("must end after the host and port, without a path, query or fragment".to_owned());
    }
    if url.host_str().is_some_and(|host| host.contains('*')) {
        return Err("must name one host, without *".to_owned());
    }
    Ok(url)
}

/// Whether only this machine can open `url`.
pub(super) fn has_loopback_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => {
            let domain = domain.trim_end_matches('.');
            domain == "localhost" || domain.ends_with(".localhost")
        }
        Some(Host::Ipv4(ip)) => is_loopback(ip.into()),
        Some(Host::Ipv6(ip)) => is_loopback(ip.into()),
        None => false,
    }
}

/// Whether `ip` is this machine's own, in IPv4, IPv6, or the one written as the other.
pub(super) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn a_public_url_is_an_origin_and_nothing_more() {
        for (url, reason) in [
            ("sign-in.example.com", "must start with http"),
            ("ftp://example.com", "must start with http"),
            ("sign-in.example.com:443", "must start with http"),
            ("https://u:hunter2@example.com", "must not have a user"),
            ("https://example.com/auth", "must end after the host"),
            ("https://example.com/?a", "must end after the host"),
            ("https://example.com/#a", "must end after the host"),
            ("http://0.0.0.0:8080", "must have a host"),
            ("https://", "is not a URL"),
            ("http://[::]", "must have a host"),
        ] {
            let problems = refused(&[("GATEPOST_PUBLIC_URL", url)]);
            assert_eq!(problems.len(), 1, "{url}: {problems:?}");
            assert!(problems[0].reason.starts_with(reason), "{url}: {problems:?}");
            assert!(!format!("{problems:?}").contains("hunter2"));
        }
    }

    #[test]
    fn loopback_is_told_from_the_rest() {
        let is_loopback = |host: &str| {
            load(&[("GATEPOST_PUBLIC_URL", &format!("http://{host}")), ("SMTP_URL", "smtp://localhost")])
                .server
                .is_loopback_public()
        };
        for host in
            ["localhost", "localhost.:81", "a.localhost:80", "127.9.9.9", "[::1]:8080", "[::ffff:127.0.0.1]", "127.1"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example.com", "notlocalhost", "10.0.0.1", "[::2]", "128.0.0.1"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_public_url_is_its_origin(text in "(https?://)?[a-z0-9.:@/?#\\[\\]-]{0,24}") {
            if let Ok(url) = public_url(&text) {
                let origin = url.origin().ascii_serialization();
                prop_assert_eq!(url.as_str().trim_end_matches('/'), origin);
            }
        }
    }
}
