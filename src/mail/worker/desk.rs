//! The desk: mails that are claimed and not begun. Kept short: what lies here keeps other instances from it.
//!
//! How many may lie here follows from how fast they go out, about a tenth of a second's worth, so that claims are large
//! when mails are many and small when a relay is slow. Urgent mails have room of their own, whatever else lies here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Monotonic};

use tokio::sync::Notify;

use super::Job;
use crate::domain::Priority;
use crate::mail::queue::Lane;

/// Mails of one lane that may lie here, however fast they go out.
const MOST_WAITING: usize = 512;
/// Mails that may be claimed and not settled. More are only there while the database is slow to hear what became of them.
const MOST_HELD: usize = 2048;
/// The stretch of time whose mails may lie here.
const STRETCH: Duration = Duration::from_millis(100);
/// Mails for each slot that may lie here, however slowly they go out: a claim takes its time, too.
const LEAST_FOR_A_SLOT: usize = 2;
/// Every so many picks, the least urgent mail comes first.
const TURN_OF_THE_LAST: u32 = 16;

/// The mails that wait for a slot, and the count of those that are claimed.
pub(super) struct Desk {
    state: Mutex<State>,
    /// Something was put down.
    filled: Notify,
    /// Something urgent was put down.
    urgent: Notify,
    /// There is room again for urgent mails, and for others. Told apart, because one lane mostly has room, and to wake the
    /// fetcher of the other for every mail that leaves would cost more than the mail.
    room: [Notify; 2],
    /// Nothing is held any more.
    idle: Notify,
}

struct State {
    /// By priority, most urgent first.
    waiting: [VecDeque<Job>; 4],
    held: usize,
    picks: u32,
    pace: Pace,
}

impl Desk {
    /// A desk for a worker with this many slots.
    pub(super) fn new(slots: usize) -> Self {
        let state = State { waiting: Default::default(), held: 0, picks: 0, pace: Pace::new(slots) };
        Self {
            state: Mutex::new(state),
            filled: Notify::new(),
            urgent: Notify::new(),
            room: [Notify::new(), Notify::new()],
            idle: Notify::new(),
        }
    }

    /// Waits until a lane has room for more mails; how many.
    pub(super) async fn room(&self, lane: Lane) -> usize {
        loop {
            let mut room = std::pin::pin!(self.room[lane as usize].notified());
            // From here on no mail leaves unnoticed.
            room.as_mut().enable();
            let room_now = self.state().room(lane, Monotonic::now());
            if room_now > 0 {
                return room_now;
            }
            room.await;
        }
    }

    /// Counts mails that are about to be claimed. Each is to be [settled](Self::settled) one day.
    pub(super) fn claim(&self, count: usize) {
        self.state().held += count;
    }

    /// Counts mails as gone that could not be claimed after all.
    pub(super) fn unclaim(&self, count: usize) {
        self.let_go(count, |_| {});
    }

    /// Puts claimed mails down, in their order.
    pub(super) fn put(&self, jobs: Vec<Job>) {
        let mut state = self.state();
        for job in jobs {
            let place = place(job.priority());
            state.waiting[place].push_back(job);
        }
        let urgent = !state.waiting[0].is_empty();
        drop(state);
        self.filled.notify_one();
        if urgent {
            self.urgent.notify_one();
        }
    }

    /// Waits until a mail lies here. Serves one waiter.
    pub(super) async fn filled(&self) {
        while self.state().waiting.iter().all(VecDeque::is_empty) {
            self.filled.notified().await;
        }
    }

    /// Waits until an urgent mail lies here. Serves one waiter.
    pub(super) async fn urgent(&self) {
        while self.state().waiting[0].is_empty() {
            self.urgent.notified().await;
        }
    }

    /// Takes the next mail: the most urgent, but now and then the least urgent, so that it moves at all.
    pub(super) fn pick(&self) -> Option<Job> {
        let mut state = self.state();
        state.picks = state.picks.wrapping_add(1);
        let from_behind = state.picks.is_multiple_of(TURN_OF_THE_LAST);
        let filled = |list: &&mut VecDeque<Job>| !list.is_empty();
        let list =
            if from_behind { state.waiting.iter_mut().rfind(filled) } else { state.waiting.iter_mut().find(filled) };
        let job = list.and_then(VecDeque::pop_front);
        self.tell_of_room(&mut state);
        job
    }

    /// Takes the next urgent mail.
    pub(super) fn pick_urgent(&self) -> Option<Job> {
        let mut state = self.state();
        let job = state.waiting[0].pop_front();
        self.tell_of_room(&mut state);
        job
    }

    /// Takes everything that lies here.
    pub(super) fn clear(&self) -> Vec<Job> {
        self.state().waiting.iter_mut().flat_map(std::mem::take).collect()
    }

    /// Counts mails as gone: the database has been told what became of them, or nobody can.
    pub(super) fn settled(&self, count: usize) {
        self.let_go(count, |pace| pace.count(count, Monotonic::now()));
    }

    fn let_go(&self, count: usize, note: impl FnOnce(&mut Pace)) {
        let mut state = self.state();
        state.held = state.held.saturating_sub(count);
        note(&mut state.pace);
        self.tell_of_room(&mut state);
        if state.held == 0 {
            self.idle.notify_waiters();
        }
    }

    /// Waits until every claimed mail has been settled.
    pub(super) async fn idle(&self) {
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.state().held == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Mails that are claimed and not settled.
    pub(super) fn held(&self) -> usize {
        self.state().held
    }

    fn tell_of_room(&self, state: &mut State) {
        let now = Monotonic::now();
        for lane in [Lane::Urgent, Lane::Others] {
            if state.room(lane, now) > 0 {
                self.room[lane as usize].notify_waiters();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// None until half of what may lie here is gone, so that claims are large.
    fn room(&mut self, lane: Lane, now: Monotonic) -> usize {
        let most = self.pace.most_waiting(now);
        let waiting = match lane {
            Lane::Urgent => self.waiting[0].len(),
            Lane::Others => self.waiting[1..].iter().map(VecDeque::len).sum(),
        };
        if waiting * 2 > most { 0 } else { (most - waiting).min(MOST_HELD.saturating_sub(self.held)) }
    }
}

/// How fast mails go out: counted in stretches of time, of which the last whole one and the present one count.
struct Pace {
    least: usize,
    began: Monotonic,
    last: usize,
    present: usize,
}

impl Pace {
    fn new(slots: usize) -> Self {
        Self { least: (slots * LEAST_FOR_A_SLOT).clamp(1, MOST_WAITING), began: Monotonic::now(), last: 0, present: 0 }
    }

    fn count(&mut self, count: usize, now: Monotonic) {
        self.turn(now);
        self.present += count;
    }

    fn most_waiting(&mut self, now: Monotonic) -> usize {
        self.turn(now);
        self.last.max(self.present).clamp(self.least, MOST_WAITING)
    }

    fn turn(&mut self, now: Monotonic) {
        let passed = now.saturating_duration_since(self.began);
        if passed >= STRETCH {
            self.last = if passed < STRETCH * 2 { self.present } else { 0 };
            (self.present, self.began) = (0, now);
        }
    }
}

fn place(priority: Priority) -> usize {
    usize::try_from(priority.number()).unwrap_or(3).min(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_mails_wait_as_go_out_in_a_tenth_of_a_second() {
        let start = Monotonic::now();
        let mut pace = Pace { began: start, ..Pace::new(8) };
        assert_eq!(pace.most_waiting(start), 16, "at first, two for each slot");
        pace.count(100, start + STRETCH / 2);
        assert_eq!(pace.most_waiting(start + STRETCH / 2), 100);
        assert_eq!(pace.most_waiting(start + STRETCH), 100, "the stretch before");
        assert_eq!(pace.most_waiting(start + STRETCH * 3), 16, "long ago");
        pace.count(9000, start + STRETCH * 3);
        assert_eq!(pace.most_waiting(start + STRETCH * 3), MOST_WAITING);
    }
}
