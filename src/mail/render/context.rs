//! What templates are told about a mail.
//!
//! Every mail has a `topic`, the beginning of the names of its messages (`approved-heading`, `approved-text`, …), and
//! tells facts in `rows` of a label and a value. Sign-in mails add a code and a link; all others are notices, which
//! add what the skeleton `notice.html` arranges: a name to greet, people, a note, a button, an advice.

use std::sync::Arc;

use minijinja::{Value, context};

use super::stencil::Particulars;
use super::words::moment;
use crate::domain::{Instant, Language, MailContent, Requested, SecurityEvent, SignInForm};
use crate::store::User;
use crate::templates::{Said, Speech, TemplateError};

/// What templates are told: values for themselves, and values for the messages that they say.
pub(super) struct Context {
    language: Language,
    topic: &'static str,
    values: Vec<(&'static str, Value)>,
    said: Vec<(&'static str, Said)>,
    rows: Vec<Value>,
}

impl Context {
    fn new(language: Language, topic: &'static str) -> Self {
        Self { language, topic, values: Vec::with_capacity(20), said: Vec::with_capacity(8), rows: Vec::new() }
    }

    /// A sign-in mail, whose code and link work for so many minutes.
    pub(super) fn of_sign_in(
        language: Language,
        form: SignInForm,
        minutes: i64,
        particulars: &Particulars<'_>,
    ) -> Self {
        let topic = match form {
            SignInForm::Code => "code",
            SignInForm::MagicLink => "magic-link",
            SignInForm::CodeAndLink => "code-and-link",
        };
        let mut told = Self::new(language, topic);
        told.tell("code", form.has_code().then_some(particulars.code));
        told.tell("link", form.has_link().then_some(particulars.link));
        told.say("code", particulars.code);
        told.say("code_spaced", particulars.code_spaced);
        told.said.push(("minutes", Said::Number(minutes)));
        told.requested(particulars.device, particulars.address, particulars.time);
        told
    }

    /// A mail of any other kind.
    pub(super) fn of_notice(
        speech: &Arc<Speech>,
        content: &MailContent,
        applicants: Option<(&[User], i64)>,
        public_url: &str,
        product: &str,
    ) -> Result<Self, TemplateError> {
        let mut told = Self::new(speech.language(), topic(content));
        let mut notice = Notice { advice: "security-advice", ..Notice::default() };
        let page = |path: &str| format!("{public_url}{path}");
        match content {
            MailContent::SignIn { .. } => {}
            MailContent::RegistrationNotice { user_id, email, name, note, requested } => {
                told.say("email", email);
                told.foreign_row("label-email", email);
                let name = if name.is_empty() {
                    speech.text("name-not-given", &[])?
                } else {
                    speech.text("quoted", &[("text", Said::Text(name.clone()))])?
                };
                told.row("label-name", name);
                told.requested_of(speech, requested)?;
                notice.note = ("registration-note", note);
                notice.button = Some(("button-review", page(&format!("/admin/approvals/{user_id}"))));
                notice.advice = "registration-advice";
            }
            MailContent::RegistrationDigest { since } => {
                told.people(applicants.unwrap_or_default(), *since, public_url);
                notice.button = Some(("button-list", page("/admin")));
                notice.advice = "digest-advice";
            }
            MailContent::AccountApproved { name, note } => {
                notice.name = name;
                notice.note = ("admin-note", note);
                notice.button = Some(("button-sign-in", page("/login")));
                notice.advice = "no-password-advice";
            }
            MailContent::AccountRejected { name, note } => {
                notice.name = name;
                notice.note = ("admin-note", note);
                notice.advice = "rejected-advice";
            }
            MailContent::NewDevice { requested } => {
                told.requested_of(speech, requested)?;
                notice.button = Some(("button-account", page("/account")));
            }
            MailContent::AddressChanged { new_address_masked, requested } => {
                told.foreign_row("label-new-email", new_address_masked);
                told.requested_of(speech, requested)?;
                notice.advice = "address-changed-advice";
            }
            MailContent::Invitation { inviter, name } => {
                told.say("inviter", if inviter.is_empty() { product } else { inviter });
                notice.name = name;
                notice.button = Some(("button-sign-in", page("/login")));
                notice.advice = "invitation-advice";
            }
            MailContent::SecurityNotice { event, requested } => {
                told.requested_of(speech, requested)?;
                notice.button = Some(("button-account", page("/account")));
                if *event == SecurityEvent::RoleChanged {
                    notice.advice = "role-changed-advice";
                }
            }
        }
        told.arrange(notice);
        Ok(told)
    }

    fn tell(&mut self, name: &'static str, value: impl Into<Value>) {
        self.values.push((name, value.into()));
    }

    fn say(&mut self, name: &'static str, text: &str) {
        self.said.push((name, Said::Text(text.to_owned())));
    }

    /// A fact in the words of the mail's language.
    fn row(&mut self, label: &'static str, value: String) {
        self.rows.push(context! { label, value, foreign => false });
    }

    /// A fact that is the same in every language, such as an address.
    fn foreign_row(&mut self, label: &'static str, value: &str) {
        self.rows.push(context! { label, value, foreign => true });
    }

    /// Who asked, from where and when.
    fn requested(&mut self, device: &str, address: &str, time: &str) {
        self.row("label-device", device.to_owned());
        self.foreign_row("label-address", address);
        self.row("label-time", time.to_owned());
    }

    fn requested_of(&mut self, speech: &Speech, requested: &Requested) -> Result<(), TemplateError> {
        let (device, time) = (device(speech, &requested.device)?, moment(self.language, requested.at));
        self.requested(&device, &requested.address, &time);
        Ok(())
    }

    fn people(&mut self, (newest, total): (&[User], i64), since: Instant, public_url: &str) {
        let page = |user: &User| format!("{public_url}/admin/approvals/{}", user.id);
        let person =
            |user: &User| context! { email => user.email.as_str(), name => user.name.as_str(), url => page(user) };
        self.tell("people", newest.iter().map(person).collect::<Vec<_>>());
        let more = total - i64::try_from(newest.len()).unwrap_or(total);
        self.tell("more", more);
        self.said.extend([("total", Said::Number(total)), ("more", Said::Number(more))]);
        self.say("since", &moment(self.language, since));
    }

    fn arrange(&mut self, notice: Notice<'_>) {
        self.say("name", notice.name);
        self.tell("name", notice.name);
        self.tell("note", notice.note.1);
        self.tell("note_label", notice.note.0);
        self.tell("advice", notice.advice);
        let button = notice.button.map(|(label, url)| context! { label, url });
        self.tell("button", button);
        if !self.values.iter().any(|(name, _)| *name == "people") {
            self.tell("people", Vec::<Value>::new());
            self.tell("more", 0);
        }
    }

    /// The context as templates get it. `common` are the values of every mail.
    pub(super) fn finish(self, speech: &Arc<Speech>, recipient: &str, product: &str, public_url: &str) -> Values {
        let Self { topic, mut values, mut said, rows, language } = self;
        said.push(("recipient", Said::Text(recipient.to_owned())));
        values.extend([
            ("product", product.into()),
            ("public_url", public_url.into()),
            ("recipient", recipient.into()),
            ("lang", language.as_str().into()),
            ("dir", if language.is_rtl() { "rtl" } else { "ltr" }.into()),
            ("topic", topic.into()),
            ("rows", rows.into()),
            ("t", speech.about(said)),
        ]);
        Values(values)
    }
}

/// The values of a mail by name.
pub(super) struct Values(Vec<(&'static str, Value)>);

impl Values {
    pub(super) fn add(&mut self, name: &'static str, value: &str) {
        self.0.push((name, value.into()));
    }

    pub(super) fn value(&self) -> Value {
        Value::from_pairs(self.0.iter().cloned())
    }
}

/// What the skeleton of notices arranges. An empty name is not greeted, an empty note not shown.
#[derive(Default)]
struct Notice<'a> {
    name: &'a str,
    /// Its label and what somebody wrote.
    note: (&'static str, &'a str),
    /// Its label and where it leads.
    button: Option<(&'static str, String)>,
    advice: &'static str,
}

fn topic(content: &MailContent) -> &'static str {
    match content {
        MailContent::SignIn { .. } => "code-and-link",
        MailContent::RegistrationNotice { .. } => "registration",
        MailContent::RegistrationDigest { .. } => "digest",
        MailContent::AccountApproved { .. } => "approved",
        MailContent::AccountRejected { .. } => "rejected",
        MailContent::NewDevice { .. } => "new-device",
        MailContent::AddressChanged { .. } => "address-changed",
        MailContent::Invitation { .. } => "invitation",
        MailContent::SecurityNotice { event, .. } => match event {
            SecurityEvent::PasswordChanged => "password-changed",
            SecurityEvent::RefreshTokenReused => "refresh-token-reused",
            SecurityEvent::SessionsEnded => "sessions-ended",
            SecurityEvent::RoleChanged => "role-changed",
        },
    }
}

/// A device's description, which is stored in English, in the language of the mail.
pub(super) fn device(speech: &Speech, stored: &str) -> Result<String, TemplateError> {
    match stored.split_once(" on ") {
        Some((browser, system)) => {
            let (browser, system) = (Said::Text(browser.to_owned()), Said::Text(system.to_owned()));
            speech.text("device-on", &[("browser", browser), ("system", system)])
        }
        None if stored == "Unknown device" => speech.text("device-unknown", &[]),
        None => Ok(stored.to_owned()),
    }
}
