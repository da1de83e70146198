//! What a browser carries that has signed an account in: a mark that tells it from strangers, and signs nobody in.
//!
//! A mark is a MAC over a random device id, a time and the account's mailbox, with the id of the key that made it. The
//! mailbox itself is not in it: whoever finds a mark learns neither whose it is nor that two are of one account. Only
//! a sign-in makes one. Who has a mark may be wrong on a budget of that account and device, beside the one that all
//! strangers share; that is all it is good for. (The idea is OWASP's "device cookie".)

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta};

use super::{Entropy, Instant, KeyId};

/// As many accounts as one browser is known for; the one that has not signed in for longest gives way.
pub const MOST_MARKS: usize = 5;
/// How long a mark is good for after the sign-in that made it, in days.
pub const MARK_DAYS: i64 = 180;

const KEY_ID: usize = 8;
const SIGNED: usize = KEY_ID + 16 + 8;
const MARK: usize = SIGNED + 32;

/// Names a browser within one account: random, and no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceId([u8; 16]);

impl DeviceId {
    /// A new one.
    pub fn generate(entropy: &Entropy) -> Self {
        Self(entropy.bytes())
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::tokens::hex(&self.0))
    }
}

/// One account's mark. Whether it is genuine, [`super::KeyRing::made_mark`] knows.
#[derive(Clone)]
pub struct DeviceMark {
    key: KeyId,
    device: DeviceId,
    /// Seconds since 1970.
    made_at: i64,
    mac: [u8; 32],
}

impl DeviceMark {
    /// Joins the parts of a mark.
    pub fn new(key: KeyId, device: DeviceId, at: Instant, mac: [u8; 32]) -> Self {
        Self { key, device, made_at: at.timestamp(), mac }
    }

    /// Reads a mark; `None` when it is none. Says nothing about whether its MAC is right.
    fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let bytes: [u8; MARK] = bytes.try_into().ok()?;
        let (key, rest) = bytes.split_first_chunk::<KEY_ID>()?;
        let (device, rest) = rest.split_first_chunk::<16>()?;
        let (made_at, mac) = rest.split_first_chunk::<8>()?;
        let key = KeyId::stored(std::str::from_utf8(key).ok()?.to_owned());
        Some(Self { key, device: DeviceId(*device), made_at: i64::from_be_bytes(*made_at), mac: mac.try_into().ok()? })
    }

    /// The key that made it.
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// The browser that it marks.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// Whether the mark is not too old at `now`.
    pub fn is_fresh(&self, now: Instant) -> bool {
        DateTime::from_timestamp(self.made_at, 0)
            .and_then(|made_at| made_at.checked_add_signed(TimeDelta::days(MARK_DAYS)))
            .is_some_and(|end| now < end)
    }

    /// What the MAC is made over, beside the account.
    pub(super) fn signed_part(&self) -> [u8; SIGNED] {
        let mut part = [0; SIGNED];
        // A key id has eight characters. One of another length comes from no key, and its MAC will not be right.
        for (place, byte) in part.iter_mut().zip(self.key.as_str().bytes().take(KEY_ID)) {
            *place = byte;
        }
        part[KEY_ID..KEY_ID + 16].copy_from_slice(&self.device.0);
        part[KEY_ID + 16..].copy_from_slice(&self.made_at.to_be_bytes());
        part
    }

    /// Compares in constant time.
    pub(super) fn has_mac(&self, mac: &[u8; 32]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.mac, mac).is_ok()
    }

    fn text(&self) -> String {
        let mut bytes = [0; MARK];
        bytes[..SIGNED].copy_from_slice(&self.signed_part());
        bytes[SIGNED..].copy_from_slice(&self.mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

impl fmt::Debug for DeviceMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceMark({}, [redacted])", self.device)
    }
}

/// The marks of one browser, the newest first.
#[derive(Clone, Debug, Default)]
pub struct DeviceMarks(Vec<DeviceMark>);

impl DeviceMarks {
    /// Reads a cookie. What is no mark is left out, and so is whatever follows the first [`MOST_MARKS`] pieces.
    pub fn parse(text: &str) -> Self {
        Self(text.split('.').take(MOST_MARKS).filter_map(DeviceMark::parse).collect())
    }

    /// The cookie: marks of URL-safe characters, with dots between them.
    pub fn text(&self) -> String {
        self.0.iter().map(DeviceMark::text).collect::<Vec<_>>().join(".")
    }

    /// The first mark for which `is_meant` holds.
    pub fn find(&self, is_meant: impl Fn(&DeviceMark) -> bool) -> Option<&DeviceMark> {
        self.0.iter().find(|mark| is_meant(mark))
    }

    /// With `mark` in front, in the place of those of the same device, and no more than [`MOST_MARKS`] in all.
    #[must_use]
    pub fn with(&self, mark: DeviceMark) -> Self {
        let device = mark.device;
        let others = self.0.iter().filter(|other| other.device != device).take(MOST_MARKS - 1).cloned();
        Self(std::iter::once(mark).chain(others).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Clock, KeyRing};

    const ADA: &str = "ada@example.com";

    fn ring() -> KeyRing {
        KeyRing::new(b"an example secret of 32 bytes...", &[]).unwrap()
    }

    fn mark(ring: &KeyRing, account: &str) -> DeviceMark {
        ring.device_mark(account, DeviceId::generate(&Entropy::system()), Clock::system().now())
    }

    #[test]
    fn a_mark_is_known_again_by_its_account_and_no_other() {
        let ring = ring();
        let marks = DeviceMarks::default().with(mark(&ring, ADA));
        let read = DeviceMarks::parse(&marks.text());
        assert!(read.find(|mark| ring.made_mark(mark, ADA)).is_some());
        assert!(read.find(|mark| ring.made_mark(mark, "eve@example.com")).is_none());
    }

    #[test]
    fn a_mark_outlives_a_rotation_as_long_as_its_secret_is_kept() {
        let mark = mark(&ring(), ADA);
        let rotated =
            KeyRing::new(b"another example secret, 32 bytes", &[b"an example secret of 32 bytes..."]).unwrap();
        assert!(rotated.made_mark(&mark, ADA));
        assert!(!KeyRing::new(b"another example secret, 32 bytes", &[]).unwrap().made_mark(&mark, ADA));
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let ring = ring();
        let text = mark(&ring, ADA).text();
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for place in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[place] ^= 1;
            let forged = DeviceMarks::parse(&URL_SAFE_NO_PAD.encode(forged));
            assert!(forged.find(|mark| ring.made_mark(mark, ADA)).is_none(), "byte {place}");
        }
        for length in 0..text.len() {
            assert!(DeviceMarks::parse(&text[..length]).find(|mark| ring.made_mark(mark, ADA)).is_none(), "{length}");
        }
    }

    #[test]
    fn a_browser_keeps_its_newest_accounts() {
        let ring = ring();
        let accounts: Vec<String> = (0..8).map(|n| format!("{n}@example.com")).collect();
        let marks = accounts.iter().fold(DeviceMarks::default(), |marks, account| marks.with(mark(&ring, account)));
        let known = |account: &String| marks.find(|mark| ring.made_mark(mark, account)).is_some();
        assert_eq!(accounts.iter().map(known).collect::<Vec<_>>(), [vec![false; 3], vec![true; 5]].concat());
        assert!(marks.text().len() < 500, "fits into a cookie with room to spare");
    }

    #[test]
    fn a_mark_grows_old() {
        let (ring, now) = (ring(), Clock::system().now());
        let mark = ring.device_mark(ADA, DeviceId::generate(&Entropy::system()), now);
        assert!(mark.is_fresh(now + TimeDelta::days(MARK_DAYS - 1)));
        assert!(!mark.is_fresh(now + TimeDelta::days(MARK_DAYS)));
    }

    proptest! {
        #[test]
        fn no_text_panics_or_is_known(text in ".{0,600}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let now = Clock::system().now();
            for text in [text, URL_SAFE_NO_PAD.encode(bytes)] {
                let marks = DeviceMarks::parse(&text);
                prop_assert!(marks.find(|mark| mark.is_fresh(now) && ring().made_mark(mark, ADA)).is_none());
            }
        }
    }
}
