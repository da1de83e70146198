//! The comparison of two sets of times.

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
}

impl Comparison {
    /// How far the AUC is from one half, which tells nothing.
    pub(crate) fn distance(&self) -> f64 {
        (self.auc - 0.5).abs()
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
    Comparison { classes, auc, interval, medians: times.map(median) }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn auc(one: &[u64], other: &[u64]) -> Comparison {
        compare(["one", "other"], [one, other], &mut Random::new(7))
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "these are exact")]
    fn what_is_equal_is_one_half_and_what_is_apart_is_one_or_none() {
        assert_eq!(auc(&[5, 5, 5], &[5, 5]).auc, 0.5);
        assert_eq!(auc(&[1, 2, 3], &[4, 5]).auc, 1.0);
        assert_eq!(auc(&[4, 5], &[1, 2, 3]).auc, 0.0);
        // Of six pairs four are won and one is even.
        assert_eq!(auc(&[1, 2, 9], &[2, 4]).auc, 3.5 / 6.0);
    }

    #[test]
    fn a_shift_is_found_through_noise() {
        let mut random = Random::new(11);
        let mut noise =
            |shift: u64| (0..400).map(|_| 2_000_000 + shift + random.below(1_500_000) as u64).collect::<Vec<_>>();
        let (plain, same, late) = (noise(0), noise(0), noise(1_000_000));
        assert!(auc(&plain, &same).distance() < 0.1);
        let found = auc(&plain, &late);
        assert!(found.distance() > 0.3 && found.interval[0] > 0.8, "{found}");
    }
}
