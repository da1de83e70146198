//! The Redis that makes things fast and shared, if there is one.

use std::time::Duration;

use super::problem::{Problem, Source};
use super::reader::{Read, Reader};
use super::redis_url::RedisUrl;
use crate::domain::Redacted;

const EXAMPLE: &str = "rediss://default:PASSWORD@HOST:6379";
const REST_VARIABLE: &str = "UPSTASH_REDIS_REST_URL";

/// Redis and the pool of connections to it.
#[derive(Clone, Debug)]
pub struct Redis {
    /// A URL that [`RedisUrl`] understands, with its password.
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
    RedisUrl::parse(text)?;
    Ok(Redacted::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
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
        for url in ["rediss://h", "rediss+sentinel://u:p@a:26379,b/mymaster/0", "redis+cluster://a:1,[::1]:2"] {
            assert_eq!(load(&[("REDIS_URL", url)]).redis.unwrap().url.expose(), url);
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
            "redis+sentinel://a,,b/hunter2",
            "redis+cluster://a:hunter2",
            "redis+cluster://:hunter2@a/1",
        ] {
            let problems = refused(&[("REDIS_URL", url)]);
            assert_eq!(problems.len(), 1, "{url}");
            assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
        }
    }
}
