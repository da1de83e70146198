//! The mailbox for development: the mails that nobody was asked to carry, in memory only.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::transport::Outgoing;
use crate::domain::{Instant, MailId, OneTimeCode};

/// As many mails as are kept.
const KEPT: usize = 200;

/// A mail that was kept instead of sent. Its code and link work, so `Debug` shows neither, nor the text.
#[derive(Clone, Serialize)]
pub struct DevMail {
    /// The mail's id.
    pub id: MailId,
    /// Whom it is for.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// Its plain text.
    pub text: String,
    /// Its HTML.
    pub html: String,
    /// Its kind.
    pub kind: String,
    /// When it was accepted.
    pub created_at: Instant,
    /// The code in it.
    pub code: Option<String>,
    /// The link in it.
    pub link: Option<String>,
}

impl fmt::Debug for DevMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevMail").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The newest 200 mails. Clones share them.
#[derive(Clone, Default)]
pub struct DevMailbox(Arc<Mutex<VecDeque<DevMail>>>);

impl DevMailbox {
    /// The mails, newest first.
    pub fn messages(&self) -> Vec<DevMail> {
        self.mails().iter().cloned().collect()
    }

    /// The mail with this id, if it is still kept.
    pub fn message(&self, id: MailId) -> Option<DevMail> {
        self.mails().iter().find(|mail| mail.id == id).cloned()
    }

    pub(super) fn keep(&self, outgoing: &Outgoing<'_>) {
        let (row, rendered) = (outgoing.mail, outgoing.rendered);
        let mail = DevMail {
            id: row.id,
            to: outgoing.recipient.as_str().to_owned(),
            subject: rendered.subject.clone(),
            text: rendered.text.clone(),
            html: rendered.html.clone(),
            kind: row.kind.clone(),
            created_at: row.created_at,
            code: rendered.code.as_ref().map(OneTimeCode::expose).map(str::to_owned),
            link: rendered.link.as_ref().map(|link| link.expose().clone()),
        };
        let mut mails = self.mails();
        // A repeat takes the place of the first copy.
        mails.retain(|kept| kept.id != mail.id);
        mails.push_front(mail);
        mails.truncate(KEPT);
    }

    fn mails(&self) -> MutexGuard<'_, VecDeque<DevMail>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for DevMailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DevMailbox({} mails)", self.mails().len())
    }
}
