//! Warming: after the start, the sessions that were used last are loaded with their users, so that a restart is not
//! met by an empty cache and a crowd.
//!
//! It runs beside the requests and loads [`PER_SECOND`] entries a second at most, by the very same way as a request
//! would: what Redis still holds costs no query, and every guard holds. Readiness does not wait for it. It ends when
//! it is through, when the database cannot be read, or at [`Cache::shutdown`]; nothing depends on how far it came.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant as Monotonic};

use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::background::{cache_of, stopped};
use super::{Cache, Inner};
use crate::domain::{Digest, SessionId, UserId};
use crate::store::{StoreError, read};

/// Entries that are loaded in a second, at most: little beside what a database answers.
const PER_SECOND: u32 = 500;
/// Entries that are loaded between two pauses.
const AT_ONCE: u32 = 25;
/// How often the log tells how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A session to load, and whose it is.
type Active = (SessionId, Option<Digest>, UserId);

impl Cache {
    /// Starts loading the sessions that were used last, as many as the settings say, and their users. Does nothing when
    /// the settings say none, or leave no tier to load them into.
    pub fn spawn_warming(&self) -> Option<AbortHandle> {
        let settings = &self.0.settings;
        let keeps = settings.memory || self.0.shared.redis().is_some();
        if settings.warm == 0 || !keeps {
            return None;
        }
        let (cache, stop) = (Arc::downgrade(&self.0), self.0.stop.subscribe());
        let task = tokio::spawn(async move {
            tokio::select! {
                () = stopped(stop) => {}
                outcome = warm(&cache) => if let Err(error) = outcome {
                    log::warn!("the cache is not warmed any further: {error}");
                }
            }
        });
        Some(task.abort_handle())
    }

    async fn most_recently_active(&self) -> Result<Vec<Active>, StoreError> {
        let (now, limit) = (self.0.clock.now(), i64::from(self.0.settings.warm));
        // A look first: without it, what Redis still holds would be read from the database again.
        self.poll_changes().await?;
        read!(&self.0.database, sessions::most_recently_active(now, limit))
    }

    async fn load_active(&self, (id, token, user): Active, users: &mut HashSet<UserId>) -> Result<(), StoreError> {
        match token {
            Some(digest) => self.session_by_token(digest).await?,
            None => self.session(id).await?,
        };
        if users.insert(user) {
            self.user(user).await?;
        }
        Ok(())
    }

    fn loads(&self) -> u64 {
        let stats = self.stats();
        stats.users.loads + stats.sessions.loads
    }
}

async fn warm(cache: &Weak<Inner>) -> Result<(), StoreError> {
    let begun = Monotonic::now();
    let Some(first) = cache_of(cache) else { return Ok(()) };
    let active = first.most_recently_active().await?;
    if active.is_empty() {
        return Ok(());
    }
    let (all, loads) = (active.len(), first.loads());
    log::info!("warming the cache with the {all} sessions that were used last");
    drop(first);
    let mut ticks = interval(Duration::from_secs(1) * AT_ONCE / PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut users, mut told, mut left) = (HashSet::new(), begun, 0_u32);
    for (done, active) in active.into_iter().enumerate() {
        // A session and its user.
        if left < 2 {
            ticks.tick().await;
            left = AT_ONCE;
        }
        left -= 2;
        let Some(cache) = cache_of(cache) else { return Ok(()) };
        cache.load_active(active, &mut users).await?;
        if told.elapsed() >= TELL_EVERY {
            told = Monotonic::now();
            log::info!("warming the cache: {} of {all} sessions", done + 1);
        }
    }
    if let Some(cache) = cache_of(cache) {
        let (people, reads) = (users.len(), cache.loads().saturating_sub(loads));
        let took = begun.elapsed().as_millis();
        log::info!(
            "the cache is warm: {all} sessions of {people} users in {took} ms, with {reads} reads of the database"
        );
    }
    Ok(())
}
