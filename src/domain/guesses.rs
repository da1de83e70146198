//! How often somebody may be wrong: some times at once, then with pauses that double, then not until the window is over.

use std::time::Duration;

use chrono::{DateTime, TimeDelta};

use super::Instant;

/// The rule of a budget of failed guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuessRule {
    /// Failures in one window, all told.
    pub allowed: i32,
    /// Of these, how many without a pause after them.
    pub at_once: i32,
    /// How long after its first failure a budget starts anew.
    pub window: TimeDelta,
}

impl GuessRule {
    /// The first pause, in milliseconds. Each one after it is twice as long, up to [`Self::LONGEST_PAUSE_MS`].
    pub const FIRST_PAUSE_MS: i64 = 1_000;
    /// The longest pause, in milliseconds.
    pub const LONGEST_PAUSE_MS: i64 = 300_000;
    /// After this many doublings the longest pause is reached.
    pub const DOUBLINGS: i32 = 9;

    /// How long after the last of `failures` guesses the next is taken, in milliseconds.
    pub fn pause_ms(&self, failures: i32) -> i64 {
        match failures - self.at_once {
            ..0 => 0,
            doubled @ 0..Self::DOUBLINGS => Self::FIRST_PAUSE_MS << doubled,
            _ => Self::LONGEST_PAUSE_MS,
        }
    }

    /// How long it is from `now` until the next guess is taken of a budget that has seen `failures`, the last of them at
    /// `guessed_at_ms` (milliseconds since 1970).
    pub fn wait(&self, failures: i32, window_started_at: Instant, guessed_at_ms: i64, now: Instant) -> Duration {
        let renewed = window_started_at + self.window;
        let open = if failures >= self.allowed {
            renewed
        } else {
            let pause_over = DateTime::from_timestamp_millis(guessed_at_ms.saturating_add(self.pause_ms(failures)));
            pause_over.unwrap_or(renewed).min(renewed)
        };
        (open - now).to_std().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: GuessRule = GuessRule { allowed: 20, at_once: 3, window: TimeDelta::hours(1) };

    #[test]
    fn pauses_double_from_a_second_to_five_minutes() {
        let seconds: Vec<_> = (0..16).map(|failures| RULE.pause_ms(failures) / 1000).collect();
        assert_eq!(seconds, [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]);
        assert_eq!(RULE.pause_ms(i32::MAX), 300_000);
    }

    #[test]
    fn the_wait_ends_with_the_pause_or_the_window() {
        let start = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let wait = |failures, guessed_after: i64| {
            let now = start + TimeDelta::seconds(guessed_after);
            RULE.wait(failures, start, now.timestamp_millis(), now).as_secs()
        };
        assert_eq!((wait(2, 60), wait(3, 60), wait(9, 60), wait(19, 60)), (0, 1, 64, 300));
        assert_eq!(wait(20, 60), 3540, "nothing is left in this window");
        assert_eq!(wait(19, 3500), 100, "a pause ends with the window");
        assert_eq!(RULE.wait(20, start, 0, start + TimeDelta::hours(2)), Duration::ZERO);
    }
}
