//! The link to the server: the breaker, the current generation of connections, and the one task that replaces them.
//!
//! Every command takes the lock twice, for a few instructions: to get a lane, and to report how it went. Reports carry
//! the generation they are about, so what fails late on old connections says nothing about the new ones.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::breaker::{CircuitBreaker, LONGEST_WAIT};
use super::connector::Connector;
use super::error::RedisError;
use super::generation::{Generation, hint};
use crate::domain::Entropy;
use crate::settings;

/// An idle link is asked this often whether it still stands.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The longest wait before a probe where Sentinel or a Cluster may put another server in the place of one that is gone, which takes
/// them some seconds.
const LONGEST_WAIT_FOR_ANOTHER: Duration = Duration::from_secs(5);
/// While the last answer has failed to come, the next is waited for by this part of the response timeout. A request that
/// asks several times does not wait for a server that hangs several times over.
const SUSPICION: u32 = 4;

pub(super) struct Link {
    pub(super) connector: Connector,
    pool_size: u32,
    pool_timeout: Duration,
    started: Instant,
    state: Mutex<State>,
    availability: watch::Sender<bool>,
    /// Calls the task out of its pause.
    wake: Arc<Notify>,
}

struct State {
    breaker: CircuitBreaker,
    /// `Some` exactly while the breaker is closed.
    generation: Option<Arc<Generation>>,
}

impl Link {
    /// A link that is not up yet.
    pub(super) fn new(settings: &settings::Redis) -> Result<Self, RedisError> {
        let connector = Connector::new(settings)?;
        let longest_wait = if connector.resolver().has_choice() { LONGEST_WAIT_FOR_ANOTHER } else { LONGEST_WAIT };
        Ok(Self {
            connector,
            pool_size: settings.pool_size,
            pool_timeout: settings.pool_timeout,
            started: Instant::now(),
            state: Mutex::new(State {
                breaker: CircuitBreaker::unproven(Entropy::system(), longest_wait),
                generation: None,
            }),
            availability: watch::Sender::new(false),
            wake: Arc::default(),
        })
    }

    /// The connections, unless the breaker is open.
    pub(super) fn generation(&self) -> Result<Arc<Generation>, RedisError> {
        self.state().generation.clone().ok_or(RedisError::Unavailable)
    }

    /// The connections, unless the breaker is open, and how long to wait for an answer on them.
    pub(super) fn for_a_command(&self) -> Result<(Arc<Generation>, Duration), RedisError> {
        let state = self.state();
        let generation = state.generation.clone().ok_or(RedisError::Unavailable)?;
        let patience = self.connector.response_timeout();
        Ok((generation, if state.breaker.is_suspicious() { patience / SUSPICION } else { patience }))
    }

    /// Takes note of how something on `generation` went, and passes the outcome on.
    pub(super) fn report<T>(
        &self,
        generation: &Arc<Generation>,
        outcome: Result<T, RedisError>,
    ) -> Result<T, RedisError> {
        let mut state = self.state();
        if !state.generation.as_ref().is_some_and(|current| Arc::ptr_eq(current, generation)) {
            return outcome;
        }
        let now = self.started.elapsed();
        let opened = match &outcome {
            Ok(_) | Err(RedisError::Reply(_)) => {
                state.breaker.request_succeeded();
                false
            }
            // It says so itself, and there is somebody to ask who is the right one.
            Err(error) if error.points_elsewhere() && self.connector.resolver().has_choice() => {
                state.breaker.connection_lost(now)
            }
            Err(RedisError::Timeout | RedisError::Refusing(_) | RedisError::Superseded(_)) => {
                state.breaker.request_failed(now)
            }
            Err(RedisError::Connection(_)) => state.breaker.connection_lost(now),
            // Those who know where the server is may be away while it is well.
            Err(RedisError::Unavailable | RedisError::InvalidUrl(_) | RedisError::Unresolved(_)) => false,
        };
        let old = if opened { state.generation.take() } else { None };
        if old.is_some() {
            // Under the lock, so that the watch changes in the order in which the breaker did.
            self.availability.send_replace(false);
        }
        drop(state);
        if let (Some(old), Err(error)) = (old, &outcome) {
            old.retire();
            log::warn!("Redis is away, working without it: {error}");
            self.wake.notify_one();
        }
        outcome
    }

    /// Whether the link is up, now and as it changes.
    pub(super) fn availability(&self) -> &watch::Sender<bool> {
        &self.availability
    }

    /// Does what is due, which is a probe or a heartbeat; gives how long nothing else will be.
    pub(super) async fn attend(&self) -> Duration {
        let current = self.state().generation.clone();
        if let Some(generation) = current {
            return if self.beat(&generation).await { HEARTBEAT } else { Duration::ZERO };
        }
        let may_probe = self.state().breaker.begin_probe(self.started.elapsed());
        if may_probe {
            self.probe().await;
        }
        self.state().breaker.probe_due().map_or(HEARTBEAT, |due| due.saturating_sub(self.started.elapsed()))
    }

    async fn beat(&self, generation: &Arc<Generation>) -> bool {
        for lane in generation.lanes() {
            let mut lane = lane.clone();
            let answer = ::redis::cmd("PING").exec_async(&mut lane).await.map_err(RedisError::from);
            if self.report(generation, answer).is_err_and(|error| error.is_outage()) {
                return false;
            }
        }
        true
    }

    async fn probe(&self) {
        let opened = Generation::open(&self.connector, self.pool_size, self.pool_timeout).await;
        let mut state = self.state();
        match opened {
            Ok(generation) => {
                state.breaker.probe_succeeded();
                let server = generation.server().to_owned();
                state.generation = Some(Arc::new(generation));
                self.availability.send_replace(true);
                drop(state);
                log::info!("Redis is available at {server}");
            }
            Err(error) => {
                state.breaker.probe_failed(self.started.elapsed());
                drop(state);
                log::warn!("Redis cannot be reached{}: {error}", hint(&error));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and each field is valid on its own.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

/// Keeps the link up, from a task of its own, until the last handle is gone. The only place that connects for the
/// hot path, so there are never two attempts at once.
pub(super) fn keep_up(link: &Arc<Link>, mut pause: Duration) {
    let (link, wake): (Weak<Link>, _) = (Arc::downgrade(link), Arc::clone(&link.wake));
    tokio::spawn(async move {
        loop {
            let _ = tokio::time::timeout(pause, wake.notified()).await;
            let Some(link) = link.upgrade() else { return };
            pause = link.attend().await;
        }
    });
}
