//! What a Redis URL says: one server, or several who know the one to talk to.

use url::Url;

use crate::domain::Redacted;

/// What a URL may begin with.
const SCHEMES: &str = "must start with redis://, redis+sentinel:// or redis+cluster://, or with rediss for TLS";
/// The port of a sentinel whose port is not given.
const SENTINEL_PORT: u16 = 26379;
/// How a URL for Sentinel looks.
const SENTINEL_EXAMPLE: &str = "redis+sentinel://user:password@a:26379,b:26379/mymaster/0";

/// A Redis URL that was understood.
// No Debug: its servers hold the password.
#[derive(Clone)]
pub struct RedisUrl {
    /// How the server to talk to is found.
    pub kind: RedisKind,
    /// Whom it names, at least one: each as a URL of its own with the scheme `redis` or `rediss`, with the credentials and the
    /// number of the database that are for the server to talk to.
    pub servers: Vec<Url>,
}

/// How the server to talk to is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisKind {
    /// It is the one that is named.
    Server,
    /// Sentinels are named, who know which server is master.
    Sentinel {
        /// What the sentinels call it.
        master: String,
        /// The user with which to sign on at the sentinels themselves.
        user: Option<String>,
        /// The password for that; without one, nobody signs on there.
        password: Option<Redacted<String>>,
    },
    /// Nodes of a Cluster are named, who know which of them has a key.
    Cluster,
}

impl RedisUrl {
    /// Reads a URL: `redis://user:password@host:port/database`, and for several servers
    /// `redis+sentinel://user:password@host:port,host:port/master/database?sentinel_user=…&sentinel_password=…` or
    /// `redis+cluster://user:password@host:port,host:port`; `rediss` instead of `redis` is for TLS, with all of them. Fails with
    /// what is wrong, in words that go on after the name of the setting and quote nothing of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or(SCHEMES)?;
        match scheme {
            "redis" | "rediss" => {
                let url = server(text)?;
                numbers_a_database(url.path())?;
                Ok(Self { kind: RedisKind::Server, servers: vec![url] })
            }
            "redis+sentinel" => sentinel("redis", rest),
            "rediss+sentinel" => sentinel("rediss", rest),
            "redis+cluster" => cluster("redis", rest),
            "rediss+cluster" => cluster("rediss", rest),
            "http" | "https" => Err(format!("is the address of a REST interface, not of Redis; it {SCHEMES}")),
            _ => Err(SCHEMES.to_owned()),
        }
    }
}

fn sentinel(scheme: &str, rest: &str) -> Result<RedisUrl, String> {
    let (mut servers, path) = several(scheme, rest)?;
    let (master, database) = path.split_once('/').unwrap_or((path, ""));
    // The names that Sentinel takes.
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if master.is_empty() || !is_name(master) {
        return Err(format!("must name the master after the sentinels, as in {SENTINEL_EXAMPLE}"));
    }
    numbers_a_database(database)?;
    // A plus is one, as in the password before the hosts, and not the blank that a form would make of it.
    let query = servers.first().and_then(Url::query).unwrap_or_default().replace('+', "%2B");
    let parameter = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).filter(|value| !value.is_empty())
    };
    let (user, password) = (parameter("sentinel_user"), parameter("sentinel_password").map(Redacted::new));
    if user.is_some() && password.is_none() {
        return Err("must have sentinel_password where it has sentinel_user".to_owned());
    }
    for server in &mut servers {
        server.set_path(database);
        if server.port().is_none() {
            server.set_port(Some(SENTINEL_PORT)).map_err(|()| "must name hosts that take a port")?;
        }
    }
    Ok(RedisUrl { kind: RedisKind::Sentinel { master: master.to_owned(), user, password }, servers })
}

fn cluster(scheme: &str, rest: &str) -> Result<RedisUrl, String> {
    let (servers, path) = several(scheme, rest)?;
    match path {
        "" | "0" => Ok(RedisUrl { kind: RedisKind::Cluster, servers }),
        _ => Err("must have nothing after the hosts: a Cluster has only the database 0".to_owned()),
    }
}

/// `user:password@host:port,host:port/path?query`: a URL for each host, and the path without slashes around it.
fn several<'a>(scheme: &str, rest: &'a str) -> Result<(Vec<Url>, &'a str), String> {
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let path = tail.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let at = if authority.contains('@') { "@" } else { "" };
    let servers = hosts.split(',').map(|host| server(&format!("{scheme}://{credentials}{at}{host}{tail}")));
    let servers: Result<Vec<Url>, String> = servers.collect();
    match servers {
        Ok(servers) => Ok((servers, path)),
        Err(why) => Err(format!("{why}; hosts are separated by commas, as in {SENTINEL_EXAMPLE}")),
    }
}

/// One server with a host, whatever its path says.
fn server(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)
        .map_err(|error| format!("is not a URL: {error}; percent-encode what is special in the password"))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("must name a host after ://".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must have nothing after a #: certificates are always verified".to_owned());
    }
    Ok(url)
}

fn numbers_a_database(path: &str) -> Result<(), String> {
    let database = path.trim_matches('/');
    if database.is_empty() || database.parse::<u16>().is_ok() {
        return Ok(());
    }
    Err("must end with the number of a database, or with what comes before it; percent-encode what is special in the password"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (RedisKind, Vec<String>) {
        let url = RedisUrl::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        (url.kind, url.servers.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn one_server_is_named_as_it_is() {
        for url in
            ["redis://h", "redis://h:6379/3", "rediss://default:p%40@h:6379", "redis://[::1]:6379?protocol=resp3"]
        {
            assert_eq!(read(url), (RedisKind::Server, vec![url.to_owned()]));
        }
    }

    #[test]
    fn each_sentinel_gets_the_credentials_and_the_database_of_the_master() {
        let kind = RedisKind::Sentinel { master: "my.master-1".to_owned(), user: None, password: None };
        let (found, servers) = read("redis+sentinel://u:p%40@a:1,b,[::1]:3/my.master-1/2");
        assert_eq!(found, kind);
        assert_eq!(servers, ["redis://u:p%40@a:1/2", "redis://u:p%40@b:26379/2", "redis://u:p%40@[::1]:3/2"]);
        let (found, servers) = read("rediss+sentinel://a/my.master-1?sentinel_user=s&sentinel_password=x%26y+/z=");
        let password = Some(Redacted::new("x&y+/z=".to_owned()));
        assert_eq!(
            found,
            RedisKind::Sentinel { master: "my.master-1".to_owned(), user: Some("s".to_owned()), password }
        );
        assert!(servers.len() == 1 && servers[0].starts_with("rediss://a:26379"), "{servers:?}");
    }

    #[test]
    fn each_node_of_a_cluster_gets_the_credentials() {
        for (url, servers) in [
            ("redis+cluster://a:1", vec!["redis://a:1"]),
            ("rediss+cluster://:p@a:6379,[::1]:7/0", vec!["rediss://:p@a:6379/0", "rediss://:p@[::1]:7/0"]),
        ] {
            assert_eq!(read(url), (RedisKind::Cluster, servers.into_iter().map(str::to_owned).collect()));
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_an_example_and_quotes_nothing() {
        for (url, word) in [
            ("hunter2", "must start with"),
            ("memcached://hunter2", "must start with"),
            ("https://x:hunter2@eu1.upstash.io", "REST"),
            ("redis://", "host"),
            ("redis:///0", "host"),
            ("redis://h:hunter2", "port"),
            ("redis://h/hunter2", "database"),
            ("redis://u:1/hunter2@h", "percent-encode"),
            ("rediss://:hunter2@h/#insecure", "certificates"),
            ("redis+sentinel://", "host"),
            ("redis+sentinel://a,b", "the master"),
            ("redis+sentinel://a,b/hunter2?", ""),
            ("redis+sentinel://a,,b/hunter2", "commas"),
            ("redis+sentinel://a/hunter2!", "the master"),
            ("redis+sentinel://a/mymaster/hunter2", "database"),
            ("redis+sentinel://a/mymaster/0/hunter2", "database"),
            ("redis+sentinel://a/mymaster?sentinel_user=hunter2", "sentinel_password"),
            ("redis+cluster://a:hunter2", "port"),
            ("redis+cluster://a/1", "Cluster"),
            ("redis+cluster://:hunter2@a,b/#x", "certificates"),
        ] {
            match RedisUrl::parse(url) {
                Ok(_) => assert_eq!(word, "", "{url}"),
                Err(why) => assert!(!word.is_empty() && why.contains(word) && !why.contains("hunter2"), "{url}: {why}"),
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(rediss?(\\+sentinel|\\+cluster)?://)?\\PC{0,40}") {
            let _ = RedisUrl::parse(&text);
        }
    }
}
