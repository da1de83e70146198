//! What is wrong with the Redis of the settings: for an operator who has just been given a URL.
//!
//! It goes the way that a server would go: finds the server, connects, signs on, asks for the version, writes, reads and deletes,
//! and times that. Where connecting fails it looks at the port without a client, since the driver's words for a server
//! that wants TLS, or that is a web server, say little.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::{ConnectionAddr, ConnectionInfo, ErrorKind, cmd};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::connector::Connector;
use super::keys;
use super::resolver::{Found, Lost, Resolver, host_and_port, name};
use crate::settings;

/// How often each command is sent.
const ROUNDS: usize = 20;
/// The least version: its `BLMPOP` is what workers wait with.
const LEAST_MAJOR: u32 = 7;
/// How long a command may take here: an operator waits longer than a request does.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Diagnosis {
    /// `host:port` of the server to talk to; while that is not found, of those who are asked for it.
    pub server: String,
    /// What made it that server, where the URL does not name it itself.
    pub found_as: Option<&'static str>,
    /// The server's version; none where it does not tell.
    pub version: Option<String>,
    /// By which policy the server throws out keys when its memory is full; none where it has no bound or throws out none.
    pub evicts: Option<String>,
    /// How long things took, as far as it came.
    pub timings: Vec<Timing>,
    /// What is wrong, and what to do; none when all is well. Names no password.
    pub fault: Option<String>,
}

/// How long one thing took.
#[derive(Clone, Debug, Serialize)]
pub struct Timing {
    /// What: `connect`, or a command.
    pub what: &'static str,
    /// How often it was done.
    pub rounds: usize,
    /// The middle one, in milliseconds.
    pub median_ms: f64,
    /// The longest, in milliseconds.
    pub longest_ms: f64,
}

/// A server, as the URL says or as those that it names do.
struct Address {
    /// `host:port`.
    name: String,
    host: String,
    port: u16,
    tls: bool,
    password: bool,
    /// What the scheme of the URL has after `redis` or `rediss`.
    suffix: &'static str,
    /// Who says that it is there.
    source: &'static str,
}

/// What answers at a port to a `PING` without TLS.
enum Speaks {
    Redis(String),
    Tls,
    Http,
    Nothing,
}

/// Tries the server of `settings`. Takes some seconds at most.
pub async fn diagnose(settings: &settings::Redis) -> Diagnosis {
    // Fails when it has been done before, in this process: then it is done.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut found = Diagnosis::default();
    found.fault = examine(settings, &mut found).await.err();
    found
}

async fn examine(settings: &settings::Redis, found: &mut Diagnosis) -> Result<(), String> {
    let connector = Connector::new(settings).map_err(|error| error.to_string())?;
    found.server = connector.resolver().named().iter().map(name).collect::<Vec<_>>().join(", ");
    let begun = Instant::now();
    let looked = connector.look(Some(PATIENCE)).await;
    let took = begun.elapsed();
    let Found { server, mut conn } = match looked {
        Ok(looked) => looked,
        Err(lost) => return Err(why_lost(&lost, connector.resolver(), settings.connect_timeout).await),
    };
    let address = Address::of(&server, connector.resolver()).ok_or("the Redis URL names no host")?;
    found.server = address.to_string();
    found.found_as = connector.resolver().found_as();
    if let Err(error) = cmd("PING").exec_async(&mut conn).await {
        return Err(address.why(&error, settings.connect_timeout).await);
    }
    found.timings.push(Timing::of("connect", vec![took]));
    found.version = info(&mut conn, "server", "redis_version").await;
    found.evicts = eviction(&mut conn).await;
    if !connector.is_for_a_cluster() && info(&mut conn, "cluster", "cluster_enabled").await.as_deref() == Some("1") {
        return Err(address.is_a_node());
    }
    let times = rounds(&connector, &mut conn).await.map_err(|(what, error)| refusal(what, &error, &address));
    found.timings.extend(times?);
    match found.version.as_deref() {
        Some(version) if is_too_old(version) => Err(format!(
            "{address} is Redis {version}; use {LEAST_MAJOR}.0 or later, whose BLMPOP the mail workers wait with"
        )),
        _ => Ok(()),
    }
}

/// Why none of those that the URL names was of use.
async fn why_lost(lost: &[Lost], resolver: &Resolver, patience: Duration) -> String {
    let mut reasons = Vec::with_capacity(lost.len());
    for lost in lost {
        let reason = match lost {
            Lost::Failed(server, error) => match Address::of(server, resolver) {
                Some(address) => address.why(error, patience).await,
                None => lost.to_string(),
            },
            Lost::Said(words) => words.clone(),
        };
        // Several may say the same of one server.
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons.join("; ")
}

/// A field of a section of `INFO`; none where the server does not tell.
async fn info(conn: &mut MultiplexedConnection, section: &str, field: &str) -> Option<String> {
    let text: String = cmd("INFO").arg(section).query_async(conn).await.ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

async fn eviction(conn: &mut MultiplexedConnection) -> Option<String> {
    let bound = info(conn, "memory", "maxmemory").await?;
    let policy = info(conn, "memory", "maxmemory_policy").await?;
    (bound != "0" && policy != "noeviction").then_some(policy)
}

fn is_too_old(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major < LEAST_MAJOR)
}

async fn rounds(
    connector: &Connector,
    conn: &mut MultiplexedConnection,
) -> Result<Vec<Timing>, (&'static str, ::redis::RedisError)> {
    let key = connector.key(keys::PING);
    let commands = [
        ("SET", cmd("SET").arg(key).arg("gatepost").arg("PX").arg(10_000).take()),
        ("GET", cmd("GET").arg(key).take()),
        ("DEL", cmd("DEL").arg(key).take()),
    ];
    let mut times = commands.each_ref().map(|_| Vec::with_capacity(ROUNDS));
    for _ in 0..ROUNDS {
        for ((what, command), times) in commands.iter().zip(&mut times) {
            let begun = Instant::now();
            command.exec_async(conn).await.map_err(|error| (*what, error))?;
            times.push(begun.elapsed());
        }
    }
    Ok(commands.iter().zip(times).map(|((what, _), times)| Timing::of(what, times)).collect())
}

impl Timing {
    fn of(what: &'static str, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let millis = |at: usize| times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
        let last = times.len().saturating_sub(1);
        Self { what, rounds: times.len(), median_ms: millis(last / 2), longest_ms: millis(last) }
    }
}

impl Address {
    fn of(server: &ConnectionInfo, resolver: &Resolver) -> Option<Self> {
        let (host, port) = host_and_port(server)?;
        Some(Self {
            name: name(server),
            host: host.to_owned(),
            port,
            tls: matches!(server.addr(), ConnectionAddr::TcpTls { .. }),
            password: server.redis_settings().password().is_some_and(|password| !password.is_empty()),
            suffix: resolver.suffix(),
            source: resolver.source(server),
        })
    }

    /// Why a client could not connect. Looks at the port itself.
    async fn why(&self, error: &::redis::RedisError, patience: Duration) -> String {
        let speaks = match self.reach(patience).await {
            Ok(stream) => listen(stream).await,
            Err(why) => return why,
        };
        let (plain, tls) = (format!("redis{}://", self.suffix), format!("rediss{}://", self.suffix));
        match speaks {
            Speaks::Http => format!("{self} is a web server, not Redis: check the host and the port in REDIS_URL"),
            Speaks::Redis(_) if self.tls => {
                format!("{self} speaks Redis without TLS: use {plain} instead of {tls}, or its port for TLS")
            }
            Speaks::Redis(answer) if answer.starts_with("-DENIED") => format!(
                "{self} is in protected mode and refuses other machines: set a password on it, and put that in REDIS_URL"
            ),
            Speaks::Tls if !self.tls => format!("{self} speaks TLS: use {tls} instead of {plain}"),
            Speaks::Nothing if !self.tls => {
                format!("{self} does not answer as Redis does; if it expects TLS, use {tls} ({error})")
            }
            Speaks::Redis(_) => refusal("PING", error, self),
            Speaks::Tls | Speaks::Nothing => {
                format!("TLS with {self} failed: {error}. Its certificate must be valid for that host name")
            }
        }
    }

    fn is_a_node(&self) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!(
            "{self} is a node of a Cluster: use {scheme}+cluster://{self} in REDIS_URL, with more nodes after commas"
        )
    }

    /// A connection without a client, or why there is none.
    async fn reach(&self, patience: Duration) -> Result<TcpStream, String> {
        let resolved = timeout(patience, lookup_host((self.host.as_str(), self.port))).await;
        let addresses: Vec<SocketAddr> = match resolved {
            Ok(Ok(addresses)) => addresses.collect(),
            _ => return Err(format!("the host name {} in {} cannot be resolved", self.host, self.source)),
        };
        match timeout(patience, TcpStream::connect(addresses.as_slice())).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                Err(format!("nothing listens at {self}: check the port in {}, and that Redis runs", self.source))
            }
            Ok(Err(error)) => Err(format!("{self} cannot be reached: {error}")),
            Err(_) => Err(format!(
                "{self} does not answer: check the host in {}, and what is between (a firewall?)",
                self.source
            )),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// Says `PING` as Redis understands it, and HTTP and TLS do not, and looks at what comes back.
async fn listen(mut stream: TcpStream) -> Speaks {
    let mut answer = [0; 256];
    let talk = async {
        stream.write_all(b"PING\r\n\r\n").await?;
        stream.read(&mut answer).await
    };
    let Ok(Ok(length @ 1..)) = timeout(PATIENCE, talk).await else { return Speaks::Nothing };
    let answer = answer.get(..length).unwrap_or_default();
    let text = String::from_utf8_lossy(answer).into_owned();
    if text.starts_with(['+', '-']) {
        Speaks::Redis(text)
    } else if text.contains("HTTP") || text.to_ascii_lowercase().contains("<html") {
        Speaks::Http
    } else if answer.starts_with(&[0x15, 0x03]) {
        // An alert, which is how TLS says that it has understood nothing.
        Speaks::Tls
    } else {
        Speaks::Nothing
    }
}

/// A server's refusal in words that a person can act on.
fn refusal(what: &str, error: &::redis::RedisError, address: &Address) -> String {
    let code = error.code().unwrap_or_default();
    if code == "NOAUTH" || (error.kind() == ErrorKind::AuthenticationFailed && !address.password) {
        return format!(
            "{address} wants a password: put it into REDIS_URL, as in redis{}://default:PASSWORD@HOST:PORT",
            address.suffix
        );
    }
    if code == "WRONGPASS" || error.kind() == ErrorKind::AuthenticationFailed {
        return format!("{address} refuses the user or the password in REDIS_URL");
    }
    match code {
        "READONLY" => format!("{address} is a read-only replica: use the address of the primary"),
        "MOVED" if address.suffix.is_empty() => address.is_a_node(),
        "CLUSTERDOWN" => format!("the Cluster of {address} does not serve ({error}): see `redis-cli cluster info`"),
        "MOVED" | "ASK" | "TRYAGAIN" => {
            format!("{address} is handing its keys over to another node: try again in a moment")
        }
        "NOPERM" => format!("the user in REDIS_URL may not use {what} at {address}: its ACL must allow it"),
        "OOM" => format!("{address} has no memory left: raise its maxmemory, or see docs/cache.md for the policy"),
        "LOADING" => format!("{address} is still reading its data from disk: try again in a moment"),
        "MISCONF" => format!("{address} takes no writes because it cannot save to disk: see its log"),
        _ => format!("{address} answered {what} with an error: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_told_by_their_first_number() {
        assert!(is_too_old("6.2.14") && is_too_old("5.0"));
        assert!(!is_too_old("7.0.15") && !is_too_old("10.1") && !is_too_old("unknown"));
    }

    #[test]
    fn an_address_is_shown_without_what_is_secret() {
        let address = |url: &str| {
            let resolver = Resolver::new(url).unwrap();
            Address::of(&resolver.named()[0], &resolver).unwrap()
        };
        let with_all = address("rediss://default:hunter2@[::1]/0");
        assert_eq!(with_all.to_string(), "[::1]:6379");
        assert!(with_all.tls && with_all.password && with_all.source == "REDIS_URL");
        assert!(!address("redis://user@h:1").password);
    }

    #[test]
    fn the_middle_and_the_longest_are_told() {
        let millis = |times: &[u64]| times.iter().copied().map(Duration::from_millis).collect::<Vec<_>>();
        let timing = Timing::of("GET", millis(&[9, 1, 5]));
        assert!((timing.median_ms - 5.0).abs() < 1e-9 && (timing.longest_ms - 9.0).abs() < 1e-9);
        assert_eq!(Timing::of("GET", Vec::new()).rounds, 0);
    }
}
