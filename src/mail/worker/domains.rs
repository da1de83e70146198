//! Keeps slow recipient domains from taking every slot.
//!
//! A domain may have any number of sends in flight as long as they go through. One that has had a send take longer than
//! [`SLOW`] is slow until a send goes through quickly again: once it has its share in flight, it gets none of the last
//! free slots, and its mails go back to the outbox for a moment. The sends that made it a slow one have left their slots
//! for the slow lane by then (see `dispatch`), so slots are there for everybody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Monotonic};

/// A send that takes longer makes its domain a slow one, and leaves its slot.
pub(super) const SLOW: Duration = Duration::from_secs(1);
/// How long a domain is slow after its last slow send.
const MEMORY: Duration = Duration::from_mins(1);
/// Domains that are remembered before those that are not needed are forgotten.
const MANY: usize = 1000;

/// The sends in flight, by recipient domain.
pub(super) struct Domains {
    share: usize,
    loads: Mutex<HashMap<Box<str>, Load>>,
}

#[derive(Default)]
struct Load {
    in_flight: usize,
    slow_until: Option<Monotonic>,
}

/// The right to send to a domain; given back when dropped.
pub(super) struct Turn {
    domains: Arc<Domains>,
    domain: Box<str>,
    begun: Monotonic,
}

impl Domains {
    /// Shares out `slots`: a slow domain may have a quarter of them.
    pub(super) fn new(slots: usize) -> Arc<Self> {
        Arc::new(Self { share: (slots / 4).max(1), loads: Mutex::default() })
    }

    /// Begins a send; `None` when slots are `scarce`, and the domain is slow and has its share.
    pub(super) fn begin(self: &Arc<Self>, domain: &str, scarce: bool, now: Monotonic) -> Option<Turn> {
        let mut loads = self.loads();
        if loads.len() > MANY {
            loads.retain(|_, load| load.in_flight > 0 || load.is_slow(now));
        }
        if !loads.contains_key(domain) {
            loads.insert(domain.into(), Load::default());
        }
        let load = loads.get_mut(domain)?;
        if scarce && load.is_slow(now) && load.in_flight >= self.share {
            return None;
        }
        load.in_flight += 1;
        Some(Turn { domains: Arc::clone(self), domain: domain.into(), begun: now })
    }

    fn loads(&self) -> MutexGuard<'_, HashMap<Box<str>, Load>> {
        // Nothing panics while it holds the lock.
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    fn is_slow(&self, now: Monotonic) -> bool {
        self.slow_until.is_some_and(|until| now < until)
    }
}

impl Turn {
    /// The send takes long.
    pub(super) fn is_slow(&self, now: Monotonic) {
        if let Some(load) = self.domains.loads().get_mut(&self.domain) {
            load.slow_until = Some(now + MEMORY);
        }
    }

    /// The relay answered to the send, at `now`.
    pub(super) fn end(self, now: Monotonic) {
        if now.saturating_duration_since(self.begun) < SLOW
            && let Some(load) = self.domains.loads().get_mut(&self.domain)
        {
            load.slow_until = None;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut loads = self.domains.loads();
        if let Some(load) = loads.get_mut(&self.domain) {
            load.in_flight = load.in_flight.saturating_sub(1);
            if load.in_flight == 0 && load.slow_until.is_none() {
                loads.remove(&self.domain);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_domain_keeps_to_its_share_until_it_is_quick_again() {
        let (domains, now) = (Domains::new(8), Monotonic::now());
        let begin = |domain, at| domains.begin(domain, true, at);
        let mut held: Vec<Turn> = (0..8).filter_map(|_| begin("slow.example", now)).collect();
        assert_eq!(held.len(), 8, "as many as there are slots, at first");
        held[0].is_slow(now + SLOW);
        assert!(begin("slow.example", now + SLOW).is_none());
        assert!(begin("quick.example", now + SLOW).is_some());
        assert!(domains.begin("slow.example", false, now + SLOW).is_some(), "there are slots for everybody");
        held.truncate(2);
        assert!(begin("slow.example", now + SLOW).is_none(), "two are its share");
        held.truncate(1);
        let second = begin("slow.example", now + SLOW).unwrap();
        assert!(begin("slow.example", now + SLOW).is_none());
        second.end(now + SLOW + SLOW / 2);
        held.extend(begin("slow.example", now + SLOW * 2));
        assert!(begin("slow.example", now + SLOW * 2).is_some(), "it is quick again");
    }

    #[test]
    fn a_domain_is_forgotten_when_nothing_is_known_against_it() {
        let (domains, now) = (Domains::new(2), Monotonic::now());
        domains.begin("a.example", true, now).unwrap().end(now);
        assert!(domains.loads().is_empty());
        let slow = domains.begin("b.example", true, now).unwrap();
        slow.is_slow(now + SLOW);
        slow.end(now + SLOW * 2);
        assert_eq!(domains.loads().len(), 1);
        let held: Vec<_> = (0..=MANY).filter_map(|n| domains.begin(&format!("{n}.example"), true, now)).collect();
        assert_eq!(held.len(), MANY + 1);
        drop(domains.begin("c.example", true, now + SLOW + MEMORY));
        assert!(!domains.loads().contains_key("b.example"));
    }
}
