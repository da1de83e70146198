//! A master, its replica, and a sentinel that puts one in the place of the other: Redis Sentinel at its smallest.

use std::{process::Command, time::Duration};

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
    watcher: Server,
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
        let directory = tempfile::tempdir().expect("a directory");
        for _ in 0..5 {
            let port = free_port();
            let file = directory.path().join("sentinel.conf");
            std::fs::write(&file, settings(port, master.port())).expect("a file");
            let mut command = Command::new("redis-server");
            command.arg(&file).arg("--sentinel").current_dir(directory.path());
            let mut watcher = Server::spawn(&mut command).without_grace();
            if knows_the_replica(&mut watcher, port).await {
                return Self { master, replica, watcher, port, _directory: directory };
            }
        }
        panic!("redis-server --sentinel did not start");
    }

    /// `redis+sentinel://…`, with a sentinel in front of it that is not there.
    pub fn url(&self) -> String {
        self.url_of(MASTER).replace("127.0.0.1", &format!("127.0.0.1:{},127.0.0.1", free_port()))
    }

    /// `redis+sentinel://127.0.0.1:PORT/MASTER?sentinel_password=PASSWORD`.
    pub fn url_of(&self, master: &str) -> String {
        format!("redis+sentinel://127.0.0.1:{}/{master}?sentinel_password={PASSWORD}", self.port)
    }

    /// Has the sentinel tell of another master, which knows nothing of the first: the other side of a split network.
    ///
    /// # Panics
    ///
    /// When the sentinel refuses.
    pub async fn tell_of(&self, other: &Redis) {
        let client = redis::Client::open(format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port)).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("the sentinel takes connections");
        let mut told = redis::pipe();
        told.cmd("SENTINEL").arg("REMOVE").arg(MASTER);
        told.cmd("SENTINEL").arg("MONITOR").arg(MASTER).arg("127.0.0.1").arg(other.port()).arg(1);
        told.exec_async(&mut connection).await.expect("the sentinel obeys");
    }

    /// SIGKILL for the sentinel: nobody knows the master then.
    pub fn kill_sentinel(&mut self) {
        self.watcher.kill();
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

fn settings(port: u16, master: u16) -> String {
    [
        format!("port {port}"),
        "bind 127.0.0.1".to_owned(),
        format!("requirepass {PASSWORD}"),
        format!("sentinel monitor {MASTER} 127.0.0.1 {master} 1"),
        format!("sentinel down-after-milliseconds {MASTER} 500"),
        format!("sentinel failover-timeout {MASTER} 2000"),
    ]
    .join("\n")
}

/// Waits until the sentinel has found the replica by itself; false when it ended instead.
async fn knows_the_replica(sentinel: &mut Server, port: u16) -> bool {
    eventually("the sentinel to find the replica", SOON, async || {
        if sentinel.exited().is_some() {
            return Some(false);
        }
        let client = redis::Client::open(format!("redis://:{PASSWORD}@127.0.0.1:{port}")).ok()?;
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        let question = redis::cmd("SENTINEL").arg("REPLICAS").arg(MASTER).to_owned();
        let replicas: Vec<std::collections::HashMap<String, String>> =
            question.query_async(&mut connection).await.ok()?;
        replicas
            .iter()
            .any(|replica| replica.get("master-link-status").is_some_and(|status| status == "ok"))
            .then_some(true)
    })
    .await
}
