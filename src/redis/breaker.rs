//! The circuit breaker: decides, from what happened so far, whether a request may go to Redis.
//!
//! ```text
//!            3 failures in a row, or the connection is lost
//!   closed ────────────────────────────────────────────────▶ open ◀──────────┐
//!      ▲                                                      │ wait is over │ probe failed:
//!      │ probe succeeded                                      ▼              │ wait twice as long
//!      └────────────────────────────────────────────────── half-open ────────┘
//! ```
//!
//! A pure state machine: time comes in as a parameter (any monotonic duration since a fixed start), so tests pass
//! time without waiting. The pattern is Nygard's, from *Release It!*.

use std::time::Duration;

use crate::domain::Entropy;

/// Failures in a row that open a closed breaker.
pub const FAILURES_TO_OPEN: u32 = 3;
/// The first wait before a probe.
pub const FIRST_WAIT: Duration = Duration::from_millis(500);
/// No wait has to be longer than this, jitter included.
pub const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// One breaker. Not shared: its owner puts it behind a lock.
#[derive(Debug)]
pub struct CircuitBreaker {
    state: State,
    entropy: Entropy,
    longest_wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration, round: u32 },
    HalfOpen { round: u32 },
}

impl CircuitBreaker {
    /// An open breaker whose first probe is due at once: nothing is known about the server yet. No wait will be longer than
    /// `longest_wait`, jitter included.
    pub fn unproven(entropy: Entropy, longest_wait: Duration) -> Self {
        Self { state: State::Open { until: Duration::ZERO, round: 0 }, entropy, longest_wait }
    }

    /// Whether requests may go through.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Whether the last request failed, though not yet enough of them: the next one had better not wait for long.
    pub fn is_suspicious(&self) -> bool {
        matches!(self.state, State::Closed { failures: 1.. })
    }

    /// A request was answered. Only a closed breaker cares: an answer that arrives late proves nothing about now.
    pub fn request_succeeded(&mut self) {
        if let State::Closed { failures } = &mut self.state {
            *failures = 0;
        }
    }

    /// A request failed in a way that says something about the server (no answer in time, or it cannot serve).
    /// `true` if this opened the breaker.
    pub fn request_failed(&mut self, now: Duration) -> bool {
        let State::Closed { failures } = &mut self.state else { return false };
        *failures += 1;
        if *failures < FAILURES_TO_OPEN {
            return false;
        }
        self.state = State::Open { until: now + self.wait(0), round: 1 };
        true
    }

    /// The connection is gone. There is nothing to count, and a new connection may be tried at once.
    /// `true` if this opened the breaker.
    pub fn connection_lost(&mut self, now: Duration) -> bool {
        let opened = self.is_closed();
        if opened {
            self.state = State::Open { until: now, round: 0 };
        }
        opened
    }

    /// When the next probe is due; `None` while closed or while a probe is out.
    pub fn probe_due(&self) -> Option<Duration> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// Takes the right to probe. `true` for exactly one caller once the wait is over.
    pub fn begin_probe(&mut self, now: Duration) -> bool {
        match self.state {
            State::Open { until, round } if now >= until => {
                self.state = State::HalfOpen { round };
                true
            }
            _ => false,
        }
    }

    /// The probe was answered: closes.
    pub fn probe_succeeded(&mut self) {
        if matches!(self.state, State::HalfOpen { .. }) {
            self.state = State::Closed { failures: 0 };
        }
    }

    /// The probe failed: opens again, and waits longer than last time.
    pub fn probe_failed(&mut self, now: Duration) {
        if let State::HalfOpen { round } = self.state {
            self.state = State::Open { until: now + self.wait(round), round: round.saturating_add(1) };
        }
    }

    fn wait(&self, round: u32) -> Duration {
        let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(round)).min(self.longest_wait);
        self.entropy.jitter(doubled).min(self.longest_wait)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn closed() -> CircuitBreaker {
        let mut breaker = CircuitBreaker::unproven(Entropy::seeded(1), LONGEST_WAIT);
        assert!(breaker.begin_probe(Duration::ZERO));
        breaker.probe_succeeded();
        assert!(breaker.is_closed());
        breaker
    }

    #[test]
    fn three_failures_in_a_row_open_it_and_an_answer_between_starts_the_count_again() {
        let mut breaker = closed();
        let now = Duration::from_secs(5);
        assert!(!breaker.is_suspicious());
        assert!(!breaker.request_failed(now) && !breaker.request_failed(now));
        assert!(breaker.is_suspicious());
        breaker.request_succeeded();
        assert!(!breaker.is_suspicious());
        assert!(!breaker.request_failed(now) && !breaker.request_failed(now));
        assert!(breaker.is_closed());
        assert!(breaker.request_failed(now));
        assert!(!breaker.is_closed());
        assert!(!breaker.begin_probe(now), "the first wait is not over");
    }

    #[test]
    fn a_lost_connection_opens_it_and_may_be_replaced_at_once() {
        let mut breaker = closed();
        let now = Duration::from_secs(5);
        assert!(breaker.connection_lost(now));
        assert!(!breaker.connection_lost(now), "only the first loss opens it");
        assert!(breaker.begin_probe(now));
    }

    #[test]
    fn one_caller_probes_at_a_time() {
        let mut breaker = CircuitBreaker::unproven(Entropy::seeded(1), LONGEST_WAIT);
        assert!(breaker.begin_probe(Duration::ZERO));
        assert!(!breaker.begin_probe(Duration::from_hours(1)));
        assert_eq!(breaker.probe_due(), None);
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        for longest in [LONGEST_WAIT, Duration::from_secs(5)] {
            let mut breaker = CircuitBreaker::unproven(Entropy::seeded(1), longest);
            let mut now = Duration::ZERO;
            for round in 0..20 {
                assert!(breaker.begin_probe(now));
                breaker.probe_failed(now);
                let due = breaker.probe_due().unwrap();
                let nominal = FIRST_WAIT.saturating_mul(2_u32.pow(round)).min(longest);
                let wait = due.checked_sub(now).unwrap();
                assert!(
                    wait >= nominal.mul_f64(0.75) && wait <= nominal.mul_f64(1.25).min(longest),
                    "{round} {wait:?}"
                );
                now = due;
            }
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Pass(u64),
        Succeeded,
        Failed,
        Lost,
        Begin,
        ProbeSucceeded,
        ProbeFailed,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0_u64..90_000).prop_map(Event::Pass),
            Just(Event::Succeeded),
            Just(Event::Failed),
            Just(Event::Lost),
            Just(Event::Begin),
            Just(Event::ProbeSucceeded),
            Just(Event::ProbeFailed),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_only_a_probe_closes_it_and_a_probe_is_never_far(events in proptest::collection::vec(event(), 0..200)) {
            let mut breaker = CircuitBreaker::unproven(Entropy::seeded(7), LONGEST_WAIT);
            let (mut now, mut in_a_row, mut probing) = (Duration::ZERO, 0, false);
            for event in events {
                let was_closed = breaker.is_closed();
                match event {
                    Event::Pass(millis) => now += Duration::from_millis(millis),
                    Event::Succeeded => { breaker.request_succeeded(); in_a_row = 0; }
                    Event::Failed => {
                        in_a_row += u32::from(was_closed);
                        let opened = breaker.request_failed(now);
                        prop_assert_eq!(opened, was_closed && in_a_row == FAILURES_TO_OPEN);
                    }
                    Event::Lost => prop_assert_eq!(breaker.connection_lost(now), was_closed),
                    Event::Begin => {
                        let due = breaker.probe_due();
                        let begun = breaker.begin_probe(now);
                        prop_assert_eq!(begun, due.is_some_and(|due| due <= now));
                        prop_assert!(!(begun && probing), "two probes at once");
                        probing |= begun;
                    }
                    Event::ProbeSucceeded => { breaker.probe_succeeded(); prop_assert_eq!(breaker.is_closed(), was_closed || probing); probing = false; }
                    Event::ProbeFailed => { breaker.probe_failed(now); probing = false; }
                }
                if !was_closed && breaker.is_closed() {
                    prop_assert!(matches!(event, Event::ProbeSucceeded), "only a probe closes it");
                    in_a_row = 0;
                }
                if let Some(due) = breaker.probe_due() {
                    prop_assert!(due <= now + LONGEST_WAIT);
                } else {
                    prop_assert!(breaker.is_closed() || probing);
                }
            }
        }
    }
}
