//! Where governor keeps its state: a concurrent map from subject to cell, which can also be looked at without taking.
//!
//! governor only knows "decide and record". Deciding several limits together needs "decide" alone first, so the key that
//! is asked with says which of the two is meant.

use std::cell::Cell;
use std::sync::Arc;

use governor::nanos::Nanos;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::state::{NotKeyed, StateStore};

/// A subject, and whether what it asks for is taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ask {
    subject: String,
    take: bool,
}

impl Ask {
    /// Asks without taking.
    pub(super) fn look(subject: String) -> Self {
        Self { subject, take: false }
    }

    /// The same, taking.
    pub(super) fn taking(self) -> Self {
        Self { take: true, ..self }
    }
}

/// The cells of one policy. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Cells(Arc<DashMapStateStore<String>>);

impl Cells {
    /// Whether `subject` has a cell.
    pub(super) fn contains(&self, subject: &str) -> bool {
        self.0.contains_key(subject)
    }

    /// Drops the cell of `subject`: it starts with a full bucket.
    pub(super) fn remove(&self, subject: &str) {
        self.0.remove(subject);
    }
}

impl StateStore for Cells {
    type Key = Ask;

    fn measure_and_replace<T, F, E>(&self, ask: &Ask, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        if ask.take {
            return self.0.measure_and_replace(&ask.subject, decide);
        }
        let seen = Cell::new(None);
        if let Some(cell) = self.0.get(&ask.subject) {
            // A refusal leaves the cell as it is.
            let _: Result<(), ()> = cell.measure_and_replace(&NotKeyed::NonKey, |state| {
                seen.set(state);
                Err(())
            });
        }
        decide(seen.get()).map(|(outcome, _)| outcome)
    }
}

impl ShrinkableKeyedStateStore<Ask> for Cells {
    fn retain_recent(&self, drop_below: Nanos) {
        ShrinkableKeyedStateStore::retain_recent(&*self.0, drop_below);
    }

    fn shrink_to_fit(&self) {
        ShrinkableKeyedStateStore::shrink_to_fit(&*self.0);
    }

    fn len(&self) -> usize {
        ShrinkableKeyedStateStore::len(&*self.0)
    }

    fn is_empty(&self) -> bool {
        ShrinkableKeyedStateStore::is_empty(&*self.0)
    }
}
