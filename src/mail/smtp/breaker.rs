//! Leaves a relay alone that fails again and again.
//!
//! ```text
//!            PATIENCE failures in a row               the wait is over: one mail is the probe
//!   closed ────────────────────────────▶ open ──────────────────────────────────────────▶ half open
//!     ▲ ▲                                 │  ▲  the probe failed: twice the wait, to 15 s     │ │
//!     │ └── a mail begun earlier got through └────────────────────────────────────────────────┘ │
//!     └─────────────────────────────── the probe got through ───────────────────────────────────┘
//! ```
//!
//! A failure is a conversation that could not be opened, or broke: connect, TLS, greeting, password, a hang. A relay that
//! refuses a mail is well. Where a mail had been begun, the fault may be its recipient's domain's, whose server the relay asks
//! first, say: such failures count in a row only if they are about different domains or very many, and a probe that takes
//! long does not keep another mail from being one. While it is open, mails go to the relays after it, and none of them pays for its deadlines; as
//! soon as the probe gets through it is preferred again. A probe that is dropped on the way leaves its turn to the next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::domain::Entropy;

/// Failures in a row that open the breaker.
const PATIENCE: u32 = 3;
/// The same, when all of them are about one recipient domain.
const PATIENCE_WITH_ONE: u32 = 10;
/// How long one probe keeps other mails from probing.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);
/// How long a relay is left alone at first, and at most: people wait for what it could send.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// The breaker of one relay, and what it has counted.
pub(super) struct Breaker {
    state: Mutex<State>,
    entropy: Entropy,
    /// Told when mails may be let through that were not before.
    changed: Arc<Notify>,
}

struct State {
    phase: Phase,
    /// The recipient domain that the last failure was about, and how many in a row were.
    domain: Option<Box<str>>,
    about_it: u32,
    tally: Tally,
}

#[derive(Clone, Copy)]
enum Phase {
    Closed { failures: u32 },
    Open { until: Instant, wait: Duration },
    HalfOpen { next_probe: Instant, wait: Duration },
}

/// What a relay has done so far.
#[derive(Clone, Default)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) failures: u64,
    pub(super) last_failure: Option<String>,
}

/// When a relay may be tried.
pub(super) enum Turn {
    Now,
    /// Then, or as soon as a mail that probes it gets through.
    At(Instant),
}

/// Leave to try a relay once. Dropped without a verdict, it says nothing about the relay.
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Breaker {
    /// A closed breaker. `changed` may be shared by several.
    pub(super) fn new(entropy: Entropy, changed: Arc<Notify>) -> Self {
        let state = State { phase: Phase::Closed { failures: 0 }, domain: None, about_it: 0, tally: Tally::default() };
        Self { state: Mutex::new(state), entropy, changed }
    }

    /// Leave to try the relay now; none while it is left alone.
    pub(super) fn pass(&self, now: Instant) -> Option<Pass<'_>> {
        let mut state = self.state();
        match state.phase {
            Phase::Closed { .. } => Some(Pass { breaker: self, probe: false }),
            Phase::Open { until: at, wait } | Phase::HalfOpen { next_probe: at, wait } if at <= now => {
                state.phase = Phase::HalfOpen { next_probe: now + PROBE_PATIENCE, wait };
                Some(Pass { breaker: self, probe: true })
            }
            Phase::Open { .. } | Phase::HalfOpen { .. } => None,
        }
    }

    /// When there is leave.
    pub(super) fn turn(&self, now: Instant) -> Turn {
        match self.state().phase {
            Phase::Closed { .. } => Turn::Now,
            Phase::Open { until: at, .. } | Phase::HalfOpen { next_probe: at, .. } if at <= now => Turn::Now,
            Phase::Open { until: at, .. } | Phase::HalfOpen { next_probe: at, .. } => Turn::At(at),
        }
    }

    /// Whether the relay has yet to show that it is well again.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state().phase, Phase::Closed { .. })
    }

    pub(super) fn tally(&self) -> Tally {
        self.state().tally.clone()
    }

    fn opened(&self, now: Instant, wait: Duration) -> Phase {
        Phase::Open { until: now + self.entropy.jitter(wait).min(LONGEST_WAIT), wait }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The relay held a conversation to its end; `sent` if it took the mail.
    pub(super) fn succeeded(mut self, sent: bool) {
        let mut state = self.breaker.state();
        state.tally.sent += u64::from(sent);
        let was_closed = matches!(state.phase, Phase::Closed { .. });
        state.phase = Phase::Closed { failures: 0 };
        state.domain = None;
        drop(state);
        self.probe = false;
        if !was_closed {
            self.breaker.changed.notify_waiters();
        }
    }

    /// No conversation could be opened, or it broke; `about` a recipient's domain if a mail had been begun.
    pub(super) fn failed(mut self, now: Instant, why: &str, about: Option<&str>) {
        let mut state = self.breaker.state();
        let again = about.is_some() && state.domain.as_deref() == about;
        state.about_it = if again { state.about_it + 1 } else { 1 };
        state.domain = about.map(Into::into);
        state.tally.failures += 1;
        state.tally.last_failure = Some(why.to_owned());
        state.phase = match state.phase {
            phase @ Phase::Closed { .. } if again && state.about_it < PATIENCE_WITH_ONE => phase,
            Phase::Closed { .. } if again => self.breaker.opened(now, FIRST_WAIT),
            Phase::Closed { failures } if failures + 1 >= PATIENCE => self.breaker.opened(now, FIRST_WAIT),
            Phase::Closed { failures } => Phase::Closed { failures: failures + 1 },
            Phase::HalfOpen { wait, .. } if self.probe => self.breaker.opened(now, (wait * 2).min(LONGEST_WAIT)),
            // Mails that were begun before it opened tell nothing new.
            phase @ (Phase::Open { .. } | Phase::HalfOpen { .. }) => phase,
        };
        drop(state);
        self.probe = false;
        // Whoever waits for the probe has to learn the next moment.
        self.breaker.changed.notify_waiters();
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.probe {
            return;
        }
        let mut state = self.breaker.state();
        if let Phase::HalfOpen { wait, .. } = state.phase {
            state.phase = Phase::Open { until: Instant::now(), wait };
        }
        drop(state);
        self.breaker.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A breaker, and the time that it is told.
    struct Bench {
        breaker: Breaker,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { breaker: Breaker::new(Entropy::seeded(1), Arc::default()), now: Instant::now() }
        }

        fn pass(&self) -> Option<Pass<'_>> {
            self.breaker.pass(self.now)
        }

        fn fail(&self) {
            self.pass().expect("leave to try").failed(self.now, "no answer", None);
        }

        /// Fails until the breaker opens; gives the wait.
        fn open(&self) -> Duration {
            (0..PATIENCE).for_each(|_| self.fail());
            self.wait()
        }

        fn wait(&self) -> Duration {
            let Turn::At(until) = self.breaker.turn(self.now) else { panic!("it is not open") };
            until - self.now
        }
    }

    #[test]
    fn three_failures_in_a_row_open_it_and_a_success_between_does_not() {
        let bench = Bench::new();
        for sent in [true, false] {
            bench.fail();
            bench.fail();
            bench.pass().unwrap().succeeded(sent);
        }
        assert!(bench.pass().is_some() && !bench.breaker.is_open());
        let wait = bench.open();
        assert!(bench.pass().is_none() && bench.breaker.is_open());
        assert!((750..=1250).contains(&wait.as_millis()), "{wait:?}");
        let tally = bench.breaker.tally();
        assert_eq!((tally.sent, tally.failures, tally.last_failure.as_deref()), (1, 7, Some("no answer")));
    }

    #[test]
    fn one_mail_probes_and_closes_it() {
        let mut bench = Bench::new();
        bench.now += bench.open();
        let probe = bench.pass().unwrap();
        assert!(bench.pass().is_none());
        assert_eq!(bench.wait(), PROBE_PATIENCE);
        probe.succeeded(true);
        assert!(!bench.breaker.is_open());
        bench.fail();
        bench.fail();
        assert!(!bench.breaker.is_open(), "it counts from the beginning");
    }

    #[test]
    fn each_failed_probe_doubles_the_wait_up_to_a_limit() {
        let mut bench = Bench::new();
        let mut waits = vec![bench.open().as_secs_f64()];
        for _ in 0..8 {
            bench.now += bench.wait();
            bench.fail();
            waits.push(bench.wait().as_secs_f64());
        }
        for (wait, nominal) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0, 15.0]) {
            assert!((nominal * 0.75..=f64::min(nominal * 1.25, 15.0)).contains(wait), "{waits:?}");
        }
    }

    #[test]
    fn failures_about_one_domain_do_not_open_it() {
        let bench = Bench::new();
        let fail = |domain| bench.pass().unwrap().failed(bench.now, "it hangs", Some(domain));
        (0..5).for_each(|_| fail("a.example"));
        assert!(!bench.breaker.is_open());
        fail("b.example");
        assert!(!bench.breaker.is_open());
        fail("a.example");
        assert!(bench.breaker.is_open());

        let bench = Bench::new();
        (1..PATIENCE_WITH_ONE).for_each(|_| bench.pass().unwrap().failed(bench.now, "it hangs", Some("a.example")));
        assert!(!bench.breaker.is_open());
        bench.pass().unwrap().failed(bench.now, "it hangs", Some("a.example"));
        assert!(bench.breaker.is_open(), "there may be no other domain");
    }

    #[test]
    fn a_probe_that_hangs_keeps_nobody_from_probing() {
        let bench = Bench::new();
        let probed = bench.now + bench.open();
        let hanging = bench.breaker.pass(probed).unwrap();
        bench.breaker.pass(probed + PROBE_PATIENCE).unwrap().succeeded(true);
        assert!(!bench.breaker.is_open());
        hanging.failed(probed + PROBE_PATIENCE, "it hangs", Some("a.example"));
        assert!(!bench.breaker.is_open());
    }

    #[test]
    fn a_probe_that_is_dropped_leaves_its_turn() {
        let mut bench = Bench::new();
        bench.now += bench.open();
        drop(bench.pass().unwrap());
        bench.now = bench.now.max(Instant::now());
        assert!(matches!(bench.breaker.turn(bench.now), Turn::Now));
        assert!(bench.pass().is_some());
    }

    #[test]
    fn mails_begun_before_it_opened_close_it_or_change_nothing() {
        let bench = Bench::new();
        let (late, lucky) = (bench.pass().unwrap(), bench.pass().unwrap());
        let wait = bench.open();
        late.failed(bench.now, "no answer", None);
        assert_eq!(bench.wait(), wait);
        lucky.succeeded(true);
        assert!(!bench.breaker.is_open());
    }

    #[tokio::test]
    async fn whoever_waits_is_told_when_a_probe_is_over() {
        let mut bench = Bench::new();
        bench.now += bench.open();
        for succeeds in [false, true] {
            let probe = bench.pass().unwrap();
            let told = bench.breaker.changed.notified();
            if succeeds {
                probe.succeeded(false);
            } else {
                drop(probe);
            }
            told.await;
        }
    }
}
