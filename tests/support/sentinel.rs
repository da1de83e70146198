//! A master, its replica, and a sentinel that puts one in the place of the other: Redis Sentinel at its smallest.
//! Or a sentinel alone.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use redis::aio::MultiplexedConnection;

use super::{Redis, Server, eventually, free_port};

/// Long enough for a start, and for a failover, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// What the sentinel calls the master.
pub const MASTER: &str = "mymaster";
/// What the sentinel wants to hear before it tells.
const PASSWORD: &str = "watchword";

/// Two servers and who watches over them.
#[derive(Debug)]
pub struct Sentinel {
    /// The master at the start.
    pub master: Redis,
    /// Who takes over.
    pub replica: Redis,
    watcher: Watcher,
}

/// A sentinel without the servers.
#[derive(Debug)]
pub struct Watcher {
    server: Server,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Sentinel {
    /// Starts all three, and waits until the sentinel could replace the master.
    ///
    /// # Panics
    ///
    /// When `redis-server` is missing or does not start.
    pub async fn start() -> Self {
        // A replica is not left to wait for others to come.
        let at_once = ["--repl-diskless-sync-delay", "0"];
        let master = Redis::start_with(&at_once).await;
        let port = master.port().to_string();
        let replica = Redis::start_with(&[&at_once[..], &["--replicaof", "127.0.0.1", &port]].concat()).await;
        follows(&replica).await;
        let watcher = Watcher::start(("127.0.0.1", &port), &[]).await;
        knows_the_replica(watcher.port).await;
        Self { master, replica, watcher }
    }

    /// `redis+sentinel://…`, with a sentinel in front of it that is not there.
    pub fn url(&self) -> String {
        self.url_of(MASTER).replace("127.0.0.1", &format!("127.0.0.1:{},127.0.0.1", free_port()))
    }

    /// `redis+sentinel://127.0.0.1:PORT/MASTER?sentinel_password=PASSWORD`.
    pub fn url_of(&self, master: &str) -> String {
        Watcher::url_of(&format!("127.0.0.1:{}", self.watcher.port), master)
    }

    /// Has the sentinel tell of another master, which knows nothing of the first: the other side of a split network.
    ///
    /// # Panics
    ///
    /// When the sentinel refuses.
    pub async fn tell_of(&self, other: &Redis) {
        let mut connection = connect(self.watcher.port).await.expect("the sentinel takes connections");
        let mut told = redis::pipe();
        told.cmd("SENTINEL").arg("REMOVE").arg(MASTER);
        told.cmd("SENTINEL").arg("MONITOR").arg(MASTER).arg("127.0.0.1").arg(other.port()).arg(1);
        told.exec_async(&mut connection).await.expect("the sentinel obeys");
    }

    /// SIGKILL for the sentinel: nobody knows the master then.
    pub fn kill_sentinel(&mut self) {
        self.watcher.server.kill();
    }
}

impl Watcher {
    /// Starts a sentinel that watches `master`, by host and port, and waits until it is with it; `more` are arguments like
    /// those of [`Redis::start_with`].
    ///
    /// # Panics
    ///
    /// When `redis-server` is missing or does not start.
    pub async fn start(master: (&str, &str), more: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for _ in 0..5 {
            let port = free_port();
            let file = directory.path().join("sentinel.conf");
            std::fs::write(&file, settings(port, master)).expect("a file");
            let mut command = Command::new("redis-server");
            command.arg(&file).arg("--sentinel").args(more).current_dir(directory.path());
            let mut server = Server::spawn(&mut command).without_grace();
            if tells(&mut server, port).await {
                return Self { server, port, _directory: directory };
            }
        }
        panic!("redis-server --sentinel did not start");
    }

    /// `redis+sentinel://ADDRESS/MASTER?sentinel_password=PASSWORD`.
    pub fn url_of(address: &str, master: &str) -> String {
        format!("redis+sentinel://{address}/{master}?sentinel_password={PASSWORD}")
    }
}

/// Waits until `replica` has what its master has.
pub(super) async fn follows(replica: &Redis) {
    eventually("the replica to follow", SOON, async || {
        let info: String = replica.ask(&["INFO", "replication"]).await;
        info.contains("master_link_status:up").then_some(())
    })
    .await;
}

fn settings(port: u16, (host, its_port): (&str, &str)) -> String {
    [
        format!("port {port}"),
        "bind 127.0.0.1".to_owned(),
        format!("requirepass {PASSWORD}"),
        // Otherwise it takes no name for a master's address.
        "sentinel resolve-hostnames yes".to_owned(),
        format!("sentinel monitor {MASTER} {host} {its_port} 1"),
        format!("sentinel down-after-milliseconds {MASTER} 500"),
        format!("sentinel failover-timeout {MASTER} 2000"),
    ]
    .join("\n")
}

async fn connect(port: u16) -> redis::RedisResult<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://:{PASSWORD}@127.0.0.1:{port}"))?;
    client.get_multiplexed_async_connection().await
}

/// Waits until the sentinel is with the master; false when it ended instead.
async fn tells(sentinel: &mut Server, port: u16) -> bool {
    eventually("the sentinel to reach the master", SOON, async || {
        if sentinel.exited().is_some() {
            return Some(false);
        }
        let question = redis::cmd("SENTINEL").arg("MASTER").arg(MASTER).to_owned();
        let master: HashMap<String, String> = question.query_async(&mut connect(port).await.ok()?).await.ok()?;
        // Otherwise there is more in it, such as s_down or disconnected.
        (master.get("flags")? == "master").then_some(true)
    })
    .await
}

/// Waits until the sentinel at `port` has found the replica by itself.
async fn knows_the_replica(port: u16) {
    eventually("the sentinel to find the replica", SOON, async || {
        let question = redis::cmd("SENTINEL").arg("REPLICAS").arg(MASTER).to_owned();
        let replicas: Vec<HashMap<String, String>> = question.query_async(&mut connect(port).await.ok()?).await.ok()?;
        replicas
            .iter()
            .any(|replica| replica.get("master-link-status").is_some_and(|status| status == "ok"))
            .then_some(())
    })
    .await;
}
