//! A Redis server per test, to be flushed, killed, frozen and searched for secrets.
//!
//! It keeps nothing on disk, so a kill loses everything in it, and a restart comes back empty on the same port: the
//! worst that a real Redis can do.

use std::{process::Command, time::Duration};

use redis::{AsyncConnectionConfig, FromRedisValue, aio::MultiplexedConnection};

use super::{Server, eventually, free_port};

const START: Duration = Duration::from_secs(10);

/// A running `redis-server` of this test's own.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    port: u16,
    arguments: Vec<String>,
    /// Replicas leave what they got from their master there, and a Cluster what it knows of itself.
    directory: tempfile::TempDir,
}

impl Redis {
    /// Starts a server on a free port and waits until it answers.
    ///
    /// # Panics
    ///
    /// When `redis-server` is missing or does not start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with more arguments, such as `--maxmemory 2mb`.
    ///
    /// # Panics
    ///
    /// When `redis-server` is missing or does not start.
    pub async fn start_with(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let mut log = String::new();
        for _ in 0..5 {
            let port = free_port();
            let directory = tempfile::tempdir().expect("a directory");
            let server = spawn(port, &arguments, &directory);
            let mut redis = Self { server, port, arguments: arguments.clone(), directory };
            if redis.answers().await {
                return redis;
            }
            // Most likely somebody else took the port.
            log = redis.server.log();
        }
        panic!("redis-server did not start:\n{log}");
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port on 127.0.0.1 that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process that serves, for signals and its log.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// A connection of its own, patient enough for a busy machine.
    ///
    /// # Panics
    ///
    /// When the server is down.
    pub async fn connection(&self) -> MultiplexedConnection {
        connect(self.port).await.expect("redis-server takes connections")
    }

    /// Sends one command and gives its answer: `redis.ask(&["GET", "key"]).await`.
    ///
    /// # Panics
    ///
    /// When the server is down, refuses the command or answers another type.
    pub async fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        self.try_ask(command).await.expect("redis-server obeys")
    }

    /// The same, of a server that may be away or cut connections.
    pub async fn try_ask<T: FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        let (name, arguments) = command.split_first().expect("a command has a name");
        let mut connection = connect(self.port).await?;
        redis::cmd(name).arg(arguments).query_async(&mut connection).await
    }

    /// Forgets everything, as FLUSHALL or a failover to an empty replica would.
    pub async fn flush(&self) {
        self.ask::<()>(&["FLUSHALL"]).await;
    }

    /// SIGKILL: connections break, new ones are refused, and what was in it is lost.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// SIGSTOP: connections stay open and take commands, and no answer comes.
    pub fn pause(&self) {
        self.server.stop_signal();
    }

    /// Ends [`Self::pause`].
    pub fn resume(&self) {
        self.server.cont();
    }

    /// Kills it if it still runs and starts an empty one on the same port.
    ///
    /// # Panics
    ///
    /// When it does not come back.
    pub async fn restart(&mut self) {
        self.server.kill();
        self.server = spawn(self.port, &self.arguments, &self.directory);
        assert!(self.answers().await, "redis-server did not come back:\n{}", self.server.log());
    }

    /// Every key and every value in every database, for leak checks. Bytes that are no UTF-8 are shown as `\u{FFFD}`.
    ///
    /// # Panics
    ///
    /// When the server is down.
    pub async fn dump(&self) -> Vec<String> {
        let mut connection = self.connection().await;
        let mut found = Vec::new();
        for database in 0..16 {
            let select = redis::cmd("SELECT").arg(database).exec_async(&mut connection).await;
            if select.is_err() {
                break;
            }
            let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("KEYS");
            for key in keys {
                found.push(String::from_utf8_lossy(&key).into_owned());
                let kind: String = redis::cmd("TYPE").arg(&key).query_async(&mut connection).await.expect("TYPE");
                let read = match kind.as_str() {
                    "string" => redis::cmd("GET").arg(&key).to_owned(),
                    "list" => redis::cmd("LRANGE").arg(&key).arg(0).arg(-1).to_owned(),
                    "hash" => redis::cmd("HGETALL").arg(&key).to_owned(),
                    "set" => redis::cmd("SMEMBERS").arg(&key).to_owned(),
                    "zset" => redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).arg("WITHSCORES").to_owned(),
                    "stream" => redis::cmd("XRANGE").arg(&key).arg("-").arg("+").to_owned(),
                    // Gone since KEYS.
                    "none" => continue,
                    other => panic!("a key of type {other}, which this dump cannot read"),
                };
                let value = read.query_async(&mut connection).await.expect("a value can be read");
                flatten(&value, &mut found);
            }
        }
        found
    }

    /// Waits for the first answer; false when the process ended instead, or answers as another's server.
    async fn answers(&mut self) -> bool {
        let port = self.port;
        let server = &mut self.server;
        let id = server.id().to_string();
        eventually("redis-server to answer", START, async || {
            if server.exited().is_some() {
                return Some(false);
            }
            let mut connection = connect(port).await.ok()?;
            let about: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.ok()?;
            Some(about.lines().any(|line| line.strip_prefix("process_id:") == Some(id.as_str())))
        })
        .await
    }
}

fn spawn(port: u16, arguments: &[String], directory: &tempfile::TempDir) -> Server {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(arguments).current_dir(directory);
    Server::spawn(&mut command).without_grace()
}

async fn connect(port: u16) -> redis::RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(Duration::from_secs(5)));
    redis::Client::open(format!("redis://127.0.0.1:{port}"))?
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// Appends every text inside an answer.
fn flatten(value: &redis::Value, found: &mut Vec<String>) {
    match value {
        redis::Value::BulkString(bytes) => found.push(String::from_utf8_lossy(bytes).into_owned()),
        redis::Value::SimpleString(text) => found.push(text.clone()),
        redis::Value::Int(number) => found.push(number.to_string()),
        redis::Value::Double(number) => found.push(number.to_string()),
        redis::Value::Array(values) | redis::Value::Set(values) => {
            for value in values {
                flatten(value, found);
            }
        }
        redis::Value::Map(pairs) => {
            for (key, value) in pairs {
                flatten(key, found);
                flatten(value, found);
            }
        }
        redis::Value::Nil => {}
        other => found.push(format!("{other:?}")),
    }
}
