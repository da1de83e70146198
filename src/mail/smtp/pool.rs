//! Connections that wait for another mail. Only those that ended their last conversation in good order get here.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Monotonic};

use lettre::transport::smtp::client::AsyncSmtpConnection;
use tokio::time::timeout;

/// Relays close connections that say nothing for long, some after a minute.
const LONGEST_IDLE: Duration = Duration::from_secs(30);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// A connection to the relay of that number in the settings.
pub(super) struct Connection {
    pub(super) relay: usize,
    pub(super) smtp: AsyncSmtpConnection,
    /// Whether the relay takes several commands at once (RFC 2920).
    pub(super) pipelining: bool,
}

struct Idle {
    since: Monotonic,
    connection: Connection,
}

/// The idle connections, oldest first. Those in use are as many as there are sends, which the worker limits.
pub(super) struct Pool {
    idle: Mutex<Vec<Idle>>,
    most: usize,
}

impl Pool {
    /// A pool that keeps up to `most` connections.
    pub(super) fn new(most: usize) -> Self {
        Self { idle: Mutex::default(), most }
    }

    /// The connection to `relay` that was used last, if one is fresh enough.
    pub(super) fn take(&self, relay: usize) -> Option<Connection> {
        let mut idle = self.idle();
        let found = idle.iter().rposition(|idle| idle.connection.relay == relay && !idle.is_old())?;
        Some(idle.remove(found).connection)
    }

    /// Keeps a connection for the next mail.
    pub(super) fn put(&self, connection: Connection) {
        let mut idle = self.idle();
        if idle.len() >= self.most {
            idle.remove(0);
        }
        idle.push(Idle { since: Monotonic::now(), connection });
    }

    /// Says goodbye on connections that have been idle for long.
    pub(super) async fn tidy(&self) {
        let old: Vec<Idle> = self.idle().extract_if(.., |idle| idle.is_old()).collect();
        say_goodbye(old).await;
    }

    /// Says goodbye on all.
    pub(super) async fn close(&self) {
        let all: Vec<Idle> = self.idle().drain(..).collect();
        say_goodbye(all).await;
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        // Nothing panics while it holds the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn is_old(&self) -> bool {
        self.since.elapsed() >= LONGEST_IDLE
    }
}

/// A relay that does not listen any more is left without a word.
async fn say_goodbye(connections: Vec<Idle>) {
    let goodbyes = connections.into_iter().map(|mut idle| async move {
        let _ = timeout(GOODBYE, idle.connection.smtp.quit()).await;
    });
    futures_util::future::join_all(goodbyes).await;
}
