//! Where a rendered mail goes, and what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use super::{DevMailbox, Rendered, Smtp};
use crate::domain::{Clock, EmailAddress, Entropy, Instant};
use crate::settings;
use crate::store::Mail;

/// Where mails go. Clones share connections and mailbox.
#[derive(Clone, Debug)]
pub enum Transport {
    /// To relays.
    Smtp(Smtp),
    /// To a mailbox in this process, for development.
    Dev(DevMailbox),
}

/// Why a transport cannot be set up: a setting, or this machine's certificates.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The TLS parameters for a relay were refused.
    #[error("TLS to {relay} cannot be set up: {reason}")]
    Tls {
        /// The relay, without its password.
        relay: String,
        /// What is wrong.
        reason: String,
    },
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A server took responsibility for the mail.
    Delivered {
        /// What it said.
        reply: String,
    },
    /// A server said no to this mail.
    Refused {
        /// 5xx: trying again is no use.
        permanent: bool,
        /// What it said.
        reply: String,
        /// What that says of the recipient's mailbox.
        mailbox: Mailbox,
    },
    /// No relay could be opened, or all are being left alone after failures. Nothing was begun for this mail: the attempt
    /// is not its fault.
    NoRelay {
        /// Why, for each relay.
        error: String,
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
    /// Conversations about this mail were begun, and none came to an answer.
    Unreachable {
        /// Why, for each relay that was tried.
        error: String,
        /// Whether the message was complete on the wire: a server may have it.
        dot_sent: bool,
    },
    /// The mail expired before a server was ready for it. Nothing was sent.
    Expired,
    /// The row had ceased to be the sender's before a server was ready for the message. Nothing was sent.
    Lost,
}

/// What a refusal says of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mailbox {
    /// Nothing: the refusal is for now, or about something else.
    Unknown,
    /// Most likely there is none; the server gave only a code that some also use for other things.
    Doubtful,
    /// There is none.
    Gone,
}

/// How a relay has been doing since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayStatus {
    /// Its URL without user and password.
    pub label: String,
    /// Mails that it took.
    pub sent: u64,
    /// Conversations that could not be opened or broke. Refused mails are none.
    pub failures: u64,
    /// Whether it is being left alone after failures.
    pub is_open: bool,
    /// Why the last failure happened. It may quote the relay.
    pub last_failure: Option<String>,
}

/// A mail on its way out.
pub(super) struct Outgoing<'a> {
    pub(super) mail: &'a Mail,
    pub(super) recipient: &'a EmailAddress,
    pub(super) rendered: &'a Rendered,
}

/// How far a send has come, for somebody who may want to stop it, and how long it may go on.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Steps>);

#[derive(Debug)]
struct Steps {
    dot: AtomicBool,
    /// Until when the row is the sender's, in microseconds of the database's clock.
    held_until: AtomicI64,
}

impl Default for Progress {
    /// Nothing is sent, and it may take as long as it likes.
    fn default() -> Self {
        Self(Arc::new(Steps { dot: AtomicBool::new(false), held_until: AtomicI64::new(i64::MAX) }))
    }
}

impl Progress {
    /// From here on a server may have the message, whatever else happens.
    pub(super) fn dot(&self) {
        self.0.dot.store(true, Ordering::Release);
    }

    /// Whether a server may have the message.
    pub(super) fn dot_sent(&self) -> bool {
        self.0.dot.load(Ordering::Acquire)
    }

    /// The row is the sender's until then.
    pub(super) fn hold_until(&self, until: Instant) {
        self.0.held_until.store(until.timestamp_micros(), Ordering::Release);
    }

    /// Whether the row is still the sender's at `now`, for all that is known here.
    pub(super) fn is_held(&self, now: Instant) -> bool {
        now.timestamp_micros() < self.0.held_until.load(Ordering::Acquire)
    }
}

impl Transport {
    /// The transport that the settings ask for. Connects to nothing.
    pub fn new(settings: &settings::Mail, clock: &Clock, entropy: &Entropy) -> Result<Self, TransportError> {
        Ok(match &settings.delivery {
            settings::Delivery::Smtp(relays) => {
                Self::Smtp(Smtp::new(relays, settings, clock.clone(), entropy.clone())?)
            }
            settings::Delivery::DevMailbox => Self::Dev(DevMailbox::default()),
        })
    }

    /// The mailbox for development, if mails go there.
    pub fn dev_mailbox(&self) -> Option<&DevMailbox> {
        match self {
            Self::Smtp(_) => None,
            Self::Dev(mailbox) => Some(mailbox),
        }
    }

    /// Whether a mail may be tried now: some relay is not being left alone.
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Smtp(smtp) => smtp.is_ready(),
            Self::Dev(_) => true,
        }
    }

    /// Resolves as soon as [`is_ready`](Self::is_ready). A relay that comes back lets one mail pass at first, so several
    /// who wait may find that another was quicker: they wait again.
    pub async fn ready(&self) {
        if let Self::Smtp(smtp) = self {
            smtp.ready().await;
        }
    }

    /// How each relay is doing, in the order in which they are tried; none for the development mailbox.
    pub fn relays(&self) -> Vec<RelayStatus> {
        match self {
            Self::Smtp(smtp) => smtp.relays(),
            Self::Dev(_) => Vec::new(),
        }
    }

    /// Sends a mail, unless it has expired. Dropping the future before [`Progress::dot_sent`] sends nothing.
    pub(super) async fn send(&self, outgoing: &Outgoing<'_>, progress: &Progress) -> Outcome {
        match self {
            Self::Smtp(smtp) => smtp.send(outgoing, progress).await,
            Self::Dev(mailbox) => {
                progress.dot();
                mailbox.keep(outgoing);
                Outcome::Delivered { reply: "kept for /dev/mail".to_owned() }
            }
        }
    }

    /// Sends a mail that is in no outbox, once: to see whether it arrives, and how it looks there. `mail` is its row.
    pub async fn send_once(&self, mail: &Mail, recipient: &EmailAddress, rendered: &Rendered) -> Outcome {
        let outcome = self.send(&Outgoing { mail, recipient, rendered }, &Progress::default()).await;
        self.close().await;
        outcome
    }

    /// Opens a connection to each relay as for a mail (TLS, `EHLO`, sign-on), and closes it without sending anything.
    /// Gives each relay's URL without user and password, and why no mail could be sent there now.
    pub async fn try_relays(&self) -> Vec<(String, Result<(), String>)> {
        match self {
            Self::Smtp(smtp) => smtp.try_relays().await,
            Self::Dev(_) => Vec::new(),
        }
    }

    /// Closes connections that have been idle for long.
    pub(super) async fn tidy(&self) {
        if let Self::Smtp(smtp) = self {
            smtp.tidy().await;
        }
    }

    /// Closes connections that nobody uses.
    pub(super) async fn close(&self) {
        if let Self::Smtp(smtp) = self {
            smtp.close().await;
        }
    }
}
