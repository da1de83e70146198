//! Speaks SMTP (RFC 5321) to relays.
//!
//! lettre writes the commands and reads the replies; the conversation, its deadlines and the connections are kept here,
//! because whoever retries has to know one thing for sure: whether the final dot was sent. Before it, a failure costs
//! nothing and another connection or relay is tried at once. After it a server may have the mail, so the attempt ends
//! and the repeat is left to the backoff.
//!
//! | a relay | the attempt | the relay's breaker |
//! |---|---|---|
//! | answers 2xx to the final dot | ends: delivered | closes |
//! | answers 4xx or 5xx to MAIL, RCPT, DATA or the dot | ends: refused, for now or for good | closes |
//! | answers 421, or drops a connection that had been idle | goes on, over a fresh connection to the same relay | |
//! | answers 421 over a fresh connection twice | goes on with the next relay | counts a failure |
//! | hangs or breaks at MAIL | goes on with the next relay | counts a failure |
//! | cannot be reached, greets with an error, fails at TLS, refuses the password | goes on with the next relay | counts a failure |
//! | hangs or breaks at RCPT or later, before the dot | goes on with the next relay | counts a failure; those about one recipient domain only if there are many |
//! | hangs or breaks after the dot | ends: nobody knows | the same |
//! | is being left alone, as its [breaker] is open | goes on with the next relay | |
//!
//! An attempt that comes to the end of the list is unreachable if a conversation about the mail was begun somewhere, and
//! has found no relay otherwise, which is not counted against the mail.
//!
//! # Deadlines
//!
//! | stage | takes at most |
//! |---|---|
//! | name and TCP connect, all addresses together | `connect_timeout` |
//! | TLS from the start | `command_timeout` |
//! | greeting and EHLO, together | `command_timeout` |
//! | STARTTLS, handshake and EHLO, together | `command_timeout` |
//! | AUTH with all its challenges | `command_timeout` |
//! | the second EHLO | `command_timeout` |
//! | the reply to each of MAIL, RCPT, DATA, RSET, in a group too | `command_timeout` |
//! | a large message, to the last byte before the dot | `command_timeout` |
//! | the final dot, with the message if it is not large | four times `command_timeout` |
//!
//! Each is for the whole reply: one that trickles in byte by byte wins no time.

mod breaker;
mod connect;
mod conversation;
pub mod fuzzing;
mod pool;
mod reply;
mod wire;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant as Monotonic, sleep_until};

use self::breaker::{Breaker, Turn};
use self::connect::Dialer;
use self::conversation::{Conversation, Talk};
use self::pool::{Connection, Pool};
use super::dkim::Signer;
use super::message::{self, Envelope};
use super::transport::{Mailbox, Outcome, Outgoing, Progress, RelayStatus, TransportError};
use crate::domain::{Clock, Entropy, Instant};
use crate::settings;

/// Fresh connections that one mail may cost at one relay: the second is for a relay that was just closing the first.
const FRESH_CONNECTIONS: usize = 2;
/// When to ask again for a relay whose breaker is still closed.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Asking again sooner than this is of no use.
const LEAST_WAIT: Duration = Duration::from_millis(100);

/// The relays, in the order in which they are tried. Clones share connections and breakers.
#[derive(Clone)]
pub struct Smtp(Arc<Inner>);

struct Inner {
    relays: Vec<Relay>,
    from: settings::Mailbox,
    signer: Signer,
    pool: Pool,
    clock: Clock,
    entropy: Entropy,
    command_timeout: Duration,
    /// Told when a breaker closes, or its probe is over.
    changed: Arc<Notify>,
}

struct Relay {
    dialer: Dialer,
    breaker: Breaker,
}

/// Why a relay did not answer to a mail.
struct Failure {
    error: String,
    /// Whether a conversation about the mail was begun.
    begun: bool,
    /// Whether the relay had heard who the mail is for.
    about_recipient: bool,
}

impl Smtp {
    /// Prepares for `relays`. Connects to nothing yet.
    pub fn new(
        relays: &[settings::Relay],
        settings: &settings::Mail,
        clock: Clock,
        entropy: Entropy,
    ) -> Result<Self, TransportError> {
        let changed = Arc::new(Notify::new());
        let prepare = |(number, relay)| {
            let breaker = Breaker::new(entropy.clone(), Arc::clone(&changed));
            Ok(Relay { dialer: Dialer::new(number, relay, settings)?, breaker })
        };
        Ok(Self(Arc::new(Inner {
            relays: relays.iter().enumerate().map(prepare).collect::<Result<_, _>>()?,
            from: settings.from.clone(),
            signer: Signer::new(settings.dkim.clone()),
            // A send that takes long leaves its slot to another (see the worker's dispatcher).
            pool: Pool::new(settings.workers * 2),
            clock,
            command_timeout: settings.command_timeout,
            changed,
            entropy,
        })))
    }

    /// Opens a connection to each relay, and says goodbye.
    pub(super) async fn try_relays(&self) -> Vec<(String, Result<(), String>)> {
        let mut found = Vec::with_capacity(self.0.relays.len());
        for relay in &self.0.relays {
            let opened = relay.dialer.open().await;
            found.push((relay.dialer.label(), opened.map(|connection| self.0.pool.put(connection))));
        }
        self.0.pool.close().await;
        found
    }

    pub(super) async fn send(&self, outgoing: &Outgoing<'_>, progress: &Progress) -> Outcome {
        if !self.is_ready() {
            let open: Vec<String> = self.0.relays.iter().map(Relay::left_alone).collect();
            return self.no_relay(&open);
        }
        let envelope = match message::build(&self.0.from, outgoing, &self.0.signer) {
            Ok(envelope) => envelope,
            Err(error) => {
                return Outcome::Refused { permanent: true, reply: error.to_string(), mailbox: Mailbox::Unknown };
            }
        };
        let (mut failures, mut begun) = (Vec::new(), false);
        let domain = outgoing.recipient.domain();
        for relay in &self.0.relays {
            let Some(pass) = relay.breaker.pass(Monotonic::now()) else {
                failures.push(relay.left_alone());
                continue;
            };
            match self.send_through(relay, &envelope, outgoing.mail.expires_at, progress).await {
                Ok(outcome) => {
                    match &outcome {
                        Outcome::Delivered { .. } => pass.succeeded(true),
                        Outcome::Refused { .. } => pass.succeeded(false),
                        Outcome::Unreachable { error, .. } => pass.failed(Monotonic::now(), error, Some(domain)),
                        Outcome::NoRelay { .. } | Outcome::Expired | Outcome::Lost => {}
                    }
                    return outcome;
                }
                Err(failure) => {
                    pass.failed(Monotonic::now(), &failure.error, failure.about_recipient.then_some(domain));
                    begun |= failure.begun;
                    failures.push(format!("{}: {}", relay.dialer.label(), failure.error));
                }
            }
        }
        if begun {
            return Outcome::Unreachable { error: failures.join("; "), dot_sent: false };
        }
        self.no_relay(&failures)
    }

    /// The mail over an idle connection or fresh ones, to its outcome at this relay.
    async fn send_through(
        &self,
        relay: &Relay,
        envelope: &Envelope,
        expires_at: Instant,
        progress: &Progress,
    ) -> Result<Outcome, Failure> {
        // One that has been idle may have been closed at the other end by now.
        if let Some(connection) = self.0.pool.take(relay.dialer.number()) {
            match self.talk(connection, envelope, expires_at, progress).await {
                Talk::Over(outcome) | Talk::Last(outcome) => return Ok(outcome),
                Talk::Closing(_) | Talk::Broken { .. } => {}
            }
        }
        let mut failure = Failure { error: String::new(), begun: false, about_recipient: false };
        for _ in 0..FRESH_CONNECTIONS {
            let connection = match relay.dialer.open().await {
                Ok(connection) => connection,
                Err(error) => return Err(Failure { error, ..failure }),
            };
            match self.talk(connection, envelope, expires_at, progress).await {
                Talk::Over(outcome) | Talk::Last(outcome) => return Ok(outcome),
                Talk::Closing(error) => failure = Failure { error, begun: true, about_recipient: false },
                Talk::Broken { error, about_recipient } => return Err(Failure { error, begun: true, about_recipient }),
            }
        }
        Err(failure)
    }

    /// One mail over one connection, which goes back to the pool only in good order.
    async fn talk(
        &self,
        mut connection: Connection,
        envelope: &Envelope,
        expires_at: Instant,
        progress: &Progress,
    ) -> Talk {
        if self.0.clock.now() >= expires_at {
            self.0.pool.put(connection);
            return Talk::Over(Outcome::Expired);
        }
        let may_go_out = || {
            let now = self.0.clock.now();
            if now >= expires_at {
                return Err(Outcome::Expired);
            }
            // The process may have been stopped for long, and another may have the mail by now.
            if progress.is_held(now) { Ok(()) } else { Err(Outcome::Lost) }
        };
        let mut conversation = Conversation::new(&mut connection, self.0.command_timeout);
        let talk = conversation.mail(envelope, progress, may_go_out).await;
        let in_order = match &talk {
            Talk::Over(Outcome::Delivered { .. }) => true,
            Talk::Over(Outcome::Refused { .. }) => conversation.reset().await,
            _ => false,
        };
        if in_order {
            self.0.pool.put(connection);
        }
        talk
    }

    fn no_relay(&self, failures: &[String]) -> Outcome {
        let now = Monotonic::now();
        let waits = self.0.relays.iter().map(|relay| match relay.breaker.turn(now) {
            Turn::At(at) => at - now,
            Turn::Now => self.0.entropy.jitter(ASK_AGAIN),
        });
        let retry_after = waits.min().unwrap_or(ASK_AGAIN).max(LEAST_WAIT);
        Outcome::NoRelay { error: failures.join("; "), retry_after }
    }

    pub(super) fn is_ready(&self) -> bool {
        let now = Monotonic::now();
        self.0.relays.iter().any(|relay| matches!(relay.breaker.turn(now), Turn::Now))
    }

    /// Waits until a relay may be tried.
    pub(super) async fn ready(&self) {
        loop {
            let mut changed = pin!(self.0.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            let mut next = None;
            for relay in &self.0.relays {
                match relay.breaker.turn(Monotonic::now()) {
                    Turn::Now => return,
                    Turn::At(at) => next = Some(next.map_or(at, |next: Monotonic| next.min(at))),
                }
            }
            match next {
                Some(at) => tokio::select! { () = changed => {}, () = sleep_until(at) => {} },
                None => changed.await,
            }
        }
    }

    pub(super) fn relays(&self) -> Vec<RelayStatus> {
        self.0.relays.iter().map(Relay::status).collect()
    }

    /// Closes connections that have been idle for long.
    pub(super) async fn tidy(&self) {
        self.0.pool.tidy().await;
    }

    /// Closes connections that nobody uses.
    pub(super) async fn close(&self) {
        self.0.pool.close().await;
    }
}

impl Relay {
    fn status(&self) -> RelayStatus {
        let tally = self.breaker.tally();
        RelayStatus {
            label: self.dialer.label(),
            sent: tally.sent,
            failures: tally.failures,
            is_open: self.breaker.is_open(),
            last_failure: tally.last_failure,
        }
    }

    /// What is said about a relay that was not asked. Not what it said last, which may be about another mail.
    fn left_alone(&self) -> String {
        format!("{}: left alone for a while after failures", self.dialer.label())
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.relays.iter().map(|relay| relay.dialer.label())).finish()
    }
}
