//! Cells in a table of a fixed size: nothing is allocated, locked or swept, whatever comes, once the first subject has come.
//! Subjects that share a cell share its budget.

use std::sync::OnceLock;

use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};

/// Cells in a table: 2 MiB.
pub(super) const CELLS: usize = 1 << 18;

/// The cells. A key is the hash of a subject.
#[derive(Default)]
pub(super) struct Table(OnceLock<Box<[InMemoryState]>>);

impl StateStore for Table {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, hash: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let cells = self.0.get_or_init(|| std::iter::repeat_with(InMemoryState::default).take(CELLS).collect());
        let place = usize::try_from(hash % cells.len() as u64).unwrap_or(0);
        cells[place].measure_and_replace(&NotKeyed::NonKey, decide)
    }
}
