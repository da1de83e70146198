//! The use cases: what people, admins and clients do with Gatepost. No HTTP and no SQL.
//!
//! A sign-in's life: [`Auth::request_challenge`] commits a challenge and its mail together. The person answers with the
//! code ([`Auth::verify_code`]: the guess is counted and committed, then compared) or with the link
//! ([`Auth::verify_link`]). Either consumes the challenge in the same transaction that finds or makes the account and
//! starts the session, so a crash leaves a challenge either unanswered or answered with its session in place.
//! From then on [`Auth::authenticate`] recognises the session by its token, from the cache where it can, until it
//! ends: by [`Auth::log_out`], by its lifetimes, or by an admin's decision about the account.

mod access_token;
mod admission;
mod approval;
mod audit;
mod cache_steering;
mod captcha;
mod challenge;
mod directory;
mod error;
mod failures;
#[doc(hidden)]
pub mod fuzzing;
mod guesses;
mod limit_steering;
mod mail_steering;
mod notices;
mod password;
mod password_rules;
mod profile;
mod refresh;
mod screening;
mod session;
mod suppressions;

use std::sync::Arc;
use std::time::Duration;

pub use access_token::{AccessToken, AccessTokens};
pub use admission::{Admission, Credentials, Mode, SignedIn};
pub use approval::{UserPage, UserQuery};
pub use audit::{AUDIT_ACTIONS, AuditPage, AuditParty, AuditQuery};
pub use captcha::{Captcha, CaptchaError};
pub use challenge::{ChallengeRequest, IssuedChallenge, LinkPreview, Registration};
pub use directory::CountedStats;
pub use error::AuthError;
pub use mail_steering::{DeadMails, MailPage, MailQuery, MailRefusal, RetriedMails};
pub use password::PasswordHashing;
pub use refresh::Refreshed;
pub use screening::Screening;
pub use session::{AskedRedis, Authenticated, Credential};
pub use suppressions::{NewSuppression, SuppressionPage};

use crate::cache::Cache;
use crate::domain::{Clock, Entropy, Instant, KeyRing, clock};
use crate::mail::Outbox;
use crate::settings;
use crate::store::Database;

/// Everything that the use cases work with. Clones share it.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

/// The parts, and what the use cases remember beside them.
struct Inner {
    parts: Parts,
    failures: failures::Failures,
}

impl std::ops::Deref for Inner {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// The parts of [`Auth`], named for its construction.
pub struct Parts {
    /// The truth.
    pub database: Database,
    /// What makes it fast.
    pub cache: Cache,
    /// Where mails are accepted.
    pub outbox: Outbox,
    /// Codes, links, hashes of subjects.
    pub keys: Arc<KeyRing>,
    /// Signs and checks access tokens.
    pub access_tokens: AccessTokens,
    /// Hashes passwords without starving anybody else.
    pub passwords: PasswordHashing,
    /// The database's time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// Which strangers get no mail.
    pub screening: Screening,
    /// Who may sign in, and how.
    pub settings: settings::Auth,
    /// How long sessions last.
    pub sessions: settings::Sessions,
}

impl Auth {
    /// Joins the parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner { parts, failures: failures::Failures::default() }))
    }

    /// The settings that the use cases follow.
    pub fn settings(&self) -> &settings::Auth {
        &self.0.settings
    }

    /// The database's time.
    pub fn now(&self) -> Instant {
        self.0.clock.now()
    }

    /// A keyed hash of a mailbox, the same for its spellings: names it in shared stores without giving it away.
    pub fn mailbox_hash(&self, email: &crate::domain::EmailAddress) -> String {
        self.0.keys.subject_hash(email.key())
    }

    /// The public keys of access tokens.
    pub fn jwks(&self) -> &serde_json::Value {
        self.0.access_tokens.jwks()
    }

    fn in_future(&self, after: Duration) -> Instant {
        self.0.clock.now() + clock::span(after)
    }
}

/// Names of the locks that order transactions which must not overlap.
mod locks {
    /// Held while admins are made, unmade or counted.
    pub(super) const ADMINS: i64 = i64::from_be_bytes(*b"gp admin");
    /// Held while it is decided how admins learn of a registration. Taken after [`ADMINS`], where both are.
    pub(super) const NOTICES: i64 = i64::from_be_bytes(*b"gp notes");
}
