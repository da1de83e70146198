//! More and more sessions: neither what a look at one of them costs nor the memory shall grow with them.

use crate::aim::{Aim, Carrier};
use crate::bare::{self, Constant};
use crate::frame::{Figure, Options, Report};
use crate::hot::{HOT, specimen};
use crate::load::Load;
use crate::rounds::{self, Lengths, Side, by_turns};
use crate::servers::Servers;
use crate::{seed, subject};

const CONNECTIONS: usize = 64;

/// What was found with so many sessions.
struct Found {
    throughput: f64,
    peak_mib: f64,
}

pub(crate) async fn run(servers: &mut Servers, options: &Options, report: &mut Report) {
    let sizes: &[usize] = if options.quick { &[1_000, 50_000] } else { &[1_000, 100_000, 1_000_000] };
    let (place, database) = servers.place().await;
    seed::migrate(&place).await;
    let (mut load, mut seeded, mut all) = (Load::start(), 0, Vec::new());
    let lengths = Lengths::short(options);
    for &sessions in sizes {
        eprintln!("growth: {sessions} sessions");
        seed::fill(&database, seeded, sessions).await;
        servers.settle().await;
        seeded = sessions;
        let product = subject::start(&place, options.verbose);
        let plain = bare::start(&Constant { headers: Vec::new(), ..specimen(&product).await }, options.verbose);
        let side = |server, asked_for| Side { server, aim: Aim::new(Carrier::Cookie, asked_for, sessions) };
        let found = by_turns(&mut load, &[side(&plain, HOT), side(&product, HOT)], CONNECTIONS, lengths);
        let (peer, own) = (&found[0], &found[1]);
        report.add(rounds::throughput(&format!("hot_of_{sessions}"), own, peer).at_least(rounds::THROUGHPUT));
        let throughput = own.ratios(peer, |round| round.per_second).median();
        let spread = by_turns(&mut load, &[side(&plain, sessions), side(&product, sessions)], CONNECTIONS, lengths);
        report.add(rounds::throughput(&format!("any_of_{sessions}"), &spread[1], &spread[0]));
        report.add(rounds::p99(&format!("any_of_{sessions}"), &spread[1], &spread[0]));
        all.push(Found { throughput, peak_mib: spread[1].peak_mib() });
    }
    compare(&all, options, report);
}

/// The most sessions beside the fewest; the memory beside that of the size before, at which what is bounded is full.
fn compare(all: &[Found], options: &Options, report: &mut Report) {
    let [first, .., last] = all else { return };
    let before = &all[all.len() - 2];
    let context = format!("{:.2} of the bare handler, after {:.2}", last.throughput, first.throughput);
    let figure = Figure::new("growth_throughput", "ratio", last.throughput / first.throughput);
    report.add(figure.at_least(0.9).context(context));
    let context = format!("peak of {:.0} MiB, after {:.0} MiB with fewer sessions", last.peak_mib, before.peak_mib);
    let figure = Figure::new("growth_memory", "ratio", last.peak_mib / before.peak_mib).context(context);
    // A cache that is not full yet may grow.
    report.add(if options.quick { figure } else { figure.at_most(1.25) });
}
