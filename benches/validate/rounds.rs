//! Servers, measured by turns: A B C, A B C, … A ratio is the middle one of those of the rounds, so that what slows the machine
//! down for a while slows both of its sides.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::aim::Aim;
use crate::frame::{Figure, Options, Report, Role, Samples};
use crate::load::{Load, Order, Round};

/// At least so much of the peer's requests per second.
pub(crate) const THROUGHPUT: f64 = 0.85;
/// At most so many times the peer's processor time for a request.
const CPU: f64 = 1.35;
/// At most so many times the peer's 99th percentile.
const P99: f64 = 1.3;

/// A server in a process of its own. Dropping it ends it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    role: Role,
}

impl Server {
    /// Waits for the address that `role` tells.
    pub(crate) fn hear(mut role: Role, patience: Duration) -> Self {
        let address: Value = role.hear(patience)["address"].take();
        Self { address: serde_json::from_value(address).expect("an address"), role }
    }
}

/// One of those that are measured by turns.
pub(crate) struct Side<'a> {
    pub(crate) server: &'a Server,
    pub(crate) aim: Aim,
}

/// The rounds of one side.
pub(crate) struct Rounds(Vec<Round>);

/// How often each side is measured, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Lengths {
    rounds: usize,
    measured: Duration,
}

impl Lengths {
    /// Rather often than long, since a shared machine is another one every few seconds, and as long as it is from one look at the
    /// database to the next, so that there is one in each.
    pub(crate) fn short(options: &Options) -> Self {
        let (rounds, millis) = if options.quick { (7, 300) } else { (31, 1000) };
        Self { rounds, measured: Duration::from_millis(millis) }
    }

    /// So long that everything happens in each round which a server does now and then.
    pub(crate) fn long(options: &Options) -> Self {
        let (rounds, seconds) = if options.quick { (3, 3) } else { (11, 5) };
        Self { rounds, measured: Duration::from_secs(seconds) }
    }
}

/// What comes before each round, over all connections.
const WARM_UP: Duration = Duration::from_millis(100);

/// Measures the sides by turns, over `connections` each.
pub(crate) fn by_turns(load: &mut Load, sides: &[Side<'_>], connections: usize, lengths: Lengths) -> Vec<Rounds> {
    let (warm_up, measured) = (WARM_UP, lengths.measured);
    let mut found: Vec<_> = sides.iter().map(|_| Rounds(Vec::new())).collect();
    for _ in 0..lengths.rounds {
        for (side, found) in sides.iter().zip(&mut found) {
            let (address, process, aim) = (side.server.address, side.server.role.process(), side.aim.clone());
            found.0.push(load.round(&Order { address, process, aim, connections, warm_up, measured }));
        }
    }
    found
}

impl Rounds {
    pub(crate) fn median(&self, of: fn(&Round) -> f64) -> f64 {
        self.0.iter().map(of).collect::<Samples>().median()
    }

    pub(crate) fn peak_mib(&self) -> f64 {
        self.0.iter().map(|round| round.peak_mib).collect::<Samples>().max()
    }

    /// The ratios to the peer's rounds beside which they were measured.
    pub(crate) fn ratios(&self, peer: &Self, of: fn(&Round) -> f64) -> Samples {
        self.0.iter().zip(&peer.0).map(|(own, peer)| of(own) / of(peer)).collect()
    }

    fn spread_of_ratios(&self, peer: &Self, of: fn(&Round) -> f64) -> String {
        let ratios = self.ratios(peer, of);
        format!("{:.2}..{:.2}", ratios.min(), ratios.max())
    }
}

/// Tells the requests per second of `own` as a ratio to the peer's.
pub(crate) fn throughput(name: &str, own: &Rounds, peer: &Rounds) -> Figure {
    let of = |round: &Round| round.per_second;
    let context = format!(
        "{} of {:.0}/s of {:.0}/s; p50 {:.0} us of {:.0} us; {:.0} MiB of {:.0} MiB; the load used {:.2} of {:.2} processors",
        own.spread_of_ratios(peer, of),
        own.median(of),
        peer.median(of),
        own.median(|round| round.p50_micros),
        peer.median(|round| round.p50_micros),
        own.peak_mib(),
        peer.peak_mib(),
        own.median(|round| round.load_cpu),
        peer.median(|round| round.load_cpu),
    );
    Figure::new(format!("{name}_throughput"), "ratio", own.ratios(peer, of).median()).context(context)
}

/// Tells the processor time for a request as a ratio to the peer's.
pub(crate) fn cpu(name: &str, own: &Rounds, peer: &Rounds) -> Figure {
    let of = |round: &Round| round.cpu_micros;
    let spread = own.spread_of_ratios(peer, of);
    let context = format!("{spread} of {:.1} us of {:.1} us a request", own.median(of), peer.median(of));
    Figure::new(format!("{name}_cpu"), "ratio", own.ratios(peer, of).median()).context(context)
}

/// Tells the 99th percentile as a ratio to the peer's.
pub(crate) fn p99(name: &str, own: &Rounds, peer: &Rounds) -> Figure {
    let of = |round: &Round| round.p99_micros;
    let spread = own.spread_of_ratios(peer, of);
    let context = format!("{spread} of {:.0} us of {:.0} us", own.median(of), peer.median(of));
    Figure::new(format!("{name}_p99"), "ratio", own.ratios(peer, of).median()).context(context)
}

/// Tells all three with the limits of a hot in-process tier.
pub(crate) fn tell_hot(name: &str, own: &Rounds, peer: &Rounds, report: &mut Report) {
    report.add(throughput(name, own, peer).at_least(THROUGHPUT));
    report.add(cpu(name, own, peer).at_most(CPU));
    report.add(p99(name, own, peer).at_most(P99));
}
