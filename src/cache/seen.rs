//! When and from where sessions were last used, written behind.
//!
//! A request leaves a note in memory. Every ten seconds the notes are written together, at most one a minute for each
//! session. What is lost with the process is lost: the times are for people to look at, and for idle lifetimes that
//! are much longer than a minute.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Cache;
use crate::domain::clock::span;
use crate::domain::{Instant, SessionId};
use crate::store::{Session, StoreError, transaction};

/// At most one write for a session in this time.
const WRITE_EVERY: Duration = Duration::from_mins(1);
/// Writes in one transaction: few enough that other writers need not wait long.
const BATCH: usize = 200;

/// The notes.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<SessionId, Note>>);

struct Note {
    address: String,
    at: Instant,
    /// When a write for the session was last begun.
    written: Option<Instant>,
    /// Whether there is something to write.
    pending: bool,
}

impl Seen {
    fn notes(&self) -> MutexGuard<'_, HashMap<SessionId, Note>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, id: SessionId, address: &str, now: Instant) {
        let mut notes = self.notes();
        let note = notes.entry(id).or_insert_with(|| Note {
            address: String::new(),
            at: Instant::UNIX_EPOCH,
            written: None,
            pending: true,
        });
        if note.at < now {
            if note.address != address {
                address.clone_into(&mut note.address);
            }
            (note.at, note.pending) = (now, true);
        }
    }

    /// What is due, ordered by session so that two instances cannot wait for each other's rows. Drops notes that have
    /// been written and are of no more use.
    fn take_due(&self, now: Instant) -> Vec<(SessionId, String, Instant)> {
        let due_before = now - span(WRITE_EVERY);
        let mut notes = self.notes();
        notes.retain(|_, note| note.pending || note.written.is_some_and(|written| written > due_before));
        let mut due = Vec::new();
        for (id, note) in notes.iter_mut() {
            if note.pending && note.written.is_none_or(|written| written <= due_before) {
                (note.written, note.pending) = (Some(now), false);
                due.push((*id, note.address.clone(), note.at));
            }
        }
        due.sort_unstable_by_key(|(id, ..)| *id);
        due
    }
}

impl Cache {
    /// Notes that a session was used at `now` from `address`. Only memory is touched.
    pub fn note_seen(&self, id: SessionId, address: &str, now: Instant) {
        self.0.seen.note(id, address, now);
    }

    /// Writes the notes that are due, at most one a minute for each session; how many. On failure the notes that were
    /// not written are dropped.
    pub async fn flush_seen(&self) -> Result<usize, StoreError> {
        let due = self.0.seen.take_due(self.0.clock.now());
        for batch in due.chunks(BATCH) {
            self.write_seen(batch).await.inspect_err(|_| self.0.upkeep_counts.load_errors.one())?;
        }
        Ok(due.len())
    }

    async fn write_seen(&self, batch: &[(SessionId, String, Instant)]) -> Result<(), StoreError> {
        transaction!(&self.0.database, async |conn, q| {
            for (id, address, at) in batch {
                q::sessions::touch(conn, *id, address, *at).await?;
            }
            Ok(())
        })
    }

    /// `session` with what this instance has noted about it and not written.
    pub(super) fn as_last_seen(&self, mut session: Session) -> Session {
        let notes = self.0.seen.notes();
        if let Some(note) = notes.get(&session.id).filter(|note| note.at > session.last_seen_at) {
            session.last_seen_at = note.at;
            session.address.clone_from(&note.address);
        }
        drop(notes);
        session
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Clock, Entropy};

    #[test]
    fn a_session_is_written_once_a_minute_and_then_with_its_latest_note() {
        let (seen, clock) = (Seen::default(), Clock::system());
        let id = SessionId::new(&clock, &Entropy::seeded(1));
        let start = clock.now();
        let after = |seconds| start + span(Duration::from_secs(seconds));

        seen.note(id, "192.0.2.1", start);
        assert_eq!(seen.take_due(after(1)), [(id, "192.0.2.1".to_owned(), start)]);
        seen.note(id, "192.0.2.2", after(2));
        seen.note(id, "192.0.2.3", after(30));
        seen.note(id, "192.0.2.9", after(20));
        assert_eq!(seen.take_due(after(40)), []);
        assert_eq!(seen.take_due(after(61)), [(id, "192.0.2.3".to_owned(), after(30))]);
        assert_eq!(seen.take_due(after(130)), []);
        assert_eq!(seen.notes().len(), 0, "nothing is kept for sessions that are not used");
    }
}
