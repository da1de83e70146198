//! What can go wrong with Redis, sorted by what the caller can do about it.

use ::redis::{ErrorKind, ServerError, ServerErrorKind};

/// Why Redis gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The setting is wrong: somebody has to correct it. Never holds the URL, which may hold a password.
    #[error("the Redis URL is not usable: {0}")]
    InvalidUrl(String),
    /// None of the sentinels, or nodes of a Cluster, that the URL names leads to a server to talk to, for now. Holds what was
    /// wrong with each.
    #[error("{0}")]
    Unresolved(String),
    /// Another server has taken over from the one that is connected: who finds the server now finds that one.
    #[error("{0} has taken over")]
    Superseded(String),
    /// The breaker is open, the connection is being made again, or others wait for an answer that is
    /// [late](super::Redis::run_promptly): nothing was sent. Use another source at once.
    #[error("Redis is unavailable")]
    Unavailable,
    /// No answer in time. The command may still have been, or be, carried out.
    #[error("Redis did not answer in time")]
    Timeout,
    /// The connection failed. The command may have been carried out.
    #[error("the connection to Redis failed: {0}")]
    Connection(#[source] ::redis::RedisError),
    /// The server answers but cannot serve (loading, read-only replica, failing over, a node of a Cluster that does not have
    /// the key, no credentials).
    #[error("Redis cannot serve: {0}")]
    Refusing(#[source] ::redis::RedisError),
    /// The server is well and answered with an error, or with something of another type than was asked for: a defect
    /// in the command or in the data under its key. Says nothing about other commands.
    #[error("Redis answered with an error: {0}")]
    Reply(#[source] ::redis::RedisError),
}

impl RedisError {
    /// Whether the cause is the server or the way to it, rather than this one command.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unresolved(_)
            | Self::Superseded(_)
            | Self::Unavailable
            | Self::Timeout
            | Self::Connection(_)
            | Self::Refusing(_) => true,
            Self::InvalidUrl(_) | Self::Reply(_) => false,
        }
    }

    /// Whether another server is to be asked: this one is a replica now, or another node has the slot.
    pub(super) fn points_elsewhere(&self) -> bool {
        match self {
            Self::Superseded(_) => true,
            Self::Refusing(error) => {
                any_of(error, |error| matches!(error.kind(), Some(ServerErrorKind::ReadOnly | ServerErrorKind::Moved)))
            }
            _ => false,
        }
    }
}

/// Error codes of a server that answers but is of no use for now.
const REFUSALS: [&str; 6] = ["NOAUTH", "WRONGPASS", "MISCONF", "NOREPLICAS", "BUSY", "UNBLOCKED"];

impl From<::redis::RedisError> for RedisError {
    fn from(error: ::redis::RedisError) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        match error.kind() {
            // Not `Parse`, which is also an answer of another type than was asked for. After an answer that breaks the
            // protocol the driver closes the connection, which the next command finds.
            ErrorKind::Io => Self::Connection(error),
            ErrorKind::AuthenticationFailed => Self::Refusing(error),
            _ if refuses(&error) => Self::Refusing(error),
            _ => Self::Reply(error),
        }
    }
}

fn refuses(error: &::redis::RedisError) -> bool {
    any_of(error, |error| match error.kind() {
        Some(kind) => matches!(
            kind,
            ServerErrorKind::BusyLoading
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain
        ),
        None => REFUSALS.contains(&error.code()),
    })
}

/// Whether `is` holds for what the server answered, to any of the commands where there were several.
fn any_of(error: &::redis::RedisError, is: impl Fn(&ServerError) -> bool) -> bool {
    error.clone().into_server_errors().is_some_and(|errors| errors.iter().any(|(_, error)| is(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(line: &str) -> RedisError {
        let value = ::redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err().into()
    }

    #[test]
    fn a_server_that_cannot_serve_is_told_from_a_wrong_command() {
        for line in [
            "LOADING in memory",
            "READONLY replica",
            "MASTERDOWN link",
            "CLUSTERDOWN slot",
            "MISCONF disk",
            "NOAUTH x",
            "MOVED 7 h:1",
            "ASK 7 h:1",
            "TRYAGAIN later",
            "UNBLOCKED force",
        ] {
            let error = answered(line);
            assert!(matches!(error, RedisError::Refusing(_)) && error.is_outage(), "{line}");
            assert_eq!(error.points_elsewhere(), line.starts_with("MOVED") || line.starts_with("READONLY"), "{line}");
        }
        for line in ["WRONGTYPE kind", "OOM memory", "NOSCRIPT none", "ERR syntax", "NOPERM key", "CROSSSLOT keys"] {
            let error = answered(line);
            assert!(matches!(error, RedisError::Reply(_)) && !error.is_outage(), "{line}");
        }
    }

    #[test]
    fn faults_of_the_wire_are_outages() {
        let io = |kind| RedisError::from(::redis::RedisError::from(std::io::Error::from(kind)));
        assert!(matches!(io(std::io::ErrorKind::TimedOut), RedisError::Timeout));
        assert!(matches!(io(std::io::ErrorKind::BrokenPipe), RedisError::Connection(_)));
        assert!(RedisError::Timeout.is_outage() && RedisError::Unavailable.is_outage());
    }
}
