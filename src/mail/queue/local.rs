//! The four lists inside this process.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{End, Entry};
use crate::domain::{MailId, Priority};

/// A list holds no more ids than this: where no worker runs nobody takes them, and the sweeper feeds from the rows.
const MOST: usize = 10_000;

/// Ids by priority.
#[derive(Debug, Default)]
pub(crate) struct LocalLists {
    lists: Mutex<[VecDeque<MailId>; 4]>,
    filled: Notify,
}

impl LocalLists {
    pub(super) fn put(&self, entries: &[Entry], end: End) {
        let mut lists = self.lists();
        match end {
            End::Back => {
                for &(id, priority) in entries {
                    let list = &mut lists[index(priority)];
                    if list.len() < MOST {
                        list.push_back(id);
                    }
                }
            }
            End::Front => {
                for &(id, priority) in entries.iter().rev() {
                    lists[index(priority)].push_front(id);
                }
            }
        }
        drop(lists);
        self.filled.notify_one();
    }

    /// Takes up to `most` ids, most urgent first and in order of arrival; nothing when nothing waits.
    pub(crate) fn take(&self, most: usize) -> Vec<Entry> {
        let mut lists = self.lists();
        let mut taken = Vec::new();
        for (list, &priority) in lists.iter_mut().zip(Priority::ALL) {
            let count = list.len().min(most - taken.len());
            taken.extend(list.drain(..count).map(|id| (id, priority)));
        }
        taken
    }

    /// Waits until something is there. May return early, and serves one waiter.
    pub(crate) async fn filled(&self) {
        while self.lists().iter().all(VecDeque::is_empty) {
            self.filled.notified().await;
        }
    }

    pub(super) fn lengths(&self) -> [usize; 4] {
        self.lists().each_ref().map(VecDeque::len)
    }

    fn lists(&self) -> MutexGuard<'_, [VecDeque<MailId>; 4]> {
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
        let order: Vec<MailId> = lists.take(4).into_iter().map(|(id, _)| id).collect();
        assert_eq!(order, [id(3), id(5), id(2), id(4)]);
        assert_eq!(lists.lengths(), [0, 0, 0, 1]);
    }

    #[test]
    fn what_is_given_back_comes_first_again_in_its_old_order() {
        let lists = LocalLists::default();
        lists.put(&[(id(1), Priority::High), (id(2), Priority::High), (id(3), Priority::High)], End::Back);
        let taken = lists.take(2);
        lists.put(&taken, End::Front);
        let order: Vec<MailId> = lists.take(9).into_iter().map(|(id, _)| id).collect();
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
