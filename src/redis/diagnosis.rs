//! What is wrong with the Redis of the settings: for an operator who has just been given a URL.
//!
//! It goes the way that a server would go: connects, signs on, asks for the version, writes, reads and deletes, and
//! times that. Where connecting fails it looks at the port without a client, since the driver's words for a server
//! that wants TLS, or that is a web server, say little.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::{ErrorKind, cmd};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::{Host, Url};

use super::connector::Connector;
use super::keys;
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
    /// `host:port`.
    pub server: String,
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

/// What the URL says.
struct Address {
    host: String,
    port: u16,
    tls: bool,
    password: bool,
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
    let address = Address::of(settings.url.expose()).ok_or("the Redis URL names no host")?;
    found.server = address.to_string();
    let begun = Instant::now();
    let opened = connector.open(Some(PATIENCE)).await;
    let took = begun.elapsed();
    let mut conn = match opened {
        Ok(conn) => conn,
        Err(error) => return Err(address.why(&error, settings.connect_timeout).await),
    };
    if let Err(error) = cmd("PING").exec_async(&mut conn).await {
        return Err(address.why(&error, settings.connect_timeout).await);
    }
    found.timings.push(Timing::of("connect", vec![took]));
    found.version = version(&mut conn).await;
    found.evicts = eviction(&mut conn).await;
    let times = rounds(&mut conn).await.map_err(|(what, error)| refusal(what, &error, &address));
    found.timings.extend(times?);
    match found.version.as_deref() {
        Some(version) if is_too_old(version) => Err(format!(
            "{address} is Redis {version}; use {LEAST_MAJOR}.0 or later, whose BLMPOP the mail workers wait with"
        )),
        _ => Ok(()),
    }
}

async fn version(conn: &mut MultiplexedConnection) -> Option<String> {
    let text: String = cmd("INFO").arg("server").query_async(conn).await.ok()?;
    let version = text.lines().find_map(|line| line.strip_prefix("redis_version:"))?;
    Some(version.trim().to_owned())
}

async fn eviction(conn: &mut MultiplexedConnection) -> Option<String> {
    let text: String = cmd("INFO").arg("memory").query_async(conn).await.ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let (bound, policy) = (field("maxmemory")?, field("maxmemory_policy")?);
    (bound != "0" && policy != "noeviction").then(|| policy.to_owned())
}

fn is_too_old(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major < LEAST_MAJOR)
}

async fn rounds(conn: &mut MultiplexedConnection) -> Result<Vec<Timing>, (&'static str, ::redis::RedisError)> {
    let commands = [
        ("SET", cmd("SET").arg(keys::PING).arg("gatepost").arg("PX").arg(10_000).take()),
        ("GET", cmd("GET").arg(keys::PING).take()),
        ("DEL", cmd("DEL").arg(keys::PING).take()),
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
    fn of(url: &str) -> Option<Self> {
        let url = Url::parse(url.trim()).ok()?;
        let host = match url.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        Some(Self {
            host,
            port: url.port().unwrap_or(6379),
            tls: url.scheme() == "rediss",
            password: url.password().is_some_and(|password| !password.is_empty()),
        })
    }

    /// Why a client could not connect. Looks at the port itself.
    async fn why(&self, error: &::redis::RedisError, patience: Duration) -> String {
        let speaks = match self.reach(patience).await {
            Ok(stream) => listen(stream).await,
            Err(why) => return why,
        };
        match speaks {
            Speaks::Http => format!("{self} is a web server, not Redis: check the host and the port in REDIS_URL"),
            Speaks::Redis(_) if self.tls => {
                format!("{self} speaks Redis without TLS: use redis:// instead of rediss://, or its port for TLS")
            }
            Speaks::Redis(answer) if answer.starts_with("-DENIED") => format!(
                "{self} is in protected mode and refuses other machines: set a password on it, and put that in REDIS_URL"
            ),
            Speaks::Tls if !self.tls => format!("{self} speaks TLS: use rediss:// instead of redis://"),
            Speaks::Nothing if !self.tls => {
                format!("{self} does not answer as Redis does; if it expects TLS, use rediss:// ({error})")
            }
            Speaks::Redis(_) => refusal("PING", error, self),
            Speaks::Tls | Speaks::Nothing => {
                format!("TLS with {self} failed: {error}. Its certificate must be valid for that host name")
            }
        }
    }

    /// A connection without a client, or why there is none.
    async fn reach(&self, patience: Duration) -> Result<TcpStream, String> {
        let resolved = timeout(patience, lookup_host((self.host.as_str(), self.port))).await;
        let addresses: Vec<SocketAddr> = match resolved {
            Ok(Ok(addresses)) => addresses.collect(),
            _ => return Err(format!("the host name {} in REDIS_URL cannot be resolved", self.host)),
        };
        match timeout(patience, TcpStream::connect(addresses.as_slice())).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                Err(format!("nothing listens at {self}: check the port in REDIS_URL, and that Redis runs"))
            }
            Ok(Err(error)) => Err(format!("{self} cannot be reached: {error}")),
            Err(_) => {
                Err(format!("{self} does not answer: check the host in REDIS_URL, and what is between (a firewall?)"))
            }
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
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
        return format!("{address} wants a password: put it into REDIS_URL, as in redis://default:PASSWORD@HOST:6379");
    }
    if code == "WRONGPASS" || error.kind() == ErrorKind::AuthenticationFailed {
        return format!("{address} refuses the user or the password in REDIS_URL");
    }
    match code {
        "READONLY" => format!("{address} is a read-only replica: use the address of the primary"),
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
        let address = Address::of("rediss://default:hunter2@[::1]/0").unwrap();
        assert_eq!(address.to_string(), "[::1]:6379");
        assert!(address.tls && address.password);
        assert!(!Address::of("redis://user@h:1").unwrap().password);
    }

    #[test]
    fn the_middle_and_the_longest_are_told() {
        let millis = |times: &[u64]| times.iter().copied().map(Duration::from_millis).collect::<Vec<_>>();
        let timing = Timing::of("GET", millis(&[9, 1, 5]));
        assert!((timing.median_ms - 5.0).abs() < 1e-9 && (timing.longest_ms - 9.0).abs() < 1e-9);
        assert_eq!(Timing::of("GET", Vec::new()).rounds, 0);
    }
}
