//! The commands that callers need, typed. All go over a lane and fail as [`Redis::run`] does.

use std::time::Duration;

use super::{Cmd, FromRedisValue, Pipeline, Redis, RedisError, Script, ToRedisArgs};

impl Redis {
    /// Sends one command and reads its answer as `T`.
    pub async fn query<T: FromRedisValue>(&self, command: Cmd) -> Result<T, RedisError> {
        self.run(async move |mut conn| command.query_async(&mut conn).await).await
    }

    /// Sends several commands in one round trip and reads their answers as `T`, usually a tuple. Not a transaction unless
    /// `commands` was made [atomic](Pipeline::atomic). The first error among the answers fails the call.
    pub async fn pipeline<T: FromRedisValue>(&self, commands: Pipeline) -> Result<T, RedisError> {
        self.run(async move |mut conn| commands.query_async(&mut conn).await).await
    }

    /// Runs `script` with `keys` as its `KEYS` and `args` as its `ARGV`. One round trip, two when the server has not seen the
    /// script before.
    pub async fn run_script<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: impl ToRedisArgs,
        args: impl ToRedisArgs,
    ) -> Result<T, RedisError> {
        self.run(|conn| script.run(conn, keys, args)).await
    }

    /// The string under `key`; `None` if there is none.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, RedisError> {
        self.query(::redis::cmd("GET").arg(key).take()).await
    }

    /// Puts `value` under `key` for `ttl`, in whole milliseconds and at least one.
    pub async fn set_ex(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), RedisError> {
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        self.query(::redis::cmd("SET").arg(key).arg(value).arg("PX").arg(millis).take()).await
    }

    /// Deletes `keys`; gives how many there were.
    pub async fn del<K: AsRef<str>>(&self, keys: &[K]) -> Result<u64, RedisError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let mut command = ::redis::cmd("DEL");
        for key in keys {
            command.arg(key.as_ref());
        }
        self.query(command).await
    }
}
