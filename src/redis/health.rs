//! What an operator wants to know about the server and the way to it.

use std::time::{Duration, Instant};

use super::{Redis, RedisError};

/// What the server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// Its version, such as `7.0.15`.
    pub version: String,
    /// Since when it runs.
    pub uptime: Duration,
    /// Bytes of memory that it uses.
    pub used_memory: u64,
    /// Keys in the database of the URL.
    pub keys: u64,
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

    /// The state of the pool.
    pub fn pool_state(&self) -> PoolState {
        let Ok(generation) = self.0.generation() else { return PoolState::default() };
        let (size, available, pending) = generation.counts();
        PoolState { size, available, pending }
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
