//! One mail over one connection, every step with its deadline.

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

use crate::mail::message::Envelope;
use crate::mail::render::one_line;
use crate::mail::transport::{Outcome, Progress};

/// The longest reply that is kept, in characters.
const REPLY_LENGTH: usize = 400;
/// A relay may take this many times longer over the final dot than over a command: giving up there costs a repeat
/// (RFC 5321, 4.5.3.2.6).
const DOT_PATIENCE: u32 = 4;

/// How a conversation ended.
pub(super) enum Talk {
    /// With an outcome.
    Over(Outcome),
    /// With a 421 before the final dot: the relay closes this connection.
    Closing(String),
    /// By a fault of the wire before the final dot.
    Broken(String),
}

/// Why a step failed.
enum Fault {
    Reply { code: u16, text: String },
    Wire(String),
}

impl From<Fault> for Talk {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Reply { code: 421, text } => Self::Closing(text),
            Fault::Reply { code, text } => Self::Over(Outcome::Refused { permanent: code >= 500, reply: text }),
            Fault::Wire(error) => Self::Broken(error),
        }
    }
}

/// An open connection, and how long each answer may take.
pub(super) struct Conversation<'a> {
    smtp: &'a mut AsyncSmtpConnection,
    limit: Duration,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(smtp: &'a mut AsyncSmtpConnection, limit: Duration) -> Self {
        Self { smtp, limit }
    }

    /// Sends one mail.
    pub(super) async fn mail(&mut self, envelope: &Envelope, progress: &Progress) -> Talk {
        let Some(parameters) = self.parameters(envelope) else {
            let reply = "the relay takes no addresses with letters beyond ASCII (it offers no SMTPUTF8)".to_owned();
            return Talk::Over(Outcome::Refused { permanent: true, reply });
        };
        match self.transaction(envelope, parameters).await {
            Ok(()) => self.message(&envelope.bytes, progress).await,
            Err(fault) => fault.into(),
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

    async fn transaction(&mut self, envelope: &Envelope, parameters: Vec<MailParameter>) -> Result<(), Fault> {
        self.command("MAIL FROM", Mail::new(Some(envelope.from.clone()), parameters)).await?;
        self.command("RCPT TO", Rcpt::new(envelope.to.clone(), Vec::new())).await?;
        self.command("DATA", Data).await?;
        Ok(())
    }

    async fn message(&mut self, bytes: &[u8], progress: &Progress) -> Talk {
        // The second item is asked for when the first is on the wire; after it comes the dot.
        let parts = iter::once(bytes).chain(iter::from_fn(|| {
            progress.dot();
            None
        }));
        let mut sending = pin!(self.smtp.message_iter(parts));
        let mut answer = timeout(self.limit, &mut sending).await;
        if answer.is_err() && progress.dot_sent() {
            answer = timeout(self.limit.saturating_mul(DOT_PATIENCE - 1), &mut sending).await;
        }
        let fault = match answer {
            Ok(Ok(response)) => return Talk::Over(Outcome::Delivered { reply: reply(&response) }),
            Ok(Err(error)) => fault(&error),
            Err(_) => Fault::Wire("the message was not taken in time".to_owned()),
        };
        match fault {
            Fault::Wire(error) if progress.dot_sent() => Talk::Over(Outcome::Unreachable { error, dot_sent: true }),
            // Not taken, and said so: this is an answer to the mail even if the relay closes, too.
            Fault::Reply { code, text } => Talk::Over(Outcome::Refused { permanent: code >= 500, reply: text }),
            fault @ Fault::Wire(_) => fault.into(),
        }
    }

    async fn command(&mut self, name: &str, command: impl Display) -> Result<Response, Fault> {
        match timeout(self.limit, self.smtp.command(command)).await {
            Ok(answer) => answer.map_err(|error| fault(&error)),
            Err(_) => Err(Fault::Wire(format!("no answer to {name} within {:?}", self.limit))),
        }
    }
}

fn fault(error: &Error) -> Fault {
    let Some(code) = error.status() else { return Fault::Wire(cut(&error.to_string())) };
    Fault::Reply { code: code.into(), text: explain(error) }
}

/// What a relay said, or what went wrong with the connection, on one line.
pub(super) fn explain(error: &Error) -> String {
    use std::error::Error as _;
    match (error.status(), error.source()) {
        (Some(code), Some(text)) => cut(&format!("{code} {text}")),
        (Some(code), None) => code.to_string(),
        (None, _) => cut(&error.to_string()),
    }
}

fn reply(response: &Response) -> String {
    let lines: Vec<&str> = response.message().collect();
    cut(&format!("{} {}", response.code(), lines.join(" ")))
}

fn cut(text: &str) -> String {
    one_line(text).chars().take(REPLY_LENGTH).collect()
}
