//! The four lists inside this process.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{End, Entry, Lane};
use crate::domain::{MailId, Priority};

/// A list holds no more ids than this: where no worker runs nobody takes them, and the sweeper feeds from the rows.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
struct Lists {
    ids: [VecDeque<MailId>; 4],
    takes: u32,
}

/// Ids by priority.
#[derive(Debug, Default)]
pub(crate) struct LocalLists {
    lists: Mutex<Lists>,
    /// One for each lane.
    filled: [Notify; 2],
}

impl LocalLists {
    pub(super) fn put(&self, entries: &[Entry], end: End) {
        let mut lists = self.lists();
        match end {
            End::Back => {
                for &(id, priority) in entries {
                    let list = &mut lists.ids[index(priority)];
                    if list.len() < MOST {
                        list.push_back(id);
                    }
                }
            }
            End::Front => {
                for &(id, priority) in entries.iter().rev() {
                    lists.ids[index(priority)].push_front(id);
                }
            }
        }
        drop(lists);
        for lane in Lane::ALL {
            if entries.iter().any(|(_, priority)| lane.places().contains(&index(*priority))) {
                self.filled[*lane as usize].notify_one();
            }
        }
    }

    /// Takes up to `most` ids of a lane, in its order and in order of arrival; nothing when nothing waits.
    pub(crate) fn take(&self, most: usize, lane: Lane) -> Vec<Entry> {
        let mut lists = self.lists();
        lists.takes = lists.takes.wrapping_add(1);
        let mut taken = Vec::new();
        for place in lane.order(lists.takes) {
            let list = &mut lists.ids[place];
            let count = list.len().min(most - taken.len());
            taken.extend(list.drain(..count).map(|id| (id, Priority::ALL[place])));
        }
        taken
    }

    /// Waits until something is in one of a lane's lists. May return early, and serves one waiter.
    pub(crate) async fn filled(&self, lane: Lane) {
        while self.lists().ids[lane.places()].iter().all(VecDeque::is_empty) {
            self.filled[lane as usize].notified().await;
        }
    }

    pub(super) fn lengths(&self) -> [usize; 4] {
        self.lists().ids.each_ref().map(VecDeque::len)
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        // Nothing panics while it holds the lock.
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn index(priority: Priority) -> usize {
    match priority {
        Priority::Urgent => 0,
        Priority::High => 1,
        Priority::Normal => 2,
        Priority::Low => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> MailId {
        MailId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn the_most_urgent_come_first_and_equals_in_order_of_arrival() {
        let lists = LocalLists::default();
        let entries = [
            (id(1), Priority::Low),
            (id(2), Priority::Normal),
            (id(3), Priority::Urgent),
            (id(4), Priority::Normal),
            (id(5), Priority::High),
        ];
        lists.put(&entries, End::Back);
        let order: Vec<MailId> = lists.take(3, Lane::Others).into_iter().map(|(id, _)| id).collect();
        assert_eq!(order, [id(5), id(2), id(4)]);
        assert_eq!(lists.take(9, Lane::Urgent), [(id(3), Priority::Urgent)]);
        assert_eq!(lists.lengths(), [0, 0, 0, 1]);
    }

    #[test]
    fn the_least_urgent_move_however_many_others_come() {
        let lists = LocalLists::default();
        lists.put(&[(id(1), Priority::Low)], End::Back);
        let takes = (0..100).position(|_| {
            lists.put(&[(id(2), Priority::High)], End::Back);
            lists.take(1, Lane::Others) == [(id(1), Priority::Low)]
        });
        assert!(takes.is_some_and(|takes| takes < 8), "{takes:?}");
    }

    #[test]
    fn what_is_given_back_comes_first_again_in_its_old_order() {
        let lists = LocalLists::default();
        lists.put(&[(id(1), Priority::High), (id(2), Priority::High), (id(3), Priority::High)], End::Back);
        let taken = lists.take(2, Lane::Others);
        lists.put(&taken, End::Front);
        let order: Vec<MailId> = lists.take(9, Lane::Others).into_iter().map(|(id, _)| id).collect();
        assert_eq!(order, [id(1), id(2), id(3)]);
    }

    #[test]
    fn a_list_that_nobody_takes_from_stops_growing() {
        let lists = LocalLists::default();
        let entries: Vec<Entry> = (0..20_000).map(|number| (id(number), Priority::Low)).collect();
        lists.put(&entries, End::Back);
        assert_eq!(lists.lengths(), [0, 0, 0, MOST]);
    }
}
