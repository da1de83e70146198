//! Opens connections: what the URL means, and with which timeouts. bb8 opens the connections of a pool through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::aio::{MultiplexedConnection, PubSub};
use ::redis::io::tcp::TcpSettings;
use ::redis::{AsyncConnectionConfig, Client, IntoConnectionInfo};
use bb8_redis::bb8::ManageConnection;
use url::Url;

use super::error::RedisError;
use crate::settings;

/// Where the server is and how to reach it.
// No Debug: the client holds the password.
#[derive(Clone)]
pub(super) struct Connector {
    client: Client,
    response_timeout: Duration,
    connect_timeout: Duration,
    /// Set when the connections made through this copy are known to be of no more use.
    retired: Arc<AtomicBool>,
}

impl Connector {
    /// Reads the settings. Opens nothing.
    pub(super) fn new(settings: &settings::Redis) -> Result<Self, RedisError> {
        Ok(Self {
            client: client(settings.url.expose())?,
            response_timeout: settings.response_timeout,
            connect_timeout: settings.connect_timeout,
            retired: Arc::default(),
        })
    }

    /// The same server, for a new set of connections.
    pub(super) fn renewed(&self) -> Self {
        Self { retired: Arc::default(), ..self.clone() }
    }

    /// From now on a pool throws away what comes back to it.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// How long a command may take.
    pub(super) fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// How long opening a connection may take, greeting and authentication included.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// A new connection whose answers may take `response_timeout`; with `None`, the caller sees to that.
    pub(super) async fn open(
        &self,
        response_timeout: Option<Duration>,
    ) -> Result<MultiplexedConnection, ::redis::RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(response_timeout);
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// A new connection for subscriptions.
    pub(super) async fn subscribe(&self) -> Result<PubSub, RedisError> {
        let opening = self.client.get_async_pubsub();
        let opened = tokio::time::timeout(self.connect_timeout, opening).await.map_err(|_| RedisError::Timeout)?;
        Ok(opened?)
    }
}

impl ManageConnection for Connector {
    type Connection = MultiplexedConnection;
    type Error = ::redis::RedisError;

    async fn connect(&self) -> Result<Self::Connection, Self::Error> {
        self.open(Some(self.response_timeout)).await
    }

    async fn is_valid(&self, conn: &mut Self::Connection) -> Result<(), Self::Error> {
        ::redis::cmd("PING").exec_async(conn).await
    }

    fn has_broken(&self, _: &mut Self::Connection) -> bool {
        self.retired.load(Ordering::Relaxed)
    }
}

fn client(text: &str) -> Result<Client, RedisError> {
    let invalid = |why: &str| RedisError::InvalidUrl(format!("{why} (an example: rediss://user:password@host:6379/0)"));
    let url = Url::parse(text.trim()).map_err(|error| invalid(&error.to_string()))?;
    match url.scheme() {
        "redis" | "rediss" => {}
        "redis+sentinel" | "rediss+sentinel" | "redis+cluster" | "rediss+cluster" => {
            return Err(RedisError::Unsupported(format!(
                "{}:// is not supported yet: give the redis:// or rediss:// address of the primary",
                url.scheme()
            )));
        }
        "http" | "https" => return Err(invalid("a REST address is not a Redis server: use its rediss:// address")),
        scheme => return Err(invalid(&format!("{scheme}:// is not one of redis:// and rediss://"))),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(invalid("it names no host"));
    }
    if url.fragment().is_some() {
        return Err(invalid("it has a part after #, and certificates are always verified"));
    }
    let info = url.into_connection_info().map_err(|error| invalid(&error.to_string()))?;
    // A command is a small write that waits for its answer: Nagle's algorithm only delays it.
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    Client::open(info).map_err(|error| invalid(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_tls_addresses_are_understood() {
        for url in
            ["redis://localhost", "redis://:secret@10.0.0.1:6380/3", "rediss://user:secret@cache.example.com:6379"]
        {
            assert!(client(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_wrong_address_is_explained_without_its_password() {
        for url in [
            "",
            "localhost:6379",
            "redis://",
            "https://x:hunter2@eu1.upstash.io",
            "redis://:hunter2@host:notaport",
            "redis://:hunter2@host/db",
            "rediss://:hunter2@host/#insecure",
            "mysql://:hunter2@host",
        ] {
            let error = client(url).unwrap_err();
            assert!(matches!(error, RedisError::InvalidUrl(_)), "{url}: {error}");
            let text = format!("{error} {error:?}");
            assert!(text.contains("rediss://") && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn sentinel_and_cluster_are_refused_by_name() {
        for url in ["redis+sentinel://:hunter2@host:26379/mymaster", "redis+cluster://host:7000"] {
            let error = client(url).unwrap_err();
            assert!(matches!(error, RedisError::Unsupported(_)), "{error}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
