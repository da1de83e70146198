//! The reader of what relays say, for the fuzz targets.

use lettre::transport::smtp::response::Response;

use super::reply::{self, Fault};
use crate::mail::transport::{Mailbox, Outcome};

/// What a refusal means for a mail.
#[derive(Debug)]
pub struct Refusal {
    /// The code of the reply.
    pub code: u16,
    /// What is kept of its text.
    pub reply: String,
    /// Whether the mail is given up.
    pub permanent: bool,
    /// Whether the mailbox gets no more mail for a while.
    pub suppresses: bool,
}

/// Takes `said` for a relay's answer to RCPT; `None` where it is no reply of SMTP.
pub fn refusal(said: &str) -> Option<Refusal> {
    let response: Response = said.parse().ok()?;
    let (code, text) = (u16::from(response.code()), reply::text(&response));
    let fault = Fault::Reply { code, text, mailbox: Mailbox::Unknown }.about_the_recipient();
    match fault.into_refusal() {
        Outcome::Refused { permanent, reply, mailbox } => {
            Some(Refusal { code, reply, permanent, suppresses: mailbox != Mailbox::Unknown })
        }
        _ => None,
    }
}
