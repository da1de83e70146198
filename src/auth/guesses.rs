//! Whose budget a guess counts against, and how long somebody waits who has used it up.
//!
//! Strangers share one budget an account and kind of secret, whatever the challenge. A browser that has signed the
//! account in has one of its own ([`crate::domain::device_mark`]), and so has a session that asks for its password, so
//! nobody who knows only an address can keep its owner out. An address without an account has the same budgets.

use super::{Auth, AuthError};
use crate::domain::{DeviceId, DeviceMark, DeviceMarks, EmailAddress, GuessRule, SessionId, clock};
use crate::store;

/// Who is guessing.
pub(super) enum Guesser {
    /// Anybody.
    Stranger,
    /// A browser that has signed the account in.
    Known(DeviceId),
    /// Somebody who is signed in.
    SignedIn(SessionId),
}

impl Auth {
    /// Whose guesses these are, if they are about `email`.
    pub(super) fn guesser(&self, marks: &DeviceMarks, email: &EmailAddress) -> Guesser {
        let now = self.0.clock.now();
        let known = marks.find(|mark| mark.is_fresh(now) && self.0.keys.made_mark(mark, email.key()));
        known.map_or(Guesser::Stranger, |mark| Guesser::Known(mark.device()))
    }

    /// The marks of a browser that has just signed `email` in. One that was known already stays the same device, so
    /// that signing in again gives it no second budget.
    pub fn mark_device(&self, marks: &DeviceMarks, email: &EmailAddress) -> DeviceMarks {
        let known = marks.find(|mark| self.0.keys.made_mark(mark, email.key()));
        let device = known.map_or_else(|| DeviceId::generate(&self.0.entropy), DeviceMark::device);
        marks.with(self.0.keys.device_mark(email.key(), device, self.0.clock.now()))
    }

    /// Names the budget of failed guesses of a kind (`code`, `password`) for a mailbox.
    pub(super) fn guess_budget(&self, kind: &str, email: &EmailAddress, guesser: &Guesser) -> String {
        let mailbox = self.mailbox_hash(email);
        match guesser {
            Guesser::Stranger => format!("{kind}:{mailbox}"),
            Guesser::Known(device) => format!("{kind}:{mailbox}:{device}"),
            Guesser::SignedIn(session) => format!("{kind}:{mailbox}:{session}"),
        }
    }

    /// How a budget is spent.
    pub(super) fn guess_rule(&self) -> GuessRule {
        GuessRule {
            allowed: guesses(self.0.settings.guesses_per_account),
            at_once: guesses(self.0.settings.guesses_at_once),
            window: clock::span(self.0.settings.guess_window),
        }
    }

    /// Counts one guess against the budget, and commits it.
    pub(super) async fn spend_guess(&self, budget: &str) -> Result<(), AuthError> {
        let (rule, now) = (self.guess_rule(), self.0.clock.now());
        let left = store::transaction!(&self.0.database, async |conn, q| {
            q::guess_budgets::spend(conn, budget, &rule, now).await
        })?;
        if left { Ok(()) } else { Err(self.too_many_guesses(budget).await?) }
    }

    /// The refusal of a guess, with the time until the next is taken.
    pub(super) async fn too_many_guesses(&self, budget: &str) -> Result<AuthError, AuthError> {
        let stands = store::read!(&self.0.database, guess_budgets::by_subject(budget))?;
        let (rule, now) = (self.guess_rule(), self.0.clock.now());
        let wait = stands.map(|is| rule.wait(is.failures, is.window_started_at, is.guessed_at_ms, now));
        Ok(AuthError::TooManyGuesses { retry_after: wait.unwrap_or_default() })
    }
}

/// A number of guesses as the database counts.
pub(super) fn guesses(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
