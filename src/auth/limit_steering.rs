//! What admins and operators do with the request limits: look a subject up by what they know of it, and give it a fresh
//! start.

use std::net::IpAddr;

use super::guesses::Guesser;
use super::{Auth, AuthError};
use crate::domain::{DeviceMarks, EmailAddress, Origin};
use crate::limit::{Check, Limiter, PolicyName, SubjectKind, subject};
use crate::store::{self, User};

/// How long a keyed hash is as text.
const HASH_LENGTH: usize = 32;

impl Auth {
    /// A keyed hash of a mailbox with its aliases: see [`EmailAddress::abuse_key`].
    pub fn abuse_hash(&self, email: &EmailAddress) -> String {
        self.0.keys.subject_hash(&email.abuse_key())
    }

    /// As whom requests about a mailbox are counted: strangers all together, and each browser that has signed the account
    /// in by itself, so that strangers use up nothing but their own limit.
    pub fn limited_mailbox(&self, email: &EmailAddress, marks: &DeviceMarks) -> String {
        self.counted_apart(self.mailbox_hash(email), email, marks)
    }

    /// The same for a mailbox with its aliases.
    pub fn limited_aliases(&self, email: &EmailAddress, marks: &DeviceMarks) -> String {
        self.counted_apart(self.abuse_hash(email), email, marks)
    }

    fn counted_apart(&self, hash: String, email: &EmailAddress, marks: &DeviceMarks) -> String {
        match self.guesser(marks, email) {
            Guesser::Known(device) => format!("{hash}:{device}"),
            Guesser::Stranger | Guesser::SignedIn(_) => hash,
        }
    }

    /// A keyed hash of the domain of a mailbox.
    pub fn domain_hash(&self, domain: &str) -> String {
        self.0.keys.subject_hash(domain)
    }

    /// The subject of `policy` that a person means: an e-mail address, a domain or a client address as it is written, or
    /// the form in which the limiter keeps it. `None` when `text` is nothing that `policy` counts by.
    pub fn limit_subject(&self, policy: PolicyName, text: &str) -> Option<Check> {
        let text = text.trim();
        let hashed = is_hash(text).then(|| text.to_owned());
        let email = || EmailAddress::parse(text).ok();
        let ip = || text.split_once('/').map_or(text, |(address, _)| address).parse::<IpAddr>().ok();
        let subject = match policy.subject() {
            SubjectKind::Mailbox => hashed.or_else(|| Some(self.mailbox_hash(&email()?))),
            SubjectKind::AbuseKey => hashed.or_else(|| Some(self.abuse_hash(&email()?))),
            SubjectKind::Domain => hashed.or_else(|| {
                // A domain is read as the one of an address in it.
                let in_it = if text.contains('@') { text.to_owned() } else { format!("postmaster@{text}") };
                Some(self.domain_hash(EmailAddress::parse(&in_it).ok()?.domain()))
            }),
            SubjectKind::Address => ip().map(subject::address),
            SubjectKind::Network => ip().and_then(subject::network),
            SubjectKind::Everybody => (text == subject::EVERYBODY).then(|| text.to_owned()),
        };
        Some(Check::new(policy, subject?))
    }

    /// Has `limiter` forget what it has counted for `check`, and notes who wanted that; `actor` is `None` for an operator
    /// at the command line. Gives whether every instance has forgotten: otherwise Redis is away, and only this one has.
    /// Fails when it cannot be noted; what has been forgotten stays so.
    pub async fn reset_limit(
        &self,
        limiter: &Limiter,
        actor: Option<&User>,
        check: &Check,
        origin: &Origin,
    ) -> Result<bool, AuthError> {
        let everywhere = limiter.reset(check).await.is_ok();
        let detail = format!("{} {}", check.policy, check.subject);
        let entry = self.audit_entry("limit.reset", actor.map(|actor| actor.id), None, origin, detail);
        store::update!(&self.0.database, audit::insert(&entry))?;
        Ok(everywhere)
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == HASH_LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
