//! Makes a mail's text from its row and the facts it needs. Pure: the same row and facts make the same text.
//!
//! Only a digest's facts change between two attempts, so every other mail that is sent twice is the same mail.

mod context;
mod stencil;
mod words;

use std::fmt;
use std::sync::Arc;

use url::Url;

use self::context::{Context, Values, device};
use self::stencil::{Particulars, Shape, Stencils};
pub(super) use self::words::one_line;
use self::words::{moment, whole_minutes};
use super::facts::Facts;
use super::samples;
use crate::domain::{KeyId, KeyRing, Language, MailContent, MailKind, OneTimeCode, Redacted, Requested, SignInForm};
use crate::store::{Challenge, Mail};
use crate::templates::{Speech, TemplateError, Templates};

/// Makes the texts of mails. Clones share everything.
#[derive(Clone)]
pub struct Renderer(Arc<Parts>);

struct Parts {
    templates: Templates,
    /// In the order of [`Language::ALL`].
    speeches: Vec<Arc<Speech>>,
    product: String,
    /// Without a slash at its end.
    public_url: String,
    keys: Arc<KeyRing>,
    /// For each of [`MailKind::ALL`], the names of its templates: subject, text, HTML.
    names: Vec<[String; 3]>,
    /// Of the built-in templates only: what an operator's do with a value, a stencil cannot know.
    stencils: Option<Stencils>,
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
    /// A mail was rendered without the facts that it needs: a defect of the caller.
    #[error("the mail needs facts that it was not given")]
    NoFacts,
    /// There is no example of the mail: a defect.
    #[error("there is no example: {0}")]
    Sample(#[from] samples::SampleError),
}

impl Renderer {
    /// A renderer of `product`'s mails, whose links go to `public_url`. Where an operator has replaced texts, every mail
    /// is tried in every language, so that a text that fails does so here, and not when somebody waits for it.
    pub fn new(
        templates: Templates,
        product: &str,
        public_url: &Url,
        keys: Arc<KeyRing>,
    ) -> Result<Self, TemplateError> {
        let product = one_line(product);
        let public_url = public_url.as_str().trim_end_matches('/').to_owned();
        let speeches = templates.speeches(&product)?;
        let name = |kind: &MailKind| [".subject.txt", ".txt", ".html"].map(|suffix| format!("mail/{kind}{suffix}"));
        let names = MailKind::ALL.iter().map(name).collect();
        let are_replaced = templates.are_replaced();
        let stencils = (!are_replaced).then(Stencils::default);
        let renderer = Self(Arc::new(Parts { templates, speeches, product, public_url, keys, names, stencils }));
        if are_replaced {
            renderer.try_every_mail()?;
        }
        Ok(renderer)
    }

    /// The content of a row.
    pub fn content(mail: &Mail) -> Result<MailContent, RenderError> {
        Ok(serde_json::from_str(&mail.content)?)
    }

    /// The text of `mail`, whose content is `content`, in the language of the row (English where that is unknown).
    pub fn render(&self, mail: &Mail, content: &MailContent, facts: &Facts) -> Result<Rendered, RenderError> {
        let Parts { product, public_url, .. } = &*self.0;
        let speech = self.speech(Language::from_tag(&mail.locale).unwrap_or(Language::English));
        let mut rendered = Rendered::default();
        let told = match (content, facts) {
            (MailContent::SignIn { form, requested, .. }, Facts::Challenge(challenge)) => {
                (rendered.code, rendered.link) = self.credentials(challenge, *form)?;
                let minutes = whole_minutes(mail.created_at, challenge.expires_at);
                let shape = Shape { form: *form, language: speech.language(), minutes };
                self.sign_in(&mut rendered, shape, &mail.recipient, requested)?;
                return Ok(rendered);
            }
            (MailContent::RegistrationDigest { .. }, Facts::Applicants { newest, total }) => {
                Context::of_notice(speech, content, Some((newest, *total)), public_url, product)?
            }
            (MailContent::SignIn { .. } | MailContent::RegistrationDigest { .. }, _) => {
                return Err(RenderError::NoFacts);
            }
            _ => Context::of_notice(speech, content, None, public_url, product)?,
        };
        self.fill(&mut rendered, content.kind(), told.finish(speech, &mail.recipient, product, public_url))?;
        Ok(rendered)
    }

    /// The text of a sign-in mail, whose code and link are `rendered` already.
    fn sign_in(
        &self,
        rendered: &mut Rendered,
        shape: Shape,
        recipient: &str,
        requested: &Requested,
    ) -> Result<(), RenderError> {
        let speech = self.speech(shape.language);
        let spaced = rendered.code.as_ref().map(|code| in_groups(speech, code)).unwrap_or_default();
        let (code, link) = (rendered.code.clone(), rendered.link.clone());
        let particulars = Particulars {
            recipient,
            code: code.as_ref().map_or("", OneTimeCode::expose),
            code_spaced: &spaced,
            link: link.as_ref().map_or("", |link| link.expose()),
            device: &device(speech, &requested.device)?,
            address: &requested.address,
            time: &moment(shape.language, requested.at),
        };
        let Some(stencils) = self.0.stencils.as_ref().filter(|_| particulars.fit_a_stencil()) else {
            return self.sign_in_in_full(rendered, shape, &particulars);
        };
        let stencil = stencils.get_or_cut(shape, |marks| {
            let mut marked = Rendered::default();
            self.sign_in_in_full(&mut marked, shape, marks).map(|()| marked)
        })?;
        stencil.fill(rendered, &particulars);
        Ok(())
    }

    fn sign_in_in_full(
        &self,
        rendered: &mut Rendered,
        shape: Shape,
        particulars: &Particulars<'_>,
    ) -> Result<(), RenderError> {
        let Parts { product, public_url, .. } = &*self.0;
        let told = Context::of_sign_in(shape.language, shape.form, shape.minutes, particulars);
        let values = told.finish(self.speech(shape.language), particulars.recipient, product, public_url);
        self.fill(rendered, shape.form.kind(), values)
    }

    fn fill(&self, rendered: &mut Rendered, kind: MailKind, mut values: Values) -> Result<(), RenderError> {
        let Parts { templates, names, .. } = &*self.0;
        let [subject, text, html] = &names[kind as usize];
        rendered.subject = one_line(&templates.render_value(subject, values.value())?);
        values.add("subject", &rendered.subject);
        let all = values.value();
        rendered.text = templates.render_value(text, all.clone())?;
        rendered.html = templates.render_value(html, all)?;
        Ok(())
    }

    /// An example of a kind of mail: its row, and its text.
    pub fn sample(&self, kind: MailKind, language: Language) -> Result<(Mail, Rendered), RenderError> {
        match samples::of(kind).first() {
            Some(content) => self.render_sample(content, language),
            None => Err(RenderError::NoFacts),
        }
    }

    fn render_sample(&self, content: &MailContent, language: Language) -> Result<(Mail, Rendered), RenderError> {
        let facts = samples::facts(content, self.0.keys.current_id())?;
        let row = samples::row(content, language)?;
        let rendered = self.render(&row, content, &facts)?;
        Ok((row, rendered))
    }

    fn try_every_mail(&self) -> Result<(), TemplateError> {
        for &kind in MailKind::ALL {
            for &language in Language::ALL {
                for content in samples::of(kind) {
                    self.render_sample(&content, language).map_err(|error| TemplateError::Mail {
                        kind: kind.as_str(),
                        language: language.as_str(),
                        reason: error.to_string(),
                    })?;
                }
            }
        }
        Ok(())
    }

    fn speech(&self, language: Language) -> &Arc<Speech> {
        &self.0.speeches[language as usize]
    }

    fn credentials(
        &self,
        challenge: &Challenge,
        form: SignInForm,
    ) -> Result<(Option<OneTimeCode>, Option<Redacted<String>>), RenderError> {
        let Parts { keys, public_url, .. } = &*self.0;
        let key = KeyId::stored(challenge.key_id.clone());
        let (mut code, mut link) = (None, None);
        if form.has_code() {
            code = Some(keys.code(&key, challenge.id).ok_or(RenderError::UnknownKey)?);
        }
        if form.has_link() {
            let token = keys.link(&key, challenge.id).ok_or(RenderError::UnknownKey)?;
            link = Some(Redacted::new(format!("{public_url}/login/link?token={}", token.expose())));
        }
        Ok((code, link))
    }
}

/// The code as a subject shows it: in two groups, but not where these would swap their places, because what runs from
/// right to left does so between two numbers as well.
fn in_groups(speech: &Speech, code: &OneTimeCode) -> String {
    if speech.language().is_rtl() { code.expose().to_owned() } else { code.spaced() }
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

#[cfg(test)]
mod tests {
    use super::*;

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
