//! The comparison of two sets of times.

#![allow(clippy::cast_precision_loss, reason = "counts and times here are far below what a float can hold exactly")]

use std::fmt;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// Samples that the interval is drawn from.
const RESAMPLES: usize = 200;

/// Randomness that can be drawn the same again.
pub(crate) struct Random(SmallRng);

impl Random {
    /// Another at each call; says which.
    pub(crate) fn from_system() -> Self {
        let seed = rand::random();
        eprintln!("the order is drawn from {seed}");
        Self::new(seed)
    }

    pub(crate) fn new(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// A number from 0 to `most`.
    #[allow(dead_code, reason = "only the test makes up times")]
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        self.0.random_range(0..=most)
    }

    /// Fisher and Yates.
    pub(crate) fn shuffle(&mut self, items: &mut [usize]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Two classes, and how well their times tell them apart.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) classes: [&'static str; 2],
    pub(crate) auc: f64,
    /// Where it lies in 95 of 100 samples drawn from the times.
    pub(crate) interval: [f64; 2],
    /// The medians, in microseconds.
    pub(crate) medians: [f64; 2],
    counts: [f64; 2],
}

impl Comparison {
    /// How far the AUC is from one half, which tells nothing.
    pub(crate) fn distance(&self) -> f64 {
        (self.auc - 0.5).abs()
    }

    /// The standard deviation of the AUC of two sets of times that do not differ (Mann and Whitney).
    #[allow(dead_code, reason = "only the test has a limit that depends on it")]
    pub(crate) fn deviation(&self) -> f64 {
        let [one, other] = self.counts;
        ((one + other + 1.0) / (12.0 * one * other)).sqrt()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([a, b], [low, high], [one, other]) = (self.classes, self.interval, self.medians);
        write!(f, "{a}/{b}: AUC {:.4} [{low:.4}, {high:.4}], medians {one:.0} and {other:.0} us", self.auc)
    }
}

/// Compares every two of these classes.
pub(crate) fn compare_all(names: &[&'static str], times: &[Vec<u64>], random: &mut Random) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for one in 0..names.len() {
        for other in one + 1..names.len() {
            comparisons.push(compare([names[one], names[other]], [&times[one], &times[other]], random));
        }
    }
    comparisons
}

fn compare(classes: [&'static str; 2], times: [&[u64]; 2], random: &mut Random) -> Comparison {
    assert!(times.iter().all(|times| times.len() >= 2), "there was no time to ask");
    let pooled = Pooled::of(times);
    let weigh = |count: usize| vec![1_u32; count];
    let auc = pooled.auc(&weigh(times[0].len()), &weigh(times[1].len()));
    let mut drawn: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let mut draw = |count: usize| {
                let mut weights = vec![0_u32; count];
                (0..count).for_each(|_| weights[random.below(count)] += 1);
                weights
            };
            let (one, other) = (draw(times[0].len()), draw(times[1].len()));
            pooled.auc(&one, &other)
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    let interval = [drawn[RESAMPLES * 25 / 1000], drawn[RESAMPLES * 975 / 1000]];
    Comparison { classes, auc, interval, medians: times.map(median), counts: times.map(|times| times.len() as f64) }
}

fn median(times: &[u64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2] as f64 / 1000.0
}

/// The times of two classes in order, each with its class and its place there.
struct Pooled(Vec<(u64, bool, usize)>);

impl Pooled {
    fn of([one, other]: [&[u64]; 2]) -> Self {
        let of_one = one.iter().enumerate().map(|(at, time)| (*time, false, at));
        let of_other = other.iter().enumerate().map(|(at, time)| (*time, true, at));
        let mut all: Vec<_> = of_one.chain(of_other).collect();
        all.sort_unstable();
        Self(all)
    }

    /// The chance that a time of the second class is longer than one of the first, equal ones counting half, where each time
    /// counts as often as its weight says.
    fn auc(&self, one: &[u32], other: &[u32]) -> f64 {
        let (mut shorter, mut wins) = (0.0, 0.0);
        for equal in self.0.chunk_by(|a, b| a.0 == b.0) {
            let weight = |of: bool, weights: &[u32]| {
                equal.iter().filter(|entry| entry.1 == of).map(|entry| f64::from(weights[entry.2])).sum::<f64>()
            };
            let (of_one, of_other) = (weight(false, one), weight(true, other));
            wins += of_other * (shorter + of_one / 2.0);
            shorter += of_one;
        }
        let total = |weights: &[u32]| weights.iter().map(|weight| f64::from(*weight)).sum::<f64>();
        wins / (total(one) * total(other))
    }
}
