//! What relays say, and what it means for the mail.

use lettre::transport::smtp::Error;
use lettre::transport::smtp::response::Response;

use crate::mail::render::one_line;
use crate::mail::transport::{Mailbox, Outcome};

/// The longest reply that is looked at, in characters; less of it is kept.
const REPLY_LENGTH: usize = 4000;

/// Why a step failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The relay said no.
    Reply { code: u16, text: String, mailbox: Mailbox },
    /// The wire broke, or nothing came in time, or nothing that makes sense.
    Wire(String),
}

impl Fault {
    pub(super) fn of(error: &Error) -> Self {
        let Some(code) = error.status() else { return Self::Wire(explain(error)) };
        Self::Reply { code: code.into(), text: explain(error), mailbox: Mailbox::Unknown }
    }

    /// The same as an answer to RCPT, which may say that there is no such mailbox.
    pub(super) fn about_the_recipient(self) -> Self {
        match self {
            Self::Reply { code, text, .. } => Self::Reply { code, mailbox: mailbox_of(code, &text), text },
            fault @ Self::Wire(_) => fault,
        }
    }

    /// What a refusal means for the mail; a broken wire refuses it for now.
    pub(super) fn into_refusal(self) -> Outcome {
        match self {
            Self::Reply { code, text, mailbox } => Outcome::Refused { permanent: code >= 500, reply: text, mailbox },
            Self::Wire(error) => Outcome::Refused { permanent: false, reply: error, mailbox: Mailbox::Unknown },
        }
    }
}

/// What a relay that answered RCPT so says of the mailbox.
///
/// Its enhanced status decides, if there is one that says something (RFC 3463, 3.2; RFC 7505 for 5.1.10): all others (a
/// full mailbox, a policy, the sender's address) may pass. Without one, the codes for a missing mailbox (RFC 5321, 4.2.3)
/// are taken with doubt, as some servers use them for whatever they refuse.
fn mailbox_of(code: u16, text: &str) -> Mailbox {
    match text.split_whitespace().nth(1).and_then(enhanced_status) {
        _ if code < 500 => Mailbox::Unknown,
        Some([5, 1, 1 | 2 | 3 | 6 | 10]) => Mailbox::Gone,
        Some([5, 0, 0]) | None if matches!(code, 550 | 551 | 553) => Mailbox::Doubtful,
        _ => Mailbox::Unknown,
    }
}

/// `5.1.1`, as numbers.
fn enhanced_status(word: &str) -> Option<[u16; 3]> {
    let mut numbers = word.split('.').map(|number| number.parse().ok());
    let status = [numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then_some(status)
}

/// The relay waits for the message: any other success does not answer DATA, so the replies are out of step.
pub(super) fn go_ahead(response: &Response) -> Result<(), Fault> {
    if response.has_code(354) {
        return Ok(());
    }
    Err(Fault::Wire(cut(&format!("DATA was answered with {}", text(response)))))
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

/// What a relay said, on one line.
pub(super) fn text(response: &Response) -> String {
    let lines: Vec<&str> = response.message().collect();
    cut(&format!("{} {}", response.code(), lines.join(" ")))
}

fn cut(text: &str) -> String {
    one_line(text).chars().take(REPLY_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_recipient_that_will_never_exist_counts_as_no_mailbox() {
        use Mailbox::{Doubtful, Gone, Unknown};
        for (text, expected) in [
            ("550 5.1.1 no such user", Gone),
            ("550 no such user", Doubtful),
            ("551 user not local", Doubtful),
            ("553 mailbox name not allowed", Doubtful),
            ("550 5.0.0 unknown", Doubtful),
            ("554 5.1.2 no such domain", Gone),
            ("556 5.1.10 the domain takes no mail", Gone),
            ("550 5.1.0 sender rejected", Unknown),
            ("550 5.1.8 the sender's domain does not exist", Unknown),
            ("550 5.7.1 relaying denied", Unknown),
            ("553 5.7.1 sender not owned by user", Unknown),
            ("552 5.2.2 mailbox full", Unknown),
            ("552 mailbox full", Unknown),
            ("550 5.2.1 mailbox disabled", Unknown),
            ("554 transaction failed", Unknown),
            ("450 5.1.1 confused", Unknown),
            ("450 4.1.1 greylisted", Unknown),
            ("550 5.1 is no status", Doubtful),
        ] {
            let code = text[..3].parse().unwrap();
            assert_eq!(mailbox_of(code, text), expected, "{text}");
        }
    }
}
