//! One generation of connections: everything opened since the last loss, thrown away together at the next.

use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{ConnectionInfo, ErrorKind, ServerErrorKind};
use bb8_redis::bb8::{Pool, PooledConnection, RunError};
use tokio::time::timeout;

use super::connector::Connector;
use super::error::RedisError;
use super::keys;
use super::promptly::Overdue;
use super::resolver::{Found, name};

/// More hot connections than this gain nothing: one carries some 100,000 commands a second.
const MOST_LANES: usize = 4;

/// A connection of the pool, put back when dropped.
pub struct Checkout(PooledConnection<'static, Connector>);

impl Deref for Checkout {
    type Target = MultiplexedConnection;

    fn deref(&self) -> &MultiplexedConnection {
        &self.0
    }
}

impl DerefMut for Checkout {
    fn deref_mut(&mut self) -> &mut MultiplexedConnection {
        &mut self.0
    }
}

/// The pool, and the lanes: handles onto pooled connections that are kept, because checking one out for each
/// command costs more than half of the throughput.
pub(super) struct Generation {
    connector: Connector,
    /// `host:port` of the server that the first connection leads to.
    server: String,
    pool: Pool<Connector>,
    lanes: Vec<MultiplexedConnection>,
    turn: AtomicUsize,
    overdue: Overdue,
}

impl Generation {
    /// Connects, proves that the server serves, and opens the lanes. `pool_size` is the most connections the pool
    /// holds, `pool_timeout` how long a checkout waits.
    pub(super) async fn open(
        connector: &Connector,
        pool_size: u32,
        pool_timeout: Duration,
    ) -> Result<Self, RedisError> {
        let connector = connector.renewed();
        let Found { server, conn: mut first } = connector.find(Some(connector.response_timeout())).await?;
        prove(&connector, &mut first).await?;
        let pool = Pool::builder()
            .max_size(pool_size.max(1))
            .connection_timeout(pool_timeout.max(Duration::from_millis(1)))
            .test_on_check_out(false)
            .retry_connection(false)
            .max_lifetime(None)
            .idle_timeout(None)
            .build_unchecked(connector.clone());
        let lanes = vec![first.clone()];
        // The pool is new and empty, so it has room; if it had none, the lane would still be good.
        let _ = pool.add(first);
        let server = name(&server);
        let mut generation =
            Self { connector, server, pool, lanes, turn: AtomicUsize::new(0), overdue: Overdue::default() };
        generation.open_lanes(pool_size).await;
        Ok(generation)
    }

    async fn open_lanes(&mut self, pool_size: u32) {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let wanted = MOST_LANES.min(cores).min(usize::try_from(pool_size).unwrap_or(1));
        // Held until all are open, so that each is another connection. One lane is enough to work with, so a failure
        // here is left to the next command to find.
        let mut held = Vec::new();
        while held.len() < wanted {
            let Ok(Ok(checkout)) = timeout(self.connector.connect_timeout(), self.pool.get_owned()).await else {
                return;
            };
            if !held.is_empty() {
                self.lanes.push((*checkout).clone());
            }
            held.push(checkout);
        }
    }

    /// What of the questions over these connections is overdue.
    pub(super) fn overdue(&self) -> &Overdue {
        &self.overdue
    }

    /// The next lane in turn.
    pub(super) fn lane(&self) -> MultiplexedConnection {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.lanes[turn % self.lanes.len()].clone()
    }

    /// One more lane, for a caller who keeps it and waits no longer than it should: it is driven by the caller's runtime
    /// and has no response timeout, which would be a second timer for every command.
    pub(super) async fn open_lane(&self) -> Result<MultiplexedConnection, RedisError> {
        self.connector.open(None).await
    }

    /// Whether `server`, which was found now, is that of these connections: otherwise it has taken over, and what goes to
    /// one of the two would not be found at the other.
    pub(super) fn confirm(&self, server: &ConnectionInfo) -> Result<(), RedisError> {
        let found = name(server);
        if found == self.server { Ok(()) } else { Err(RedisError::Superseded(found)) }
    }

    /// `host:port` of the server.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Every lane.
    pub(super) fn lanes(&self) -> &[MultiplexedConnection] {
        &self.lanes
    }

    /// A pooled connection, waiting for one as long as the pool's timeout.
    pub(super) async fn checkout(&self) -> Result<Checkout, RedisError> {
        self.pool.get_owned().await.map(Checkout).map_err(|error| match error {
            RunError::User(error) => error,
            RunError::TimedOut => RedisError::Timeout,
        })
    }

    /// The connections are of no more use: those that are out are closed when they come back.
    pub(super) fn retire(&self) {
        self.connector.retire();
    }

    /// Open connections, idle ones, and callers that wait for one.
    pub(super) fn counts(&self) -> (u32, u32, u64) {
        let state = self.pool.state();
        (state.connections, state.idle_connections, state.statistics.pending_gets())
    }
}

/// Asks for an answer, and for a write: a replica, or a server whose disk is full, answers `PING` all day.
async fn prove(connector: &Connector, conn: &mut MultiplexedConnection) -> Result<(), RedisError> {
    ::redis::cmd("PING").exec_async(conn).await?;
    let write = ::redis::cmd("SET").arg(connector.key(keys::PROBE)).arg(1).arg("PX").arg(1000).exec_async(conn).await;
    match write.map_err(RedisError::from) {
        // No memory left, or no permission for this key: a matter of single commands.
        Ok(()) | Err(RedisError::Reply(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Words for a failed greeting that a person can act on.
pub(super) fn hint(error: &RedisError) -> &'static str {
    match error {
        RedisError::Refusing(cause) if cause.kind() == ErrorKind::AuthenticationFailed => {
            " (check the user and password in REDIS_URL)"
        }
        RedisError::Refusing(cause) if cause.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {
            " (it is a node of a Cluster: use redis+cluster:// in REDIS_URL)"
        }
        _ => "",
    }
}
