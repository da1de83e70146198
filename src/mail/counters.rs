//! What the metrics page shows about mail. Counts of this process since it started.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        #[derive(Debug, Default)]
        struct Counts { $($name: AtomicU64,)+ queued: [AtomicU64; 4], ages: [AtomicU64; 4] }

        /// The counts at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct CountersSnapshot {
            $($(#[$doc])* pub $name: u64,)+
            /// Ids in the queue when the sweeper last looked, most urgent priority first.
            pub queued: [u64; 4],
            /// How long the oldest due mail of each priority had waited then, in milliseconds.
            pub ages_ms: [u64; 4],
        }

        impl Counters {
            /// The counts now.
            pub fn snapshot(&self) -> CountersSnapshot {
                let all = |gauges: &[AtomicU64; 4]| gauges.each_ref().map(|gauge| gauge.load(Ordering::Relaxed));
                CountersSnapshot {
                    $($name: self.0.$name.load(Ordering::Relaxed),)+
                    queued: all(&self.0.queued),
                    ages_ms: all(&self.0.ages),
                }
            }

            $(pub(super) fn $name(&self, count: usize) {
                self.0.$name.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
            })+
        }
    };
}

impl Counters {
    /// Notes how many ids wait in each list.
    pub(super) fn set_queued(&self, lengths: [usize; 4]) {
        set(&self.0.queued, lengths.map(|length| u64::try_from(length).unwrap_or(u64::MAX)));
    }

    /// Notes how long the oldest mails have waited.
    pub(super) fn set_ages(&self, ages: [std::time::Duration; 4]) {
        set(&self.0.ages, ages.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
    }
}

fn set(gauges: &[AtomicU64; 4], values: [u64; 4]) {
    gauges.iter().zip(values).for_each(|(gauge, value)| gauge.store(value, Ordering::Relaxed));
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
