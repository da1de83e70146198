//! The cache of users and sessions: which tiers there are, how large the one in this process may grow.

use std::time::Duration;

use super::reader::{Read, Reader};
use super::values;

/// The tiers of the cache and its upkeep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Whether entries are kept in this process.
    pub memory: bool,
    /// Whether entries are kept in Redis, where there is one.
    pub redis: bool,
    /// Bytes that entries in this process may take together, about.
    pub memory_bytes: u64,
    /// How often a line in the log tells how the cache does; zero: never.
    pub report_every: Duration,
    /// Sessions, and their users, that are loaded after the start: the most recently active ones.
    pub warm: u32,
}

/// What an operator gets who sets nothing.
impl Default for Cache {
    fn default() -> Self {
        Self {
            memory: true,
            redis: true,
            memory_bytes: 64 * 1024 * 1024,
            report_every: Duration::from_mins(5),
            warm: 1000,
        }
    }
}

impl Cache {
    /// Whether Redis is the only tier, where there is one.
    pub fn asks_redis_alone(&self) -> bool {
        self.redis && !self.memory
    }

    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        let memory = reader.required("cache.memory", values::switch);
        let redis = reader.required("cache.redis", values::switch);
        let memory_bytes = reader.required("cache.memory_bytes", memory_size);
        let report_every = reader.duration("cache.report_every", "0s", "1d");
        let warm = reader.number("cache.warm", 0..=100_000);
        Ok(Self {
            memory: memory?,
            redis: redis?,
            memory_bytes: memory_bytes?,
            report_every: report_every?,
            warm: warm?,
        })
    }
}

fn memory_size(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 1024 * 1024;
    const MOST: u64 = 65_536 * LEAST;
    let bytes = values::bytes(text)?;
    if (LEAST..=MOST).contains(&bytes) { Ok(bytes) } else { Err("must be a size from 1MiB to 65536MiB".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_list() {
        assert_eq!(load(&[]).cache, Cache::default());
    }

    #[test]
    fn each_tier_can_be_switched_off() {
        let cache = load(&[("GATEPOST_CACHE_MEMORY", "off"), ("GATEPOST_CACHE_REDIS", "false")]).cache;
        assert!(!cache.memory && !cache.redis);
        let cache = load(&[("GATEPOST_CACHE_REPORT_EVERY", "0"), ("GATEPOST_CACHE_WARM", "0")]).cache;
        assert_eq!((cache.report_every, cache.warm), (Duration::ZERO, 0));
    }

    #[test]
    fn a_size_that_holds_next_to_nothing_is_refused() {
        assert_eq!(load(&[("GATEPOST_CACHE_MEMORY_BYTES", "1MiB")]).cache.memory_bytes, 1024 * 1024);
        for size in ["0", "64KiB", "-1", "1TiB", "99999999MiB"] {
            assert_eq!(refused(&[("GATEPOST_CACHE_MEMORY_BYTES", size)])[0].key, "cache.memory_bytes", "{size}");
        }
    }
}
