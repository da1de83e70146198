//! Makes a mail's text from its row. Pure but for one question to the database: a sign-in's challenge.
//!
//! Nothing here depends on the moment of rendering, so a mail that is sent twice is the same mail.

use std::fmt;
use std::sync::Arc;

use minijinja::{Value, context};
use url::Url;

use crate::domain::{Instant, KeyId, KeyRing, MailContent, OneTimeCode, Redacted, Requested, UserId};
use crate::settings::LoginMethods;
use crate::store::{Challenge, Mail};
use crate::templates::{TemplateError, Templates};

/// Makes the texts of mails. Clones share everything.
#[derive(Clone)]
pub struct Renderer(Arc<Parts>);

struct Parts {
    templates: Templates,
    product: String,
    /// Without a slash at its end.
    public_url: String,
    keys: Arc<KeyRing>,
    methods: LoginMethods,
}

/// A mail's text. `Debug` shows none of it.
#[derive(Default)]
pub struct Rendered {
    /// Always one line.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
    /// The code in it.
    pub code: Option<OneTimeCode>,
    /// The link in it.
    pub link: Option<Redacted<String>>,
}

/// Why a mail has no text.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The row's content is of no kind or form that this version knows. Another version may: try again.
    #[error("the content cannot be read: {0}")]
    Content(#[from] serde_json::Error),
    /// A template failed: the operator's own, or a defect.
    #[error("the text cannot be made: {0}")]
    Template(#[from] TemplateError),
    /// The challenge was made under a secret that this instance no longer, or not yet, has.
    #[error("the challenge was made with a key that this instance does not have")]
    UnknownKey,
    /// A sign-in was rendered without its challenge: a defect of the caller.
    #[error("a sign-in mail needs its challenge")]
    NoChallenge,
}

impl Renderer {
    /// A renderer of `product`'s mails, whose links go to `public_url`. Codes and links are in a mail when their method
    /// is on; a mailbox is proved by a code where neither is.
    pub fn new(
        templates: Templates,
        product: &str,
        public_url: &Url,
        keys: Arc<KeyRing>,
        methods: LoginMethods,
    ) -> Self {
        let public_url = public_url.as_str().trim_end_matches('/').to_owned();
        Self(Arc::new(Parts { templates, product: one_line(product), public_url, keys, methods }))
    }

    /// The content of a row.
    pub fn content(mail: &Mail) -> Result<MailContent, RenderError> {
        Ok(serde_json::from_str(&mail.content)?)
    }

    /// The text of `mail`, whose content is `content`. A sign-in needs its challenge.
    pub fn render(
        &self,
        mail: &Mail,
        content: &MailContent,
        challenge: Option<&Challenge>,
    ) -> Result<Rendered, RenderError> {
        let mut rendered = Rendered::default();
        let own = match content {
            MailContent::SignIn { requested, .. } => {
                let challenge = challenge.ok_or(RenderError::NoChallenge)?;
                (rendered.code, rendered.link) = self.credentials(challenge)?;
                context! {
                    code => rendered.code.as_ref().map(OneTimeCode::expose),
                    code_spaced => rendered.code.as_ref().map(OneTimeCode::spaced),
                    link => rendered.link.as_ref().map(Redacted::expose),
                    expires_minutes => whole_minutes(mail.created_at, challenge.expires_at),
                    requested => requested_context(requested),
                }
            }
            other => self.context(other),
        };
        let common = context! {
            product => &self.0.product,
            public_url => &self.0.public_url,
            recipient => &mail.recipient,
        };
        let all = context! { ..common, ..own };
        let template = |suffix| {
            let name = format!("mail/{}{suffix}", content.kind());
            self.0.templates.render(&name, &all)
        };
        rendered.subject = one_line(&template(".subject.txt")?);
        rendered.text = template(".txt")?;
        rendered.html = template(".html")?;
        Ok(rendered)
    }

    fn context(&self, content: &MailContent) -> Value {
        let public_url = &self.0.public_url;
        let login_url = format!("{public_url}/login");
        match content {
            // Rendered above, with its challenge.
            MailContent::SignIn { .. } => Value::UNDEFINED,
            MailContent::RegistrationNotice { user_id, email, name, note, requested } => context! {
                applicant => context! { email, name, note },
                approval_url => approval_url(public_url, *user_id),
                requested => requested_context(requested),
            },
            MailContent::AccountApproved { name, note } => context! { name, note, login_url },
            MailContent::Invitation { inviter, name } => context! { inviter, name, login_url },
            MailContent::SecurityNotice { event, requested } => context! {
                event => event.as_str(),
                device => &requested.device,
                address => &requested.address,
                at => in_words(requested.at),
                account_url => format!("{public_url}/account"),
            },
        }
    }

    fn credentials(
        &self,
        challenge: &Challenge,
    ) -> Result<(Option<OneTimeCode>, Option<Redacted<String>>), RenderError> {
        let Parts { keys, methods, public_url, .. } = &*self.0;
        let key = KeyId::stored(challenge.key_id.clone());
        let code = keys.code(&key, challenge.id).ok_or(RenderError::UnknownKey)?;
        let token = keys.link(&key, challenge.id).ok_or(RenderError::UnknownKey)?;
        let link = Redacted::new(format!("{public_url}/login/link?token={}", token.expose()));
        Ok((methods.takes_codes().then_some(code), methods.magic_link.then_some(link)))
    }
}

impl fmt::Debug for Renderer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renderer").field("product", &self.0.product).finish_non_exhaustive()
    }
}

impl Rendered {
    /// `text` without the code and the link of this mail, should somebody have quoted them.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        const HIDDEN: &str = "[redacted]";
        let mut text = text.to_owned();
        if let Some(link) = &self.link {
            let token = link.expose().rsplit_once('=').map_or(link.expose().as_str(), |(_, token)| token);
            text = text.replace(token, HIDDEN);
        }
        if let Some(code) = &self.code {
            text = text.replace(code.expose(), HIDDEN).replace(&code.spaced(), HIDDEN);
        }
        text
    }
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rendered([redacted])")
    }
}

fn approval_url(public_url: &str, user: UserId) -> String {
    format!("{public_url}/admin/approvals/{user}")
}

fn requested_context(requested: &Requested) -> Value {
    context! { device => &requested.device, address => &requested.address, at => in_words(requested.at) }
}

/// Such as `21 November 2026, 13:30 UTC`.
fn in_words(at: Instant) -> String {
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}

/// The minutes between two moments, to the nearest and at least one.
fn whole_minutes(from: Instant, to: Instant) -> i64 {
    (((to - from).num_seconds() + 30) / 60).max(1)
}

/// `text` on one line, without anything that could end a header's line.
pub(super) fn one_line(text: &str) -> String {
    let parts = text.split(|character: char| character.is_whitespace() || character.is_control());
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_subject_is_one_line_whatever_is_in_it() {
        assert_eq!(one_line(" a\r\nBcc: x@y.zz\t\u{2028}b\0c\u{85} "), "a Bcc: x@y.zz b c");
        assert_eq!(one_line("\r\n"), "");
    }

    #[test]
    fn moments_and_spans_are_told_in_words() {
        let at: Instant = "2026-11-01T03:05:59Z".parse().unwrap();
        assert_eq!(in_words(at), "1 November 2026, 03:05 UTC");
        for (seconds, minutes) in [(600, 10), (599, 10), (569, 9), (31, 1), (0, 1), (-60, 1)] {
            assert_eq!(whole_minutes(at, at + TimeDelta::seconds(seconds)), minutes, "{seconds}");
        }
    }

    #[test]
    fn what_a_relay_quotes_is_stripped_of_secrets() {
        let rendered = Rendered {
            code: Some(OneTimeCode::from_number(123_456)),
            link: Some(Redacted::new("https://a.example/login/link?token=abc".to_owned())),
            ..Rendered::default()
        };
        let quoted = "554 spam: 123 456 is your code, 123456, https://a.example/login/link?token=abc";
        let clean = rendered.without_secrets(quoted);
        assert_eq!(
            clean,
            "554 spam: [redacted] is your code, [redacted], https://a.example/login/link?token=[redacted]"
        );
        assert!(!format!("{rendered:?}").contains("123"));
    }
}
