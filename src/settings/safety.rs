//! Settings that are right one by one and dangerous together.

use std::net::SocketAddr;

use url::Url;

use super::database::{Database, DatabaseUrl};
use super::limits::Limits;
use super::mail::{Delivery, Mail};
use super::origin;
use super::reader::{Reader, name};
use super::secret::SecretSource;
use super::server::{self, Server};

/// Who can reach the server, as far as that is known: something else about it may be wrong, and the dangers are to be
/// told in the same message.
pub(super) struct Reach {
    bind: Option<SocketAddr>,
    public_url: Option<Url>,
}

impl Reach {
    pub(super) fn of(reader: &mut Reader, server: Option<&Server>) -> Self {
        match server {
            Some(server) => Self { bind: Some(server.bind), public_url: Some(server.public_url.clone()) },
            None => Self { bind: server::known_bind(reader), public_url: server::known_public_url(reader) },
        }
    }

    fn exposed_bind(&self) -> Option<String> {
        let bind = self.bind.filter(|bind| !origin::is_loopback(bind.ip()))?;
        Some(format!("{} is {bind}", name("server.bind")))
    }

    fn exposed_url(&self) -> Option<String> {
        let url = self.public_url.as_ref().filter(|url| !origin::has_loopback_host(url))?;
        Some(format!("{} is {}", name("server.public_url"), url.origin().ascii_serialization()))
    }
}

/// Load tests are the only reason to switch the limits off, and they run on the machine itself.
pub(super) fn check_limits(reader: &mut Reader, reach: &Reach, limits: &Limits) {
    if let Some(exposed) = reach.exposed_bind().filter(|_| !limits.enabled) {
        let reason = format!("must not be off while {exposed}, which other machines can reach");
        reader.refuse("limits.enabled", &reason, "on");
    }
}

/// The development mailbox shows everybody's codes to whoever opens it.
pub(super) fn check_mail(reader: &mut Reader, reach: &Reach, mail: &Mail) {
    let exposed = reach.exposed_bind().or_else(|| reach.exposed_url());
    if let Some(exposed) = exposed.filter(|_| mail.delivery == Delivery::DevMailbox) {
        let reason =
            format!("must be given, because {exposed}; without a relay, everybody could read the codes at /dev/mail");
        reader.refuse("mail.smtp_url", &reason, "smtp://USER:PASSWORD@smtp.example.com:587?tls=required");
    }
}

/// Instances that share a database have to share the secret.
pub(super) fn remark_secret(reader: &mut Reader, database: &Database, secret: &SecretSource) {
    if let (DatabaseUrl::Postgres(_), SecretSource::Generated(path)) = (&database.url, secret) {
        reader.note(format!(
            "{} is unset, so this instance has one of its own in {}: with several instances, codes of one would be wrong \
             at the others; set the same for all",
            name("secret"),
            path.display()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SECRET, load, refused};

    const PUBLIC: (&str, &str) = ("GATEPOST_PUBLIC_URL", "https://example.com");
    const SMTP: (&str, &str) = ("SMTP_URL", "smtp://localhost");

    #[test]
    fn limits_are_off_on_loopback_only() {
        let off = ("GATEPOST_RATE_LIMITS", "off");
        assert!(!load(&[off]).limits.enabled);
        for bind in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:8080"] {
            let problems = refused(&[off, ("GATEPOST_BIND", bind), PUBLIC, SMTP]);
            assert_eq!((problems.len(), problems[0].key.as_str()), (1, "limits.enabled"));
            assert!(problems[0].reason.contains("GATEPOST_BIND"), "{problems:?}");
            assert_eq!(problems[0].example, "GATEPOST_RATE_LIMITS=on");
        }
        assert!(!load(&[off, ("GATEPOST_BIND", "[::1]:80")]).limits.enabled);
    }

    #[test]
    fn without_a_relay_nobody_else_may_reach_the_server() {
        let problems = refused(&[PUBLIC]);
        assert_eq!((problems.len(), problems[0].key.as_str()), (1, "mail.smtp_url"));
        assert!(problems[0].reason.contains("GATEPOST_PUBLIC_URL"), "{problems:?}");
        assert!(problems[0].example.starts_with("SMTP_URL="), "{problems:?}");
        let problems = refused(&[("GATEPOST_BIND", "0.0.0.0:80"), ("GATEPOST_PUBLIC_URL", "http://localhost")]);
        assert!(problems[0].reason.contains("GATEPOST_BIND"), "{problems:?}");
        load(&[PUBLIC, SMTP]);
    }

    #[test]
    fn dangers_are_told_although_something_else_about_the_server_is_wrong() {
        let keys = |variables: &[(&str, &str)]| -> Vec<String> {
            refused(variables).into_iter().map(|problem| problem.key).collect()
        };
        let off = ("GATEPOST_RATE_LIMITS", "off");
        assert_eq!(
            keys(&[("GATEPOST_BIND", "0.0.0.0:80"), off]),
            ["server.public_url", "limits.enabled", "mail.smtp_url"]
        );
        assert_eq!(keys(&[("GATEPOST_WORKERS", "0"), PUBLIC, off]), ["server.workers", "mail.smtp_url"]);
        assert_eq!(keys(&[("GATEPOST_BIND", "nowhere"), off]), ["server.bind"]);
    }

    #[test]
    fn a_secret_of_its_own_on_a_shared_database_is_remarked() {
        let postgres = ("DATABASE_URL", "postgres://localhost/gatepost");
        assert!(load(&[postgres]).notes[0].contains("GATEPOST_SECRET"));
        assert!(load(&[postgres, ("GATEPOST_SECRET", SECRET)]).notes.is_empty());
    }
}
