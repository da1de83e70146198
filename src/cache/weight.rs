//! What entries of the in-process tier weigh: the bytes that they take, about, by which the tier is bounded.
//!
//! An entry's bytes are those of the value, of the texts it owns as the allocator hands them out, and of what moka
//! keeps for every entry. A test compares the sum with what a process really grows by.

use std::mem::size_of;

use crate::domain::{EmailAddress, UserId};
use crate::settings;
use crate::store::{Session, User};

/// What moka keeps beside key and value: the slot in its table, the counted references, the places in the queues of use
/// and of expiry.
const OF_MOKA: usize = 640;
/// The least that the allocator hands out.
const LEAST_PIECE: usize = 32;

/// Something that knows what it owns outside of itself.
pub(super) trait Weigh {
    /// Bytes on the heap.
    fn heap(&self) -> usize;
}

impl Weigh for User {
    fn heap(&self) -> usize {
        let optional = [
            self.username.as_ref().map_or(0, |name| name.as_str().len()),
            self.phone.as_ref().map_or(0, |phone| phone.as_str().len()),
            self.avatar_url.as_ref().map_or(0, String::len),
        ];
        let texts = [self.name.as_str(), self.note.as_str(), &self.address, &self.device].map(str::len);
        address(&self.email) + texts.into_iter().chain(optional).map(piece).sum::<usize>()
    }
}

impl Weigh for Session {
    fn heap(&self) -> usize {
        [&self.method, &self.address, &self.device].map(|text| piece(text.len())).iter().sum()
    }
}

impl Weigh for UserId {
    fn heap(&self) -> usize {
        0
    }
}

/// An address holds itself and its key.
fn address(email: &EmailAddress) -> usize {
    piece(email.as_str().len()) + piece(email.key().len())
}

/// What the allocator takes for a text of this length: whole sixteens, and eight of its own.
fn piece(length: usize) -> usize {
    if length == 0 { 0 } else { (length + 8).next_multiple_of(16).max(LEAST_PIECE) }
}

/// What an entry takes whose key is `key` and whose value, of type `E`, owns `heap` bytes.
pub(super) fn entry<E>(key: &str, heap: usize) -> u32 {
    let bytes =
        OF_MOKA + piece(size_of::<String>() + 2 * size_of::<usize>()) + piece(key.len()) + size_of::<E>() + heap;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// How much of the bound each kind of entry gets. Zero where the tier is off: then nothing is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Sessions, of which there are the most.
    pub(super) sessions: u64,
    pub(super) users: u64,
    /// Ids by address.
    pub(super) ids: u64,
    /// Ready answers.
    pub(super) responses: u64,
    /// How many pairs of a session and its user may be kept ready to be answered with.
    pub(super) recognised: usize,
}

/// A pair that is ready to be answered with: both rows, what guards them, the answer made of them, and the text of an access
/// token.
const OF_A_PAIR: u64 = 2560;

impl Room {
    pub(super) fn of(settings: &settings::Cache) -> Self {
        let all = if settings.memory { settings.memory_bytes } else { 0 };
        let (pairs, sessions, ids, responses) = (all / 4, all / 4, all / 8, all / 8);
        let recognised = usize::try_from(pairs / OF_A_PAIR).unwrap_or(usize::MAX);
        Self { sessions, users: all - pairs - sessions - ids - responses, ids, responses, recognised }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cache::guards::Guards;
    use crate::cache::tier::{Entry, Tier};
    use crate::domain::{Clock, Digest, Entropy, SessionId};

    const ENTRIES: u64 = 20_000;

    fn session(clock: &Clock, entropy: &Entropy, device: &str) -> Session {
        let now = clock.now();
        Session {
            id: SessionId::new(clock, entropy),
            user_id: UserId::new(clock, entropy),
            token_digest: Some(Digest::of(b"x")),
            method: "code".to_owned(),
            address: "2001:db8::1".to_owned(),
            device: device.to_owned(),
            version: 1,
            created_at: now,
            updated_at: now,
            last_seen_at: now,
            expires_at: now,
            revoked_at: None,
        }
    }

    fn resident() -> u64 {
        let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let line = text.lines().find(|line| line.starts_with("Private_Dirty:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    async fn filled(room: u64, entries: u64) -> Tier<Session> {
        let (clock, entropy, guards) = (Clock::system(), Entropy::system(), Guards::new());
        let tier = Tier::new(room);
        let mut began = guards.begin();
        began.at += Duration::from_hours(1);
        for number in 0..entries {
            let key = format!("session:{number:064x}");
            tier.put(key, Entry::new(Some(session(&clock, &entropy, "Firefox on Linux")), 1, began)).await;
            if number % 256 == 0 {
                tier.sweep().await;
            }
        }
        tier.sweep().await;
        tier
    }

    /// The tests run in a process each; what else the process does while it fills the tier is little beside it.
    #[tokio::test]
    async fn the_weight_is_about_what_a_process_grows_by() {
        let before = resident();
        let tier = filled(u64::MAX, ENTRIES).await;
        let grown = resident() - before;
        assert_eq!(tier.len(), ENTRIES);
        let (each, weight) = (grown / ENTRIES, tier.weight() / ENTRIES);
        eprintln!("a session in process: {each} bytes, weighed as {weight}");
        assert!(each * 3 / 4 <= weight && weight <= each * 3 / 2, "{each} bytes are weighed as {weight}");
    }

    #[tokio::test]
    async fn a_tier_that_is_full_lets_go_and_one_without_room_keeps_nothing() {
        let room = 256 * 1024;
        let tier = filled(room, 2000).await;
        assert!(tier.weight() <= room && tier.len() > 100, "{} bytes in {} entries", tier.weight(), tier.len());
        let off = filled(0, 10).await;
        assert_eq!((off.len(), off.weight()), (0, 0));
    }

    #[test]
    fn a_longer_text_weighs_more() {
        let (clock, entropy) = (Clock::system(), Entropy::system());
        let (short, long) = (session(&clock, &entropy, "x"), session(&clock, &entropy, &"x".repeat(200)));
        assert!(long.heap() >= short.heap() + 150);
        assert_eq!(piece(0), 0);
    }

    #[test]
    fn the_room_is_shared_out_whole_and_none_is_given_to_a_tier_that_is_off() {
        let settings = settings::Cache::default();
        let Room { sessions, users, ids, responses, recognised } = Room::of(&settings);
        let pairs = u64::try_from(recognised).unwrap() * OF_A_PAIR;
        assert!(settings.memory_bytes - (sessions + users + ids + responses + pairs) < OF_A_PAIR);
        let off = Room::of(&settings::Cache { memory: false, ..settings });
        assert_eq!(off, Room { sessions: 0, users: 0, ids: 0, responses: 0, recognised: 0 });
    }
}
