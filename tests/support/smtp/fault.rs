//! What the sink can be told to do wrong, to whom and how often.

use std::time::Duration;

/// A point in a session at which the server is about to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The connection is open and the greeting is due.
    Connect,
    /// EHLO or HELO.
    Ehlo,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, before the message.
    Data,
    /// The dot after the message.
    Dot,
}

impl Stage {
    pub(super) const COUNT: usize = 6;
}

/// One way to fail.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers with this instead; a success counts as one, and 421 closes the connection as RFC 5321 says.
    Reply {
        /// Where.
        stage: Stage,
        /// Such as 450 or 550.
        code: u16,
        /// The rest of the line.
        text: &'static str,
    },
    /// Says nothing and keeps the connection open until the client leaves. At the dot the mail is not kept.
    Hang {
        /// Where.
        stage: Stage,
    },
    /// Closes the connection instead of answering. At [`Stage::Data`] the client gets its 354 first, so that the
    /// connection breaks within the message; at [`Stage::Dot`] the mail is kept.
    DropAfter {
        /// Where.
        stage: Stage,
    },
    /// Keeps the answer back until [`SmtpSink::release`](super::SmtpSink::release), then answers as usual, whether the
    /// client is still there or not. At the dot the mail is kept before.
    Hold {
        /// Where.
        stage: Stage,
    },
    /// Reads the first line of a message and no more. At [`SmtpSink::release`](super::SmtpSink::release) the connection
    /// breaks; the mail is not kept.
    Stall,
    /// Reads messages no faster than this.
    Slow {
        /// Bytes of the message per second, at least 1.
        bytes_per_second: u32,
    },
    /// Writes answers byte by byte, no faster than this.
    Trickle {
        /// Bytes of an answer per second, at least 1.
        bytes_per_second: u32,
    },
}

impl Fault {
    /// Only for sessions about recipients of this domain. Those are known from RCPT on, so earlier stages never match.
    #[must_use]
    pub fn for_domain(self, domain: &str) -> Script {
        Script::from(self).for_domain(domain)
    }

    /// Only the next `times` times that it applies.
    #[must_use]
    pub fn times(self, times: usize) -> Script {
        Script::from(self).times(times)
    }

    pub(super) fn is_at(&self, at: Stage) -> bool {
        match self {
            Self::Reply { stage, .. } | Self::Hang { stage } | Self::DropAfter { stage } | Self::Hold { stage } => {
                *stage == at
            }
            Self::Stall | Self::Slow { .. } | Self::Trickle { .. } => false,
        }
    }

    /// How long this many bytes of a message, or of an answer, take.
    pub(super) fn pause(&self, bytes: usize) -> Option<Duration> {
        match self {
            Self::Slow { bytes_per_second } | Self::Trickle { bytes_per_second } => {
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                Some(Duration::from_secs(1) * bytes / (*bytes_per_second).max(1))
            }
            _ => None,
        }
    }
}

/// A fault with its limits.
#[derive(Clone, Debug)]
pub struct Script {
    fault: Fault,
    domain: Option<String>,
    left: Option<usize>,
}

impl From<Fault> for Script {
    fn from(fault: Fault) -> Self {
        Self { fault, domain: None, left: None }
    }
}

impl Script {
    /// See [`Fault::for_domain`].
    #[must_use]
    pub fn for_domain(mut self, domain: &str) -> Self {
        self.domain = Some(domain.to_ascii_lowercase());
        self
    }

    /// See [`Fault::times`].
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.left = Some(times);
        self
    }

    /// The fault, if it applies to these recipients and `fits`; that uses up one of its times.
    pub(super) fn take(&mut self, recipients: &[String], fits: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let concerns = self.domain.as_ref().is_none_or(|domain| {
            let of_domain = |to: &String| to.rsplit_once('@').is_some_and(|(_, of)| of.eq_ignore_ascii_case(domain));
            recipients.iter().any(of_domain)
        });
        if !concerns || !fits(&self.fault) || self.left == Some(0) {
            return None;
        }
        self.left = self.left.map(|left| left - 1);
        Some(self.fault.clone())
    }
}
