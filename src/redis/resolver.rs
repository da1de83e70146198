//! Finds the server to talk to, each time a connection is opened: the one server of the URL, the master that Sentinel names, or
//! the node of a Cluster that has the slot of [all keys](super::key).
//!
//! Sentinels, and nodes of a Cluster, are asked one after another until one of them leads to a server that is what it should be:
//! who is asked may know of a failover later than others, or not at all. The one that did comes first the next time. Each has an
//! even share of the time that is left.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::io::tcp::TcpSettings;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, RedisResult, Role, ServerErrorKind, cmd,
};
use tokio::time::{Instant, timeout_at};

use super::error::RedisError;
use super::key::{Key, TAG};
use super::keys;
use crate::settings::{RedisKind, RedisUrl};

/// Nodes of a Cluster that have not heard of each other's news may send a client round; not for long.
const MOST_REDIRECTIONS: usize = 5;

/// A connection on which what was sent is not acknowledged for so long is dead. A server that hangs acknowledges:
/// its kernel does. Without it, what silently drops packets keeps a connection up for a quarter of an hour.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// Where to look for the server.
// No Debug: it holds the passwords.
pub(super) struct Resolver {
    kind: Kind,
    /// The one server, or who is asked.
    named: Vec<ConnectionInfo>,
    /// The place among them of the one that led to a server last.
    answered: AtomicUsize,
}

enum Kind {
    Server,
    /// The master's name, and how to sign on there.
    Sentinel(String, RedisConnectionInfo),
    Cluster,
}

/// A server, and a connection to it.
pub(super) struct Found {
    pub(super) server: ConnectionInfo,
    pub(super) conn: MultiplexedConnection,
}

/// Why one of those that are named was of no use.
pub(super) enum Lost {
    /// This server, it or one it led to, could not be reached, or does not serve.
    Failed(Box<ConnectionInfo>, ::redis::RedisError),
    /// What it said leads nowhere, in words that a person can act on.
    Said(String),
}

/// How connections are kept. A command is a small write that waits for its answer: Nagle's algorithm only delays it.
fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED);
    settings
}

impl Resolver {
    /// Reads the URL. Fails in words that go on after its name.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let url = RedisUrl::parse(url.trim())?;
        let mut named = Vec::with_capacity(url.servers.len());
        for server in url.servers {
            let info = server.into_connection_info().map_err(|error| format!("cannot be used: {error}"))?;
            named.push(info.set_tcp_settings(tcp_settings()));
        }
        let kind = match url.kind {
            RedisKind::Server => Kind::Server,
            RedisKind::Cluster => Kind::Cluster,
            RedisKind::Sentinel { master, user, password } => {
                let of_master = named.first().map(|info| info.redis_settings().clone()).unwrap_or_default();
                let mut of_sentinel = RedisConnectionInfo::default();
                if let Some(user) = user {
                    of_sentinel = of_sentinel.set_username(user);
                }
                if let Some(password) = password {
                    of_sentinel = of_sentinel.set_password(password.expose());
                }
                named = named.into_iter().map(|info| info.set_redis_settings(of_sentinel.clone())).collect();
                Kind::Sentinel(master, of_master)
            }
        };
        Ok(Self { kind, named, answered: AtomicUsize::new(0) })
    }

    /// What goes in front of every name.
    pub(super) fn tag(&self) -> &'static str {
        if matches!(self.kind, Kind::Cluster) { TAG } else { "" }
    }

    /// Whether there may be another server than the one that was found last.
    pub(super) fn has_choice(&self) -> bool {
        !matches!(self.kind, Kind::Server)
    }

    /// What the scheme of the URL has after `redis` or `rediss`.
    pub(super) fn suffix(&self) -> &'static str {
        match self.kind {
            Kind::Server => "",
            Kind::Sentinel(..) => "+sentinel",
            Kind::Cluster => "+cluster",
        }
    }

    /// What makes a server the one to talk to, where it is not the URL.
    pub(super) fn found_as(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Server => None,
            Kind::Sentinel(..) => Some("the master that Sentinel names"),
            Kind::Cluster => Some("the node of the Cluster that has all of Gatepost's keys"),
        }
    }

    /// Who says where a server is.
    pub(super) fn source(&self, server: &ConnectionInfo) -> &'static str {
        match self.kind {
            _ if self.named.iter().any(|named| named.addr() == server.addr()) => "REDIS_URL",
            Kind::Server => "REDIS_URL",
            Kind::Sentinel(..) => "what Sentinel announces",
            Kind::Cluster => "what the Cluster announces",
        }
    }

    /// The one server, or who is asked.
    pub(super) fn named(&self) -> &[ConnectionInfo] {
        &self.named
    }

    /// Finds the server and connects to it, within `patience`. The answers on the connection may take as long as `config` says.
    /// Fails with what was wrong with each that was named.
    pub(super) async fn find(&self, config: &AsyncConnectionConfig, patience: Duration) -> Result<Found, Vec<Lost>> {
        let end = Instant::now() + patience;
        let (first, all) = (self.answered.load(Ordering::Relaxed), self.named.len());
        let mut lost = Vec::new();
        for turn in 0..all {
            let place = (first + turn) % all;
            let left = u32::try_from(all - turn).unwrap_or(u32::MAX);
            let share = end.saturating_duration_since(Instant::now()) / left;
            let search = Search { config, deadline: Instant::now() + share };
            match search.by(&self.kind, &self.named[place]).await {
                Ok(found) => {
                    self.answered.store(place, Ordering::Relaxed);
                    return Ok(found);
                }
                Err(why) => lost.push(why),
            }
        }
        Err(lost)
    }

    /// What a caller is told who did not get a server.
    pub(super) fn error(&self, mut lost: Vec<Lost>) -> RedisError {
        match (&self.kind, lost.pop()) {
            (Kind::Server, Some(Lost::Failed(_, error))) => error.into(),
            (_, other) => {
                lost.extend(other);
                RedisError::Unresolved(lost.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
            }
        }
    }
}

/// What one of those that are named may cost.
struct Search<'a> {
    config: &'a AsyncConnectionConfig,
    deadline: Instant,
}

impl Search<'_> {
    async fn by(&self, kind: &Kind, named: &ConnectionInfo) -> Result<Found, Lost> {
        match kind {
            Kind::Server => self.connect(named, self.config).await,
            Kind::Sentinel(master, sign_on) => self.by_sentinel(named, master, sign_on).await,
            Kind::Cluster => self.by_node(named).await,
        }
    }

    /// The master as this sentinel knows it.
    async fn by_sentinel(
        &self,
        sentinel: &ConnectionInfo,
        master: &str,
        sign_on: &RedisConnectionInfo,
    ) -> Result<Found, Lost> {
        // The deadline will do: a sentinel is not held to the times of commands.
        let unhurried = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut asked = self.connect(sentinel, &unhurried).await.map_err(Lost::of_sentinel)?;
        let question = cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).take();
        let named = asked.ask::<Option<(String, u16)>>(&question, self.deadline).await;
        let Some((host, port)) = named.map_err(|error| Lost::failed(sentinel.clone(), error).of_sentinel())? else {
            return Err(unknown_master(&mut asked, master, self.deadline).await);
        };
        let server = beside(sentinel, host, port).set_redis_settings(sign_on.clone());
        let mut found = self.connect(&server, self.config).await?;
        match found.ask::<Role>(&cmd("ROLE"), self.deadline).await {
            Ok(Role::Primary { .. }) => Ok(found),
            Ok(_) => Err(Lost::Said(format!(
                "the sentinel {} names {}, which is no master: a failover is under way, or the sentinel has not heard of one",
                name(sentinel),
                name(&server)
            ))),
            // Who may not ask finds out with the first write.
            Err(error) if !RedisError::from(error.clone()).is_outage() => Ok(found),
            Err(error) => Err(Lost::failed(server, error)),
        }
    }

    /// The node that serves the slot of all keys: this one, or the one that it leads to.
    async fn by_node(&self, seed: &ConnectionInfo) -> Result<Found, Lost> {
        let question = cmd("GET").arg(Key::new(TAG, keys::PROBE)).take();
        let mut node = seed.clone();
        for _ in 0..=MOST_REDIRECTIONS {
            let mut found = self.connect(&node, self.config).await?;
            match found.ask::<Option<Vec<u8>>>(&question, self.deadline).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {
                    match led_to(&node, &error) {
                        Some(next) => node = next,
                        None => return Err(Lost::failed(node, error)),
                    }
                }
                Err(error) if RedisError::from(error.clone()).is_outage() => return Err(Lost::failed(node, error)),
                // Whatever it says about that key, it is the one to say it.
                _ => return found.if_in_cluster_mode(self.deadline).await,
            }
        }
        Err(Lost::Said(format!("{} and the nodes that it leads to send each other round in circles", name(seed))))
    }

    async fn connect(&self, server: &ConnectionInfo, config: &AsyncConnectionConfig) -> Result<Found, Lost> {
        let opening = async {
            let client = Client::open(server.clone())?;
            client.get_multiplexed_async_connection_with_config(config).await
        };
        match within(self.deadline, opening).await {
            Ok(conn) => Ok(Found { server: server.clone(), conn }),
            Err(error) => Err(Lost::failed(server.clone(), error)),
        }
    }
}

impl Found {
    async fn ask<T: FromRedisValue>(&mut self, question: &Cmd, deadline: Instant) -> RedisResult<T> {
        within(deadline, question.query_async(&mut self.conn)).await
    }

    /// A server that is no part of any Cluster serves every slot.
    async fn if_in_cluster_mode(mut self, deadline: Instant) -> Result<Self, Lost> {
        let question = cmd("CLUSTER").arg("KEYSLOT").arg(TAG).take();
        match self.ask::<u16>(&question, deadline).await {
            Err(error) if error.to_string().contains("cluster support disabled") => Err(Lost::Said(format!(
                "{} is not in cluster mode: use redis:// instead of redis+cluster:// in REDIS_URL, or rediss:// for TLS",
                name(&self.server)
            ))),
            _ => Ok(self),
        }
    }
}

impl Lost {
    fn failed(server: ConnectionInfo, error: ::redis::RedisError) -> Self {
        Self::Failed(Box::new(server), error)
    }

    /// The same, where it is a sentinel that has failed.
    fn of_sentinel(self) -> Self {
        let Self::Failed(sentinel, error) = self else { return self };
        let who = name(&sentinel);
        if error.code() == Some("NOAUTH") {
            return Self::Said(format!(
                "the sentinel {who} wants a password of its own: add ?sentinel_password=… to REDIS_URL, and perhaps \
                 &sentinel_user=…"
            ));
        }
        if error.kind() == ErrorKind::AuthenticationFailed {
            return Self::Said(format!("the sentinel {who} refuses sentinel_user or sentinel_password of REDIS_URL"));
        }
        if error.to_string().contains("unknown command") {
            return Self::Said(format!(
                "{who} is no sentinel: name the sentinels in REDIS_URL (their usual port is 26379), or use redis:// for one \
                 server alone"
            ));
        }
        Self::Failed(sentinel, error)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(server, error) => write!(f, "{}: {error}", name(server)),
            Self::Said(words) => f.write_str(words),
        }
    }
}

/// What to say about a master that a sentinel does not know, with those that it does.
async fn unknown_master(sentinel: &mut Found, master: &str, deadline: Instant) -> Lost {
    let question = cmd("SENTINEL").arg("MASTERS").take();
    let known: Vec<HashMap<String, String>> = sentinel.ask(&question, deadline).await.unwrap_or_default();
    let known: Vec<&str> = known.iter().filter_map(|master| master.get("name")).map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Lost::Said(format!(
        "the sentinel {} knows no master {master}, but {known}: put its name after the sentinels in REDIS_URL",
        name(&sentinel.server)
    ))
}

/// Where `MOVED slot host:port` of `node` leads; `None` where that does not tell.
fn led_to(node: &ConnectionInfo, moved: &::redis::RedisError) -> Option<ConnectionInfo> {
    let (address, _) = moved.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    // Who does not know its own address says so: it is where it was asked. A question mark is a name that nobody was told.
    let host = if host.is_empty() { host_and_port(node)?.0 } else { host };
    (host != "?").then_some(beside(node, host.to_owned(), port.parse().ok()?))
}

/// A server at another address, reached in the same way.
fn beside(server: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let address = match server.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    server.clone().set_addr(address)
}

/// Where a server is; `None` if that is not on a network.
pub(super) fn host_and_port(server: &ConnectionInfo) -> Option<(&str, u16)> {
    match server.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Some((host, *port)),
        _ => None,
    }
}

/// `host:port`.
pub(super) fn name(server: &ConnectionInfo) -> String {
    match host_and_port(server) {
        Some((host, port)) if host.contains(':') => format!("[{host}]:{port}"),
        _ => server.addr().to_string(),
    }
}

async fn within<T>(deadline: Instant, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout_at(deadline, work).await.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(url: &str) -> String {
        Resolver::new(url).err().unwrap_or_else(|| panic!("{url} was understood"))
    }

    #[test]
    fn each_scheme_is_understood_with_the_tls_it_says() {
        for (url, suffix, tls) in [
            ("redis://:secret@10.0.0.1:6380/3", "", false),
            ("rediss://user:secret@cache.example.com", "", true),
            ("redis+sentinel://a,b/mymaster", "+sentinel", false),
            ("rediss+sentinel://a,b/mymaster", "+sentinel", true),
            ("redis+cluster://a,b", "+cluster", false),
            ("rediss+cluster://a,b", "+cluster", true),
        ] {
            let resolver = Resolver::new(url).unwrap();
            assert_eq!(resolver.suffix(), suffix);
            let with_tls =
                |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { insecure: false, .. });
            assert!(resolver.named().iter().all(|info| with_tls(info) == tls), "{url}");
        }
        assert!(wrong("redis://:hunter2@0.0.0.0").starts_with("cannot be used"));
        assert!(!wrong("redis://:hunter2@h?protocol=4").contains("hunter2"));
    }

    #[test]
    fn the_password_of_the_master_is_not_shown_to_sentinels_nor_theirs_to_it() {
        let resolver = Resolver::new("redis+sentinel://u:p@a/mymaster/2?sentinel_user=s&sentinel_password=t").unwrap();
        let [sentinel] = resolver.named() else { panic!("one sentinel") };
        let (user, password) = (sentinel.redis_settings().username(), sentinel.redis_settings().password());
        assert_eq!((user, password, sentinel.redis_settings().db()), (Some("s"), Some("t"), 0));
        assert_eq!(name(sentinel), "a:26379");
        let Kind::Sentinel(master, sign_on) = &resolver.kind else { panic!("it is Sentinel") };
        assert_eq!((master.as_str(), sign_on.username(), sign_on.password()), ("mymaster", Some("u"), Some("p")));
        assert_eq!(sign_on.db(), 2);
        let resolver = Resolver::new("redis+sentinel://u:p@a/mymaster").unwrap();
        assert_eq!(resolver.named()[0].redis_settings().password(), None);
    }

    #[test]
    fn a_redirection_leads_to_a_node_with_the_same_tls_and_credentials() {
        let moved = |to: &str| {
            let value = ::redis::parse_redis_value(format!("-MOVED 7 {to}\r\n").as_bytes()).unwrap();
            value.extract_error().unwrap_err()
        };
        let resolver = Resolver::new("rediss+cluster://u:p@seed:7000").unwrap();
        let seed = &resolver.named()[0];
        for (to, at) in [("10.0.0.1:7001", "10.0.0.1:7001"), (":7002", "seed:7002"), ("::1:7003", "[::1]:7003")] {
            let next = led_to(seed, &moved(to)).unwrap();
            assert_eq!(name(&next), at);
            assert!(matches!(next.addr(), ConnectionAddr::TcpTls { insecure: false, .. }));
            assert_eq!(next.redis_settings().password(), Some("p"));
        }
        for to in ["?:7000", "", "nowhere"] {
            assert!(led_to(seed, &moved(to)).is_none(), "{to}");
        }
    }
}
