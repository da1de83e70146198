//! What must stand for a session and its user to be handed out together.
//!
//! **The life of a hold.** It is made of the stamps of two entries, and at first ends with the one that ends first: within a
//! second. When it is read late in that time, and a [look](super::changes) at the database has been completed meanwhile, the
//! reader prolongs it until two seconds after that look began, and so on from look to look, without a load. Where there is no
//! such look (the database is slow or away, the process was busy), and when it has gone on for [`LIFE`], one reader is told to
//! load the two anew. What is not read late in its time ends.
//!
//! **Why a look is as good as a load.** A look raises the guards of whatever had changed when it began. So a pair that the
//! guards admit after it is what the database held at that moment, and may be handed out for the two seconds that are
//! promised. Three rules keep that true:
//!
//! - Only what stands is prolonged. So it is found good once in every two seconds at least, and each guard that was raised
//!   since its load, which stands for ten, is met by one of those who find it good.
//! - A reader takes note of the look before it meets the guards ([`Guards::sight`]), so that it meets those of that look.
//! - It prolongs from the beginning of the look, not from its own time: a reader that was held up for long prolongs nothing.
//!
//! [`LIFE`] is a bound for what no look tells of: rows that were changed by hand.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant as Monotonic};

use super::changes::GOOD_FOR;
use super::guards::{Guards, Sight, Stamp, nanos};
use super::session::SessionName;
use crate::domain::UserId;
use crate::redis::keys;

/// For how long looks alone prolong a hold, at most.
const LIFE: Duration = Duration::from_secs(30);
/// No count of invalidations: what carries it has not been found good yet.
pub(super) const NEVER: u64 = u64::MAX;

/// See the module. What the hot path reads comes first. Times are in nanoseconds since `began`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Hold {
    /// When the load of the half began that ends first.
    began: Monotonic,
    /// Until when it stands, if the guards admit it.
    until: AtomicU64,
    /// From when on it is to be prolonged, or loaded anew.
    renew_at: AtomicU64,
    /// The count of complete invalidations at which the guards last admitted both.
    admitted: AtomicU64,
    renewing: AtomicBool,
    /// Beyond this it is not prolonged.
    last: u64,
    /// How long before its end a prolonged one is to be renewed.
    lead: u64,
    name: SessionName,
    session: (Box<str>, Stamp),
    user: (Box<str>, Stamp),
}

impl Hold {
    /// Of a session that was asked for by `name` and of its user.
    pub(super) fn new(name: SessionName, session: Stamp, user: (UserId, Stamp)) -> Self {
        let (id, user) = user;
        let first = if session.until() <= user.until() { session } else { user };
        let began = first.began();
        let since = |at: Monotonic| nanos(at.saturating_duration_since(began));
        Self {
            began,
            until: AtomicU64::new(since(first.until())),
            renew_at: AtomicU64::new(since(first.renew_at())),
            admitted: AtomicU64::new(NEVER),
            renewing: AtomicBool::new(false),
            last: nanos(first.early(LIFE)),
            lead: nanos(GOOD_FOR.saturating_sub(first.early(GOOD_FOR))),
            name,
            session: (name.key().into(), session),
            user: (keys::user_id(id).into(), user),
        }
    }

    /// By what name the session was asked for.
    pub(super) fn name(&self) -> SessionName {
        self.name
    }

    /// Whether the two may be handed out `now`. `sight` was taken before: a guard that is raised in between is met by the
    /// next reader. Prolongs it where that is due and a look allows it.
    pub(super) fn stands(&self, guards: &Guards, sight: Sight, now: Monotonic) -> bool {
        let now = self.nanos(now);
        if self.until.load(Ordering::Relaxed) <= now || !self.is_admitted(guards, sight) {
            return false;
        }
        if self.renew_at.load(Ordering::Relaxed) <= now {
            self.prolong(guards.confirmed_until(sight));
        }
        true
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self, now: Monotonic) -> bool {
        self.until.load(Ordering::Relaxed) <= self.nanos(now)
    }

    /// Whether the caller is to load the two anew, ahead of their end. Told to one reader who comes late enough.
    pub(super) fn is_to_be_renewed(&self, now: Monotonic) -> bool {
        self.renew_at.load(Ordering::Relaxed) <= self.nanos(now) && !self.renewing.swap(true, Ordering::Relaxed)
    }

    fn is_admitted(&self, guards: &Guards, sight: Sight) -> bool {
        if self.admitted.load(Ordering::Relaxed) == sight.raised {
            return true;
        }
        let admitted = [&self.session, &self.user].into_iter().all(|(key, stamp)| guards.of(key).admits(stamp));
        if admitted {
            self.admitted.store(sight.raised, Ordering::Relaxed);
        }
        admitted
    }

    fn prolong(&self, until: Monotonic) {
        let until = self.nanos(until).min(self.last);
        if self.until.fetch_max(until, Ordering::Relaxed) < until {
            self.renew_at.fetch_max(until.saturating_sub(self.lead), Ordering::Relaxed);
        }
    }

    fn nanos(&self, at: Monotonic) -> u64 {
        nanos(at.saturating_duration_since(self.began))
    }
}

#[cfg(test)]
mod tests;
