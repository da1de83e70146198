//! Speaks SMTP (RFC 5321) to relays.
//!
//! lettre writes the commands and reads the replies; the conversation, its deadlines and the connections are kept here,
//! because whoever retries has to know one thing for sure: whether the final dot was sent. Before it, a failure costs
//! nothing and another connection or relay is tried at once. After it a server may have the mail, so the attempt ends
//! and the repeat is left to the backoff.
//!
//! | a relay | the attempt |
//! |---|---|
//! | answers 2xx to the final dot | ends: delivered |
//! | answers 4xx or 5xx to MAIL, RCPT, DATA or the dot | ends: refused, for now or for good |
//! | answers 421, or drops a connection that had been idle | goes on, over a fresh connection to the same relay |
//! | cannot be reached, greets with an error, refuses the password | goes on with the next relay |
//! | hangs or breaks before the dot | goes on with the next relay |
//! | hangs or breaks after the dot | ends: nobody knows |

mod connect;
mod conversation;
mod pool;
mod wire;

use std::fmt;
use std::sync::Arc;

use self::connect::Dialer;
use self::conversation::{Conversation, Talk};
use self::pool::{Connection, Pool};
use super::message::{self, Envelope};
use super::transport::{Outcome, Outgoing, Progress, TransportError};
use crate::domain::{Clock, Instant};
use crate::settings;

/// Fresh connections that one mail may cost at one relay: the second is for a relay that was just closing the first.
const FRESH_CONNECTIONS: usize = 2;

/// The relays, in the order in which they are tried. Clones share connections.
#[derive(Clone)]
pub struct Smtp(Arc<Inner>);

struct Inner {
    relays: Vec<Dialer>,
    from: settings::Mailbox,
    pool: Pool,
    clock: Clock,
    command_timeout: std::time::Duration,
}

impl Smtp {
    /// Prepares for `relays`. Connects to nothing yet.
    pub fn new(relays: &[settings::Relay], settings: &settings::Mail, clock: Clock) -> Result<Self, TransportError> {
        let relays = relays.iter().map(|relay| Dialer::new(relay, settings)).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Inner {
            relays,
            from: settings.from.clone(),
            pool: Pool::new(settings.workers),
            clock,
            command_timeout: settings.command_timeout,
        })))
    }

    pub(super) async fn send(&self, outgoing: &Outgoing<'_>, progress: &Progress) -> Outcome {
        let envelope = match message::build(&self.0.from, outgoing) {
            Ok(envelope) => envelope,
            Err(error) => return Outcome::Refused { permanent: true, reply: error.to_string() },
        };
        let mut failures = Vec::new();
        for (relay, dialer) in self.0.relays.iter().enumerate() {
            let expires_at = outgoing.mail.expires_at;
            match self.send_through(relay, dialer, &envelope, expires_at, progress).await {
                Outcome::Unreachable { error, dot_sent: false } => {
                    failures.push(format!("{}: {error}", dialer.label()));
                }
                outcome => return outcome,
            }
        }
        Outcome::Unreachable { error: failures.join("; "), dot_sent: false }
    }

    async fn send_through(
        &self,
        relay: usize,
        dialer: &Dialer,
        envelope: &Envelope,
        expires_at: Instant,
        progress: &Progress,
    ) -> Outcome {
        // One that has been idle may have been closed at the other end by now.
        if let Some(connection) = self.0.pool.take(relay) {
            match self.talk(connection, envelope, expires_at, progress).await {
                Talk::Over(outcome) => return outcome,
                Talk::Closing(_) | Talk::Broken(_) => {}
            }
        }
        let mut failure = String::new();
        for _ in 0..FRESH_CONNECTIONS {
            let connection = match dialer.open().await {
                Ok(conversation) => Connection::new(relay, conversation),
                Err(error) => return Outcome::Unreachable { error, dot_sent: false },
            };
            match self.talk(connection, envelope, expires_at, progress).await {
                Talk::Over(outcome) => return outcome,
                Talk::Closing(reply) => failure = reply,
                Talk::Broken(error) => return Outcome::Unreachable { error, dot_sent: false },
            }
        }
        Outcome::Unreachable { error: failure, dot_sent: false }
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
        let limit = self.0.command_timeout;
        let talk = Conversation::new(connection.smtp(), limit).mail(envelope, progress).await;
        let in_order = match &talk {
            Talk::Over(Outcome::Delivered { .. }) => true,
            Talk::Over(Outcome::Refused { .. }) => Conversation::new(connection.smtp(), limit).reset().await,
            _ => false,
        };
        if in_order {
            self.0.pool.put(connection);
        }
        talk
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

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.relays.iter().map(Dialer::label)).finish()
    }
}
