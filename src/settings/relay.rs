//! One SMTP relay, as its URL describes it.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use super::mask::HIDDEN;
use super::values::percent_decode;
use crate::domain::Redacted;

/// A server that takes our mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// A host name in ASCII, or an IP address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: RelayTls,
    /// Who signs in there; set exactly when `password` is.
    pub user: Option<String>,
    /// The password of `user`.
    pub password: Option<Redacted<String>>,
}

/// How the connection to a relay is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayTls {
    /// Never.
    None,
    /// By STARTTLS, if the relay offers it.
    StartTls,
    /// By STARTTLS; without it nothing is sent.
    Required,
    /// From the first byte.
    Implicit,
}

impl Relay {
    /// Reads `smtp://user:password@host:port?tls=…` or `smtps://…`. Reasons never quote the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let scheme = "must start with smtp:// or smtps:// (and a comma inside a password is written %2C)";
        let implicit = match text.split_once("://") {
            Some(("smtp", _)) => false,
            Some(("smtps", _)) => true,
            _ => return Err(scheme.to_owned()),
        };
        let url = Url::parse(text)
            .map_err(|error| format!("is not a URL: {error}; percent-encode what is special in the password"))?;
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(
                "must end after the host and port, except for ?tls=…; percent-encode what is special in the password"
                    .to_owned(),
            );
        }
        let host = host(&url).ok_or("must name a host after ://")?;
        let (user, password) = credentials(&url)?;
        let tls = tls(&url, implicit)?;
        let port = match (url.port(), implicit, user.is_some()) {
            (Some(0), ..) => return Err("must have a port from 1 to 65535".to_owned()),
            (Some(port), ..) => port,
            (None, true, _) => 465,
            (None, false, true) => 587,
            (None, false, false) => 25,
        };
        let relay = Self { host, port, tls, user, password };
        if relay.tls == RelayTls::None && relay.user.is_some() && !relay.is_loopback() {
            return Err("must not send a password without TLS to another machine; drop tls=none".to_owned());
        }
        Ok(relay)
    }

    /// The relay's name for logs and metrics: `smtp://host:port`, without user and password.
    pub fn label(&self) -> String {
        format!("{}://{}", self.scheme(), self.place())
    }

    /// Whether the relay runs on this machine.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    fn scheme(&self) -> &'static str {
        if self.tls == RelayTls::Implicit { "smtps" } else { "smtp" }
    }

    fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The relay's URL with its password hidden.
impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme())?;
        if let Some(user) = &self.user {
            write!(f, "{user}:{HIDDEN}@")?;
        }
        f.write_str(&self.place())?;
        f.write_str(match self.tls {
            RelayTls::None => "?tls=none",
            RelayTls::Required => "?tls=required",
            RelayTls::StartTls | RelayTls::Implicit => "",
        })
    }
}

/// The host, held to the rules of host names, which the URL standard does not ask of schemes it does not know.
fn host(url: &Url) -> Option<String> {
    match url.host()? {
        Host::Domain("") => None,
        Host::Domain(name) => match Host::parse(name).ok()? {
            Host::Domain(name) => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                name.bytes().all(plain).then_some(name)
            }
            Host::Ipv4(ip) => Some(ip.to_string()),
            Host::Ipv6(ip) => Some(ip.to_string()),
        },
        Host::Ipv4(ip) => Some(ip.to_string()),
        Host::Ipv6(ip) => Some(ip.to_string()),
    }
}

type Credentials = (Option<String>, Option<Redacted<String>>);

fn credentials(url: &Url) -> Result<Credentials, String> {
    let decode =
        |text: &str| percent_decode(text).ok_or("must have a user and password that are UTF-8 text".to_owned());
    match (url.username(), url.password().filter(|password| !password.is_empty())) {
        ("", None) => Ok((None, None)),
        ("", Some(_)) => Err("has a password without a user".to_owned()),
        (_, None) => Err("has a user without a password".to_owned()),
        (user, Some(password)) => Ok((Some(decode(user)?), Some(Redacted::new(decode(password)?)))),
    }
}

fn tls(url: &Url, implicit: bool) -> Result<RelayTls, String> {
    let mut tls = if implicit { RelayTls::Implicit } else { RelayTls::StartTls };
    for (name, value) in url.query_pairs() {
        tls = match (&*name, &*value, implicit) {
            ("tls", "required", true) => RelayTls::Implicit,
            ("tls", _, true) => return Err("smtps:// is TLS from the start; drop the tls parameter".to_owned()),
            ("tls", "required", false) => RelayTls::Required,
            ("tls", "opportunistic", false) => RelayTls::StartTls,
            ("tls", "none", false) => RelayTls::None,
            ("tls", ..) => {
                return Err("has an unknown tls parameter; it may be required, opportunistic or none".to_owned());
            }
            _ => return Err("has an unknown parameter; the only one is tls".to_owned()),
        };
    }
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn relay(text: &str) -> Relay {
        Relay::parse(text).unwrap_or_else(|reason| panic!("{text}: {reason}"))
    }

    #[test]
    fn ports_follow_from_scheme_and_credentials() {
        for (text, label, tls) in [
            ("smtp://mail.example.com", "smtp://mail.example.com:25", RelayTls::StartTls),
            ("smtp://u:p@mail.example.com", "smtp://mail.example.com:587", RelayTls::StartTls),
            ("smtps://u:p@mail.example.com", "smtps://mail.example.com:465", RelayTls::Implicit),
            ("smtps://mail.example.com:10465?tls=required", "smtps://mail.example.com:10465", RelayTls::Implicit),
            ("smtp://mail.example.com:2525/?tls=required", "smtp://mail.example.com:2525", RelayTls::Required),
            ("smtp://mail.example.com?tls=opportunistic", "smtp://mail.example.com:25", RelayTls::StartTls),
            ("smtp://u:p@127.0.0.1:1025?tls=none", "smtp://127.0.0.1:1025", RelayTls::None),
            ("smtp://u:p@[::1]?tls=none", "smtp://[::1]:587", RelayTls::None),
            ("smtp://Bücher.example", "smtp://xn--bcher-kva.example:25", RelayTls::StartTls),
            ("smtp://mail_sink:25", "smtp://mail_sink:25", RelayTls::StartTls),
        ] {
            let relay = relay(text);
            assert_eq!((relay.label().as_str(), relay.tls), (label, tls), "{text}");
        }
        assert_eq!(relay("smtp://[::1]").host, "::1");
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let relay = relay("smtp://user%40example.com:hunt%2Cer%402@mail.example.com?tls=required");
        assert_eq!(relay.user.as_deref(), Some("user@example.com"));
        assert_eq!(relay.password.as_ref().unwrap().expose(), "hunt,er@2");
        assert_eq!(relay.to_string(), "smtp://user@example.com:[hidden]@mail.example.com:587?tls=required");
        assert!(!format!("{relay} {relay:?} {}", relay.label()).contains("hunt"));
    }

    #[test]
    fn a_password_does_not_leave_the_machine_in_the_clear() {
        assert!(Relay::parse("smtp://u:p@mail.example.com?tls=none").unwrap_err().contains("without TLS"));
        for text in
            ["smtp://u:p@localhost?tls=none", "smtp://u:p@127.0.0.2?tls=none", "smtp://mail.example.com?tls=none"]
        {
            assert!(Relay::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn malformed_urls_are_refused_without_quoting_them() {
        for text in [
            "mail.example.com:25",
            "http://hunter2",
            "smtp://",
            "smtp://u:hunter2@",
            "smtp://:hunter2@h",
            "smtp://hunter2@h",
            "smtp://h:0",
            "smtp://h:99999",
            "smtp://h/hunter2",
            "smtp://h#hunter2",
            "smtp://h?tls=hunter2",
            "smtp://h?ssl=hunter2",
            "smtps://h?tls=none",
            "smtp://u:hunter/2@h",
            "smtp://a b",
            "smtp://u:hunter2@h!",
            "smtp://u:%ff@h",
            "smtp://u:@h",
        ] {
            let reason = Relay::parse(text).expect_err(text);
            assert!(!reason.contains("hunter"), "{text}: {reason}");
        }
    }

    proptest! {
        #[test]
        fn any_password_survives_encoding(password in "\\PC{1,20}") {
            let encoded = password.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
            let relay = relay(&format!("smtp://u:{encoded}@localhost"));
            let decoded = relay.password.unwrap();
            prop_assert_eq!(decoded.expose(), &password);
        }

        #[test]
        fn no_text_panics(text in "smtps?://\\PC{0,40}") {
            let _ = Relay::parse(&text);
        }
    }
}
