//! One clock for every instance: the database's.
//!
//! Asking the database for the time in each statement would cost nothing on one server and everything in tests, where
//! time has to pass without waiting. Instead [`Clock`] holds the distance between the database's clock and this
//! machine's monotonic clock. It is measured at start and again every second ([`Clock::align`]), so a wall clock that
//! is set wrong, or jumps, changes nothing: `now()` is the database's time, to within half a round trip.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant as Monotonic};

use chrono::{DateTime, TimeDelta, Utc};

/// A moment, in UTC and whole microseconds (what Postgres keeps).
pub type Instant = DateTime<Utc>;

/// Tells the database's time. Clones share one setting.
#[derive(Clone, Debug)]
pub struct Clock(Arc<State>);

#[derive(Debug)]
struct State {
    started: Monotonic,
    /// Microseconds since the Unix epoch at `started`, by the database's clock.
    epoch_at_start: AtomicI64,
    /// Microseconds that a test has let pass.
    advanced: AtomicI64,
}

impl Clock {
    /// A clock that follows this machine's wall clock until it is first aligned with a database.
    pub fn system() -> Self {
        #[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let epoch_at_start = Utc::now().timestamp_micros();
        Self(Arc::new(State {
            started: Monotonic::now(),
            epoch_at_start: AtomicI64::new(epoch_at_start),
            advanced: AtomicI64::new(0),
        }))
    }

    /// The time now.
    pub fn now(&self) -> Instant {
        self.at(Monotonic::now())
    }

    /// The time at `moment`, which is not before this clock was made.
    pub fn at(&self, moment: Monotonic) -> Instant {
        DateTime::from_timestamp_micros(self.micros_at(moment)).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// The time at `moment`, which is not before this clock was made, in microseconds since the Unix epoch: for comparisons
    /// that are made at every request, where a calendar is a detour.
    pub fn micros_at(&self, moment: Monotonic) -> i64 {
        self.0.epoch_at_start.load(Ordering::Relaxed)
            + self.0.advanced.load(Ordering::Relaxed)
            + micros(moment.saturating_duration_since(self.0.started))
    }

    /// Takes over the database's time: `database_now` is what it answered to a question asked at `asked` and
    /// answered at `answered` (the middle of the round trip is taken as the moment it looked).
    pub fn align(&self, database_now: Instant, asked: Monotonic, answered: Monotonic) {
        let middle = asked + answered.saturating_duration_since(asked) / 2;
        let since_start = micros(middle.saturating_duration_since(self.0.started));
        self.0.epoch_at_start.store(database_now.timestamp_micros() - since_start, Ordering::Relaxed);
    }

    /// Lets `by` pass at once. For tests: no production code calls it.
    #[doc(hidden)]
    pub fn advance(&self, by: Duration) {
        self.0.advanced.fetch_add(micros(by), Ordering::Relaxed);
    }
}

/// `duration` in microseconds. Longer ones than there are numbers for are capped.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// `duration` as a signed span, for arithmetic with [`Instant`]. Spans beyond chrono's range are capped.
pub fn span(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_takes_the_databases_time_and_keeps_running() {
        let clock = Clock::system();
        let database_now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let moment = Monotonic::now();
        clock.align(database_now, moment, moment);
        let (first, second) = (clock.now(), clock.now());
        assert!(first >= database_now && first - database_now < TimeDelta::seconds(5));
        assert!(second >= first);
    }

    #[test]
    fn an_advanced_clock_stays_advanced_through_alignment() {
        let clock = Clock::system();
        clock.advance(Duration::from_mins(10));
        let database_now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let moment = Monotonic::now();
        clock.align(database_now, moment, moment);
        assert!(clock.now() - database_now >= TimeDelta::seconds(600));
    }
}
