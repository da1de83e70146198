//! One mail over one connection, every step with its deadline.
//!
//! Where the relay knows PIPELINING (RFC 2920), MAIL, RCPT and DATA go out in one write, and their replies are read one by
//! one: a mail costs two round trips instead of four. A relay may then grant DATA although it has refused the sender or
//! the recipient; nothing is sent in that case, and the connection, which waits for a message, is given up.

use std::fmt::Display;
use std::iter;
use std::pin::pin;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use tokio::time::timeout;

use super::pool::Connection;
use super::reply::{self, Fault};
use crate::mail::message::Envelope;
use crate::mail::transport::{Mailbox, Outcome, Progress};

/// A relay may take this many times longer over the final dot than over a command: giving up there costs a repeat
/// (RFC 5321, 4.5.3.2.6).
const DOT_PATIENCE: u32 = 4;
/// Messages up to this size with their dot, in bytes, go out in one write: the system takes so much at once, so there is
/// no time at which only a part is on its way. Larger ones are sent first, and the dot after them.
const ONE_WRITE: usize = 16 * 1024;

/// How a conversation ended.
pub(super) enum Talk {
    /// With an outcome.
    Over(Outcome),
    /// With an outcome, over a connection that is of no more use: the relay may be waiting for a message.
    Last(Outcome),
    /// With a 421 before the final dot: the relay closes this connection.
    Closing(String),
    /// By a fault of the wire before the final dot.
    Broken {
        error: String,
        /// Whether the relay had heard who the mail is for, whose fault it then may be.
        about_recipient: bool,
    },
}

impl From<Fault> for Talk {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Reply { code: 421, text, .. } => Self::Closing(text),
            Fault::Wire(error) => Self::Broken { error, about_recipient: true },
            fault @ Fault::Reply { .. } => Self::Over(fault.into_refusal()),
        }
    }
}

/// An open connection, and how long each answer may take.
pub(super) struct Conversation<'a> {
    smtp: &'a mut AsyncSmtpConnection,
    pipelining: bool,
    limit: Duration,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(connection: &'a mut Connection, limit: Duration) -> Self {
        Self { pipelining: connection.pipelining, smtp: &mut connection.smtp, limit }
    }

    /// Sends one mail. `may_go_out` is asked last before the message: it tells how the mail ends if it may not.
    pub(super) async fn mail(
        &mut self,
        envelope: &Envelope,
        progress: &Progress,
        may_go_out: impl FnOnce() -> Result<(), Outcome>,
    ) -> Talk {
        let Some(parameters) = self.parameters(envelope) else {
            let reply = "the relay takes no addresses with letters beyond ASCII (it offers no SMTPUTF8)".to_owned();
            return Talk::Over(Outcome::Refused { permanent: true, reply, mailbox: Mailbox::Unknown });
        };
        let mail = Mail::new(Some(envelope.from.clone()), parameters);
        let rcpt = Rcpt::new(envelope.to.clone(), Vec::new());
        let begun =
            if self.pipelining { self.at_once(&mail, &rcpt).await } else { self.one_by_one(&mail, &rcpt).await };
        if let Err(talk) = begun {
            return talk;
        }
        match may_go_out() {
            Ok(()) => self.message(envelope, progress).await,
            // The relay waits for a message that will not come.
            Err(outcome) => Talk::Last(outcome),
        }
    }

    /// Forgets the transaction; whether the connection is good for another.
    pub(super) async fn reset(&mut self) -> bool {
        self.command("RSET", Rset).await.is_ok()
    }

    fn parameters(&self, envelope: &Envelope) -> Option<Vec<MailParameter>> {
        let offers = |extension| self.smtp.server_info().supports_feature(extension);
        if !envelope.international {
            return Some(Vec::new());
        }
        if !offers(Extension::SmtpUtfEight) {
            return None;
        }
        let mut parameters = vec![MailParameter::SmtpUtfEight];
        if offers(Extension::EightBitMime) {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        Some(parameters)
    }

    async fn one_by_one(&mut self, mail: &Mail, rcpt: &Rcpt) -> Result<(), Talk> {
        self.command("MAIL FROM", mail).await.map_err(about_the_sender)?;
        self.command("RCPT TO", rcpt).await.map_err(Fault::about_the_recipient)?;
        self.command("DATA", Data).await.and_then(|response| reply::go_ahead(&response))?;
        Ok(())
    }

    async fn at_once(&mut self, mail: &Mail, rcpt: &Rcpt) -> Result<(), Talk> {
        let sender = match self.command("MAIL FROM", format!("{mail}{rcpt}{Data}")).await {
            Err(fault @ Fault::Wire(_)) => return Err(about_the_sender(fault)),
            answer => refusal(answer)?,
        };
        let recipient = refusal(self.answer("RCPT TO").await.map_err(Fault::about_the_recipient))?;
        let data = self.answer("DATA").await.and_then(|response| reply::go_ahead(&response));
        match (sender.or(recipient), data) {
            (None, Ok(())) => Ok(()),
            (None, Err(fault)) => Err(fault.into()),
            // DATA without a recipient was refused, as it should be; what counts is the first refusal.
            (Some(refused), Err(Fault::Reply { code, .. })) if code != 421 => Err(refused.into()),
            (Some(refused), _) => Err(Talk::Last(refused.into_refusal())),
        }
    }

    async fn message(&mut self, envelope: &Envelope, progress: &Progress) -> Talk {
        let with_dot = envelope.message_with_dot();
        let answer = if with_dot.len() <= ONE_WRITE {
            self.message_with_dot(with_dot, progress).await
        } else {
            self.message_then_dot(envelope.message(), progress).await
        };
        match answer {
            Ok(response) => Talk::Over(Outcome::Delivered { reply: reply::text(&response) }),
            Err(Fault::Wire(error)) if progress.dot_sent() => {
                Talk::Over(Outcome::Unreachable { error, dot_sent: true })
            }
            // Not taken, and said so: this is an answer to the mail even if the relay closes, too.
            Err(fault @ Fault::Reply { .. }) => Talk::Over(fault.into_refusal()),
            Err(fault @ Fault::Wire(_)) => fault.into(),
        }
    }

    async fn message_with_dot(&mut self, with_dot: &str, progress: &Progress) -> Result<Response, Fault> {
        progress.dot();
        let limit = self.limit.saturating_mul(DOT_PATIENCE);
        match timeout(limit, self.smtp.command(with_dot)).await {
            Ok(answer) => answer.map_err(|error| Fault::of(&error)),
            Err(_) => Err(Fault::Wire(format!("no answer to the message within {limit:?}"))),
        }
    }

    async fn message_then_dot(&mut self, message: &str, progress: &Progress) -> Result<Response, Fault> {
        // lettre adds the end of the last line.
        let plain = message.strip_suffix("\r\n").unwrap_or(message);
        // The second item is asked for when the first is on the wire; after it comes the dot.
        let parts = iter::once(plain).chain(iter::from_fn(|| {
            progress.dot();
            None
        }));
        let mut sending = pin!(self.smtp.message_iter(parts));
        let mut answer = timeout(self.limit, &mut sending).await;
        if answer.is_err() && progress.dot_sent() {
            answer = timeout(self.limit.saturating_mul(DOT_PATIENCE - 1), &mut sending).await;
        }
        match answer {
            Ok(answer) => answer.map_err(|error| Fault::of(&error)),
            Err(_) => Err(Fault::Wire("the message was not taken in time".to_owned())),
        }
    }

    async fn command(&mut self, name: &str, command: impl Display) -> Result<Response, Fault> {
        self.within(name, async |smtp| smtp.command(command).await).await
    }

    /// The answer to a command that has been sent already.
    async fn answer(&mut self, name: &str) -> Result<Response, Fault> {
        self.within(name, async |smtp| smtp.read_response().await).await
    }

    /// One step. The deadline is for the whole reply, however slowly it trickles in.
    async fn within(
        &mut self,
        name: &str,
        step: impl AsyncFnOnce(&mut AsyncSmtpConnection) -> Result<Response, Error>,
    ) -> Result<Response, Fault> {
        match timeout(self.limit, step(self.smtp)).await {
            Ok(answer) => answer.map_err(|error| Fault::of(&error)),
            Err(_) => Err(Fault::Wire(format!("no answer to {name} within {:?}", self.limit))),
        }
    }
}

/// How a conversation ends in which the relay has not answered to MAIL: that is nobody's fault but its own.
fn about_the_sender(fault: Fault) -> Talk {
    match fault {
        Fault::Wire(error) => Talk::Broken { error, about_recipient: false },
        fault @ Fault::Reply { .. } => fault.into(),
    }
}

/// What a reply within a group of commands refuses; the conversation is over if it is none, or a 421.
fn refusal(answer: Result<Response, Fault>) -> Result<Option<Fault>, Talk> {
    match answer {
        Ok(_) => Ok(None),
        Err(fault @ (Fault::Wire(_) | Fault::Reply { code: 421, .. })) => Err(fault.into()),
        Err(refused) => Ok(Some(refused)),
    }
}
