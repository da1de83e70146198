//! Whether the time that an answer takes tells what kind of address was asked about.
//!
//! Addresses of every class are asked about by turns, in an order that is drawn anew for every round, over one connection: what slows
//! the machine for a while slows all classes alike. For each pair of classes the area under the curve (AUC) is the
//! chance that a request about one takes longer than one about the other: one half where the time tells nothing. This is the
//! Mann-Whitney statistic over the number of pairs, so one outlier counts no more than any other slow answer.
//!
//! `scripts/bench timing` asks thousands of times; the tests of `equal_times` a few hundred times, with a limit to fit.

pub(crate) mod auc;
pub(crate) mod place;
mod probe;

use std::time::{Duration, Instant};

pub(crate) use auc::Comparison;
pub(crate) use place::{Class, Place};

use place::Endpoint;

/// Requests of each class that are made first and not counted.
pub(crate) const WARM_UP: usize = 10;
/// Requests of each class that are counted even where there is no more time.
const LEAST: usize = 20;

/// What was found about an endpoint.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) endpoint: &'static str,
    pub(crate) comparisons: Vec<Comparison>,
}

/// Asks `endpoint` about `count` addresses of each class, or as many as there is time for, and compares the classes.
fn measure(place: &Place, endpoint: Endpoint, count: usize, within: Duration, random: &mut auc::Random) -> Finding {
    let classes = Class::ALL;
    let mut probe = probe::Probe::connect(place.address());
    let mut times: Vec<Vec<u64>> = vec![Vec::with_capacity(count); classes.len()];
    let begun = Instant::now();
    for round in 0..WARM_UP + count {
        if round >= WARM_UP + LEAST && begun.elapsed() > within {
            break;
        }
        let mut order: Vec<usize> = (0..classes.len()).collect();
        random.shuffle(&mut order);
        for at in order {
            let took = probe.ask(endpoint, &classes[at].address(round));
            if round >= WARM_UP {
                times[at].push(took);
            }
        }
    }
    let names: Vec<&'static str> = classes.iter().map(|class| class.name()).collect();
    Finding { endpoint: endpoint.path(), comparisons: auc::compare_all(&names, &times, random) }
}

/// Asks every endpoint, each for at most `within`, and tells of each as soon as it is done.
pub(crate) fn measure_all(
    place: &Place,
    count: usize,
    within: Duration,
    random: &mut auc::Random,
    mut tell: impl FnMut(Finding),
) {
    for endpoint in Endpoint::ALL {
        tell(measure(place, endpoint, count, within, random));
    }
}
