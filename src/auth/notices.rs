//! The mails that use cases compose beside sign-ins: to people about their account, and to admins about registrations.
//!
//! An admin gets one notice of a registration at once. Those that follow within [`WINDOW`] are told together: the first
//! of them leaves a digest to be sent when the window is over, and the others find it waiting. Who is in it is looked
//! up when it is sent, so people who have been decided about by then are not.

use std::time::Duration;

use super::Auth;
use crate::domain::{EmailAddress, Instant, Language, MailContent, Origin, Requested, SecurityEvent, clock};
use crate::store::{NewMail, StoreError, User};

/// Within so long of the last mail about registrations an admin gets no other.
const WINDOW: Duration = Duration::from_mins(10);

/// How long a mail is worth sending that nobody waits for at a screen.
const WORTH_SENDING: Duration = Duration::from_hours(72);

/// What mails about registrations to one admin are told together by.
pub(super) struct Fold(pub(super) String);

impl Fold {
    /// The mails to this admin.
    pub(super) fn of_registrations(admin: &EmailAddress) -> Self {
        Self(format!("registrations:{}", admin.key()))
    }
}

/// The content of a digest that was to tell of those who registered after somebody who registered at `registered`, so
/// that it tells of that one too; `None` when it does so anyway. Two who register at once may come here in either order.
pub(super) fn digest_from(content: &str, registered: Instant) -> Result<Option<String>, StoreError> {
    match serde_json::from_str(content) {
        Ok(MailContent::RegistrationDigest { since }) if since > registered => {
            let earlier = MailContent::RegistrationDigest { since: registered };
            serde_json::to_string(&earlier).map(Some).map_err(|error| unwritable(&error))
        }
        _ => Ok(None),
    }
}

fn unwritable(error: &dyn std::error::Error) -> StoreError {
    StoreError::Setup(format!("a mail could not be composed: {error}"))
}

fn requested(origin: &Origin, at: Instant) -> Requested {
    Requested { device: origin.device.as_str().to_owned(), address: origin.address_text(), at }
}

impl Auth {
    /// The admins, those included who are named in the settings and have not signed in yet, with their languages.
    pub(super) fn told_of_registrations<'a>(&'a self, admins: &'a [User]) -> Vec<(&'a EmailAddress, Language)> {
        let known = admins.iter().map(|admin| (&admin.email, admin.locale));
        let named = self.0.settings.admins.iter().filter(|email| admins.iter().all(|a| a.email.key() != email.key()));
        known.chain(named.map(|email| (email, Language::English))).collect()
    }

    /// Tells an admin that `applicant` waits: at once, or in a digest when the last mail of the fold is, or was, to be
    /// sent at `newest` and the window from there is not over.
    pub(super) fn registration_mail(
        &self,
        applicant: &User,
        admin: &EmailAddress,
        locale: Language,
        fold: Fold,
        newest: Option<Instant>,
        origin: &Origin,
    ) -> Result<NewMail, StoreError> {
        let over = newest.map(|newest| newest + clock::span(WINDOW)).filter(|over| *over > self.0.clock.now());
        let content = match over {
            Some(_) => MailContent::RegistrationDigest { since: applicant.created_at },
            None => MailContent::RegistrationNotice {
                user_id: applicant.id,
                email: applicant.email.to_string(),
                name: applicant.name.to_string(),
                note: applicant.note.to_string(),
                requested: requested(origin, applicant.created_at),
            },
        };
        let mut mail = NewMail { fold: Some(fold.0), ..self.mail(&content, admin, locale)? };
        if let Some(over) = over {
            (mail.next_attempt_at, mail.queued_until) = (over, over);
        }
        Ok(mail)
    }

    /// Tells the owner of an account that a device signed in that had not before.
    pub(super) fn new_device_notice(&self, user: &User, origin: &Origin) -> Result<NewMail, StoreError> {
        let content = MailContent::NewDevice { requested: requested(origin, self.0.clock.now()) };
        self.mail(&content, &user.email, user.locale)
    }

    /// Tells the owner of an account that something else about its safety changed.
    pub(super) fn security_notice(
        &self,
        user: &User,
        event: SecurityEvent,
        origin: &Origin,
    ) -> Result<NewMail, StoreError> {
        let content = MailContent::SecurityNotice { event, requested: requested(origin, self.0.clock.now()) };
        self.mail(&content, &user.email, user.locale)
    }

    /// A mail that nobody waits for at a screen.
    pub(super) fn mail(
        &self,
        content: &MailContent,
        recipient: &EmailAddress,
        locale: Language,
    ) -> Result<NewMail, StoreError> {
        let until = self.in_future(WORTH_SENDING);
        self.0.outbox.compose(content, recipient, locale, until).map_err(|error| unwritable(&error))
    }
}
