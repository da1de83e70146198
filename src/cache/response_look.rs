//! The look for accounts that have changed, by which ready answers are never more than two seconds behind.
//!
//! It is a look of its own, because answers stay in memory for minutes and it is needed without Redis as well: another
//! process may write to the same database. It reads [`MARGIN`] further back than it must, for transactions that commit
//! late, and remembers the versions it has seen. When Redis is met for the first time, or again, every resource is
//! raised there: what it holds may be from before changes that nobody has told it of.

use std::collections::HashMap;
use std::time::Instant as Monotonic;

use tokio::sync::watch;

use super::Cache;
use super::changes::{MARGIN, PAGE, PAGE_LEN};
use super::response_key::Resource;
use super::shared::Belief;
use crate::domain::clock::span;
use crate::domain::{Instant, UserId};
use crate::store::{StoreError, read};

/// What the looks so far have seen.
pub(super) struct ResponseLook {
    available: Option<watch::Receiver<bool>>,
    /// When the last look began; `None` before the first.
    last: Option<Instant>,
    seen: HashMap<UserId, (i64, Instant)>,
    /// Whether Redis may hold answers that nobody has checked.
    owes: bool,
}

impl ResponseLook {
    pub(super) fn new(available: Option<watch::Receiver<bool>>) -> Self {
        Self { available, last: None, seen: HashMap::new(), owes: true }
    }

    /// What this look will be worth in Redis, if that is there. As for [rows](super::changes): one observation.
    fn begin(&mut self) -> Option<Belief> {
        let available = self.available.as_mut()?;
        let (flipped, there) = {
            let seen = available.borrow_and_update();
            (seen.has_changed(), *seen)
        };
        self.owes |= flipped || !there;
        there.then(|| Belief::from_now_on(available.clone()))
    }
}

impl Cache {
    /// Looks for accounts of which others may see a change since the last look, and raises the resources that show
    /// them. Fails as the database does.
    pub(super) async fn look_for_responses(&self) -> Result<(), StoreError> {
        let responses = &self.0.responses;
        let mut look = responses.look.lock().await;
        let (began, now) = (Monotonic::now(), self.0.clock.now());
        let belief = look.begin();
        let since = look.last.unwrap_or(now) - span(MARGIN);
        let is_first = look.last.is_none();
        let has_changed = self.look_at_shown(&mut look, since).await? && !is_first;
        let done = if belief.is_some() && look.owes {
            self.raise(&Resource::ALL).await
        } else if has_changed {
            self.raise(&[Resource::Users, Resource::Stats]).await
        } else {
            !look.owes
        };
        look.owes = self.0.shared.redis().is_some() && !done;
        look.last = Some(now);
        look.seen.retain(|_, (_, changed)| *changed >= since);
        responses.believe(began, belief.filter(|_| done));
        responses.sweep().await;
        Ok(())
    }

    /// Whether there is an account that was not seen in this version before.
    async fn look_at_shown(&self, look: &mut ResponseLook, since: Instant) -> Result<bool, StoreError> {
        let (mut after, mut has_changed) = (None, false);
        loop {
            let rows = read!(&self.0.database, users::shown_changed_since(since, after, PAGE));
            let rows: Vec<(UserId, i64, Instant)> =
                rows.inspect_err(|_: &StoreError| self.0.responses.counts.load_errors.one())?;
            after = rows.last().map(|(id, _, changed)| (*changed, *id));
            let is_last = rows.len() < PAGE_LEN;
            for (id, version, changed) in rows {
                has_changed |= look.seen.insert(id, (version, changed)).is_none_or(|(seen, _)| seen != version);
            }
            if is_last {
                return Ok(has_changed);
            }
        }
    }
}
