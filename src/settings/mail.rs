//! How mail leaves.

use std::time::Duration;

use url::Host;

use super::dkim::Dkim;
use super::mailbox::Mailbox;
use super::reader::{Read, Reader, duration_within, name};
use super::relay::{Relay, RelayTls};
use super::server::Server;
use super::values;
use crate::domain::EmailAddress;

/// The outbox, its workers, and where they deliver to.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Where mails go.
    pub delivery: Delivery,
    /// Who sends them.
    pub from: Mailbox,
    /// Who signs them, if anybody does.
    pub dkim: Option<Dkim>,
    /// Mails sent at once.
    pub workers: usize,
    /// Attempts before a mail that fails for the time being is given up as dead.
    pub max_attempts: u32,
    /// How long a worker owns a mail before another may take it over.
    pub lease: Duration,
    /// The waits before the second, third, … attempt; the last one repeats. Never empty.
    pub backoff: Vec<Duration>,
    /// How long connecting to a relay may take.
    pub connect_timeout: Duration,
    /// How long a relay may take over one SMTP command.
    pub command_timeout: Duration,
    /// How long the records of sent mails are kept.
    pub retention: Duration,
    /// An attempt that could not begin this long before the mail expires is not made.
    pub expiry_margin: Duration,
    /// How long a mailbox gets no mail after a relay has refused it for good; zero turns that off.
    pub suppress_for: Duration,
}

/// Where mails go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// To the first of these relays that takes them. Never empty.
    Smtp(Vec<Relay>),
    /// To the page at `/dev/mail`, on loopback only.
    DevMailbox,
}

impl Mail {
    pub(super) fn read(reader: &mut Reader, server: Option<&Server>, product_name: Option<&str>) -> Read<Self> {
        let relays = reader.optional("mail.smtp_url", "smtp://USER:PASSWORD@smtp.example.com:587?tls=required", relays);
        let from = read_from(reader, server, product_name);
        let dkim = Dkim::read(reader, from.as_ref().ok());
        let workers = reader.number("mail.workers", 1..=256);
        let max_attempts = reader.number("mail.max_attempts", 1..=50);
        let lease = reader.duration("mail.lease", "1s", "1h");
        let backoff = reader.required("mail.backoff", backoff);
        let connect_timeout = reader.duration("mail.connect_timeout", "10ms", "5m");
        let command_timeout = reader.duration("mail.command_timeout", "10ms", "10m");
        let retention = reader.duration("mail.retention", "1m", "3650d");
        let expiry_margin = reader.duration("mail.expiry_margin", "0s", "1h");
        let suppress_for = reader.duration("mail.suppress_for", "0s", "3650d");
        let (delivery, from) = (relays?.map_or(Delivery::DevMailbox, Delivery::Smtp), from?);
        remark(reader, &delivery, &from);
        Ok(Self {
            delivery,
            from,
            dkim: dkim?,
            workers: workers?,
            max_attempts: max_attempts?,
            lease: lease?,
            backoff: backoff?,
            connect_timeout: connect_timeout?,
            command_timeout: command_timeout?,
            retention: retention?,
            expiry_margin: expiry_margin?,
            suppress_for: suppress_for?,
        })
    }
}

fn backoff(text: &str) -> Result<Vec<Duration>, String> {
    let waits = values::list_of(text, |wait| duration_within(wait, "100ms", "1d"))?;
    if waits.is_empty() { Err("must have at least one wait".to_owned()) } else { Ok(waits) }
}

fn relays(text: &str) -> Result<Vec<Relay>, String> {
    // Not `list_of`: that names the wrong member, and members hold passwords.
    let relays: Vec<Relay> = values::list(text)
        .enumerate()
        .map(|(index, member)| Relay::parse(member).map_err(|reason| format!("(relay {}) {reason}", index + 1)))
        .collect::<Result<_, _>>()?;
    if relays.is_empty() { Err("must name at least one relay".to_owned()) } else { Ok(relays) }
}

fn read_from(reader: &mut Reader, server: Option<&Server>, product_name: Option<&str>) -> Read<Mailbox> {
    const EXAMPLE: &str = "Gatepost <no-reply@example.com>";
    if let Some(mailbox) = reader.optional("mail.from", EXAMPLE, Mailbox::parse)? {
        return Ok(mailbox);
    }
    let domain = match server.and_then(|server| server.public_url.host()) {
        Some(Host::Domain(domain)) => domain,
        _ => "localhost",
    };
    let address = EmailAddress::parse(&format!("no-reply@{domain}"))
        .or_else(|_| EmailAddress::parse("no-reply@localhost"))
        .map_err(|error| reader.refuse("mail.from", &format!("must be given: {error}"), EXAMPLE))?;
    let mailbox = Mailbox { name: product_name.map(str::to_owned), address };
    reader.show("mail.from", mailbox.to_string());
    Ok(mailbox)
}

fn remark(reader: &mut Reader, delivery: &Delivery, from: &Mailbox) {
    let Delivery::Smtp(relays) = delivery else {
        reader.show("mail.smtp_url", "none: mails are shown at /dev/mail".to_owned());
        return;
    };
    let shown: Vec<String> = relays.iter().map(Relay::to_string).collect();
    reader.show("mail.smtp_url", shown.join(","));
    let mut elsewhere = relays.iter().filter(|relay| !relay.is_loopback()).peekable();
    if elsewhere.peek().is_some() && from.address.domain() == "localhost" {
        reader.note(format!(
            "{} is {from}, which other mail servers refuse; set an address of your own",
            name("mail.from")
        ));
    }
    for relay in elsewhere.filter(|relay| relay.tls == RelayTls::StartTls && relay.user.is_some()) {
        reader.note(format!(
            "{} sends a password to {}, encrypted only if the connection is not tampered with; add ?tls=required",
            name("mail.smtp_url"),
            relay.label()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn without_a_relay_mails_stay_on_the_machine() {
        let mail = load(&[]).mail;
        assert_eq!(mail.delivery, Delivery::DevMailbox);
        assert_eq!(mail.from.to_string(), "Gatepost <no-reply@localhost>");
        assert_eq!((mail.workers, mail.max_attempts, mail.lease), (8, 6, Duration::from_mins(1)));
        assert_eq!(mail.backoff, [2, 15, 60, 300].map(Duration::from_secs));
        assert_eq!((mail.connect_timeout, mail.command_timeout), (Duration::from_secs(10), Duration::from_secs(30)));
        assert_eq!(mail.retention, Duration::from_hours(7 * 24));
    }

    #[test]
    fn relays_are_tried_in_the_order_given() {
        let Delivery::Smtp(relays) = load(&[("SMTP_URL", "smtp://localhost:2525 , smtps://u:p@[::1]")]).mail.delivery
        else {
            panic!("no relay")
        };
        let labels: Vec<String> = relays.iter().map(Relay::label).collect();
        assert_eq!(labels, ["smtp://localhost:2525", "smtps://[::1]:465"]);
    }

    #[test]
    fn a_wrong_relay_is_named_by_its_place() {
        let problems = refused(&[("SMTP_URL", "smtp://localhost,smtp://u:hunter2@h?tls=none")]);
        assert!(problems[0].reason.starts_with("(relay 2) must not send a password"), "{problems:?}");
        assert!(problems[0].value.is_none() && !format!("{problems:?}").contains("hunter2"));
        assert_eq!(refused(&[("SMTP_URL", ",")])[0].reason, "must name at least one relay");
    }

    #[test]
    fn the_sender_follows_from_the_public_host_and_the_product() {
        let smtp = ("SMTP_URL", "smtp://localhost");
        for (url, from) in [
            ("https://sign-in.example.com", "Gatepost <no-reply@sign-in.example.com>"),
            ("http://10.0.0.1", "Gatepost <no-reply@localhost>"),
            ("http://gatepost", "Gatepost <no-reply@localhost>"),
            ("http://a.localhost", "Gatepost <no-reply@a.localhost>"),
        ] {
            assert_eq!(load(&[smtp, ("GATEPOST_PUBLIC_URL", url)]).mail.from.to_string(), from);
        }
        let named = load(&[smtp, ("GATEPOST_AUTH_PRODUCT_NAME", "Inn, Inc.")]).mail.from;
        assert_eq!(named.to_string(), "\"Inn, Inc.\" <no-reply@localhost>");
        let given = load(&[("MAIL_FROM", "Door <door@example.com>")]).mail.from;
        assert_eq!(given.to_string(), "Door <door@example.com>");
        assert_eq!(refused(&[("MAIL_FROM", "door")])[0].key, "mail.from");
    }

    #[test]
    fn what_may_go_wrong_on_the_way_is_remarked() {
        let notes = load(&[("SMTP_URL", "smtp://u:hunter2@smtp.example.com")]).notes;
        assert!(notes.iter().any(|note| note.contains("MAIL_FROM")), "{notes:?}");
        assert!(notes.iter().any(|note| note.contains("smtp://smtp.example.com:587")), "{notes:?}");
        assert!(!notes.concat().contains("hunter2"));
        let safe = [("SMTP_URL", "smtp://u:p@smtp.example.com?tls=required"), ("MAIL_FROM", "a@example.com")];
        assert!(load(&safe).notes.is_empty());
    }

    #[test]
    fn numbers_have_bounds() {
        let problems = refused(&[
            ("GATEPOST_MAIL_WORKERS", "0"),
            ("GATEPOST_MAIL_MAX_ATTEMPTS", "0"),
            ("GATEPOST_MAIL_LEASE", "0"),
            ("GATEPOST_MAIL_BACKOFF", "2s,0s"),
            ("GATEPOST_MAIL_COMMAND_TIMEOUT", "0"),
            ("GATEPOST_MAIL_RETENTION", "0"),
            ("GATEPOST_MAIL_CONNECT_TIMEOUT", "x"),
        ]);
        assert_eq!(problems.len(), 7);
        assert!(problems[3].reason.contains("\"0s\" must be a duration from 100ms to 1d"), "{problems:?}");
        assert_eq!(problems[3].example, "GATEPOST_MAIL_BACKOFF=2s,15s,60s,5m");
        assert_eq!(refused(&[("GATEPOST_MAIL_BACKOFF", ",")]).len(), 1);
    }
}
