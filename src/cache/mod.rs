//! The two-tier cache of users and sessions: memory, then Redis, then the database.
//!
//! | key | in Redis | lives there | in memory |
//! |---|---|---|---|
//! | `user:id:{id}` | string: JSON of schema, version and user | 300 s | 1 s |
//! | `user:email:{email}`, `user:username:{name}`, `user:phone:{phone}` | string: the id | 1800 s | 1 s, also that there is none |
//! | `session:{sha256 of the token}` | hash: schema, version, session | 300 s, never past its expiry | 1 s, also that there is none |
//! | `session:id:{id}` | the same | the same | the same |
//! | a user's or session's key and `:stamp` | string: its schema, version and id, if [nothing is kept in memory](Cache::asks_redis_alone) | as that | |
//! | `{resource}:{operation}:{parameters}:{viewer}` | string: a ready answer | as its use says | the same time |
//!
//! Times in Redis are upper bounds: up to two fifths are taken off at random. A versioned key can hold a *tombstone*
//! instead, a schema and a version without a value, for 330 s.
//!
//! **The life of an entry.** A read that finds nothing in memory begins a load, which all who ask for the same key
//! wait for. It asks Redis, and failing that the database, and then fills Redis on the way back. A writer commits, then
//! calls [`Cache::user_written`] or [`Cache::forget_session`]: Redis replaces the value by the new user, or by a tombstone,
//! and tells the other instances on [`INVALIDATIONS`](crate::redis::keys::INVALIDATIONS), and every instance raises the key's guard. From
//! then on nothing that was read before the write gets in: a fill of Redis with an older version is refused by a
//! script, an entry in memory whose load began before the guard was raised is not handed out.
//!
//! In front of memory's tiers lie pairs made of their entries: a session with its user, by the digest of the credential
//! that was shown ([`Recognised`]). They end at the moment at which one of the halves is forgotten, and live on without a load
//! while looks find that nothing has changed, for some seconds (`hold.rs` tells how).
//!
//! **What is guaranteed.** Nothing that is handed out is more than two seconds older than the database, whatever has
//! failed, and usually nothing older than the message takes:
//!
//! - an entry in memory is handed out for one second from the moment its load *began*, or, as half of a pair, for two seconds
//!   from the moment the last complete look began;
//! - Redis is read only for two seconds after a successful [look](Cache::poll_changes) at the database for changed rows, which
//!   replaces what is out of date in Redis and in memory; entries that came from Redis end with these two seconds;
//! - after an outage, when Redis may have come back with old data, it is not read before the next look.
//!
//! Ready answers live for minutes, and are invalidated in another way: `response.rs` tells of it.
//!
//! Everything in Redis may be lost at any time. No call waits longer for an answer of Redis than its response timeout
//! allows, none that reads a value longer than half of that, and none at all while the breaker is open. Errors of Redis
//! are counted and never reach the caller. There are no secrets in it: [`User`] has no password hash and [`Session`] has
//! the digest of its token.

mod administer;
mod background;
mod changes;
mod digests;
#[doc(hidden)]
pub mod fuzzing;
mod guards;
mod hold;
mod many;
mod mapping;
mod recognised;
mod recognised_shared;
mod response;
mod response_key;
mod response_look;
mod response_shared;
mod seen;
mod session;
mod shared;
mod statistics;
mod tier;
mod user;
mod warming;
mod weight;
mod write;

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use administer::{Held, Scope, ScopeError, Swept};
pub use digests::Digests;
pub use mapping::MAPPING_TTL;
pub use recognised::{Freshness, Recognised};
pub use recognised_shared::AskedRedis;
pub use response::{Invalidated, Response};
pub use response_key::{Resource, ResponseKey};
pub use session::{SESSION_TTL, SessionName};
pub use statistics::{CacheStats, KindStats, TierStats};
pub use user::USER_TTL;

use crate::domain::{Clock, UserId};
use crate::redis::{Redis, keys};
use crate::settings;
use crate::store::{Database, Session, User};
use changes::Look;
use guards::Guards;
use recognised_shared::Reading;
use response::Responses;
use seen::Seen;
use shared::{Kind, Mark, Shared};
use statistics::Counts;
use tier::Tier;
use weight::Room;

/// Calls of Redis that are under way together when many keys are forgotten at once.
const TOGETHER: usize = 64;

/// The cache of one instance. Clones share it.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    database: Database,
    clock: Clock,
    settings: settings::Cache,
    shared: Shared,
    guards: Guards,
    users: Tier<User>,
    ids: Tier<UserId>,
    sessions: Tier<Session>,
    /// Sessions with their users, made of entries of the tiers above.
    recognised: Digests<Arc<Recognised>>,
    /// Whose session a credential stands for.
    owners: Digests<UserId>,
    /// What Redis said last of a credential, where nothing is kept in memory.
    readings: Digests<Arc<Reading>>,
    responses: Responses,
    user_counts: Counts,
    /// Of the mappings from address to id, which statistics do not show on their own.
    id_counts: Counts,
    session_counts: Counts,
    upkeep_counts: Counts,
    seen: Seen,
    look: tokio::sync::Mutex<Look>,
    /// Turns true when the background task must end; it also ends when this is dropped.
    stop: watch::Sender<bool>,
    background: Mutex<Option<JoinHandle<()>>>,
    /// Where entries are loaded ahead of their end: not on the threads of HTTP, which may drop what they run.
    runtime: Option<Handle>,
}

impl Cache {
    /// [`Self::with`] the settings that an operator gets who sets nothing.
    pub fn new(redis: Option<Redis>, database: Database, clock: Clock) -> Self {
        Self::with(&settings::Cache::default(), redis, database, clock)
    }

    /// A cache of `database` with the tiers of `settings`, which shares what it reads through `redis`, if there is one.
    /// Redis is read only after a first look at the database: see [`Self::spawn_background`] and
    /// [`Self::poll_changes`].
    pub fn with(settings: &settings::Cache, redis: Option<Redis>, database: Database, clock: Clock) -> Self {
        let (room, shared) = (Room::of(settings), Shared::new(redis, settings));
        let available = shared.redis().map(Redis::changes);
        let responses = Responses::new(room.responses, available.clone());
        Self(Arc::new(Inner {
            database,
            clock,
            settings: settings.clone(),
            shared,
            guards: Guards::new(),
            users: Tier::new(room.users),
            ids: Tier::new(room.ids),
            sessions: Tier::new(room.sessions),
            recognised: Digests::new(room.recognised),
            owners: Digests::new(if settings.memory { recognised::OWNERS } else { 0 }),
            readings: Digests::new(if settings.asks_redis_alone() { recognised_shared::READINGS } else { 0 }),
            responses,
            user_counts: Counts::default(),
            id_counts: Counts::default(),
            session_counts: Counts::default(),
            upkeep_counts: Counts::default(),
            seen: Seen::default(),
            look: tokio::sync::Mutex::new(Look::new(available)),
            stop: watch::Sender::new(false),
            background: Mutex::default(),
            runtime: Handle::try_current().ok(),
        }))
    }

    /// What has been counted since the start of this instance.
    pub fn stats(&self) -> CacheStats {
        let cache = &self.0;
        let size = cache.users.len() + cache.ids.len() + cache.sessions.len() + cache.responses.len();
        let upkeep_errors = cache.upkeep_counts.errors() + cache.id_counts.errors();
        let (mut users, ids, sessions) =
            (cache.user_counts.read(), cache.id_counts.read(), cache.session_counts.read());
        // A read by address is counted once, as a read of the user; what happens to mappings is counted with theirs.
        users.invalidations += ids.invalidations;
        users.discarded += ids.discarded;
        let users = users.taking(cache.users.len() + cache.ids.len(), cache.users.weight() + cache.ids.weight());
        let sessions = sessions.taking(cache.sessions.len(), cache.sessions.weight());
        let answers = cache.responses.stats();
        CacheStats::new(cache.shared.available(), size, upkeep_errors, users, sessions, answers)
    }

    /// Forgets in every tier and on every instance.
    async fn forget(&self, marks: Vec<Mark>) {
        // Here at once, so that a Redis that hangs holds nothing up; and again, for what Redis has given in between.
        for mark in &marks {
            self.counts(mark).invalidations.one();
            self.forget_here(mark).await;
        }
        if self.0.shared.channel().is_none() {
            return;
        }
        for marks in marks.chunks(TOGETHER) {
            join_all(marks.iter().map(|mark| self.0.shared.forget(mark, false, self.counts(mark)))).await;
        }
        for mark in &marks {
            self.forget_here(mark).await;
        }
    }

    /// Forgets on this instance, and if it is `there` in Redis what is older than the marks; whether Redis has done so.
    async fn repair(&self, marks: Vec<Mark>, there: bool) -> bool {
        let mut done = true;
        for marks in marks.chunks(TOGETHER) {
            // A mapping that is out of date does no harm in Redis, only the lack of one in memory does.
            let versioned = marks.iter().filter(|mark| there && mark.kind != Kind::Mapping);
            let repairs = versioned.map(|mark| self.0.shared.forget(mark, true, self.counts(mark)));
            done &= join_all(repairs).await.into_iter().all(|done| done);
            for mark in marks {
                self.forget_here(mark).await;
            }
        }
        done
    }

    async fn forget_here(&self, mark: &Mark) {
        self.forget_key_here(&mark.key, mark.version).await;
    }

    async fn forget_key_here(&self, key: &str, version: i64) {
        if let Some(resource) = key.strip_prefix(keys::GENERATIONS) {
            // One that only other instances know, of another version, has no answers here.
            self.0.responses.raise_here(Resource::named(resource).as_slice());
            return;
        }
        self.0.guards.raise(key, version);
        if key.starts_with("session:") {
            self.0.sessions.remove(key).await;
        } else {
            self.0.users.remove(key).await;
            self.0.ids.remove(key).await;
        }
    }

    /// For after a gap in which messages may have been missed.
    fn forget_everything_here(&self) {
        self.0.guards.raise_all();
        self.0.users.clear();
        self.0.ids.clear();
        self.0.sessions.clear();
        self.0.responses.raise_all_here();
    }

    fn counts(&self, mark: &Mark) -> &Counts {
        match mark.kind {
            Kind::User => &self.0.user_counts,
            Kind::Mapping => &self.0.id_counts,
            Kind::Session => &self.0.session_counts,
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("redis", &self.0.shared.redis()).finish_non_exhaustive()
    }
}
