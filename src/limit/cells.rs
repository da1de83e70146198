//! Where governor keeps its state: a concurrent map from subject to cell, which can also be looked at without taking, and a
//! table of fixed size for whoever finds no room in it.
//!
//! governor only knows "decide and record". Deciding several limits together needs "decide" alone first, so the key that
//! is asked with says which of the two is meant.

use std::cell::Cell;
use std::sync::Arc;

use governor::nanos::Nanos;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::state::{NotKeyed, StateStore};

use super::table::Table;

/// Whose cell is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// The subject's own.
    Own(String),
    /// The one that a hash says, among those that strangers share, or known browsers.
    Shared(Crowd, u64),
}

/// Who shares cells with each other: what one crowd uses up is not the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Crowd {
    /// Anybody.
    Strangers,
    /// The browsers that a mailbox knows, of which nobody has many.
    Known,
}

/// Whose cell is asked, and whether what is asked for is taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ask {
    place: Place,
    take: bool,
}

impl Ask {
    /// Asks without taking.
    pub(super) fn look(place: Place) -> Self {
        Self { place, take: false }
    }

    /// Whose own cell is asked; `None` if it is a shared one.
    pub(super) fn subject(&self) -> Option<&str> {
        match &self.place {
            Place::Own(subject) => Some(subject),
            Place::Shared(..) => None,
        }
    }

    /// The same, taking.
    pub(super) fn taking(self) -> Self {
        Self { take: true, ..self }
    }
}

/// The cells of one policy. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Cells {
    own: Arc<DashMapStateStore<String>>,
    /// For those who have to share.
    shared: [Arc<Table>; 2],
}

impl Cells {
    /// Whether `subject` has a cell.
    pub(super) fn contains(&self, subject: &str) -> bool {
        self.own.contains_key(subject)
    }

    /// Drops the cell of `subject`: it starts with a full bucket.
    pub(super) fn remove(&self, subject: &str) {
        self.own.remove(subject);
    }

    /// Drops the cells of all subjects that are meant.
    pub(super) fn remove_all(&self, is_meant: impl Fn(&str) -> bool) {
        self.own.retain(|subject, _| !is_meant(subject));
    }

    fn shared(&self, crowd: Crowd) -> &Table {
        &self.shared[crowd as usize]
    }
}

impl StateStore for Cells {
    type Key = Ask;

    fn measure_and_replace<T, F, E>(&self, ask: &Ask, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        match (&ask.place, ask.take) {
            (Place::Own(subject), true) => return self.own.measure_and_replace(subject, decide),
            (Place::Shared(crowd, hash), true) => return self.shared(*crowd).measure_and_replace(hash, decide),
            _ => {}
        }
        let seen = Cell::new(None);
        // A refusal leaves the cell as it is.
        let see = |state| -> Result<((), Nanos), ()> {
            seen.set(state);
            Err(())
        };
        match &ask.place {
            Place::Own(subject) => {
                if let Some(cell) = self.own.get(subject) {
                    let _ = cell.measure_and_replace(&NotKeyed::NonKey, see);
                }
            }
            Place::Shared(crowd, hash) => {
                let _ = self.shared(*crowd).measure_and_replace(hash, see);
            }
        }
        decide(seen.get()).map(|(outcome, _)| outcome)
    }
}

impl ShrinkableKeyedStateStore<Ask> for Cells {
    fn retain_recent(&self, drop_below: Nanos) {
        ShrinkableKeyedStateStore::retain_recent(&*self.own, drop_below);
    }

    fn shrink_to_fit(&self) {
        ShrinkableKeyedStateStore::shrink_to_fit(&*self.own);
    }

    fn len(&self) -> usize {
        ShrinkableKeyedStateStore::len(&*self.own)
    }

    fn is_empty(&self) -> bool {
        ShrinkableKeyedStateStore::is_empty(&*self.own)
    }
}
