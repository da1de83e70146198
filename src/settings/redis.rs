//! The Redis that makes things fast and shared, if there is one.

use std::time::Duration;

use url::Url;

use super::problem::{Problem, Source};
use super::reader::{Read, Reader};
use crate::domain::Redacted;

const EXAMPLE: &str = "rediss://default:PASSWORD@HOST:6379";
const REST_VARIABLE: &str = "UPSTASH_REDIS_REST_URL";

/// Redis and the pool of connections to it.
#[derive(Clone, Debug)]
pub struct Redis {
    /// A URL with one of the schemes `redis`, `rediss`, `redis+sentinel`, `redis+cluster`, and its password.
    pub url: Redacted<String>,
    /// Connections held at most.
    pub pool_size: u32,
    /// How long a caller waits for a free connection.
    pub pool_timeout: Duration,
    /// How long an answer may take before the caller goes on without Redis.
    pub response_timeout: Duration,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
}

impl Redis {
    pub(super) fn read(reader: &mut Reader) -> Read<Option<Self>> {
        let url = reader.optional("redis.url", EXAMPLE, redis_url);
        let pool_size = reader.number("redis.pool_size", 1..=1000);
        let pool_timeout = reader.duration("redis.pool_timeout", "10ms", "5m");
        let response_timeout = reader.duration("redis.response_timeout", "1ms", "10s");
        let connect_timeout = reader.duration("redis.connect_timeout", "10ms", "30s");
        let Some(url) = url? else {
            return if reader.variable_is_set(REST_VARIABLE) {
                Err(reader.problem(rest_address_only()))
            } else {
                Ok(None)
            };
        };
        Ok(Some(Self {
            url,
            pool_size: pool_size?,
            pool_timeout: pool_timeout?,
            response_timeout: response_timeout?,
            connect_timeout: connect_timeout?,
        }))
    }
}

fn rest_address_only() -> Problem {
    Problem {
        key: "redis.url".to_owned(),
        source: Source::Environment(REST_VARIABLE.to_owned()),
        value: None,
        reason: format!(
            "{REST_VARIABLE} is the address of a REST interface, not of Redis; set REDIS_URL to the {EXAMPLE} form that \
             the same console shows, or unset {REST_VARIABLE} to run without Redis"
        ),
        example: format!("REDIS_URL={EXAMPLE}"),
    }
}

fn redis_url(text: &str) -> Result<Redacted<String>, String> {
    const SCHEMES: &str = "must start with redis://, rediss://, redis+sentinel:// or redis+cluster://";
    let (scheme, rest) = text.split_once("://").ok_or(SCHEMES)?;
    match scheme {
        "redis" | "rediss" => one_server(text)?,
        "redis+sentinel" | "redis+cluster" => several_servers(rest)?,
        "http" | "https" => {
            return Err(format!("is the address of a REST interface, not of Redis; {SCHEMES}, as in {EXAMPLE}"));
        }
        _ => return Err(SCHEMES.to_owned()),
    }
    Ok(Redacted::new(text.to_owned()))
}

fn one_server(text: &str) -> Result<(), String> {
    let url = Url::parse(text)
        .map_err(|error| format!("is not a URL: {error}; percent-encode what is special in the password"))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("must name a host after ://".to_owned());
    }
    let database = url.path().trim_matches('/');
    if database.is_empty() || database.parse::<u16>().is_ok() {
        Ok(())
    } else {
        Err("must have nothing but the number of a database after the host; percent-encode what is special in the password"
            .to_owned())
    }
}

/// `user:password@host:port,host:port/…`, where only the list of hosts has a form common to both kinds.
fn several_servers(rest: &str) -> Result<(), String> {
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let valid = |host: &str| match Url::parse(&format!("redis://{host}")) {
        Ok(url) => url.host_str().is_some_and(|name| !name.is_empty()) && url.path().is_empty(),
        Err(_) => false,
    };
    if hosts.split(',').all(valid) {
        Ok(())
    } else {
        Err("must name hosts after ://, separated by commas, as in redis+sentinel://a:26379,b:26379/mymaster"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn without_a_url_there_is_no_redis() {
        assert!(load(&[]).redis.is_none());
    }

    #[test]
    fn the_private_url_is_second_choice() {
        let private = ("REDIS_PRIVATE_URL", "redis://private:6379");
        assert_eq!(load(&[private]).redis.unwrap().url.expose(), "redis://private:6379");
        let redis =
            load(&[private, ("REDIS_URL", "rediss://:p@public:6379/0"), ("REDIS_POOL_TIMEOUT", "7")]).redis.unwrap();
        assert_eq!(redis.url.expose(), "rediss://:p@public:6379/0");
        assert_eq!((redis.pool_size, redis.pool_timeout), (10, Duration::from_secs(7)));
        assert_eq!(
            (redis.response_timeout, redis.connect_timeout),
            (Duration::from_millis(100), Duration::from_secs(2))
        );
    }

    #[test]
    fn a_rest_address_alone_is_explained() {
        let rest = ("UPSTASH_REDIS_REST_URL", "https://x.upstash.io");
        let problems = refused(&[rest]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].reason.contains("REST") && problems[0].reason.contains(EXAMPLE), "{problems:?}");
        assert!(load(&[rest, ("REDIS_URL", "redis://h")]).redis.is_some());
        assert!(refused(&[("REDIS_URL", "https://x.upstash.io")])[0].reason.contains("REST"));
    }

    #[test]
    fn every_scheme_of_the_contract_passes() {
        for url in [
            "redis://h",
            "redis://h:6379/3",
            "rediss://default:p%40@h:6379",
            "redis://[::1]:6379",
            "redis+cluster://a:1",
            "redis+sentinel://u:p@a:26379,b:26379/mymaster/0?x=y",
            "redis+cluster://:p@a:6379,b:6379,[::1]:6379",
        ] {
            assert!(redis_url(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn malformed_urls_are_refused_without_quoting_them() {
        for url in [
            "hunter2",
            "redis://",
            "redis:h",
            "redis:///0",
            "redis://h:port",
            "redis://h/hunter2",
            "memcached://hunter2",
            "redis+sentinel://",
            "redis+sentinel://a,,b",
            "redis+cluster://a:hunter2",
            "redis://u:1/hunter2@h",
        ] {
            let problems = refused(&[("REDIS_URL", url)]);
            assert_eq!(problems.len(), 1, "{url}");
            assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(rediss?://|redis\\+sentinel://)?\\PC{0,40}") {
            let _ = redis_url(&text);
        }
    }
}
