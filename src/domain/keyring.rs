//! Every key of the product, derived from one secret (HKDF-SHA-256, RFC 5869).
//!
//! Codes and links are functions of a challenge's id and a key, so they are never stored, a retried mail carries the
//! same ones, and any instance can check them. A challenge remembers the id of the key it was made with.
//!
//! A secret is rotated without a moment at which two instances disagree: it joins the ring as [`KeyRole::Next`], which
//! checks and makes nothing, becomes [`KeyRole::Current`] once every instance has it, and the one before it stays as
//! [`KeyRole::Previous`] until what was made under it is over. Hashes of subjects are made with the oldest key of the
//! ring, so that what is counted under them goes on being counted while the keys change.

use std::fmt;

use aws_lc_rs::hkdf::{self, HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::{ChallengeId, DeviceId, DeviceMark, Instant, LinkToken, OneTimeCode, RefreshToken};

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

/// What the keys of a secret are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRole {
    /// They make and check.
    Current,
    /// They check, so that another instance may already make with them.
    Next,
    /// They check what was made with them before.
    Previous,
}

/// The keys derived from the current secret and from those beside it. Current first, the oldest last.
pub struct KeyRing {
    sets: Vec<KeySet>,
}

struct KeySet {
    id: KeyId,
    role: KeyRole,
    code: hmac::Key,
    link: hmac::Key,
    subject: hmac::Key,
    device: hmac::Key,
    refresh: hmac::Key,
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
    /// Derives all keys. `current` signs and makes; every secret verifies. `previous` is ordered, the oldest last.
    pub fn new(current: &[u8], previous: &[&[u8]]) -> Result<Self, KeyRingError> {
        let mut ring = Self { sets: vec![KeySet::derive(current, KeyRole::Current)?] };
        for secret in previous {
            ring.add(KeySet::derive(secret, KeyRole::Previous)?, ring.sets.len());
        }
        Ok(ring)
    }

    /// Adds the secret that is going to be the current one.
    pub fn with_next(mut self, next: &[u8]) -> Result<Self, KeyRingError> {
        self.add(KeySet::derive(next, KeyRole::Next)?, 1);
        Ok(self)
    }

    /// Adds keys that are not there yet: a secret given twice keeps its first role.
    fn add(&mut self, set: KeySet, position: usize) {
        if self.set(&set.id).is_none() {
            self.sets.insert(position, set);
        }
    }

    fn current(&self) -> &KeySet {
        &self.sets[0]
    }

    fn set(&self, id: &KeyId) -> Option<&KeySet> {
        self.sets.iter().find(|set| set.id == *id)
    }

    /// The id of every key in force with what it is used for, the current one first.
    pub fn ids(&self) -> impl Iterator<Item = (&KeyId, KeyRole)> {
        self.sets.iter().map(|set| (&set.id, set.role))
    }

    /// Whether the key is in the ring. One that is not may be on its way to this instance, or gone for good.
    pub fn has(&self, id: &KeyId) -> bool {
        self.set(id).is_some()
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
            let mac = mac(key, &[b"code", challenge.0.as_bytes(), &[round]]);
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
        Some(LinkToken::new(challenge, mac(&self.set(id)?.link, &[b"link", challenge.0.as_bytes()])))
    }

    /// A keyed hash of `subject` (an address, say) for keys in shared stores: the same on every instance, and of no
    /// use to a reader of the store who lacks the secret.
    ///
    /// It is made with the oldest key, the one that all instances have while a new secret is rolled out: nobody's
    /// budget starts anew then. It does once, when the oldest secret is taken away.
    pub fn subject_hash(&self, subject: &str) -> String {
        let oldest = self.sets.iter().rfind(|set| set.role != KeyRole::Next).unwrap_or_else(|| self.current());
        let tag = hmac::sign(&oldest.subject, subject.as_bytes());
        super::Digest::of(tag.as_ref()).hex()[..32].to_owned()
    }

    /// Marks a browser as one that has signed `account` (its mailbox's key) in, as `device`.
    pub fn device_mark(&self, account: &str, device: DeviceId, at: Instant) -> DeviceMark {
        let set = self.current();
        let unsigned = DeviceMark::new(set.id.clone(), device, at, [0; 32]);
        let mac = mac(&set.device, &[b"device", &unsigned.signed_part(), account.as_bytes()]);
        DeviceMark::new(set.id.clone(), device, at, mac)
    }

    /// Whether a key of the ring made this mark for `account`. Compares in constant time.
    pub fn made_mark(&self, mark: &DeviceMark, account: &str) -> bool {
        self.set(mark.key())
            .is_some_and(|set| mark.has_mac(&mac(&set.device, &[b"device", &mark.signed_part(), account.as_bytes()])))
    }

    /// What may follow a refresh token: the one that the current key makes, then those of the other keys. The same
    /// token always has the same successors, and only who has it and the keys can tell them.
    pub fn successors(&self, token: &RefreshToken) -> Vec<RefreshToken> {
        let successor = |set: &KeySet| RefreshToken::derived(mac(&set.refresh, &[token.expose().as_bytes()]));
        self.sets.iter().map(successor).collect()
    }

    /// The seeds of the Ed25519 keys for access tokens, current first, each with its key id.
    pub fn access_token_seeds(&self) -> impl Iterator<Item = (&KeyId, &[u8; 32])> {
        self.sets.iter().map(|set| (&set.id, &*set.access_token_seed))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl KeySet {
    fn derive(secret: &[u8], role: KeyRole) -> Result<Self, KeyRingError> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(KeyRingError::TooShort(secret.len()));
        }
        let root = Salt::new(HKDF_SHA256, b"gatepost v1").extract(secret);
        let id = expand(&root, b"key id")?;
        Ok(Self {
            id: KeyId(super::tokens::hex(&id[..4])),
            role,
            code: hmac_key(&root, b"one-time code")?,
            link: hmac_key(&root, b"magic link")?,
            subject: hmac_key(&root, b"subject hash")?,
            device: hmac_key(&root, b"known device")?,
            refresh: hmac_key(&root, b"refresh token successor")?,
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

/// The crypto library wipes such a key when it is dropped.
fn hmac_key(root: &hkdf::Prk, label: &[u8]) -> Result<hmac::Key, KeyRingError> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &*expand(root, label)?))
}

/// Every part but the last is of a fixed length for its key, so that no two lists of parts read alike.
fn mac(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
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
        let rotated = KeyRing::new(NEW, &[SECRET]).unwrap();
        let old_key = old.current_id();
        assert_ne!(rotated.current_id(), old_key);
        assert!(rotated.code(old_key, id).unwrap().matches(&old.code(old_key, id).unwrap()));
        assert!(old.code(rotated.current_id(), id).is_none());
    }

    const NEW: &[u8] = b"another example secret, 32 bytes";

    #[test]
    fn the_next_secret_checks_before_it_makes() {
        let (old, id) = (KeyRing::new(SECRET, &[]).unwrap(), challenge());
        let (waiting, rotated) = (
            KeyRing::new(SECRET, &[]).unwrap().with_next(NEW).unwrap(),
            KeyRing::new(NEW, &[SECRET]).unwrap().with_next(NEW).unwrap(),
        );
        assert_eq!(waiting.current_id(), old.current_id());
        let new_key = rotated.current_id();
        assert!(waiting.code(new_key, id).unwrap().matches(&rotated.code(new_key, id).unwrap()));
        assert!(waiting.has(new_key) && !old.has(new_key));
        let roles = |ring: &KeyRing| ring.ids().map(|(_, role)| role).collect::<Vec<_>>();
        assert_eq!(roles(&waiting), [KeyRole::Current, KeyRole::Next]);
        assert_eq!(roles(&rotated), [KeyRole::Current, KeyRole::Previous], "a secret given twice counts once");
    }

    #[test]
    fn what_is_counted_goes_on_being_counted_while_the_secret_changes() {
        let hash = |ring: &KeyRing| ring.subject_hash("ada@example.com");
        let before = KeyRing::new(SECRET, &[]).unwrap();
        let waiting = KeyRing::new(SECRET, &[]).unwrap().with_next(NEW).unwrap();
        let rotated = KeyRing::new(NEW, &[SECRET]).unwrap();
        assert_eq!([hash(&waiting), hash(&rotated)], [hash(&before), hash(&before)]);
        assert_ne!(hash(&KeyRing::new(NEW, &[]).unwrap()), hash(&before));
    }

    #[test]
    fn the_successor_of_a_refresh_token_is_the_same_on_both_sides_of_a_rotation() {
        let token = RefreshToken::generate(&Entropy::system());
        let successors = |ring: &KeyRing| ring.successors(&token).iter().map(RefreshToken::digest).collect::<Vec<_>>();
        let (before, after) = (
            successors(&KeyRing::new(SECRET, &[]).unwrap().with_next(NEW).unwrap()),
            successors(&KeyRing::new(NEW, &[SECRET]).unwrap()),
        );
        assert_eq!((before[0], before[1]), (after[1], after[0]));
        assert_ne!(before[0], before[1]);
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
