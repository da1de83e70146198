//! Log lines about what strangers can cause as often as they like.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How long after a line the next one of its kind may be written, in seconds.
const EVERY: u64 = 3600;

/// Lets a kind of line be written once at first, and then once an hour.
pub(super) struct Seldom {
    since: Instant,
    /// When it was last written, in seconds since the start, and one more; zero before.
    written: AtomicU64,
}

impl Seldom {
    /// Nothing has been written yet.
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), written: AtomicU64::new(0) }
    }

    /// Warns, if it is time.
    pub(super) fn warn(&self, message: impl FnOnce() -> String) {
        if self.is_due(self.since.elapsed().as_secs() + 1) {
            log::warn!("{}", message());
        }
    }

    fn is_due(&self, now: u64) -> bool {
        let next = |written| (written == 0 || now >= written + EVERY).then_some(now);
        self.written.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_at_once_and_then_every_hour() {
        let seldom = Seldom::new();
        let written: Vec<u64> = (1..10_000).filter(|now| seldom.is_due(*now)).collect();
        assert_eq!(written, [1, 3601, 7201]);
    }
}
