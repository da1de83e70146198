//! Cells in a table of a fixed size: nothing is allocated, locked or swept, whatever comes. Subjects that share a cell share
//! its budget.

use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};

/// Cells in a table: 2 MiB.
pub(super) const CELLS: usize = 1 << 18;

/// The cells. A key is the hash of a subject.
pub(super) struct Table(Box<[InMemoryState]>);

impl Table {
    /// A table in which nothing has been asked for.
    pub(super) fn new() -> Self {
        Self(std::iter::repeat_with(InMemoryState::default).take(CELLS).collect())
    }
}

impl StateStore for Table {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, hash: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let place = usize::try_from(hash % self.0.len() as u64).unwrap_or(0);
        self.0[place].measure_and_replace(&NotKeyed::NonKey, decide)
    }
}
