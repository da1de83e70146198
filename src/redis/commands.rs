//! The commands that callers need, typed. All go over a lane and fail as [`Redis::run`] does.

use std::time::Duration;

use super::key::Keys;
use super::{Cmd, FromRedisValue, Pipeline, Redis, RedisError, Script, ToRedisArgs};

impl Redis {
    /// Sends one command and reads its answer as `T`. Names in it go through [`Self::key`].
    pub async fn query<T: FromRedisValue>(&self, command: Cmd) -> Result<T, RedisError> {
        self.run(async move |mut conn| command.query_async(&mut conn).await).await
    }

    /// Sends several commands in one round trip and reads their answers as `T`, usually a tuple. Not a transaction unless
    /// `commands` was made [atomic](Pipeline::atomic). The first error among the answers fails the call. Names in them go
    /// through [`Self::key`].
    pub async fn pipeline<T: FromRedisValue>(&self, commands: Pipeline) -> Result<T, RedisError> {
        self.run(async move |mut conn| commands.query_async(&mut conn).await).await
    }

    /// Runs `script` with the keys of these names as its `KEYS` and `args` as its `ARGV`. One round trip, two when the server
    /// has not seen the script before.
    pub async fn run_script<T: FromRedisValue>(
        &self,
        script: &Script,
        names: &[impl AsRef<[u8]>],
        args: impl ToRedisArgs,
    ) -> Result<T, RedisError> {
        self.run(|conn| script.run(conn, Keys(self.tag(), names), args)).await
    }

    /// The string under `name`; `None` if there is none.
    pub async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RedisError> {
        self.query(::redis::cmd("GET").arg(self.key(name)).take()).await
    }

    /// Puts `value` under `name` for `ttl`, in whole milliseconds and at least one.
    pub async fn set_ex(&self, name: &str, value: &[u8], ttl: Duration) -> Result<(), RedisError> {
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        self.query(::redis::cmd("SET").arg(self.key(name)).arg(value).arg("PX").arg(millis).take()).await
    }

    /// Deletes what is under `names`; gives how many there were.
    pub async fn del<K: AsRef<[u8]>>(&self, names: &[K]) -> Result<u64, RedisError> {
        self.remove("DEL", names).await
    }

    /// [`Self::del`] for many or large values, whose memory the server gives free beside its work.
    pub async fn unlink<K: AsRef<[u8]>>(&self, names: &[K]) -> Result<u64, RedisError> {
        self.remove("UNLINK", names).await
    }

    async fn remove<K: AsRef<[u8]>>(&self, command: &str, names: &[K]) -> Result<u64, RedisError> {
        if names.is_empty() {
            return Ok(0);
        }
        self.query(::redis::cmd(command).arg(Keys(self.tag(), names)).take()).await
    }

    /// One step on the way through all names that match `pattern`, past some `count` keys: the names that it came by, perhaps not
    /// for the first time, and from where the next goes on. The first begins at `0`, and `0` is the end.
    pub async fn scan(&self, from: u64, pattern: &str, count: usize) -> Result<(u64, Vec<Vec<u8>>), RedisError> {
        let mut command = ::redis::cmd("SCAN");
        command.arg(from).arg("MATCH").arg(self.key(pattern)).arg("COUNT").arg(count);
        let (next, keys): (u64, Vec<Vec<u8>>) = self.query(command).await?;
        let name = |key: &Vec<u8>| key.strip_prefix(self.tag().as_bytes()).map(<[u8]>::to_vec);
        Ok((next, keys.iter().filter_map(name).collect()))
    }
}
