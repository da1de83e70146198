//! The time of an answer tells nothing about the address: `timing` measures, this judges, and judges the measuring.

use std::time::Duration;

use crate::app::Setup;
use crate::timing::auc::{Random, compare_all};
use crate::timing::{Comparison, Place, WARM_UP, measure_all};

/// Addresses of each class, at most.
const COUNT: usize = 200;

/// How long one endpoint is asked, however slow the machine is.
const WITHIN: Duration = Duration::from_secs(3);

/// How many standard deviations an AUC may be from one half. Where the time tells nothing, one is the root of 1/(6n) for n requests of
/// either class: 0.029 for 200. Among the 160 pairs that the tests compare, one that is five away comes once in ten thousand
/// runs. A millisecond more for one class, of the few that an answer takes in a debug build, makes more of it.
const DEVIATIONS: f64 = 5.0;

fn tells_apart(comparison: &Comparison) -> bool {
    comparison.distance() > DEVIATIONS * comparison.deviation()
}

fn expect_equal_times(setup: Setup, registration: &'static str) {
    let mut random = Random::from_system();
    let place = Place::start(setup, registration, WARM_UP + COUNT);
    let mut told = Vec::new();
    measure_all(&place, COUNT, WITHIN, &mut random, |finding| {
        for comparison in finding.comparisons {
            eprintln!("{} {comparison}", finding.endpoint);
            if tells_apart(&comparison) {
                told.push(format!("{} {comparison}", finding.endpoint));
            }
        }
    });
    assert!(told.is_empty(), "time tells classes apart: {told:#?}");
}

#[test]
fn time_tells_nothing_where_admins_approve_on_sqlite() {
    expect_equal_times(Setup::Embedded, "approval");
}

#[test]
fn time_tells_nothing_where_admins_approve_on_postgres() {
    expect_equal_times(Setup::Servers, "approval");
}

#[test]
fn time_tells_nothing_where_registration_is_closed_on_sqlite() {
    expect_equal_times(Setup::Embedded, "closed");
}

#[test]
fn time_tells_nothing_where_registration_is_closed_on_postgres() {
    expect_equal_times(Setup::Servers, "closed");
}

fn compared(one: &[u64], other: &[u64]) -> Comparison {
    compare_all(&["one", "other"], &[one.to_vec(), other.to_vec()], &mut Random::new(7)).remove(0)
}

#[test]
#[allow(clippy::float_cmp, reason = "these are exact")]
fn what_is_equal_is_one_half_and_what_is_apart_is_one_or_none() {
    assert_eq!(compared(&[5, 5, 5], &[5, 5]).auc, 0.5);
    assert_eq!(compared(&[1, 2, 3], &[4, 5]).auc, 1.0);
    assert_eq!(compared(&[4, 5], &[1, 2, 3]).auc, 0.0);
    // Of six pairs three are won and one is even.
    assert_eq!(compared(&[1, 2, 9], &[2, 4]).auc, 3.5 / 6.0);
}

#[test]
fn a_shift_is_found_through_noise() {
    let mut random = Random::new(11);
    // Answers of two to five milliseconds, and later ones.
    let mut noise = |shift: u64| (0..COUNT).map(|_| 2_000_000 + shift + random.up_to(3_000_000)).collect::<Vec<_>>();
    let (plain, same, late) = (noise(0), noise(0), noise(1_000_000));
    assert!(!tells_apart(&compared(&plain, &same)));
    let found = compared(&plain, &late);
    assert!(tells_apart(&found) && found.interval[0] > 0.6, "{found}");
}
