//! The fast path of an instance that keeps no entries in memory: who is behind a credential, in one question to Redis.
//!
//! Session and user are asked for together, and together with what other requests of the thread ask for, with one command for
//! all. Asked for is only what tells which version of them Redis holds: their stamps, which are there beside them ([`Reading`]).
//! Where that is the version that was read for this credential before, so is all the rest, and what was made of it still
//! holds. Redis is asked at every request and believed only as every other read of it is; all that is saved is to read the same
//! bytes again. They are read in full every few seconds all the same, and whenever a guard was raised since they were: a row
//! that is edited by hand, or a database that was set back, may give a version a second time, and a stamp may be left beside
//! another value than its own, by an instance of a version that knew of none, or by somebody who has changed that by hand.
//!
//! Nothing but Redis is waited for, and the wait may be dropped at any point. Where anything is unusual (Redis is away or
//! not to be believed, holds nothing or something strange, or something older than what is known of), there is no
//! answer here: the long way deals with it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant as Monotonic};

use super::guards::{Began, Guards, NEVER, Stamp};
use super::recognised::Recognised;
use super::session::SessionName;
use super::shared::{Stored, failed, get, stamp};
use super::{Cache, Inner, session, user};
use crate::domain::{Digest, Fingerprint};
use crate::redis::{Answer, Question, Strings, keys, pipe};

/// The most credentials whose last reading is kept: some thirty megabytes.
pub(super) const READINGS: usize = 10_000;

/// How long a version is taken for the same content: not as long as a guard stands, so that each one that was raised
/// meanwhile is met.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// What a credential stands for, and what was read for it last.
pub(super) struct Reading {
    name: SessionName,
    session_key: String,
    user_key: String,
    question: Arc<Question>,
    /// The stamps of session and user, as Redis has them with these versions.
    stamps: [Vec<u8>; 2],
    /// When `who` was read from Redis; `None` if it was not.
    read: Option<Began>,
    who: Arc<Recognised>,
    /// The count of complete invalidations at which the guards last admitted both.
    admitted: AtomicU64,
}

impl Reading {
    fn new(name: SessionName, who: Arc<Recognised>) -> Self {
        let (session_key, user_key) = (name.key(), keys::user_id(who.user.id));
        let question = Arc::new(Question([&session_key, &user_key].map(|key| keys::stamp(key))));
        let stamps = [stamp(who.session.version, who.session.id), stamp(who.user.version, who.user.id)];
        let (stamps, admitted) = (stamps.map(String::into_bytes), AtomicU64::new(NEVER));
        Self { name, session_key, user_key, question, stamps, read: None, who, admitted }
    }

    /// Whether Redis has these versions if it has `said` that.
    fn is_said_by(&self, said: &Strings) -> bool {
        said.iter().zip(&self.stamps).all(|(said, stamp)| said.as_ref() == Some(stamp))
    }

    /// Whether it was read in full when `said` was said as well, not long before `now`, and stands since.
    fn is_of(&self, said: &Strings, guards: &Guards, now: Monotonic) -> bool {
        self.read.is_some_and(|read| {
            self.is_said_by(said)
                && now.saturating_duration_since(read.at) < READ_AGAIN
                && self.is_admitted(guards, read)
        })
    }

    /// The same credential, read in full from what Redis says now.
    async fn renewed(&self, cache: &Cache) -> Option<Self> {
        let (redis, mut both) = (cache.0.shared.redis()?, pipe());
        both.add_command(session::command(redis.key(&self.session_key))).add_command(get(redis.key(&self.user_key)));
        let read = cache.0.guards.begin();
        let (fields, user): (_, Option<Vec<u8>>) = redis.pipeline_promptly(both).await.ok()?;
        let stored = user?;
        let Some(Stored::Value(session)) = session::parse(fields, self.name) else { return None };
        let Stored::Value(user) = user::parse(&stored, self.who.user.id) else { return None };
        if session.user_id != user.id {
            return None;
        }
        let session = cache.as_last_seen(session);
        let who = Recognised::new(user, session, None).by(self.who.open().into(), self.who.expires_at());
        let who = Arc::new(who);
        Some(Self { read: Some(read), ..Self::new(self.name, who) })
    }

    /// Whether what was read from `read` on is not older than what is known of.
    fn is_admitted(&self, guards: &Guards, read: Began) -> bool {
        // Counted first: a guard that is raised in between is looked at by the next reader.
        let raised = guards.raised();
        if self.admitted.load(Ordering::Relaxed) == raised {
            return true;
        }
        let admits = |key: &str, version: i64| {
            let stamp = Stamp::new(Some(version), read);
            stamp.is_guarded() && guards.of(key).admits(&stamp)
        };
        let admitted =
            admits(&self.session_key, self.who.session.version) && admits(&self.user_key, self.who.user.version);
        if admitted {
            self.admitted.store(raised, Ordering::Relaxed);
        }
        admitted
    }
}

/// A question to Redis about a credential, which is on its way.
#[derive(Debug)]
pub struct AskedRedis {
    credential: Digest,
    reading: Arc<Reading>,
    answer: Answer<Strings>,
    /// Until when the answer would be believed, and after which end of all belief.
    until: Monotonic,
    ends: u64,
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

    /// Asks Redis who is behind the credential with this fingerprint, if the credential was
    /// [remembered](Self::remember) and nothing is unusual.
    pub fn ask_redis(&self, Fingerprint { digest: credential, open }: Fingerprint<'_>) -> Option<AskedRedis> {
        let Inner { shared, readings, .. } = &*self.0;
        let (reading, redis, (until, ends)) = (readings.get(&credential)?, shared.redis()?, shared.belief()?);
        if reading.who.open() != open {
            return None;
        }
        let answer = redis.ask_together(reading.question.clone());
        Some(AskedRedis { credential, reading, answer, until, ends })
    }

    /// Who it is, as Redis says, and when it said so; `None` where something is unusual. Waits for Redis alone, as
    /// [`Redis::run_promptly`](crate::redis::Redis::run_promptly) does, and as long again each where others' answers are
    /// waited for first and where something has changed. May be dropped, but not asked again. The session is not revoked;
    /// whether it has passed one of its lifetimes and what the account may do is the caller's to judge.
    pub async fn recognised_by_redis(&self, asked: &mut AskedRedis) -> Option<(Arc<Recognised>, Monotonic)> {
        let Inner { shared, guards, readings, session_counts, user_counts, .. } = &*self.0;
        let said = match (&mut asked.answer).await {
            Ok(said) => said,
            Err(error) => {
                failed(&error, session_counts);
                return None;
            }
        };
        let mut now = Monotonic::now();
        if !asked.reading.is_of(&said, guards, now) {
            // Others may have read it in full while this one waited.
            asked.reading = readings.get(&asked.credential)?;
        }
        if !asked.reading.is_of(&said, guards, now) {
            // On the heap: otherwise every request would have to have room for all this.
            asked.reading = Arc::new(Box::pin(asked.reading.renewed(self)).await?);
            now = Monotonic::now();
            readings.put(asked.credential, asked.reading.clone(), |_| false);
            if !asked.reading.is_admitted(guards, asked.reading.read?) {
                return None;
            }
        }
        // The answer may be that of a Redis which has been away since the question was decided upon.
        let who = &asked.reading.who;
        if asked.until <= now || !shared.is_believed_since(asked.ends) || who.session.revoked_at.is_some() {
            return None;
        }
        for counts in [session_counts, user_counts] {
            counts.memory_misses.one();
            counts.redis_hits.one();
        }
        Some((who.clone(), now))
    }

    /// Makes it possible to ask Redis alone for this credential.
    pub(super) fn keep_for_redis(&self, credential: Digest, name: SessionName, who: &Arc<Recognised>) {
        if self.asks_redis_alone() && self.0.readings.get(&credential).is_none() {
            self.0.readings.put(credential, Arc::new(Reading::new(name, who.clone())), |_| false);
        }
    }
}
