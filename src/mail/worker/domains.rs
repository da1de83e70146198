//! Keeps one slow recipient domain from taking every slot.
//!
//! A domain may hold all slots but a reserve. A mail beyond that waits for one of its domain's slots, as long as these
//! come free; once a send of the domain has taken two seconds, its further mails go back to the outbox instead, and
//! the reserve is there for everybody else.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant as Monotonic, sleep_until};

/// A send that takes longer makes its domain a slow one.
const SLOW: Duration = Duration::from_secs(2);

/// The sends in flight, by recipient domain.
pub(super) struct Domains {
    share: usize,
    begun: Mutex<HashMap<String, Vec<Monotonic>>>,
    freed: Notify,
}

/// The right to send to a domain; given back when dropped.
pub(super) struct Turn<'a> {
    domains: &'a Domains,
    domain: &'a str,
    begun: Monotonic,
}

impl Domains {
    /// Shares out `slots`: a quarter of them, and at least one if there is more than one, is the reserve.
    pub(super) fn new(slots: usize) -> Self {
        let share = slots.saturating_sub(slots.div_ceil(4)).max(1);
        Self { share, begun: Mutex::default(), freed: Notify::new() }
    }

    /// Waits for a turn; `None` when the domain has its share of the slots and is slow.
    pub(super) async fn turn<'a>(&'a self, domain: &'a str) -> Option<Turn<'a>> {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // From here on no slot comes free unnoticed.
            freed.as_mut().enable();
            let slow_at = match self.begin(domain) {
                Ok(turn) => return Some(turn),
                Err(oldest) => oldest + SLOW,
            };
            tokio::select! {
                () = freed => {}
                () = sleep_until(slow_at) => return None,
            }
        }
    }

    /// Takes a turn, or tells when the oldest send of the domain began.
    fn begin<'a>(&'a self, domain: &'a str) -> Result<Turn<'a>, Monotonic> {
        let now = Monotonic::now();
        let mut begun = self.begun();
        let sends = begun.entry(domain.to_owned()).or_default();
        match sends.first() {
            Some(&oldest) if sends.len() >= self.share => Err(oldest),
            _ => {
                sends.push(now);
                Ok(Turn { domains: self, domain, begun: now })
            }
        }
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<String, Vec<Monotonic>>> {
        // Nothing panics while it holds the lock.
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut begun = self.domains.begun();
        if let Some(sends) = begun.get_mut(self.domain) {
            if let Some(ended) = sends.iter().position(|&other| other == self.begun) {
                sends.remove(ended);
            }
            if sends.is_empty() {
                begun.remove(self.domain);
            }
        }
        drop(begun);
        self.domains.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_slots_are_kept_for_others_where_there_are_some() {
        let shares = [1, 2, 3, 4, 8, 256].map(|slots| Domains::new(slots).share);
        assert_eq!(shares, [1, 1, 2, 3, 6, 192]);
    }

    #[tokio::test]
    async fn a_slow_domain_gets_its_share_and_others_go_on() {
        let domains = Domains::new(4);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(domains.turn("slow.example").await);
        }
        assert!(held.iter().all(Option::is_some));
        assert!(domains.turn("slow.example").await.is_none(), "the share is used up, and nothing came free in time");
        assert!(domains.turn("quick.example").await.is_some());
        held.pop();
        assert!(domains.turn("slow.example").await.is_some());
    }

    #[tokio::test]
    async fn a_quick_domain_waits_its_turn_and_gets_it() {
        let domains = Domains::new(1);
        let first = domains.turn("quick.example").await;
        let (second, ()) = tokio::join!(domains.turn("quick.example"), async { drop(first) });
        assert!(second.is_some());
        drop(second);
        assert!(domains.begun().is_empty());
    }
}
