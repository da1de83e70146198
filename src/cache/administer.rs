//! What operators and admins do with the cache: look at what Redis holds under a key, and have it forgotten.
//!
//! Forgetting on purpose is for values that somebody does not trust; changes of rows need none of it. Keys are deleted
//! from Redis, tombstones too, and then every instance is told to forget all that it has in process: a reader that was
//! slow enough to store something old again in between is what the [look](super::changes) at changed rows is there for.

use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::background::EVERYTHING;
use super::{Cache, Resource};
use crate::redis::{Redis, RedisError, cmd, keys};
use crate::settings;
use crate::store::{Session, User};

/// What the prefixes of the cache's own keys begin with.
const KINDS: [&str; 2] = ["user:", "session:"];
/// Keys that one step looks at.
const STEP: usize = 1000;

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// Users, the ids behind their names, and the answers of the directory.
    Users,
    /// Sessions.
    Sessions,
    /// The answers that tell figures.
    Stats,
    /// Keys that begin so: `user:…` or `session:…`.
    Keys(String),
}

/// A text that names nothing in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use all, users, sessions, stats, or the beginning of a key, which is user:… or session:…")]
pub struct ScopeError;

/// What forgetting on purpose has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Keys that were deleted from Redis.
    pub removed: u64,
    /// Whether that is complete and every instance has been told; if not, only this one has forgotten.
    pub everywhere: bool,
}

/// What Redis holds under a key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Held {
    /// The key.
    pub key: String,
    /// How long it stays, in milliseconds; nothing when there is nothing.
    pub ttl_ms: Option<u64>,
    /// Bytes that it takes in Redis, where Redis tells.
    pub bytes: Option<u64>,
    /// The value, a hash as an object of its fields, text that is JSON as such; nothing when there is nothing.
    pub value: Option<Value>,
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        match text.trim() {
            "all" => Ok(Self::All),
            "users" | "user:" => Ok(Self::Users),
            "sessions" | "session:" => Ok(Self::Sessions),
            "stats" => Ok(Self::Stats),
            text if is_of_cache(text) => Ok(Self::Keys(text.to_owned())),
            _ => Err(ScopeError),
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Users => "users",
            Self::Sessions => "sessions",
            Self::Stats => "stats",
            Self::Keys(prefix) => prefix,
        })
    }
}

impl Scope {
    /// The patterns of its keys.
    fn patterns(&self) -> Vec<String> {
        let [users, sessions] = KINDS;
        match self {
            Self::All => KINDS.map(|kind| format!("{kind}*")).into(),
            Self::Users => vec![format!("{users}*")],
            Self::Sessions => vec![format!("{sessions}*")],
            Self::Stats => Vec::new(),
            Self::Keys(prefix) => vec![format!("{}*", literally(prefix))],
        }
    }
}

impl Scope {
    /// The beginning of the keys of the ready answers in it.
    fn answers(&self) -> Option<&'static str> {
        match self {
            Self::All => Some(""),
            Self::Users => Some(Resource::Users.name()),
            Self::Stats => Some(Resource::Stats.name()),
            Self::Sessions | Self::Keys(_) => None,
        }
    }
}

fn is_of_cache(key: &str) -> bool {
    KINDS.iter().any(|kind| key.starts_with(kind)) && !key.contains(char::is_control)
}

/// `text` as a pattern that only it matches.
fn literally(text: &str) -> String {
    text.chars().fold(String::new(), |mut pattern, character| {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
        pattern
    })
}

impl Cache {
    /// Which tiers there are, and their upkeep.
    pub fn settings(&self) -> &settings::Cache {
        &self.0.settings
    }

    /// Forgets what is in `scope`, in Redis and on every instance. In process, all is forgotten whatever the scope.
    /// Walks through the keys of Redis, in steps that nobody waits for. Never fails: see [`Swept::everywhere`].
    pub async fn sweep(&self, scope: &Scope) -> Swept {
        let answers = match scope.answers() {
            Some(prefix) => self.invalidate_prefix(prefix).await.shared,
            None => true,
        };
        let swept = match self.0.shared.channel() {
            None => Swept { removed: 0, everywhere: true },
            Some(redis) => match remove(redis, scope).await {
                Ok(removed) => Swept { removed, everywhere: self.tell_all(redis).await },
                Err(error) => {
                    self.0.upkeep_counts.redis_errors.one();
                    log::warn!("The cache could not be cleared everywhere: {error}");
                    Swept { removed: 0, everywhere: false }
                }
            },
        };
        self.forget_everything_here();
        Swept { everywhere: swept.everywhere && answers, ..swept }
    }

    /// Forgets everything about an account, and these sessions of it, in Redis and on every instance; gives by how many
    /// keys that is.
    pub async fn sweep_account(&self, user: &User, sessions: &[Session]) -> usize {
        self.forget_user(user).await;
        self.forget_sessions(sessions).await;
        Self::keys_of(user, sessions).len()
    }

    /// Every key under which this account and these sessions of it may be in Redis, but for the stamps beside them.
    pub fn keys_of(user: &User, sessions: &[Session]) -> Vec<String> {
        let mut all = vec![keys::user_id(user.id), keys::user_email(&user.email)];
        all.extend(user.username.as_ref().map(|name| keys::user_username(&name.as_str().to_lowercase())));
        all.extend(user.phone.as_ref().map(|phone| keys::user_phone(phone.as_str())));
        for session in sessions {
            all.extend(session.token_digest.map(|digest| keys::session(&digest)));
            all.push(keys::session_id(session.id));
        }
        all
    }

    /// What Redis holds under `key`; `None` when that is no key of the cache, or there is no Redis. Fails as Redis does.
    pub async fn held(&self, key: &str) -> Result<Option<Held>, RedisError> {
        match self.0.shared.channel().filter(|_| is_of_cache(key)) {
            Some(redis) => look_up(redis, key).await.map(Some),
            None => Ok(None),
        }
    }

    async fn tell_all(&self, redis: &Redis) -> bool {
        let message = format!("0 {EVERYTHING}");
        redis.query::<()>(cmd("PUBLISH").arg(keys::INVALIDATIONS).arg(message).take()).await.is_ok()
    }
}

async fn remove(redis: &Redis, scope: &Scope) -> Result<u64, RedisError> {
    let mut removed = 0;
    for pattern in scope.patterns() {
        let mut from = 0;
        loop {
            let (next, found) = redis.scan(from, &pattern, STEP).await?;
            removed += redis.unlink(&found).await?;
            if next == 0 {
                break;
            }
            from = next;
        }
    }
    Ok(removed)
}

async fn look_up(redis: &Redis, name: &str) -> Result<Held, RedisError> {
    let key = redis.key(name);
    let kind: String = redis.query(cmd("TYPE").arg(key).take()).await?;
    let value = match kind.as_str() {
        "none" => None,
        "string" => redis.get(name).await?.map(|bytes| readable(&bytes)),
        "hash" => {
            let fields: Vec<(String, Vec<u8>)> = redis.query(cmd("HGETALL").arg(key).take()).await?;
            let fields = fields.iter().map(|(name, bytes)| (name.clone(), readable(bytes)));
            (fields.len() > 0).then(|| Value::Object(fields.collect::<Map<_, _>>()))
        }
        "set" => Some(redis.query::<Vec<String>>(cmd("SMEMBERS").arg(key).take()).await?.into()),
        other => Some(format!("a {other}, which the cache does not use").into()),
    };
    let ttl: i64 = redis.query(cmd("PTTL").arg(key).take()).await?;
    // Not every provider allows this one.
    let bytes = redis.query::<Option<u64>>(cmd("MEMORY").arg("USAGE").arg(key).take()).await.unwrap_or_default();
    Ok(Held { key: name.to_owned(), ttl_ms: u64::try_from(ttl).ok(), bytes, value })
}

fn readable(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())
}

impl Held {
    /// How long it stays.
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl_ms.map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_cache_holds_can_be_named() {
        for (text, scope) in [
            ("all", Scope::All),
            (" users ", Scope::Users),
            ("user:", Scope::Users),
            ("sessions", Scope::Sessions),
            ("stats", Scope::Stats),
            ("user:email:ann@", Scope::Keys("user:email:ann@".to_owned())),
            ("session:id:0", Scope::Keys("session:id:0".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(scope.clone()), "{text}");
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        for text in ["", "*", "use", "{mail}:", "rate:", "gatepost:", "user:a\nb", "USERS"] {
            assert_eq!(text.parse::<Scope>(), Err(ScopeError), "{text}");
        }
    }

    #[test]
    fn a_prefix_is_no_pattern() {
        let scope = Scope::Keys(r"user:email:[a-z]*?\^".to_owned());
        assert_eq!(scope.patterns(), [r"user:email:\[a-z\]\*\?\\\^*"]);
        assert_eq!(Scope::All.patterns(), ["user:*", "session:*"]);
    }
}
