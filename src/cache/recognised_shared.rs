//! The fast path of an instance that keeps no entries in memory: who is behind a credential, in one question to Redis.
//!
//! Session and user are asked for together, and together with what other requests of the thread ask for. What comes back is laid beside what came back for this credential before
//! ([`Reading`]): where not a byte has changed, neither has what was read of it then, nor what was made of that. Redis
//! is asked at every request and believed only as every other read of it is; all that is saved is to read the same
//! bytes twice.
//!
//! Nothing but Redis is waited for, and the wait may be dropped at any point. Where anything is unusual (Redis is away or
//! not to be believed, holds nothing or something strange, or something older than what is known of), there is no
//! answer here: the long way deals with it.

use std::fmt;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock};
use std::time::Instant as Monotonic;

use super::guards::Stamp;
use super::recognised::Recognised;
use super::session::SessionName;
use super::shared::{Stored, failed, get};
use super::{Cache, Inner, session, user};
use crate::domain::Digest;
use crate::redis::{Cmd, keys};

/// The most credentials whose last reading is kept: some thirty megabytes.
pub(super) const READINGS: usize = 10_000;

/// What Redis said: the session, and the user.
type Said = [Option<Vec<u8>>; 2];
/// Schema, version and session.
type Fields = [Option<Vec<u8>>; 3];

/// What a credential stands for, and what was read for it last.
pub(super) struct Reading {
    name: SessionName,
    session_key: String,
    user_key: String,
    question: Arc<[Cmd]>,
    /// Out of which bytes `who` was read; `None` if it was not read from Redis.
    said: Option<Said>,
    who: Arc<Recognised>,
}

impl Reading {
    fn new(name: SessionName, who: Arc<Recognised>) -> Self {
        let (session_key, user_key) = (name.key(), keys::user_id(who.user.id));
        let question = Arc::new([session::value_of(&session_key), get(&user_key)]);
        Self { name, session_key, user_key, question, said: None, who }
    }

    /// The same credential, read from what Redis says now. The session is asked for once more, with all that tells how to
    /// read it.
    async fn renewed(&self, said: Said, cache: &Cache) -> Option<Self> {
        let fields = cache.0.shared.redis()?.query::<Fields>(session::command(&self.session_key)).await.ok()?;
        if fields[2].is_none() || fields[2] != said[0] {
            return None;
        }
        let Some(Stored::Value(session)) = session::parse(fields, self.name) else { return None };
        let Stored::Value(user) = user::parse(said[1].as_ref()?, self.who.user.id) else { return None };
        if session.user_id != user.id {
            return None;
        }
        let session = cache.as_last_seen(session);
        let last_used = AtomicI64::new(session.last_seen_at.timestamp_micros());
        let who = Arc::new(Recognised { user, session, hold: None, last_used, answer: OnceLock::new() });
        Some(Self {
            name: self.name,
            session_key: self.session_key.clone(),
            user_key: self.user_key.clone(),
            question: self.question.clone(),
            said: Some(said),
            who,
        })
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Cache {
    /// Whether [`Self::recognised_by_redis`] is the way to ask first: nothing is kept in memory.
    pub fn asks_redis_alone(&self) -> bool {
        self.0.settings.asks_redis_alone() && self.0.shared.redis().is_some()
    }

    /// Who is behind the credential with this digest, as Redis says at this moment, if the credential was
    /// [remembered](Self::remember) and nothing is unusual. Waits for Redis alone, no longer than its response timeout (twice
    /// that where something has changed), and may be dropped. The session is open; whether it is idle and what the account may do is the caller's to judge.
    pub async fn recognised_by_redis(&self, credential: &Digest) -> Option<Arc<Recognised>> {
        let Inner { shared, guards, readings, session_counts, user_counts, .. } = &*self.0;
        let reading = readings.get(credential)?;
        let (redis, (until, ends)) = (shared.redis()?, shared.belief()?);
        let began = guards.begin();
        let said: Said = match redis.ask_together(reading.question.clone()).await {
            Ok(said) => said.try_into().ok()?,
            Err(error) => {
                // What is of another type than was asked for is dealt with where it is asked for alone.
                if error.is_outage() {
                    failed(&error, session_counts);
                }
                return None;
            }
        };
        let reading = if reading.said.as_ref() == Some(&said) {
            reading
        } else {
            let renewed = Arc::new(reading.renewed(said, self).await?);
            readings.put(*credential, renewed.clone(), |_| false);
            renewed
        };
        // The answer may be that of a Redis which has been away since the question was decided upon.
        if until <= Monotonic::now() || shared.belief().is_none_or(|(_, now)| now != ends) {
            return None;
        }
        let who = &reading.who;
        let admits = |key: &str, version: i64| {
            let stamp = Stamp::new(Some(version), began);
            stamp.is_guarded() && guards.of(key).admits(&stamp)
        };
        let stands = admits(&reading.session_key, who.session.version)
            && admits(&reading.user_key, who.user.version)
            && self.is_open(&who.session);
        if !stands {
            return None;
        }
        for counts in [session_counts, user_counts] {
            counts.memory_misses.one();
            counts.redis_hits.one();
        }
        Some(who.clone())
    }

    /// Makes it possible to ask Redis alone for this credential.
    pub(super) fn keep_for_redis(&self, credential: Digest, name: SessionName, who: &Arc<Recognised>) {
        if self.asks_redis_alone() && self.0.readings.get(&credential).is_none() {
            self.0.readings.put(credential, Arc::new(Reading::new(name, who.clone())), |_| false);
        }
    }
}
