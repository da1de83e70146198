//! Lua scripts, one file each, known to the server by the SHA-1 of their text.

use std::sync::OnceLock;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, ToRedisArgs};

/// A script, made in a `static` from `include_str!`.
#[derive(Debug)]
pub struct Script {
    source: &'static str,
    hashed: OnceLock<::redis::Script>,
}

impl Script {
    /// The script with this text.
    pub const fn new(source: &'static str) -> Self {
        Self { source, hashed: OnceLock::new() }
    }

    /// The SHA-1 of the text in lower-case hexadecimal, by which `EVALSHA` calls it.
    pub fn sha1(&self) -> &str {
        self.hashed.get_or_init(|| ::redis::Script::new(self.source)).get_hash()
    }

    /// Runs it. A server that does not know it (restarted, failed over, `SCRIPT FLUSH`) gets the whole text, which it
    /// runs and keeps.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        mut conn: MultiplexedConnection,
        keys: impl ToRedisArgs,
        args: impl ToRedisArgs,
    ) -> RedisResult<T> {
        match call("EVALSHA", self.sha1(), &keys, &args).query_async(&mut conn).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                call("EVAL", self.source, &keys, &args).query_async(&mut conn).await
            }
            outcome => outcome,
        }
    }
}

fn call(command: &str, script: &str, keys: &impl ToRedisArgs, args: &impl ToRedisArgs) -> Cmd {
    let mut call = ::redis::cmd(command);
    call.arg(script).arg(keys.num_of_args()).arg(keys).arg(args);
    call
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_named_by_the_digest_of_its_text() {
        static SCRIPT: Script = Script::new("return 1");
        assert_eq!(SCRIPT.sha1(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }
}
