//! The order in which mails wait. Holds ids only; the rows are the truth, so nothing here has to survive anything.
//!
//! With Redis an id waits in the list of its priority there, where any worker finds it. Without Redis, and while Redis
//! refuses, it waits in this process. A worker watches both.

mod local;
mod redis;

use std::sync::Arc;

pub(super) use self::local::LocalLists;
pub(super) use self::redis::RedisSource;
use super::Counters;
use crate::domain::{MailId, Priority};
use crate::redis::Redis;

/// An id and the list it waits in.
pub(super) type Entry = (MailId, Priority);

/// Which lists are taken from together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// The urgent one, which nothing may hold up.
    Urgent,
    /// The three others, most urgent first, but now and then the last one first, so that it moves at all.
    Others,
}

impl Lane {
    pub(super) const ALL: &[Self] = &[Self::Urgent, Self::Others];

    /// The places of its lists among the four.
    fn places(self) -> std::ops::Range<usize> {
        match self {
            Self::Urgent => 0..1,
            Self::Others => 1..4,
        }
    }

    /// The places in the order in which the `turn`th take looks at them.
    fn order(self, turn: u32) -> Vec<usize> {
        /// Every so many takes, the least urgent list comes first.
        const TURN_OF_THE_LAST: u32 = 8;
        let mut places: Vec<usize> = self.places().collect();
        if turn % TURN_OF_THE_LAST == TURN_OF_THE_LAST - 1 {
            places.reverse();
        }
        places
    }
}

/// The queue of mails. Clones share it.
#[derive(Clone, Debug)]
pub struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    redis: Option<Redis>,
    local: LocalLists,
    counters: Counters,
}

/// The end of a list at which ids are put.
#[derive(Clone, Copy)]
enum End {
    /// Behind those that wait.
    Back,
    /// Before them: they have waited already.
    Front,
}

impl Queue {
    /// The queue in `redis`, or in this process when there is none.
    pub fn new(redis: Option<Redis>, counters: Counters) -> Self {
        Self(Arc::new(Inner { redis, local: LocalLists::default(), counters }))
    }

    /// Puts ids behind those of the same priority that wait already. Cannot fail: what Redis does not take waits in this
    /// process, and what that has no room for is left to the sweeper.
    pub async fn push(&self, entries: &[(MailId, Priority)]) {
        self.put(entries, End::Back).await;
    }

    /// Puts ids that were taken and not used back to the front of their lists, the first of `entries` foremost.
    pub(super) async fn give_back(&self, entries: &[Entry]) {
        self.put(entries, End::Front).await;
    }

    async fn put(&self, entries: &[Entry], end: End) {
        if entries.is_empty() {
            return;
        }
        if let Some(redis) = &self.0.redis {
            match redis::put(redis, entries, end).await {
                Ok(()) => return,
                Err(error) if error.is_outage() => log::debug!("queueing mail in this process: {error}"),
                Err(error) => log::warn!("queueing mail in this process: {error}"),
            }
        }
        self.0.local.put(entries, end);
    }

    /// How many ids wait in each list, most urgent first; those that Redis does not tell count as none.
    pub(super) async fn lengths(&self) -> [usize; 4] {
        let mut lengths = self.0.local.lengths();
        if let Some(redis) = &self.0.redis
            && let Ok(shared) = redis::lengths(redis).await
        {
            lengths.iter_mut().zip(shared).for_each(|(length, more)| *length += more);
        }
        lengths
    }

    /// The lists of this process.
    pub(super) fn local(&self) -> &LocalLists {
        &self.0.local
    }

    /// A taker from a lane's lists in Redis, with a connection of its own; `None` when there is no Redis.
    pub(super) fn redis_source(&self, lane: Lane) -> Option<RedisSource> {
        self.0.redis.clone().map(|redis| RedisSource::new(redis, lane, self.0.counters.clone()))
    }
}
