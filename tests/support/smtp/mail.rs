//! A mail as it came over the wire, and what a person would find in it.

use std::time::Instant;

use mail_parser::{Message, MessageParser, PartType};

/// A mail that the sink has kept.
#[derive(Clone, Debug)]
pub struct ReceivedMail {
    /// The envelope's sender, empty for `<>`.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// Headers and body, lines ending in CRLF, without the dots that SMTP adds.
    pub raw: Vec<u8>,
    /// When the final dot had been read.
    pub received_at: Instant,
    /// The number of the connection that brought it, from 1.
    pub connection: usize,
}

impl ReceivedMail {
    /// Whether the envelope names this recipient; upper and lower case are the same.
    pub fn is_to(&self, address: &str) -> bool {
        self.to.iter().any(|to| to.eq_ignore_ascii_case(address))
    }

    /// The decoded subject, empty when there is none.
    pub fn subject(&self) -> String {
        self.parsed().subject().unwrap_or_default().to_owned()
    }

    /// The decoded plain text part.
    pub fn text(&self) -> Option<String> {
        let message = self.parsed();
        message.parts.iter().find_map(|part| match &part.body {
            PartType::Text(text) => Some(text.clone().into_owned()),
            _ => None,
        })
    }

    /// The decoded HTML part.
    pub fn html(&self) -> Option<String> {
        let message = self.parsed();
        message.parts.iter().find_map(|part| match &part.body {
            PartType::Html(html) => Some(html.clone().into_owned()),
            _ => None,
        })
    }

    /// A header's first value as it was sent, unfolded.
    pub fn header(&self, name: &str) -> Option<String> {
        let message = self.parsed();
        let (_, value) = message.headers_raw().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned())
    }

    /// The Message-ID without its angle brackets.
    pub fn message_id(&self) -> Option<String> {
        self.parsed().message_id().map(str::to_owned)
    }

    /// The code in the text: the first six digits that stand alone, together or as 123 456.
    pub fn code(&self) -> Option<String> {
        find_code(&self.text()?)
    }

    /// The sign-in link in the text: the first URL with `/login/link` in it.
    pub fn link(&self) -> Option<String> {
        let text = self.text()?;
        let words = text.split(|c: char| c.is_whitespace() || "<>()[]\"'".contains(c));
        let mut links = words.filter(|word| word.starts_with("http://") || word.starts_with("https://"));
        let link = links.find(|link| link.contains("/login/link"))?;
        Some(link.trim_end_matches(['.', ',', ';', '!']).to_owned())
    }

    fn parsed(&self) -> Message<'_> {
        MessageParser::default().parse(&self.raw).expect("a mail has at least one header")
    }
}

fn find_code(text: &str) -> Option<String> {
    // A URL's digits are no code.
    let words: Vec<&str> = text.split_whitespace().filter(|word| !word.contains("://")).collect();
    let mut words = words.iter().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric())).peekable();
    while let Some(word) = words.next() {
        let digits = |word: &str, count: usize| word.len() == count && word.bytes().all(|b| b.is_ascii_digit());
        if digits(word, 6) {
            return Some(word.to_owned());
        }
        if let Some(rest) = words.next_if(|next| digits(word, 3) && digits(next, 3)) {
            return Some(format!("{word}{rest}"));
        }
    }
    None
}
