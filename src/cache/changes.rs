//! The look for changed rows: what bounds staleness when Redis, pub/sub or a process dies between a commit and its
//! invalidation.
//!
//! Once a second every instance reads which rows have changed, and makes sure that Redis and its own memory hold
//! nothing older. What is in memory then is as good as if it had been read when the look began
//! ([`Guards::confirm`](super::guards::Guards::confirm)), with Redis or without one. A look reads [`MARGIN`] further back than
//! it must, for transactions that commit late, and remembers what it has dealt with. Each change is dealt with twice, the
//! second time when no fill that began before the change can come any more: so it stays forgotten even if Redis loses the
//! first tombstone. The first look, and the first after Redis was away, goes back as far as anything in Redis can be old.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant as Monotonic};

use futures_util::future::join;
use tokio::sync::watch;

use super::session::{SESSION_TTL, session_marks};
use super::shared::{Belief, Mark};
use super::user::USER_TTL;
use super::write::changed_marks;
use super::{Cache, tier};
use crate::domain::clock::span;
use crate::domain::{Digest, Instant, SessionId, UserId};
use crate::store::{ChangedUser, StoreError, read};

/// How long a transaction may take from when it takes its time to when it commits: more than it waits for a connection, which is
/// ten seconds at most by the bounds of `database.pool_timeout`, and [`STATEMENT_PATIENCE`](crate::store::STATEMENT_PATIENCE).
/// So whoever writes users or sessions takes the time right before the transaction.
pub(super) const MARGIN: Duration = Duration::from_secs(20);
/// After looks were this far apart the database was away, or stood still: what was sent to it before may be committed
/// only now, with the time of then.
const GAP: Duration = Duration::from_secs(4);
/// When a change is dealt with again: later than a fill may come that began before it.
const AGAIN_AFTER: Duration = tier::TTL.saturating_add(Duration::from_millis(200));
/// Rows of one query.
pub(super) const PAGE: i64 = 1000;
pub(super) const PAGE_LEN: usize = 1000;

/// What the looks so far have dealt with.
pub(super) struct Look {
    available: Option<watch::Receiver<bool>>,
    /// Whether Redis may hold what no look has checked.
    owes: bool,
    /// When the last complete look began; `None` before the first.
    last: Option<Instant>,
    /// The last look before a [`GAP`], and until when changes from then on are read.
    stalled: Option<(Instant, Instant)>,
    users: HashMap<UserId, Handled>,
    sessions: HashMap<SessionId, Handled>,
}

/// A row that has changed, and by what else it is cached.
struct Change<K, T> {
    id: K,
    of: T,
    version: i64,
    changed: Instant,
}

struct Handled {
    version: i64,
    changed: Instant,
    /// When it is due again; `None` after that.
    again: Option<Monotonic>,
}

impl Look {
    pub(super) fn new(available: Option<watch::Receiver<bool>>) -> Self {
        Self { available, owes: true, last: None, stalled: None, users: HashMap::new(), sessions: HashMap::new() }
    }

    /// What this look will be worth in Redis, if that is there. One that was away in between, or is met for the first time, has
    /// to be dealt with anew.
    fn begin(&mut self) -> Option<Belief> {
        let available = self.available.as_mut()?;
        let (flipped, there) = {
            let seen = available.borrow_and_update();
            (seen.has_changed(), *seen)
        };
        let belief = there.then(|| Belief::from_now_on(available.clone()));
        self.owes |= flipped || !there;
        if self.owes && there {
            self.users.clear();
            self.sessions.clear();
        }
        belief
    }

    /// From when on changes are read by a look at `now`: as far back as anything in Redis can be old if it is `there` and was not
    /// checked yet.
    fn since(&mut self, now: Instant, there: bool) -> Instant {
        let oldest = now - span(USER_TTL.max(SESSION_TTL)) - span(MARGIN);
        // The database's clock may have been set back.
        let Some(last) = self.last.map(|last| last.min(now)) else { return oldest };
        self.stalled = self.stalled.filter(|(_, until)| now < *until);
        let before = self.stalled.map_or(last, |(before, _)| last.min(before));
        if now - last > span(GAP) {
            self.stalled = Some((before, now + span(MARGIN)));
        }
        if self.owes && there { oldest } else { (before - span(MARGIN)).max(oldest) }
    }
}

impl Handled {
    /// Whether it was this change. A database that was set back may give a version a second time.
    fn is(&self, version: i64, changed: Instant) -> bool {
        self.version == version && self.changed == changed
    }
}

/// Whether this change of the row is to be dealt with now.
fn is_due<K: Eq + Hash>(handled: &HashMap<K, Handled>, id: &K, version: i64, changed: Instant) -> bool {
    handled
        .get(id)
        .is_none_or(|known| !known.is(version, changed) || known.again.is_some_and(|at| at <= Monotonic::now()))
}

fn note<K: Eq + Hash>(handled: &mut HashMap<K, Handled>, id: K, version: i64, changed: Instant) {
    let repeated = handled.get(&id).is_some_and(|known| known.is(version, changed));
    let again = (!repeated).then(|| Monotonic::now() + AGAIN_AFTER);
    handled.insert(id, Handled { version, changed, again });
}

impl Cache {
    /// Looks for rows that have changed since the last look and forgets what is cached of them; how many. Meant to be
    /// called every second: when the last look is more than two seconds old, Redis is not read, no ready answer is
    /// handed out, and nothing in memory is for longer than a second. Fails as the database does.
    pub async fn poll_changes(&self) -> Result<usize, StoreError> {
        let (answers, rows) = join(self.look_for_responses(), self.look_for_rows()).await;
        answers.and(rows)
    }

    async fn look_for_rows(&self) -> Result<usize, StoreError> {
        let mut look = self.0.look.lock().await;
        let began = Monotonic::now();
        let belief = look.begin();
        if look.owes {
            self.0.shared.believe(None);
        }
        if belief.is_none() && !self.0.settings.memory {
            return Ok(0);
        }
        let (now, there) = (self.0.clock.now(), belief.is_some());
        let since = look.since(now, there);
        let failed = |_: &StoreError| self.0.upkeep_counts.load_errors.one();
        let sessions = self.look_at_sessions(&mut look, since, there).await.inspect_err(failed)?;
        let users = self.look_at_users(&mut look, since, there).await.inspect_err(failed)?;
        self.0.guards.confirm(began);
        // What Redis did not take in is met again by the next look, and until then Redis is not believed for longer.
        let (Some(sessions), Some(users)) = (sessions, users) else { return Ok(0) };
        look.last = Some(now);
        look.users.retain(|_, handled| handled.changed >= since);
        look.sessions.retain(|_, handled| handled.changed >= since);
        if there {
            look.owes = false;
            self.0.shared.believe(belief);
        }
        Ok(sessions + users)
    }

    /// How many were dealt with; `None` if Redis is `there` and did not take all of them in.
    async fn look_at_sessions(
        &self,
        look: &mut Look,
        since: Instant,
        there: bool,
    ) -> Result<Option<usize>, StoreError> {
        let (mut after, mut count) = (None, Some(0));
        loop {
            let rows: Vec<(SessionId, Option<Digest>, i64, Instant)> =
                read!(&self.0.database, sessions::changed_since(since, after, PAGE))?;
            after = rows.last().map(|(id, .., changed)| (*changed, *id));
            let last_page = rows.len() < PAGE_LEN;
            let changes =
                rows.into_iter().map(|(id, token, version, changed)| Change { id, of: token, version, changed });
            let dealt_with = self.deal_with(&mut look.sessions, changes, session_marks, there).await;
            count = count.zip(dealt_with).map(|(count, more)| count + more);
            if last_page {
                return Ok(count);
            }
        }
    }

    /// As [`Self::look_at_sessions`].
    async fn look_at_users(&self, look: &mut Look, since: Instant, there: bool) -> Result<Option<usize>, StoreError> {
        let (mut after, mut count) = (None, Some(0));
        loop {
            let rows: Vec<ChangedUser> = read!(&self.0.database, users::changed_since(since, after, PAGE))?;
            after = rows.last().map(|row| (row.changed, row.id));
            let last_page = rows.len() < PAGE_LEN;
            let changes = rows.into_iter().map(|row| {
                let (id, version, changed) = (row.id, row.version, row.changed);
                Change { id, of: row, version, changed }
            });
            let marks = |_, row: ChangedUser, _| changed_marks(&row);
            let dealt_with = self.deal_with(&mut look.users, changes, marks, there).await;
            count = count.zip(dealt_with).map(|(count, more)| count + more);
            if last_page {
                return Ok(count);
            }
        }
    }

    /// Forgets what is due among `changes`; how many, or `None` if Redis is `there` and did not take all of them in.
    async fn deal_with<K: Copy + Eq + Hash, T>(
        &self,
        handled: &mut HashMap<K, Handled>,
        changes: impl Iterator<Item = Change<K, T>>,
        marks_of: impl Fn(K, T, i64) -> Vec<Mark>,
        there: bool,
    ) -> Option<usize> {
        let (mut due, mut marks) = (Vec::new(), Vec::new());
        for Change { id, of, version, changed } in changes {
            if is_due(handled, &id, version, changed) {
                due.push((id, version, changed));
                marks.extend(marks_of(id, of, version));
            }
        }
        if !self.repair(marks, there).await {
            return None;
        }
        for (id, version, changed) in &due {
            note(handled, *id, *version, *changed);
        }
        Some(due.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Clock;

    fn seconds(count: u64) -> chrono::TimeDelta {
        span(Duration::from_secs(count))
    }

    /// A look that has checked what Redis holds.
    fn look() -> Look {
        Look { owes: false, ..Look::new(None) }
    }

    #[test]
    fn looks_overlap_and_the_first_goes_all_the_way_back() {
        let (mut look, now) = (look(), Clock::system().now());
        assert_eq!(look.since(now, true), now - seconds(320));
        look.last = Some(now);
        assert_eq!(look.since(now + seconds(1), true), now - seconds(20));
        assert_eq!(look.since(now - seconds(60), true), now - seconds(80), "the clock was set back");
    }

    #[test]
    fn after_a_database_that_stood_still_looks_go_back_to_before_that_for_a_while() {
        let (mut look, before) = (look(), Clock::system().now());
        look.last = Some(before);
        for later in [30, 34, 38, 42, 46, 49] {
            assert_eq!(look.since(before + seconds(later), true), before - seconds(20), "{later}");
            look.last = Some(before + seconds(later));
        }
        assert_eq!(
            look.since(before + seconds(50), true),
            before + seconds(29),
            "what was stuck has been committed or is lost"
        );
    }

    #[test]
    fn a_redis_that_comes_back_with_the_database_hides_nothing_that_was_stuck() {
        let (mut look, before) = (look(), Clock::system().now());
        look.last = Some(before);
        look.owes = true;
        let back = before + seconds(30);
        assert_eq!(look.since(back, true), back - seconds(320));
        (look.owes, look.last) = (false, Some(back));
        assert_eq!(look.since(back + seconds(1), true), before - seconds(20));
    }

    #[test]
    fn looks_go_on_from_each_other_without_redis_and_all_the_way_back_when_they_meet_it() {
        let (redis, available) = watch::channel(false);
        let (mut look, now) = (Look::new(Some(available)), Clock::system().now());
        look.last = Some(now);
        let (later, overlap, all) = (now + seconds(1), now - seconds(20), now - seconds(319));
        note(&mut look.users, UserId(uuid::Uuid::nil()), 1, now);
        for _ in 0..2 {
            assert!(look.begin().is_none() && !look.users.is_empty());
            assert_eq!(look.since(later, false), overlap);
        }
        redis.send_replace(true);
        for _ in 0..2 {
            note(&mut look.users, UserId(uuid::Uuid::nil()), 1, now);
            assert!(look.begin().is_some() && look.users.is_empty());
            assert_eq!(look.since(later, true), all, "until one is complete");
        }
        look.owes = false;
        assert!(look.begin().is_some());
        assert_eq!(look.since(later, true), overlap);
        redis.send_replace(false);
        redis.send_replace(true);
        assert!(look.begin().is_some());
        assert_eq!(look.since(later, true), all, "it was away in between");
    }

    #[test]
    fn each_change_is_dealt_with_twice_and_another_of_the_same_version_too() {
        let (mut handled, now) = (HashMap::new(), Clock::system().now());
        assert!(is_due(&handled, &1, 5, now));
        note(&mut handled, 1, 5, now);
        assert!(!is_due(&handled, &1, 5, now));
        handled.get_mut(&1).unwrap().again = Some(Monotonic::now());
        assert!(is_due(&handled, &1, 5, now));
        note(&mut handled, 1, 5, now);
        assert!(handled[&1].again.is_none() && !is_due(&handled, &1, 5, now));
        assert!(is_due(&handled, &1, 6, now) && is_due(&handled, &1, 5, now + seconds(1)));
        note(&mut handled, 1, 5, now + seconds(1));
        assert!(handled[&1].again.is_some(), "which is dealt with twice as well");
    }
}
