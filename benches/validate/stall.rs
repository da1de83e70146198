//! Redis stops answering in the middle of the traffic, with its connections open, and goes on later: what those notice who ask.

use std::time::Duration;

use crate::aim::{Aim, Carrier};
use crate::frame::{Figure, Options, Report, Samples};
use crate::hot::{HOT, seeded};
use crate::place::Tiers;
use crate::servers::Servers;
use crate::stall_load::{Order, SLICE, StallLoad, Timeline};
use crate::{rounds, subject};

const CONNECTIONS: usize = 64;
/// Each of: before, while Redis stands still, after.
const PHASE: Duration = Duration::from_secs(3);
/// How long it takes at most until as much is answered again as before.
const RECOVERY: Duration = Duration::from_secs(1);
/// The most that a request may take longer than before, in milliseconds.
const NOTICED: f64 = 150.0;
/// So much of the requests per second from before is as much as before, on a machine that changes from second to second.
const AS_BEFORE: f64 = 0.85;

pub(crate) async fn run(servers: &mut Servers, options: &Options, report: &mut Report) {
    let (sessions, stalls) = if options.quick { (10_000, 2) } else { (100_000, 9) };
    eprintln!("stall: Redis stands still for {PHASE:?}, {stalls} times");
    let place = seeded(servers, sessions).await;
    for (name, memory) in [("all_tiers", true), ("redis_only", false)] {
        let (mut load, mut found) = (StallLoad::start(), Vec::new());
        for _ in 0..stalls {
            // A new one, of which nothing is left from the last time.
            let product = subject::start(&place.with(Tiers { memory, redis: true }), options.verbose);
            found.push(stall(servers, &mut load, &product, sessions).await);
        }
        tell(name, &found, report);
    }
}

async fn stall(servers: &Servers, load: &mut StallLoad, product: &rounds::Server, sessions: usize) -> Timeline {
    let aim = Aim::new(Carrier::Cookie, HOT, sessions);
    load.begin(&Order { address: product.address, aim, connections: CONNECTIONS, measured: PHASE * 3 });
    tokio::time::sleep(PHASE).await;
    servers.redis.pause();
    tokio::time::sleep(PHASE).await;
    servers.redis.resume();
    load.end(PHASE * 3)
}

fn tell(name: &str, found: &[Timeline], report: &mut Report) {
    let over = |of: &dyn Fn(&Timeline) -> f64| found.iter().map(of).collect::<Samples>();
    // What waits for Redis when it stops was sent before.
    let stops = PHASE.saturating_sub(SLICE);
    let longest_before = |line: &Timeline| line.longest_ms(Duration::ZERO, stops);
    let longer = over(&|line| line.longest_ms(stops, PHASE * 3) - longest_before(line));
    let context = format!(
        "the worst of {}; the longest before {:.0} ms, while it stands still {:.0}, after {:.0}",
        longer.spread(),
        over(&longest_before).max(),
        over(&|line| line.longest_ms(stops, PHASE * 2)).max(),
        over(&|line| line.longest_ms(PHASE * 2, PHASE * 3)).max(),
    );
    report.add(Figure::new(format!("stall_{name}_longer"), "ms", longer.max()).at_most(NOTICED).context(context));

    let before = |line: &Timeline| line.per_second(Duration::ZERO, stops);
    let failed = found.iter().map(|line| line.failed).sum::<u64>() as f64;
    let context = format!("{:.0}/s before", over(&before).median());
    report.add(Figure::new(format!("stall_{name}_failed"), "answers", failed).at_most(0.0).context(context));

    let figure = |when: &str, begun: Duration| {
        let ratios = over(&|line| line.per_second(begun + RECOVERY, begun + PHASE) / before(line));
        let context = format!("from the second second on, {:.2}..{:.2}", ratios.min(), ratios.max());
        Figure::new(format!("stall_{name}_{when}"), "ratio", ratios.median()).context(context)
    };
    report.add(figure("while", PHASE));
    report.add(figure("after", PHASE * 2).at_least(AS_BEFORE));
}
