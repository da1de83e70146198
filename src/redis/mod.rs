//! Redis: connections, the circuit breaker, key names and scripts. Everything in Redis can be lost at any moment, so
//! every caller has another way; this module's task is to tell it quickly which way to take.
//!
//! **The life of a connection.** [`Redis::connect`] reads the settings and tries the server once. A task of its own opens
//! connections: it greets the server, has it answer a `PING` and take a write, fills a bb8 pool, and keeps a few handles
//! onto pooled connections as *lanes*. A command ([`Redis::run`] and the typed calls built on it) goes over the next lane,
//! next to the commands of others, and must be answered within the response timeout; threads that send many have a lane
//! of their own ([`Redis::adopt_thread`]). What the database can tell as well is waited for half as long
//! ([`Redis::run_promptly`]). What has to have a connection to itself gets one: [`Redis::dedicated`] for a command that
//! blocks, [`Redis::subscribe`] for pub/sub, [`Redis::checkout`] for a sequence. An idle link gets a `PING` every five
//! seconds.
//!
//! **One server.** However many the URL names, one of them has all keys, and every connection goes to that one. It is
//! found anew for each (`resolver.rs`): by asking sentinels for the master, or nodes of a Cluster for the one with the
//! slot in which all names are (`key.rs`).
//!
//! **The life of an outage.** A connection that breaks, or three failures in a row (no answer in time, or a server that
//! cannot serve), open the [breaker]; after the first of these, callers wait for a quarter of the response timeout.
//! Where there may be another server, one answer that points to it is enough: `MOVED`, or `READONLY` from a master that
//! has become a replica. When it opens, all connections of that generation are given up, the watch of
//! [`Redis::changes`] turns `false`, and from then on every call returns [`RedisError::Unavailable`] at once: nobody
//! waits. The task probes, at once after a broken connection and else after half a second, then in doubling intervals
//! up to a minute (or to five seconds where another server may take over), one probe at a time, with or without
//! traffic. The first probe that succeeds brings a whole new generation and closes the breaker. An error that is about
//! one command (`WRONGTYPE`, out of memory) opens nothing.

pub mod breaker;
mod commands;
mod connector;
mod diagnosis;
mod error;
mod gathering;
mod generation;
mod health;
mod key;
pub mod keys;
mod link;
mod own;
mod promptly;
mod resolver;
mod script;
mod subscription;
mod together;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use ::redis::aio::MultiplexedConnection;
pub use ::redis::{Cmd, FromRedisValue, Pipeline, RedisResult, ToRedisArgs, cmd, pipe};
use tokio::sync::watch;

pub use diagnosis::{Diagnosis, Timing, diagnose};
pub use error::RedisError;
pub use gathering::{Answer, Gathering, Portions};
pub use generation::Checkout;
pub use health::{Examination, PoolState, ServerInfo};
pub use key::{Key, TAG};
use link::Link;
pub use script::Script;
pub use subscription::Subscription;
pub use together::{Question, Strings};

use crate::settings;

/// A handle on the server. Clones are cheap and share connections and breaker.
#[derive(Clone)]
pub struct Redis(Arc<Link>);

impl Redis {
    /// Reads the settings and tries the server once, for as long as the connect timeout. A wrong URL is an error; a server
    /// that cannot be reached is not: the handle then starts [unavailable](Self::available) and keeps probing.
    /// Spawns a task on the current runtime that ends when the last clone is dropped.
    pub async fn connect(settings: &settings::Redis) -> Result<Self, RedisError> {
        let link = Arc::new(Link::new(settings)?);
        let pause = link.attend().await;
        link::keep_up(&link, pause);
        Ok(Self(link))
    }

    /// Runs `work` on a connection that it shares with others: it may send any number of commands, but none that blocks.
    /// All of it must be done within the response timeout, or a quarter of that if the last answer has not come. Fails at once
    /// while the breaker is open.
    pub async fn run<T, F, W>(&self, work: W) -> Result<T, RedisError>
    where
        F: Future<Output = RedisResult<T>>,
        W: FnOnce(MultiplexedConnection) -> F,
    {
        let (generation, patience) = self.0.for_a_command()?;
        let answer = tokio::time::timeout(patience, work(own::lane(&self.0, &generation))).await;
        self.0.report(&generation, promptly::outcome(answer))
    }

    /// A connection of the caller's own, for commands that block (`BLMPOP`): each answer may take `response_timeout`,
    /// which must be longer than the command blocks. Opening takes at most the connect timeout, and fails at once while the
    /// breaker is open. When a command on it fails with [an outage](RedisError::is_outage), drop it and open another.
    pub async fn dedicated(&self, response_timeout: Duration) -> Result<MultiplexedConnection, RedisError> {
        let generation = self.0.generation()?;
        let found = self.0.connector.find(Some(response_timeout)).await;
        self.0.report(&generation, found.and_then(|found| generation.confirm(&found.server).map(|()| found.conn)))
    }

    /// What is published on `channel` from now on, over a connection of the caller's own. Takes at most thrice the connect
    /// timeout, and fails at once while the breaker is open.
    pub async fn subscribe(&self, channel: &str) -> Result<Subscription, RedisError> {
        let generation = self.0.generation()?;
        let found = self.0.connector.subscriber().await;
        let opened = found.and_then(|(server, subscriber)| generation.confirm(&server).map(|()| subscriber));
        // What befalls this one connection after that says nothing about the others.
        let subscriber = self.0.report(&generation, opened)?;
        Subscription::begin(subscriber, channel, self.0.connector.connect_timeout()).await
    }

    /// A connection out of the pool, waiting for a free one as long as the pool timeout. Others may be using it too, so
    /// nothing on it may block. Fails at once while the breaker is open.
    pub async fn checkout(&self) -> Result<Checkout, RedisError> {
        self.0.generation()?.checkout().await
    }

    /// Whether the breaker is closed: a command would be sent.
    pub fn available(&self) -> bool {
        *self.0.availability().borrow()
    }

    /// [`available`](Self::available), and a notice each time it changes.
    pub fn changes(&self) -> watch::Receiver<bool> {
        self.0.availability().subscribe()
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("available", &self.available()).finish_non_exhaustive()
    }
}
