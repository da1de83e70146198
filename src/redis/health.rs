//! What an operator wants to know about the server and the way to it.

use std::time::{Duration, Instant};

use super::{Redis, RedisError, keys};

/// What an examination writes.
const WRITTEN: &[u8] = b"gatepost";
/// How long that stays.
const WRITTEN_FOR: Duration = Duration::from_secs(10);

/// What the server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// Its version, such as `7.0.15`.
    pub version: String,
    /// Since when it runs.
    pub uptime: Duration,
    /// Bytes of memory that it uses.
    pub used_memory: u64,
    /// Keys in the database of the URL, or on the node of a Cluster.
    pub keys: u64,
}

/// How a server does that was asked a few things in turn. What comes after a failure that is an outage is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// How long a `PING` took; `None` when it failed, here and below.
    pub ping: Option<Duration>,
    /// How long a write took.
    pub set: Option<Duration>,
    /// How long reading it back took.
    pub get: Option<Duration>,
    /// What the server says about itself.
    pub info: Option<ServerInfo>,
    /// What went wrong, in words that name no address and no value.
    pub errors: Vec<String>,
}

/// The connections of the pool. All zero while the breaker is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolState {
    /// Open connections.
    pub size: u32,
    /// Those of them that are not checked out.
    pub available: u32,
    /// Callers that wait for a connection.
    pub pending: u64,
}

impl Redis {
    /// How long the server takes to answer, the way there and back included.
    pub async fn ping(&self) -> Result<Duration, RedisError> {
        let asked = Instant::now();
        self.query::<()>(::redis::cmd("PING")).await?;
        Ok(asked.elapsed())
    }

    /// What the server says about itself. A field that it does not tell is empty or zero.
    pub async fn info(&self) -> Result<ServerInfo, RedisError> {
        let mut questions = ::redis::pipe();
        questions.cmd("INFO").arg("server").cmd("INFO").arg("memory").cmd("DBSIZE");
        let (server, memory, keys): (String, String, u64) = self.pipeline(questions).await?;
        Ok(ServerInfo {
            version: field(&server, "redis_version").to_owned(),
            uptime: Duration::from_secs(field(&server, "uptime_in_seconds").parse().unwrap_or(0)),
            used_memory: field(&memory, "used_memory").parse().unwrap_or(0),
            keys,
        })
    }

    /// Asks the server for an answer, a write, its reading, and about itself, and times the first three.
    pub async fn examine(&self) -> Examination {
        let mut found = Examination::default();
        if let Err((what, error)) = self.examine_into(&mut found).await {
            found.errors.push(format!("{what}: {}", in_words(&error)));
        }
        found
    }

    async fn examine_into(&self, found: &mut Examination) -> Result<(), (&'static str, RedisError)> {
        found.ping = Some(self.ping().await.map_err(|error| ("PING", error))?);
        let asked = Instant::now();
        match self.set_ex(keys::HEALTH, WRITTEN, WRITTEN_FOR).await {
            Ok(()) => found.set = Some(asked.elapsed()),
            Err(error) if error.is_outage() => return Err(("SET", error)),
            Err(error) => found.errors.push(format!("SET: {}", in_words(&error))),
        }
        let asked = Instant::now();
        let read = self.get(keys::HEALTH).await.map_err(|error| ("GET", error))?;
        if read.as_deref() == Some(WRITTEN) {
            found.get = Some(asked.elapsed());
        } else if found.set.is_some() {
            found.errors.push("GET: what was written is not there".to_owned());
        }
        found.info = Some(self.info().await.map_err(|error| ("INFO", error))?);
        Ok(())
    }

    /// The state of the pool.
    pub fn pool_state(&self) -> PoolState {
        let Ok(generation) = self.0.generation() else { return PoolState::default() };
        let (size, available, pending) = generation.counts();
        PoolState { size, available, pending }
    }
}

/// What may be shown to whoever is not signed in: errors of the system and of the server can name addresses.
fn in_words(error: &RedisError) -> String {
    match error {
        RedisError::Connection(_) => "the connection failed".to_owned(),
        RedisError::Refusing(_) => "the server cannot serve at the moment".to_owned(),
        RedisError::Unresolved(_) => "no server is known at the moment".to_owned(),
        RedisError::Reply(cause) => match cause.code() {
            Some(code) => format!("the server answered with {code}"),
            None => "the server answered with an error".to_owned(),
        },
        other => other.to_string(),
    }
}

/// The value of `name` among the `name:value` lines of an `INFO` section; empty if it is not there.
fn field<'a>(section: &'a str, name: &str) -> &'a str {
    section.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map_or("", str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let section = "# Memory\r\nused_memory_human:1M\r\nused_memory:1048576\r\n";
        assert_eq!(field(section, "used_memory"), "1048576");
        assert_eq!(field(section, "used"), "");
    }
}
