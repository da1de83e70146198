//! What the metrics page shows about mail. Counts of this process since it started.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        #[derive(Debug, Default)]
        struct Counts { $($name: AtomicU64),+ }

        /// The counts at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct CountersSnapshot { $($(#[$doc])* pub $name: u64),+ }

        impl Counters {
            /// The counts now.
            pub fn snapshot(&self) -> CountersSnapshot {
                CountersSnapshot { $($name: self.0.$name.load(Ordering::Relaxed)),+ }
            }

            $(pub(super) fn $name(&self, count: usize) {
                self.0.$name.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
            })+
        }
    };
}

/// Counts what happens to mails. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<Counts>);

counters! {
    /// Mails that were committed and handed to the queue.
    accepted,
    /// Mails that a relay took.
    sent,
    /// Attempts that failed for the time being.
    retried,
    /// Mails given up.
    dead,
    /// Mails that were no longer worth sending.
    expired,
    /// Mails given back unsent: their recipient's domain was slow, the database away, or the worker stopping.
    deferred,
    /// Leases that ran out and were taken back.
    reclaimed,
    /// Attempts abandoned because somebody else had the mail by then.
    abandoned,
    /// Acknowledgements that came after somebody else had taken the mail over: it may arrive twice.
    late,
    /// Entries of a queue that were no ids, and keys in Redis that should have been lists and were none.
    malformed_ids,
    /// Rounds of the sweeper that went through.
    sweeps,
}
