//! What a mail's text is made from beside its row: looked up when it is sent, not when it is accepted.

use crate::domain::{ChallengeId, Instant, MailContent};
use crate::store::{Challenge, Database, StoreError, User, read};

/// As many applicants as a digest names.
pub const NAMED: i64 = 20;

/// What a mail's text is made from beside its row.
#[derive(Clone, Debug)]
pub enum Facts {
    /// The row is enough.
    None,
    /// The challenge that a sign-in mail carries.
    Challenge(Box<Challenge>),
    /// Who waits for approval.
    Applicants {
        /// The first of them, at most [`NAMED`], in the order in which they registered.
        newest: Vec<User>,
        /// How many there are.
        total: i64,
    },
}

/// What has to be looked up for a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// This challenge, which has to be open still.
    Challenge(ChallengeId),
    /// Who waits for approval and registered at `since` or later; somebody has to.
    Applicants {
        /// The moment.
        since: Instant,
    },
}

impl Facts {
    /// What a mail with this content needs.
    pub fn needed(content: &MailContent) -> Need {
        match content {
            MailContent::SignIn { challenge_id, .. } => Need::Challenge(*challenge_id),
            MailContent::RegistrationDigest { since } => Need::Applicants { since: *since },
            _ => Need::Nothing,
        }
    }

    /// A challenge as it was found at `now`; `None` when its mail is of no more use: it is gone, answered or over.
    pub fn of_challenge(found: Option<Challenge>, now: Instant) -> Option<Self> {
        let is_open = |challenge: &Challenge| challenge.consumed_at.is_none() && now < challenge.expires_at;
        found.filter(is_open).map(|challenge| Self::Challenge(Box::new(challenge)))
    }
}

/// Looks up what a mail needs; `None` when it is of no more use, because its challenge is gone, answered or over, or
/// because nobody waits any more.
pub async fn load(database: &Database, content: &MailContent, now: Instant) -> Result<Option<Facts>, StoreError> {
    match Facts::needed(content) {
        Need::Nothing => Ok(Some(Facts::None)),
        Need::Challenge(id) => {
            let found = read!(database, challenges::by_id(id))?;
            Ok(Facts::of_challenge(found, now))
        }
        Need::Applicants { since } => {
            let newest = applicants(database, since).await?;
            let total = read!(database, users::count_pending_since(since))?;
            // Some may have been decided about in between.
            let total = total.max(i64::try_from(newest.len()).unwrap_or(i64::MAX));
            Ok((!newest.is_empty()).then_some(Facts::Applicants { newest, total }))
        }
    }
}

async fn applicants(database: &Database, since: Instant) -> Result<Vec<User>, StoreError> {
    read!(database, users::pending_since(since, NAMED))
}
