//! Whether the time that an answer takes tells what kind of address was asked about.
//!
//! Addresses of every class are asked about by turns, in an order that is drawn anew for every round, over one connection: what slows
//! the machine for a while slows all classes alike. For each pair of classes the area under the curve (AUC) is the
//! chance that a request about one takes longer than one about the other: one half where the time tells nothing. This is the
//! Mann-Whitney statistic over the number of pairs, so one outlier counts no more than any other slow answer.
//!
//! `scripts/bench timing` asks thousands of times; the test here a few hundred times, with a limit to fit.

pub(crate) mod auc;
pub(crate) mod place;
mod probe;

use auc::Comparison;
pub(crate) use place::Place;

use place::Endpoint;

/// Requests of each class that are made first and not counted.
pub(crate) const WARM_UP: usize = 20;

/// What was found about an endpoint.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) endpoint: &'static str,
    pub(crate) comparisons: Vec<Comparison>,
}

/// Asks `endpoint` about `count` addresses of each class, and compares the classes.
pub(crate) fn measure(place: &Place, endpoint: Endpoint, count: usize, random: &mut auc::Random) -> Finding {
    let classes = place.classes();
    let mut probe = probe::Probe::connect(place.address());
    let mut times: Vec<Vec<u64>> = vec![Vec::with_capacity(count); classes.len()];
    for round in 0..WARM_UP + count {
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

/// Asks every endpoint.
pub(crate) fn measure_all(place: &Place, count: usize, random: &mut auc::Random) -> Vec<Finding> {
    Endpoint::ALL.iter().map(|endpoint| measure(place, *endpoint, count, random)).collect()
}

/// Addresses of each class in the test.
#[cfg(test)]
const COUNT: usize = 200;

/// How far from one half an AUC of [`COUNT`] requests each may be. Where the time tells nothing its standard deviation is the
/// root of 1/(6 × 200), 0.029; among the hundred pairs that a run compares one five of those away happens in one run of
/// twenty thousand. A millisecond more for one class, of the four or so that an answer takes in a debug build, gives 0.2 and more.
#[cfg(test)]
const LIMIT: f64 = 0.145;

#[cfg(test)]
fn expect_equal_times(setup: crate::app::Setup, registration: &'static str) {
    let mut random = auc::Random::from_system();
    let place = Place::start(setup, registration, WARM_UP + COUNT);
    for finding in measure_all(&place, COUNT, &mut random) {
        for comparison in finding.comparisons {
            eprintln!("{} {comparison}", finding.endpoint);
            assert!(comparison.distance() <= LIMIT, "{} tells classes apart: {comparison}", finding.endpoint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::expect_equal_times;
    use crate::app::Setup;

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
}
