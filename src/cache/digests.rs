//! What is remembered by the digest of a credential, or of what is secret in it: a map that many threads read and that does
//! not grow without end.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{PoisonError, RwLock};

use crate::domain::Digest;

const SHARDS: usize = 64;

/// Values by digest. The whole digest is compared. A part that is full lets go of what is over, and if that frees too
/// little of every other value.
pub struct Digests<V> {
    shards: Vec<RwLock<Values<V>>>,
    /// The most values of one shard.
    most: usize,
}

type Values<V> = HashMap<Digest, V, BuildHasherDefault<Uniform>>;

impl<V: Clone> Digests<V> {
    /// Room for about `capacity` values; with none, nothing is remembered.
    pub fn new(capacity: usize) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { shards, most: capacity.div_ceil(SHARDS) }
    }

    /// The value under `digest`.
    pub fn get(&self, digest: &Digest) -> Option<V> {
        self.shard(digest).read().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    /// Puts `value` under `digest`. `is_over` tells which values are of no more use.
    pub fn put(&self, digest: Digest, value: V, is_over: impl Fn(&V) -> bool) {
        if self.most == 0 {
            return;
        }
        let mut values = self.shard(&digest).write().unwrap_or_else(PoisonError::into_inner);
        if values.len() >= self.most && !values.contains_key(&digest) {
            values.retain(|_, value| !is_over(value));
        }
        if values.len() >= self.most && !values.contains_key(&digest) {
            let mut stays = false;
            values.retain(|_, _| {
                stays = !stays;
                stays && self.most > 1
            });
        }
        values.insert(digest, value);
    }

    /// Lets go of what is over.
    pub fn sweep(&self, is_over: impl Fn(&V) -> bool) {
        for shard in &self.shards {
            shard.write().unwrap_or_else(PoisonError::into_inner).retain(|_, value| !is_over(value));
        }
    }

    fn shard(&self, digest: &Digest) -> &RwLock<Values<V>> {
        // Other bits than those that the map goes by.
        &self.shards[usize::from(digest.0[31]) % SHARDS]
    }
}

/// Takes the first eight bytes of a digest as they are: they are uniform, and nobody can choose them, since only
/// digests of what this server has drawn or signed are put in.
#[derive(Default)]
struct Uniform(u64);

impl Hasher for Uniform {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {
        // The length, which is always the same.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u32) -> Digest {
        Digest::of(&number.to_le_bytes())
    }

    fn size(digests: &Digests<u32>) -> usize {
        digests.shards.iter().map(|shard| shard.read().unwrap().len()).sum()
    }

    #[test]
    fn the_whole_digest_is_compared() {
        let (digests, known) = (Digests::new(64), digest(1));
        digests.put(known, 1, |_| false);
        assert_eq!(digests.get(&known), Some(1));
        for bit in 0..256 {
            let mut other = known;
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(digests.get(&other), None, "bit {bit}");
        }
    }

    #[test]
    fn what_is_over_goes_first_and_the_newest_stays() {
        let digests = Digests::new(640);
        for number in 0..10_000 {
            digests.put(digest(number), number, |old| old % 2 == 0);
            assert_eq!(digests.get(&digest(number)), Some(number));
        }
        assert!((200..=640).contains(&size(&digests)), "{}", size(&digests));
        digests.sweep(|old| old % 2 == 0);
        assert!((0..10_000).step_by(2).all(|number| digests.get(&digest(number)).is_none()));
        assert!(size(&digests) > 100, "the others stay: {}", size(&digests));
    }

    #[test]
    fn without_room_nothing_is_remembered() {
        let digests = Digests::new(0);
        digests.put(digest(1), 1, |_| false);
        assert_eq!((digests.get(&digest(1)), size(&digests)), (None, 0));
    }
}
