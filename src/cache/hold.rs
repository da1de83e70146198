//! What must stand for a session and its user to be handed out together.
//!
//! **The life of a hold.** It is made of the stamps of two entries, and by itself it ends with the one that ends first: within a
//! second. But every second a [look](super::changes) at the database raises the guards of whatever had changed when it began,
//! and what the guards admit after that is what the database held at that moment. So a hold stands for as long as the last
//! of those looks is good for, too, without a load. Towards its end one reader is told to load the two anew, ahead of it:
//! where looks are late (the database is slow or away, the process was busy), and after six to eight seconds in any case. Without
//! a reader it lies there until then, or until its room is needed.
//!
//! **Why it is safe.** No hold lives as long as a guard stands. So each guard that was raised since the two were loaded is met by
//! every reader, however long ago the last one came, and who was held up until it may be gone is not handed anything. A reader
//! takes note of the last look before it meets the guards ([`Guards::sight`]), so that it meets those of that look.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant as Monotonic;

use super::guards::{GUARD_TTL, Guards, NEVER, Sight, Stamp, nanos};
use super::session::SessionName;
use crate::domain::UserId;
use crate::redis::keys;

/// See the module. What the hot path reads comes first. Moments are in the guards' [nanoseconds](Guards::nanos).
#[derive(Debug)]
#[repr(C)]
pub(super) struct Hold {
    /// Until when it stands by itself.
    until: u64,
    /// Until when looks may keep it.
    last: u64,
    /// The count of complete invalidations at which the guards last admitted both.
    admitted: AtomicU64,
    /// How long before its end it is to be loaded anew.
    lead: u64,
    renewing: AtomicBool,
    /// Whether somebody was handed it since room was last needed.
    wanted: AtomicBool,
    name: SessionName,
    session: (Box<str>, Stamp),
    user: (Box<str>, Stamp),
}

impl Hold {
    /// Of a session that was asked for by `name` and of its user.
    pub(super) fn new(guards: &Guards, name: SessionName, session: Stamp, user: (UserId, Stamp)) -> Self {
        let (id, user) = user;
        let first = if session.until() <= user.until() { session } else { user };
        Self {
            until: guards.nanos(first.until()),
            last: guards.nanos(session.began().min(user.began()) + first.early(GUARD_TTL)),
            admitted: AtomicU64::new(NEVER),
            lead: nanos(first.until().saturating_duration_since(first.renew_at())),
            renewing: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
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
    /// next reader.
    pub(super) fn stands(&self, guards: &Guards, sight: Sight, now: Monotonic) -> bool {
        let stands = !self.is_over(guards, sight, now) && self.is_admitted(guards, sight);
        if stands && !self.wanted.load(Ordering::Relaxed) {
            self.wanted.store(true, Ordering::Relaxed);
        }
        stands
    }

    /// Whether somebody was handed it since this was last asked.
    pub(super) fn was_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::Relaxed)
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self, guards: &Guards, sight: Sight, now: Monotonic) -> bool {
        self.end(sight) <= guards.nanos(now)
    }

    /// Whether the caller is to load the two anew, ahead of their end. Told to one reader who comes late enough.
    pub(super) fn is_to_be_renewed(&self, guards: &Guards, sight: Sight, now: Monotonic) -> bool {
        self.end(sight) <= guards.nanos(now).saturating_add(self.lead) && !self.renewing.swap(true, Ordering::Relaxed)
    }

    fn end(&self, sight: Sight) -> u64 {
        sight.good_until.min(self.last).max(self.until)
    }

    fn is_admitted(&self, guards: &Guards, sight: Sight) -> bool {
        if self.admitted.load(Ordering::Relaxed) == sight.raised {
            return true;
        }
        let halves = [&self.session, &self.user];
        let admitted = halves.iter().all(|(key, stamp)| guards.of(key).admits(stamp))
            // Asked last: a process that stood still may have met none because they are gone.
            && halves.iter().all(|(_, stamp)| stamp.is_guarded());
        if admitted {
            self.admitted.store(sight.raised, Ordering::Relaxed);
        }
        admitted
    }
}

#[cfg(test)]
mod tests;
