//! A pool that knows whose turn it is, and why it has no connection to give.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8::{ErrorSink, ManageConnection, RunError};
use diesel_async::pooled_connection::bb8::{Pool, PooledConnection};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, PoolError};
use diesel_async::{AsyncConnection, TransactionManager};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::StoreError;

/// How long a statement or a transaction may take before its connection is given up.
pub(crate) const STATEMENT_PATIENCE: Duration = Duration::from_secs(5);

/// Connections of one kind. Clones share them.
pub struct Connections<C: AsyncConnection + 'static>
where
    AsyncDieselConnectionManager<C>: ManageConnection<Connection = C, Error = PoolError>,
{
    pool: Pool<C>,
    /// One for each connection there may be. The pool itself gives what comes back to whoever asks at that moment, and sends
    /// the one who has waited for it to the end of the queue.
    turns: Arc<Semaphore>,
    patience: Duration,
    last_error: LastError,
}

/// A connection, put back when dropped.
#[derive(Debug)]
pub struct Lent<'a, C: AsyncConnection + 'static>
where
    AsyncDieselConnectionManager<C>: ManageConnection<Connection = C, Error = PoolError>,
{
    conn: PooledConnection<'a, C>,
    // After the connection, which is to be there for the next.
    _turn: SemaphorePermit<'a>,
}

impl<C: AsyncConnection + 'static> Deref for Lent<'_, C>
where
    AsyncDieselConnectionManager<C>: ManageConnection<Connection = C, Error = PoolError>,
{
    type Target = C;

    fn deref(&self) -> &C {
        &self.conn
    }
}

impl<C: AsyncConnection + 'static> DerefMut for Lent<'_, C>
where
    AsyncDieselConnectionManager<C>: ManageConnection<Connection = C, Error = PoolError>,
{
    fn deref_mut(&mut self) -> &mut C {
        &mut self.conn
    }
}

impl<C: AsyncConnection + 'static> Connections<C>
where
    AsyncDieselConnectionManager<C>: ManageConnection<Connection = C, Error = PoolError>,
{
    /// A pool of at most `size` connections made by `manager`; whoever asks waits at most `patience` for one.
    /// Connects when the first is asked for.
    pub(super) fn new(manager: AsyncDieselConnectionManager<C>, size: u32, patience: Duration) -> Self {
        let last_error = LastError::default();
        let pool = Pool::builder()
            .max_size(size)
            .connection_timeout(patience)
            .test_on_check_out(true)
            .error_sink(Box::new(last_error.clone()))
            .build_unchecked(manager);
        let turns = Semaphore::new(usize::try_from(size).unwrap_or(Semaphore::MAX_PERMITS));
        Self { pool, turns: Arc::new(turns), patience, last_error }
    }

    /// A connection, or [`StoreError::Unavailable`] with the reason why there is none. Where all that there may be are in
    /// use, the next that comes back goes to whoever has waited for it longest.
    pub async fn get(&self) -> Result<Lent<'_, C>, StoreError> {
        let in_turn = async {
            // Fails for no semaphore that is not closed, and this one never is.
            let turn = self.turns.acquire().await.map_err(|_| RunError::TimedOut)?;
            self.pool.get().await.map(|conn| Lent { conn, _turn: turn })
        };
        let outcome = timeout(self.patience, in_turn).await;
        outcome.unwrap_or(Err(RunError::TimedOut)).map_err(|error| match error {
            RunError::User(error) => StoreError::Unavailable(error.to_string()),
            RunError::TimedOut => {
                let why = self.last_error.0.lock().unwrap_or_else(PoisonError::into_inner).take();
                StoreError::Unavailable(why.unwrap_or_else(|| "every connection is busy".to_owned()))
            }
        })
    }

    /// Open connections, and those of them that nobody uses.
    pub(super) fn counts(&self) -> (u32, u32) {
        let state = self.pool.state();
        (state.connections, state.idle_connections)
    }
}

impl<C: AsyncConnection + 'static> Clone for Connections<C>
where
    AsyncDieselConnectionManager<C>: ManageConnection<Connection = C, Error = PoolError>,
{
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            turns: self.turns.clone(),
            patience: self.patience,
            last_error: self.last_error.clone(),
        }
    }
}

impl<C: AsyncConnection + 'static> fmt::Debug for Connections<C>
where
    AsyncDieselConnectionManager<C>: ManageConnection<Connection = C, Error = PoolError>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

/// Sees to it that a connection which has not answered within [`STATEMENT_PATIENCE`] is closed instead of being handed
/// to the next who asks, and tells the caller.
pub(crate) fn give_up<C: AsyncConnection>(conn: &mut C) -> StoreError {
    C::TransactionManager::transaction_manager_status_mut(conn).set_in_error();
    StoreError::Unavailable(format!("no answer within {} s", STATEMENT_PATIENCE.as_secs()))
}

/// Remembers why the last attempt to connect failed: the pool itself only says that time ran out.
#[derive(Clone, Debug, Default)]
struct LastError(Arc<Mutex<Option<String>>>);

impl ErrorSink<PoolError> for LastError {
    fn sink(&self, error: PoolError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<PoolError>> {
        Box::new(self.clone())
    }
}
