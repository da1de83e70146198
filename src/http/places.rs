//! How many of the connections one client may hold, so that nobody needs only patience to keep everybody else out.
//!
//! A connection takes a place of its client when it is accepted and gives it back when it ends. Clients are told apart as customers
//! of a network are: IPv4 by the address, IPv6 by the /56. Where one has no place left, its connection is closed at once, without an
//! answer: to be polite to it would take what it is to be kept from.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limit::subject;

/// The places of all clients. One for the process.
pub(super) struct Places {
    most: usize,
    taken: Mutex<HashMap<u128, usize>>,
}

/// A place that is taken, until this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    client: u128,
}

impl Places {
    /// So many for each client.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// A place of `client`; `None` if it has taken all.
    pub(super) fn take(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let client = subject::customer(client);
        let mut taken = self.taken();
        let count = taken.entry(client).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { places: self.clone(), client })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<u128, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        match taken.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_has_so_many_places_and_gets_them_back() {
        let places = Places::new(2);
        let (first, second) = (places.take(ip("203.0.113.9")), places.take(ip("::ffff:203.0.113.9")));
        assert!(first.is_some() && second.is_some() && places.take(ip("203.0.113.9")).is_none());
        let other = places.take(ip("203.0.113.10"));
        assert!(other.is_some(), "the places of others are theirs");
        drop(first);
        let again = places.take(ip("203.0.113.9"));
        assert!(again.is_some() && places.take(ip("203.0.113.9")).is_none());
        drop((second, other, again));
        assert!(places.taken().is_empty(), "nothing is kept of those who have gone");
    }

    #[test]
    fn a_customer_of_ipv6_is_one_client() {
        let places = Places::new(1);
        let held = places.take(ip("2001:db8:1:2::1"));
        assert!(held.is_some() && places.take(ip("2001:db8:1:ff:ffff::9")).is_none());
        assert!(places.take(ip("2001:db8:1:100::1")).is_some());
    }
}
