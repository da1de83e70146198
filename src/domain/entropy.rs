//! Where randomness comes from: the operating system in production, a seed in tests that need to be repeatable.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use uuid::Uuid;

use super::clock::Instant;

/// A source of random bytes. Clones share one source.
#[derive(Clone)]
pub struct Entropy(Source);

#[derive(Clone)]
enum Source {
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Entropy {
    /// The operating system's generator, through a per-thread cryptographic generator that it seeds.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A repeatable sequence. For tests only: what it makes can be guessed.
    #[doc(hidden)]
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &self.0 {
            Source::System => rand::rng().fill_bytes(&mut bytes),
            Source::Seeded(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes),
        }
        bytes
    }

    /// A `UUIDv7` (RFC 9562) for the moment `now`: sorts by time, and 74 bits of it are random.
    pub fn uuid_v7(&self, now: Instant) -> Uuid {
        self.uuid_v7_at(now.timestamp_millis())
    }

    /// [`Self::uuid_v7`] for a moment in milliseconds since the Unix epoch.
    pub fn uuid_v7_at(&self, millis: i64) -> Uuid {
        let millis = u64::try_from(millis).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes()).into_uuid()
    }

    /// `duration` made up to a quarter longer or shorter, so that many clients do not act in step.
    pub fn jitter(&self, duration: Duration) -> Duration {
        let factor = match &self.0 {
            Source::System => rand::rng().random_range(0.75..1.25),
            Source::Seeded(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.75..1.25),
        };
        duration.mul_f64(factor)
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Entropy(system)",
            Source::Seeded(_) => "Entropy(seeded)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time() {
        let (entropy, now) = (Entropy::system(), super::super::Clock::system().now());
        let earlier = entropy.uuid_v7(now);
        let later = entropy.uuid_v7(now + chrono::TimeDelta::milliseconds(1));
        assert!(earlier < later);
        assert_eq!(earlier.get_version_num(), 7);
    }

    #[test]
    fn a_seed_repeats_and_the_system_does_not() {
        assert_eq!(Entropy::seeded(7).bytes::<32>(), Entropy::seeded(7).bytes::<32>());
        assert_ne!(Entropy::system().bytes::<32>(), Entropy::system().bytes::<32>());
    }
}
