//! Every key of the product, derived from one secret (HKDF-SHA-256, RFC 5869).
//!
//! Codes and links are functions of a challenge's id and a key, so they are never stored, a retried mail carries the
//! same ones, and any instance can check them. A challenge remembers the id of the key it was made with; keeping the
//! previous secret in the ring lets old codes live out their ten minutes after the secret has been rotated.

use std::fmt;

use aws_lc_rs::hkdf::{self, HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::{ChallengeId, LinkToken, OneTimeCode};

/// The shortest secret that is accepted, in bytes.
pub const MIN_SECRET_BYTES: usize = 32;

/// Names a key without giving it away: eight hexadecimal digits derived from the secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// Takes an id as it was stored.
    pub fn stored(id: String) -> Self {
        Self(id)
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The keys derived from the current secret and from those before it.
pub struct KeyRing {
    sets: Vec<KeySet>,
}

struct KeySet {
    id: KeyId,
    code: hmac::Key,
    link: hmac::Key,
    subject: hmac::Key,
    access_token_seed: Zeroizing<[u8; 32]>,
}

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// Make the secret longer.
    #[error("the secret has {0} bytes; it needs at least {MIN_SECRET_BYTES}")]
    TooShort(usize),
    /// The crypto library refused to derive a key: nothing a setting can mend.
    #[error("the crypto library could not derive a key")]
    Derivation,
}

impl KeyRing {
    /// Derives all keys. `current` signs and makes; every secret verifies.
    pub fn new(current: &[u8], previous: &[&[u8]]) -> Result<Self, KeyRingError> {
        let sets =
            std::iter::once(current).chain(previous.iter().copied()).map(KeySet::derive).collect::<Result<_, _>>()?;
        Ok(Self { sets })
    }

    fn current(&self) -> &KeySet {
        &self.sets[0]
    }

    fn set(&self, id: &KeyId) -> Option<&KeySet> {
        self.sets.iter().find(|set| set.id == *id)
    }

    /// The id under which new challenges are made.
    pub fn current_id(&self) -> &KeyId {
        &self.current().id
    }

    /// The code of a challenge made under key `id`; `None` when that key is no longer in the ring.
    ///
    /// The MAC is cut into 32-bit numbers and the first below the largest multiple of a million is reduced to six
    /// digits, so every code is equally likely.
    pub fn code(&self, id: &KeyId, challenge: ChallengeId) -> Option<OneTimeCode> {
        const MILLION: u32 = 1_000_000;
        const LIMIT: u32 = u32::MAX - u32::MAX % MILLION;
        let key = &self.set(id)?.code;
        (0_u8..=255).find_map(|round| {
            let mac = mac(key, "code", challenge, &[round]);
            mac.as_chunks::<4>()
                .0
                .iter()
                .map(|chunk| u32::from_be_bytes(*chunk))
                .find(|&number| number < LIMIT)
                .map(|number| OneTimeCode::from_number(number % MILLION))
        })
    }

    /// The link token of a challenge made under key `id`; `None` when that key is no longer in the ring.
    pub fn link(&self, id: &KeyId, challenge: ChallengeId) -> Option<LinkToken> {
        Some(LinkToken::new(challenge, mac(&self.set(id)?.link, "link", challenge, &[])))
    }

    /// A keyed hash of `subject` (an address, say) for keys in shared stores: the same on every instance, and of no
    /// use to a reader of the store who lacks the secret.
    pub fn subject_hash(&self, subject: &str) -> String {
        let tag = hmac::sign(&self.current().subject, subject.as_bytes());
        super::Digest::of(tag.as_ref()).hex()[..32].to_owned()
    }

    /// The seeds of the Ed25519 keys for access tokens, current first, each with its key id.
    pub fn access_token_seeds(&self) -> impl Iterator<Item = (&KeyId, &[u8; 32])> {
        self.sets.iter().map(|set| (&set.id, &*set.access_token_seed))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sets.iter().map(|set| &set.id)).finish()
    }
}

impl KeySet {
    fn derive(secret: &[u8]) -> Result<Self, KeyRingError> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(KeyRingError::TooShort(secret.len()));
        }
        let root = Salt::new(HKDF_SHA256, b"gatepost v1").extract(secret);
        let id = expand(&root, b"key id")?;
        Ok(Self {
            id: KeyId(super::tokens::hex(&id[..4])),
            code: hmac::Key::new(hmac::HMAC_SHA256, &*expand(&root, b"one-time code")?),
            link: hmac::Key::new(hmac::HMAC_SHA256, &*expand(&root, b"magic link")?),
            subject: hmac::Key::new(hmac::HMAC_SHA256, &*expand(&root, b"subject hash")?),
            access_token_seed: expand(&root, b"access token ed25519")?,
        })
    }
}

struct Bytes32;

impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

fn expand(root: &hkdf::Prk, label: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeyRingError> {
    let mut out = Zeroizing::new([0; 32]);
    root.expand(&[label], Bytes32)
        .and_then(|material| material.fill(&mut *out))
        .map_err(|_| KeyRingError::Derivation)?;
    Ok(out)
}

fn mac(key: &hmac::Key, label: &str, challenge: ChallengeId, suffix: &[u8]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    context.update(label.as_bytes());
    context.update(challenge.0.as_bytes());
    context.update(suffix);
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Clock, Entropy};

    const SECRET: &[u8] = b"an example secret of 32 bytes...";

    fn challenge() -> ChallengeId {
        ChallengeId::new(&Clock::system(), &Entropy::system())
    }

    #[test]
    fn the_same_secret_gives_the_same_code_and_link_everywhere() {
        let (one, two, id) = (KeyRing::new(SECRET, &[]).unwrap(), KeyRing::new(SECRET, &[]).unwrap(), challenge());
        let key = one.current_id().clone();
        assert!(one.code(&key, id).unwrap().matches(&two.code(&key, id).unwrap()));
        assert!(one.link(&key, id).unwrap().matches(&two.link(&key, id).unwrap()));
    }

    #[test]
    fn a_rotated_secret_still_knows_old_challenges_and_makes_new_ones_under_a_new_key() {
        let (old, id) = (KeyRing::new(SECRET, &[]).unwrap(), challenge());
        let rotated = KeyRing::new(b"another example secret, 32 bytes", &[SECRET]).unwrap();
        let old_key = old.current_id();
        assert_ne!(rotated.current_id(), old_key);
        assert!(rotated.code(old_key, id).unwrap().matches(&old.code(old_key, id).unwrap()));
        assert!(old.code(rotated.current_id(), id).is_none());
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(matches!(KeyRing::new(b"short", &[]), Err(KeyRingError::TooShort(5))));
    }

    #[test]
    fn codes_spread_over_the_whole_range() {
        let ring = KeyRing::new(SECRET, &[]).unwrap();
        let mut buckets = [0_u32; 10];
        for _ in 0..10_000 {
            let code = ring.code(ring.current_id(), challenge()).unwrap();
            buckets[usize::from(code.expose().as_bytes()[0] - b'0')] += 1;
        }
        // Ten buckets of 1,000 expected, standard deviation 30: six of them are never left by chance.
        assert!(buckets.iter().all(|&count| (820..=1180).contains(&count)), "{buckets:?}");
    }
}
