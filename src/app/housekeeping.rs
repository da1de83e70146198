//! What has to be done now and then: setting the clock, writing down failed sign-ins, and clearing away what is over.

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::auth::Auth;
use crate::domain::{Clock, clock::span};
use crate::limit::Limiter;
use crate::store::{Database, StoreError, update};

const EVERY: Duration = Duration::from_secs(1);
/// Rounds between two sweeps of the limiter's memory.
const LIMITER_ROUNDS: u64 = 60;
/// Rounds between two clearings of the database.
const PRUNE_ROUNDS: u64 = 600;
const DAY: Duration = Duration::from_hours(24);
/// How long ended sessions stay for an admin to see.
const SESSIONS_KEPT: Duration = Duration::from_hours(720);

/// The audit trail, and how long it is kept.
pub(super) struct Trail {
    pub(super) auth: Auth,
    pub(super) keep: Duration,
}

/// Starts keeping house. It ends when the handle is aborted.
pub(super) fn spawn(
    database: Database,
    clock: Clock,
    limiter: Limiter,
    guess_window: Duration,
    trail: Trail,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for round in 0_u64.. {
            ticks.tick().await;
            // The clock goes on by itself while the database is away.
            if let Err(error) = database.align(&clock).await {
                log::debug!("the clock could not be set: {error}");
                continue;
            }
            if let Err(error) = trail.auth.write_failures(false).await {
                log::warn!("failed sign-ins are not in the audit trail yet: {error}");
            }
            if round % LIMITER_ROUNDS == 0 {
                limiter.sweep();
            }
            if round % PRUNE_ROUNDS == 0
                && let Err(error) = prune(&database, &clock, guess_window).await
            {
                log::warn!("old rows could not be cleared away: {error}");
            }
            if round % PRUNE_ROUNDS == 0
                && let Err(error) = trail.auth.prune_audit(trail.keep).await
            {
                log::warn!("old lines of the audit trail could not be cleared away: {error}");
            }
        }
    })
}

async fn prune(database: &Database, clock: &Clock, guess_window: Duration) -> Result<(), StoreError> {
    let now = clock.now();
    let challenges = update!(database, challenges::prune(now - span(DAY)))?;
    let budgets = update!(database, guess_budgets::prune(now - span(DAY.max(guess_window))))?;
    let sessions = update!(database, sessions::prune(now - span(SESSIONS_KEPT)))?;
    let refreshes = update!(database, refresh_tokens::prune(now - span(SESSIONS_KEPT)))?;
    log::debug!(challenges, budgets, sessions, refreshes; "cleared away old rows");
    Ok(())
}
