//! The outer shield: how many requests one client address may make at all, decided in this process in well under a
//! microsecond, before anything else is done for a request.
//!
//! It is there to make a flood cheap, not to be exact: far above what the policies allow, by instance, and forgotten with
//! the process. governor's GCRA over a table of a fixed size; an address has the cell that a hash with a key of this
//! process's own says. To empty an innocent's cell somebody has to flood from an address that falls into it, which is one in
//! [`CELLS`](super::table::CELLS) for each address that floods, and nobody outside can tell which.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::{Quota, RateLimiter};

use super::subject;
use super::table::Table;
use crate::settings::Limits;

/// The shield of one process.
pub(super) struct Shield<C: Clock = DefaultClock> {
    limiter: RateLimiter<u64, Table, C, NoOpMiddleware<C::Instant>>,
    hasher: RandomState,
    clock: C,
    refused: AtomicU64,
}

impl<C: Clock + Clone> Shield<C> {
    /// A shield as `limits` say, telling time by `clock`.
    pub(super) fn new(limits: &Limits, clock: C) -> Self {
        let (rate, burst) = (limits.shield_address, NonZeroU32::new(limits.shield_burst).unwrap_or(NonZeroU32::MIN));
        let refill = (rate.window / rate.limit.max(1)).max(Duration::from_nanos(1));
        let quota = Quota::with_period(refill).unwrap_or(Quota::per_second(burst)).allow_burst(burst);
        let limiter = RateLimiter::new(quota, Table::default(), clock.clone());
        Self { limiter, hasher: RandomState::new(), clock, refused: AtomicU64::new(0) }
    }

    /// `None` if `address` may go on, and that is counted; else how long it has to wait.
    pub(super) fn refuses(&self, address: IpAddr) -> Option<Duration> {
        let cell = self.hasher.hash_one(subject::number(address));
        let not_until = self.limiter.check_key(&cell).err()?;
        self.refused.fetch_add(1, Ordering::Relaxed);
        Some(not_until.wait_time_from(self.clock.now()))
    }

    /// Requests refused since the start.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::settings::{Policy, PolicyName};

    fn shield(burst: u32, limit: u32, window: Duration) -> (Shield<FakeRelativeClock>, FakeRelativeClock) {
        let policy = Policy { limit, window };
        let limits = Limits {
            enabled: true,
            shield_address: policy,
            shield_burst: burst,
            policies: [policy; PolicyName::COUNT],
        };
        let clock = FakeRelativeClock::default();
        clock.advance(Duration::from_secs(1));
        (Shield::new(&limits, clock.clone()), clock)
    }

    fn passed(shield: &Shield<FakeRelativeClock>, address: &str, requests: usize) -> usize {
        let address = address.parse().unwrap();
        (0..requests).filter(|_| shield.refuses(address).is_none()).count()
    }

    #[test]
    fn a_burst_passes_then_the_rate_and_who_waits_as_told_passes() {
        let (shield, clock) = shield(50, 60, Duration::from_mins(1));
        assert_eq!(passed(&shield, "203.0.113.7", 1000), 50);
        assert_eq!(shield.refused(), 950);
        let wait = shield.refuses("203.0.113.7".parse().unwrap()).unwrap();
        assert_eq!(wait, Duration::from_secs(1));
        clock.advance(Duration::from_secs(10));
        assert_eq!(passed(&shield, "203.0.113.7", 1000), 10);
        clock.advance(Duration::from_hours(1));
        assert_eq!(passed(&shield, "203.0.113.7", 1000), 50);
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_strangers_are_others() {
        let (shield, _) = shield(10, 1, Duration::from_hours(1));
        let mut all = 0;
        for host in 0..20 {
            all += passed(&shield, &format!("2001:db8:1:2::{host}"), 10);
        }
        assert_eq!(all, 10);
        // Of a hundred others, hardly one can share the cell.
        let others = (0..100).filter(|host| passed(&shield, &format!("198.51.100.{host}"), 1) == 1).count();
        assert!(others >= 98, "{others}");
    }
}
