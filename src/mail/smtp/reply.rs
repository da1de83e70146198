//! What relays say, and what it means for the mail.

use lettre::transport::smtp::Error;
use lettre::transport::smtp::response::Response;

use crate::mail::render::one_line;
use crate::mail::transport::Outcome;

/// The longest reply that is kept, in characters.
const REPLY_LENGTH: usize = 400;

/// Why a step failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The relay said no.
    Reply { code: u16, text: String, mailbox: bool },
    /// The wire broke, or nothing came in time, or nothing that makes sense.
    Wire(String),
}

impl Fault {
    pub(super) fn of(error: &Error) -> Self {
        let Some(code) = error.status() else { return Self::Wire(explain(error)) };
        Self::Reply { code: code.into(), text: explain(error), mailbox: false }
    }

    /// The same as an answer to RCPT, which may say that there is no such mailbox.
    pub(super) fn about_the_recipient(self) -> Self {
        match self {
            Self::Reply { code, text, .. } => Self::Reply { code, mailbox: names_no_mailbox(code, &text), text },
            fault @ Self::Wire(_) => fault,
        }
    }

    /// What a refusal means for the mail; a broken wire refuses it for now.
    pub(super) fn into_refusal(self) -> Outcome {
        match self {
            Self::Reply { code, text, mailbox } => Outcome::Refused { permanent: code >= 500, reply: text, mailbox },
            Self::Wire(error) => Outcome::Refused { permanent: false, reply: error, mailbox: false },
        }
    }
}

/// Whether a relay that answered RCPT so will never take mail for this recipient.
///
/// Its enhanced status decides, if there is one that says something (RFC 3463): 5.1.x is about the address, of which
/// 5.1.7 to 5.1.9 are about the sender's; all others (a full mailbox, a policy) may pass. Else the code does (RFC 5321, 4.2.3).
fn names_no_mailbox(code: u16, text: &str) -> bool {
    let enhanced = text.split_whitespace().nth(1).and_then(enhanced_status);
    match enhanced {
        _ if code < 500 => false,
        Some([5, 1, detail]) => !(7..=9).contains(&detail),
        Some([5, 0, 0]) | None => matches!(code, 550 | 551 | 553),
        Some(_) => false,
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
        for (text, expected) in [
            ("550 5.1.1 no such user", true),
            ("550 no such user", true),
            ("551 user not local", true),
            ("553 mailbox name not allowed", true),
            ("550 5.0.0 unknown", true),
            ("554 5.1.2 no such domain", true),
            ("556 5.1.10 the domain takes no mail", true),
            ("550 5.1.8 the sender's domain does not exist", false),
            ("550 5.7.1 relaying denied", false),
            ("553 5.7.1 sender not owned by user", false),
            ("552 5.2.2 mailbox full", false),
            ("552 mailbox full", false),
            ("550 5.2.1 mailbox disabled", false),
            ("554 transaction failed", false),
            ("450 5.1.1 confused", false),
            ("450 4.1.1 greylisted", false),
            ("550 5.1 is no status", true),
        ] {
            let code = text[..3].parse().unwrap();
            assert_eq!(names_no_mailbox(code, text), expected, "{text}");
        }
    }
}
