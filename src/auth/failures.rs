//! Failed sign-ins on their way into the audit trail.
//!
//! Who fails decides how often, so what failures may write is bounded: those of one kind, mailbox and client address are
//! folded into one line a minute, which says how many they were. The first is written within a second. An instance keeps
//! [`FOLDS`] of them apart; what else comes within the minute is told together, without mailbox and address.
//!
//! A request only counts in memory: it waits for nothing and takes as long for a mailbox that nobody has. Housekeeping
//! writes once a second ([`Auth::write_failures`]), and once more when the server stops; a crash loses a second's
//! failures at most, and up to a minute's repeats.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;

use super::{Auth, AuthError};
use crate::domain::{EmailAddress, Instant, Origin};
use crate::limit::subject;
use crate::store::{self, AuditEntry, Challenge, StoreError};

/// How many failures are told apart at a time.
const FOLDS: usize = 200;
/// How long those of one fold wait to be told together.
const WINDOW: TimeDelta = TimeDelta::minutes(1);

/// How a sign-in failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Failure {
    /// A wrong code for an open challenge.
    WrongCode,
    /// A code for a challenge that is answered, over, burnt or unknown.
    StaleCode,
    /// A link that is forged, used or over.
    WrongLink,
    /// A wrong password, or one of a mailbox that has none.
    WrongPassword,
    /// The wrong code that burnt its challenge.
    BurntChallenge,
    /// Refused without a look: the mailbox has no guess left.
    NoGuessLeft,
}

impl Failure {
    fn action(self) -> &'static str {
        match self {
            Self::WrongCode | Self::StaleCode | Self::WrongLink | Self::WrongPassword => "sign_in.failed",
            Self::BurntChallenge | Self::NoGuessLeft => "sign_in.locked",
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::WrongCode => "wrong code",
            Self::StaleCode => "code of a challenge that is not open",
            Self::WrongLink => "link that is not valid",
            Self::WrongPassword => "wrong password",
            Self::BurntChallenge => "the challenge has no guess left",
            Self::NoGuessLeft => "the account has no guess left",
        }
    }
}

/// What failures are told together by: the mailbox's key and where they came from, both left out once there are too many.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Fold {
    failure: Failure,
    mailbox: Option<String>,
    address: Option<String>,
}

/// Failures of one fold.
#[derive(Clone, Debug)]
struct Counted {
    /// How many have not been told.
    times: i32,
    /// When the newest was, and where it came from.
    newest: (Instant, Origin),
    /// When they were last told.
    told: Option<Instant>,
}

/// Counts failures in memory, until they are written.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<Fold, Counted>>);

impl Failures {
    fn folds(&self) -> MutexGuard<'_, HashMap<Fold, Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, failure: Failure, mailbox: Option<&EmailAddress>, origin: &Origin, at: Instant) {
        let mailbox = mailbox.map(|email| email.key().to_owned());
        let fold = Fold { failure, mailbox, address: Some(subject::address(origin.address)) };
        self.add(fold, 1, (at, origin.clone()));
    }

    fn add(&self, fold: Fold, times: i32, newest: (Instant, Origin)) {
        let mut folds = self.folds();
        let fits = folds.len() < FOLDS || folds.contains_key(&fold);
        let fold = if fits { fold } else { Fold { mailbox: None, address: None, ..fold } };
        let counted = folds.entry(fold).or_insert_with(|| Counted { times: 0, newest: newest.clone(), told: None });
        counted.times = counted.times.saturating_add(times);
        counted.newest = newest;
    }

    /// Takes what is to be told at `now`: what has not been told within the last minute, or `everything`.
    fn take(&self, now: Instant, everything: bool) -> Vec<(Fold, i32, (Instant, Origin))> {
        let mut folds = self.folds();
        let mut taken = Vec::new();
        folds.retain(|fold, counted| {
            if !everything && counted.told.is_some_and(|told| now - told < WINDOW) {
                return true;
            }
            if counted.times == 0 {
                return false;
            }
            taken.push((fold.clone(), std::mem::take(&mut counted.times), counted.newest.clone()));
            counted.told = Some(now);
            true
        });
        taken
    }
}

impl Auth {
    /// Counts a sign-in that failed, by whoever asked to prove `mailbox`; `None` where that is not known.
    pub(super) fn note_failure(&self, failure: Failure, mailbox: Option<&EmailAddress>, origin: &Origin) {
        self.0.failures.note(failure, mailbox, origin, self.0.clock.now());
    }

    /// Counts a wrong code for `challenge`, which has been counted as a guess, and whether it was the last of `allowed`.
    pub(super) fn note_wrong_code(&self, challenge: &Challenge, allowed: i32, origin: &Origin) {
        self.note_failure(Failure::WrongCode, Some(&challenge.email), origin);
        if challenge.attempts >= allowed {
            self.note_failure(Failure::BurntChallenge, Some(&challenge.email), origin);
        }
    }

    /// Passes an outcome on, and counts a refusal as a failure of its kind.
    pub(super) fn noted<T>(
        &self,
        outcome: Result<T, AuthError>,
        mailbox: Option<&EmailAddress>,
        origin: &Origin,
    ) -> Result<T, AuthError> {
        let failure = match &outcome {
            Err(AuthError::InvalidLink) => Some(Failure::WrongLink),
            Err(AuthError::InvalidCredentials) => Some(Failure::WrongPassword),
            Err(AuthError::TooManyGuesses { .. }) => Some(Failure::NoGuessLeft),
            _ => None,
        };
        if let Some(failure) = failure {
            self.note_failure(failure, mailbox, origin);
        }
        outcome
    }

    /// Writes the failures that are to be told now into the audit trail, or `everything` at the end; gives how many
    /// lines that were. What cannot be written is kept for the next time.
    pub async fn write_failures(&self, everything: bool) -> Result<usize, AuthError> {
        let taken = self.0.failures.take(self.0.clock.now(), everything);
        if taken.is_empty() {
            return Ok(0);
        }
        let outcome = self.write(&taken).await;
        if outcome.is_err() {
            for (fold, times, newest) in taken {
                self.0.failures.add(fold, times, newest);
            }
        }
        outcome
    }

    async fn write(&self, taken: &[(Fold, i32, (Instant, Origin))]) -> Result<usize, AuthError> {
        let mut keys: Vec<String> = taken.iter().filter_map(|(fold, ..)| fold.mailbox.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        let owners = store::read!(&self.0.database, users::ids_by_email_keys(&keys))?;
        let entries: Vec<AuditEntry> = taken
            .iter()
            .map(|(fold, times, newest)| {
                let key = fold.mailbox.as_ref();
                let subject = key.and_then(|key| owners.iter().find(|(of, _)| of == key)).map(|(_, id)| *id);
                // Named by a keyed hash, whoever it belongs to: strangers type addresses of people who have no account here.
                let mailbox = key.map(|key| format!(", mailbox {:.16}", self.0.keys.subject_hash(key)));
                let (at, origin) = newest;
                let detail = format!("{}{}", fold.failure.detail(), mailbox.unwrap_or_default());
                let entry = self.audit_entry(fold.failure.action(), None, subject, origin, detail);
                let entry = AuditEntry { at: *at, times: *times, ..entry };
                if fold.address.is_some() {
                    return entry;
                }
                let detail = format!("{}, many mailboxes or addresses", entry.detail);
                AuditEntry { address: String::new(), device: String::new(), detail, ..entry }
            })
            .collect();
        store::transaction!(&self.0.database, async |conn, q| {
            for entry in &entries {
                q::audit::insert(conn, entry).await?;
            }
            Ok::<_, StoreError>(())
        })?;
        Ok(entries.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Device;

    fn at(second: i64) -> Instant {
        Instant::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn from(last: u16) -> Origin {
        let [high, low] = last.to_be_bytes();
        Origin { address: [10, 0, high, low].into(), device: Device::describe(None) }
    }

    fn email(name: &str) -> EmailAddress {
        format!("{name}@example.com").parse().unwrap()
    }

    #[test]
    fn the_first_is_told_at_once_and_its_repeats_once_a_minute() {
        let failures = Failures::default();
        let fail = |second| failures.note(Failure::WrongCode, Some(&email("ada")), &from(1), at(second));
        let told = |second| failures.take(at(second), false).iter().map(|(_, times, _)| *times).collect::<Vec<_>>();
        fail(0);
        assert_eq!(told(1), [1]);
        (2..=40).for_each(fail);
        assert!(told(41).is_empty() && told(60).is_empty());
        assert_eq!(told(61), [39]);
        assert!(told(121).is_empty(), "there was nothing more");
        assert!(failures.folds().is_empty(), "and nothing is remembered");
        fail(130);
        assert_eq!(told(131), [1]);
    }

    #[test]
    fn kinds_mailboxes_and_addresses_are_told_apart() {
        let failures = Failures::default();
        failures.note(Failure::WrongCode, Some(&email("ada")), &from(1), at(0));
        failures.note(Failure::WrongCode, Some(&email("ADA")), &from(1), at(0));
        failures.note(Failure::WrongCode, Some(&email("ada")), &from(2), at(0));
        failures.note(Failure::WrongCode, Some(&email("bob")), &from(1), at(0));
        failures.note(Failure::WrongLink, None, &from(1), at(0));
        let mut times: Vec<i32> = failures.take(at(1), false).iter().map(|(_, times, _)| *times).collect();
        times.sort_unstable();
        assert_eq!(times, [1, 1, 1, 2]);
    }

    #[test]
    fn a_flood_from_everywhere_writes_a_bounded_number_of_lines_and_counts_all() {
        let failures = Failures::default();
        for last in 0..5000 {
            failures.note(Failure::WrongCode, Some(&email("ada")), &from(last), at(0));
        }
        let taken = failures.take(at(1), false);
        assert_eq!(taken.len(), FOLDS + 1);
        assert_eq!(taken.iter().map(|(_, times, _)| *times).sum::<i32>(), 5000);
        let rest = taken.iter().find(|(fold, ..)| fold.address.is_none()).unwrap();
        assert_eq!((rest.1, &rest.0.mailbox), (5000 - i32::try_from(FOLDS).unwrap(), &None));
    }

    #[test]
    fn the_end_tells_everything() {
        let failures = Failures::default();
        let fail = || failures.note(Failure::WrongLink, None, &from(1), at(0));
        fail();
        failures.take(at(0), false);
        fail();
        assert!(failures.take(at(1), false).is_empty());
        assert_eq!(failures.take(at(1), true).len(), 1);
    }
}
