//! Opens connections: to the server that the [resolver](super::resolver) finds, and with which timeouts. bb8 opens the
//! connections of a pool through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::aio::{MultiplexedConnection, PubSub};
use ::redis::{AsyncConnectionConfig, Client, ConnectionInfo};
use bb8_redis::bb8::ManageConnection;

use super::error::RedisError;
use super::key::Key;
use super::resolver::{Found, Lost, Resolver};
use crate::settings;

/// Where the server is and how to reach it.
// No Debug: the resolver holds the passwords.
#[derive(Clone)]
pub(super) struct Connector {
    resolver: Arc<Resolver>,
    response_timeout: Duration,
    connect_timeout: Duration,
    /// Set when the connections made through this copy are known to be of no more use.
    retired: Arc<AtomicBool>,
}

impl Connector {
    /// Reads the settings. Opens nothing.
    pub(super) fn new(settings: &settings::Redis) -> Result<Self, RedisError> {
        let resolver = Resolver::new(settings.url.expose()).map_err(|why| {
            RedisError::InvalidUrl(format!("it {why} (an example: rediss://user:password@host:6379/0)"))
        })?;
        Ok(Self {
            resolver: Arc::new(resolver),
            response_timeout: settings.response_timeout,
            connect_timeout: settings.connect_timeout,
            retired: Arc::default(),
        })
    }

    /// The same way to the server, for a new set of connections.
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

    /// How long opening a connection may take: finding the server, greeting and authentication included.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// How the server is found.
    pub(super) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// What goes in front of every name of a key.
    pub(super) fn tag(&self) -> &'static str {
        self.resolver.tag()
    }

    /// Whether the URL says that the server is a node of a Cluster.
    pub(super) fn is_for_a_cluster(&self) -> bool {
        !self.tag().is_empty()
    }

    /// A name as an argument of a command.
    pub(super) fn key<'a>(&self, name: &'a str) -> Key<'a> {
        Key::new(self.tag(), name)
    }

    /// A new connection whose answers may take `response_timeout`; with `None`, the caller sees to that.
    pub(super) async fn open(&self, response_timeout: Option<Duration>) -> Result<MultiplexedConnection, RedisError> {
        Ok(self.find(response_timeout).await?.conn)
    }

    /// [`Self::open`], and where the connection leads.
    pub(super) async fn find(&self, response_timeout: Option<Duration>) -> Result<Found, RedisError> {
        self.look(response_timeout).await.map_err(|lost| self.resolver.error(lost))
    }

    /// [`Self::find`], with all that was wrong when it fails.
    pub(super) async fn look(&self, response_timeout: Option<Duration>) -> Result<Found, Vec<Lost>> {
        // The resolver sees to the whole of the connect timeout.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(response_timeout);
        // On the heap: otherwise everything that may open a connection would have to have room for all this.
        Box::pin(self.resolver.find(&config, self.connect_timeout)).await
    }

    /// A new connection for subscriptions, and where it leads. Takes twice the connect timeout at most, the first of these to
    /// find the server where there is a choice.
    pub(super) async fn subscriber(&self) -> Result<(ConnectionInfo, PubSub), RedisError> {
        let server = match self.resolver.named() {
            [server, ..] if !self.resolver.has_choice() => server.clone(),
            _ => self.find(Some(self.response_timeout)).await?.server,
        };
        let client = Client::open(server.clone())?;
        let opened = tokio::time::timeout(self.connect_timeout, client.get_async_pubsub()).await;
        Ok((server, opened.map_err(|_| RedisError::Timeout)??))
    }
}

impl ManageConnection for Connector {
    type Connection = MultiplexedConnection;
    type Error = RedisError;

    async fn connect(&self) -> Result<Self::Connection, Self::Error> {
        self.open(Some(self.response_timeout)).await
    }

    async fn is_valid(&self, conn: &mut Self::Connection) -> Result<(), Self::Error> {
        Ok(::redis::cmd("PING").exec_async(conn).await?)
    }

    fn has_broken(&self, _: &mut Self::Connection) -> bool {
        self.retired.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Redacted;

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
            "redis+sentinel://:hunter2@host:26379",
            "redis+cluster://:hunter2@host/7",
        ] {
            let settings = settings::Redis {
                url: Redacted::new(url.to_owned()),
                pool_size: 1,
                pool_timeout: Duration::ZERO,
                response_timeout: Duration::ZERO,
                connect_timeout: Duration::ZERO,
            };
            let Err(error) = Connector::new(&settings) else { panic!("{url} was understood") };
            assert!(matches!(error, RedisError::InvalidUrl(_)), "{url}: {error}");
            let text = format!("{error} {error:?}");
            assert!(text.contains("rediss://") && !text.contains("hunter2"), "{text}");
        }
    }
}
