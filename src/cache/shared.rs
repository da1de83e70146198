//! The tier in Redis: values and tombstones under one key, and the question whether Redis may be believed.
//!
//! A value is stored with its row's version. A writer leaves a *tombstone*, a version without a value, and a fill with
//! an older version is refused for as long as something newer is stored. All of this can be lost with Redis, and a
//! writer can die before it has left its tombstone, so Redis is believed only for [`GOOD_FOR`] after a
//! [look](super::changes) at the database has repaired it, and not at all after an outage until the next look.

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Monotonic};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::guards::GOOD_FOR;
use super::statistics::Counts;
use super::tier::{Began, TTL as FILL_WITHIN};
use crate::domain::Entropy;
use crate::redis::{Cmd, FromRedisValue, Key, Redis, RedisError, Script, cmd, keys, pipe};
use crate::settings;

/// Goes with every value. One of another schema is discarded: raise this when a cached type changes its form.
pub(super) const SCHEMA: u32 = 1;
/// How long a tombstone stands: longer than any value.
const TOMBSTONE_TTL: Duration = Duration::from_secs(330);

static FILL: Script = Script::new(concat!(include_str!("scripts/version_of.lua"), include_str!("scripts/fill.lua")));
static FORGET: Script =
    Script::new(concat!(include_str!("scripts/version_of.lua"), include_str!("scripts/forget.lua")));

/// What Redis said.
pub(super) enum Lookup<T> {
    /// The value, and until when it may be handed out.
    Found(T, Monotonic),
    /// There is none: read it from the database and store it.
    Nothing,
    /// It could not be asked: leave it alone.
    Away,
}

/// What was stored under a key.
pub(super) enum Stored<T> {
    Value(T),
    Tombstone,
    /// Nothing that this version of the program can read.
    Garbage,
}

/// A value as JSON; without one it is a tombstone.
#[derive(Serialize, Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) schema: u32,
    pub(super) version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<T>,
}

impl<T: DeserializeOwned> Envelope<T> {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|envelope: &Self| envelope.schema == SCHEMA)
    }
}

/// A key that must be forgotten, and the version that its row has in the database.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) key: String,
    pub(super) kind: Kind,
    pub(super) version: i64,
}

/// What is under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A user, as a string.
    User,
    /// The id behind an address. Checked against the user at every read, so it has no version.
    Mapping,
    /// A session, as a hash.
    Session,
}

/// A value on its way into Redis.
pub(super) struct Fill<'a> {
    pub(super) key: &'a str,
    pub(super) version: i64,
    /// See [`Shared::stamp`].
    pub(super) stamp: String,
    pub(super) ttl: Duration,
    /// One string, or the fields and values of a hash in turn.
    pub(super) value: Vec<Vec<u8>>,
}

/// That Redis holds nothing older than the database did at some moment.
pub(super) struct Belief {
    looked: Monotonic,
    /// Notices when Redis has been away since: what comes back may be older.
    availability: watch::Receiver<bool>,
}

impl Belief {
    /// For a look that begins now and will turn out complete. `availability` has seen what the look knew of Redis when it
    /// chose how far back to read: an outage since then is one that the look does not make good.
    pub(super) fn from_now_on(availability: watch::Receiver<bool>) -> Self {
        Self { looked: Monotonic::now(), availability }
    }

    pub(super) fn until(&self) -> Option<Monotonic> {
        let until = self.looked + GOOD_FOR;
        (self.is_unbroken() && until > Monotonic::now()).then_some(until)
    }

    fn is_unbroken(&self) -> bool {
        !self.availability.has_changed().unwrap_or(true)
    }
}

/// Redis, if there is one.
pub(super) struct Shared {
    /// Where entries are kept.
    redis: Option<Redis>,
    /// Where instances tell each other what to forget. There can be one although no entries are kept in it.
    channel: Option<Redis>,
    /// Whether what is put there has a stamp.
    stamps: bool,
    entropy: Entropy,
    belief: Mutex<Believed>,
}

#[derive(Default)]
struct Believed {
    belief: Option<Belief>,
    /// Counts the times at which all belief ended.
    ends: u64,
}

impl Shared {
    /// `settings` tell whether entries are kept in `redis`. Other instances are told through it either way.
    pub(super) fn new(redis: Option<Redis>, settings: &settings::Cache) -> Self {
        let (channel, stamps) = (redis.clone(), settings.asks_redis_alone());
        Self {
            redis: redis.filter(|_| settings.redis),
            channel,
            stamps,
            entropy: Entropy::system(),
            belief: Mutex::default(),
        }
    }

    /// The Redis that entries are kept in.
    pub(super) fn redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }

    /// The Redis by which instances tell each other.
    pub(super) fn channel(&self) -> Option<&Redis> {
        self.channel.as_ref()
    }

    /// Whether Redis would be asked; `None` when there is none, or nothing is kept in it.
    pub(super) fn available(&self) -> Option<bool> {
        self.redis.as_ref().map(Redis::available)
    }

    /// Takes over what is known of Redis; with `None`, it is not read until there is more.
    pub(super) fn believe(&self, belief: Option<Belief>) {
        let mut believed = self.believed();
        believed.ends += u64::from(belief.is_none());
        believed.belief = belief;
    }

    /// Until when Redis is believed, and after which end of all belief.
    pub(super) fn belief(&self) -> Option<(Monotonic, u64)> {
        let believed = self.believed();
        Some((believed.belief.as_ref()?.until()?, believed.ends))
    }

    /// Whether Redis has been there and nothing has ended all belief since there had been `ends` of it. Not whether the time
    /// for which it is believed is over.
    pub(super) fn is_believed_since(&self, ends: u64) -> bool {
        let believed = self.believed();
        believed.ends == ends && believed.belief.as_ref().is_some_and(Belief::is_unbroken)
    }

    fn believed(&self) -> MutexGuard<'_, Believed> {
        self.belief.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks Redis for `key` with a `command` and reads the answer with `parse`, which gives `None` when there is nothing.
    pub(super) async fn read<A: FromRedisValue + Send + 'static, T>(
        &self,
        key: &str,
        command: impl FnOnce(Key<'_>) -> Cmd,
        counts: &Counts,
        parse: impl FnOnce(A) -> Option<Stored<T>>,
    ) -> Lookup<T> {
        let Some(redis) = self.redis.as_ref().filter(|redis| redis.available()) else { return Lookup::Away };
        let Some((until, ends)) = self.belief() else { return Lookup::Nothing };
        let stored = match redis.query_promptly::<A>(command(redis.key(key))).await {
            Ok(answer) => parse(answer),
            // Another type than was asked for: somebody else's value.
            Err(RedisError::Reply(_)) => Some(Stored::Garbage),
            Err(error) => {
                failed(&error, counts);
                return Lookup::Away;
            }
        };
        match stored {
            // The answer may be that of a Redis which has been away since the question was decided upon.
            Some(Stored::Value(_)) if self.belief().is_none_or(|(_, now)| now != ends) => {}
            Some(Stored::Value(value)) => {
                counts.redis_hits.one();
                return Lookup::Found(value, until);
            }
            Some(Stored::Garbage) => {
                counts.discarded.one();
                log::warn!("Removed a value that cannot be read from the cache");
                if let Err(error) = redis.del(&[key, &keys::stamp(key)]).await {
                    failed(&error, counts);
                }
            }
            Some(Stored::Tombstone) | None => {}
        }
        counts.redis_misses.one();
        Lookup::Nothing
    }

    /// Stores what a load that began at `began` has found, unless Redis knows a newer version or that was too long ago.
    pub(super) async fn fill(&self, Fill { key, version, stamp, ttl, value }: Fill<'_>, began: Began, counts: &Counts) {
        let Some(redis) = self.redis.as_ref().filter(|redis| redis.available()) else { return };
        if ttl < Duration::from_millis(1) {
            return;
        }
        // A look repeats its tombstones once, after more than this time: what comes later could outlast both.
        if began.at.elapsed() > FILL_WITHIN {
            counts.refused_fills.one();
            return;
        }
        let mut args = [version.to_string(), millis(ttl), stamp].map(String::into_bytes).to_vec();
        args.extend(value);
        match redis.run_script::<u8>(&FILL, &[key, &keys::stamp(key)], args).await {
            Ok(1) => {}
            Ok(_) => counts.refused_fills.one(),
            Err(error) => failed(&error, counts),
        }
    }

    /// Stores the id behind an address.
    pub(super) async fn fill_mapping(&self, key: &str, id: &str, ttl: Duration, counts: &Counts) {
        let Some(redis) = self.redis.as_ref().filter(|redis| redis.available()) else { return };
        if let Err(error) = redis.set_ex(key, id.as_bytes(), self.shortened(ttl)).await {
            failed(&error, counts);
        }
    }

    /// Leaves a tombstone, or removes a mapping, and tells the other instances; as a `repair` tells nobody and leaves
    /// alone what is up to date. Whether Redis has done so, or there is none.
    pub(super) async fn forget(&self, mark: &Mark, repair: bool, counts: &Counts) -> bool {
        let Some(redis) = &self.redis else {
            // Nothing of this instance's is in Redis, but others may keep theirs there.
            return repair || self.tell(mark, counts).await;
        };
        let done = match mark.kind {
            Kind::Mapping => {
                let mut commands = pipe();
                commands.cmd("DEL").arg(redis.key(&mark.key)).ignore();
                if !repair {
                    commands.cmd("PUBLISH").arg(keys::INVALIDATIONS).arg(mark.message()).ignore();
                }
                redis.pipeline::<()>(commands).await
            }
            Kind::User | Kind::Session => mark.put(redis, TOMBSTONE_TTL, !repair, "", mark.tombstone()).await,
        };
        done.inspect_err(|error| failed(error, counts)).is_ok()
    }

    /// Only tells the other instances; whether Redis has taken that, or there is none.
    async fn tell(&self, mark: &Mark, counts: &Counts) -> bool {
        let Some(redis) = &self.channel else { return true };
        let told = redis.query::<()>(cmd("PUBLISH").arg(keys::INVALIDATIONS).arg(mark.message()).take()).await;
        told.inspect_err(|error| failed(error, counts)).is_ok()
    }

    /// What is put beside the version `version` of the row `id`, so that its version can be read alone, and together with those
    /// of others; nothing where no instance like this one reads it.
    pub(super) fn stamp(&self, version: i64, id: impl Display) -> String {
        if self.stamps { stamp(version, id) } else { String::new() }
    }

    /// `ttl` made shorter by up to two fifths, so that what was stored together does not expire together.
    pub(super) fn shortened(&self, ttl: Duration) -> Duration {
        self.entropy.jitter(ttl * 4 / 5).min(ttl)
    }
}

impl Mark {
    /// What other instances are told.
    fn message(&self) -> String {
        format!("{} {}", self.version, self.key)
    }

    /// Puts `value` with its stamp, which are a tombstone without one or the new version, in the place of what is older, for
    /// `ttl`.
    pub(super) async fn put(
        &self,
        redis: &Redis,
        ttl: Duration,
        tells: bool,
        stamp: &str,
        value: Vec<Vec<u8>>,
    ) -> Result<(), RedisError> {
        let (channel, message) = if tells { (keys::INVALIDATIONS, self.message()) } else { ("", String::new()) };
        let mut args = vec![self.version.to_string(), millis(ttl), channel.to_owned(), message, stamp.to_owned()]
            .into_iter()
            .map(String::into_bytes)
            .collect::<Vec<_>>();
        args.extend(value);
        redis.run_script::<u8>(&FORGET, &[&self.key, &keys::stamp(&self.key)], args).await.map(drop)
    }

    fn tombstone(&self) -> Vec<Vec<u8>> {
        if self.kind == Kind::Session {
            return hash(&[("schema", &SCHEMA.to_string()), ("version", &self.version.to_string())]);
        }
        vec![format!(r#"{{"schema":{SCHEMA},"version":{}}}"#, self.version).into_bytes()]
    }
}

/// What tells the version `version` of the row `id` from all others.
pub(super) fn stamp(version: i64, id: impl Display) -> String {
    format!("{SCHEMA} {version} {id}")
}

/// The fields of a hash, as they go to a script.
pub(super) fn hash(fields: &[(&str, &str)]) -> Vec<Vec<u8>> {
    fields.iter().flat_map(|(field, value)| [field.as_bytes().to_vec(), value.as_bytes().to_vec()]).collect()
}

/// `GET key`.
pub(super) fn get(key: Key<'_>) -> Cmd {
    cmd("GET").arg(key).take()
}

/// That nothing was sent is no failure of its own: what kept it from being sent has been counted.
pub(super) fn failed(error: &RedisError, counts: &Counts) {
    if !matches!(error, RedisError::Unavailable) {
        counts.redis_errors.one();
        log::debug!("The cache could not use Redis: {error}");
    }
}

pub(super) fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
