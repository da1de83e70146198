//! How long somebody waits for a code while a hundred thousand other mails are on their way.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::frame::{Figure, Options, Report, Samples};
use crate::rig;
use crate::seed::{self, Kind};
use crate::servers::Servers;
use crate::sink::Sink;
use crate::subject::{Accepted, Subject};

/// From the answer to the arrival, in milliseconds, beside what the mail server itself takes.
const MEDIAN_LIMIT: f64 = 50.0;
const P99_LIMIT: f64 = 250.0;
/// Commands that a mail server has to answer before it gets a message.
const COMMANDS: u32 = 3;
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(25);
/// How long the last of them may take to arrive.
const PATIENCE: Duration = Duration::from_mins(1);

/// One situation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Urgent {
    pub(crate) name: &'static str,
    pub(crate) backlog: usize,
    pub(crate) requests: usize,
    pub(crate) delay: Duration,
    pub(crate) on_sqlite: bool,
}

pub(crate) async fn run(urgent: Urgent, servers: &mut Servers, options: &Options, report: &mut Report) {
    eprintln!("{}: {} requests during {} other mails", urgent.name, urgent.requests, urgent.backlog);
    let mut sink = Sink::start(urgent.delay, false);
    let place = if urgent.on_sqlite { servers.sqlite(sink.port) } else { servers.postgres(sink.port).await };
    let ids = seed::seed(&place, Kind::Notice, urgent.backlog).await;
    servers.settle().await;
    if let Some(redis) = &place.redis {
        rig::fill_redis(redis, &ids, Kind::Notice.priority()).await;
    }
    let mut subject = Subject::start(&place, options.verbose);
    if place.redis.is_none() {
        subject.fill(Kind::Notice, &ids);
    }
    subject.send();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let accepted = subject.accept(urgent.requests, PAUSE);
    let others = sink.got().mails;
    let waiting = Instant::now();
    let mut arrived = sink.stamps("urgent-");
    while arrived.len() < accepted.len() && waiting.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
        arrived = sink.stamps("urgent-");
    }
    let arrived: HashMap<String, u64> = arrived.into_iter().collect();
    let since = |from: fn(&Accepted) -> u64| -> Samples {
        let waits = accepted.iter().filter_map(|one| Some(arrived.get(&one.recipient)?.saturating_sub(from(one))));
        waits.map(|nanos| nanos as f64 / 1e6).collect()
    };
    let (answered, asked) = (since(|one| one.answered), since(|one| one.asked));
    let name = urgent.name;
    let spread = |samples: &Samples| {
        format!("p50 {:.1}, p99 {:.1}, max {:.1} ms", samples.median(), samples.percentile(99.0), samples.max())
    };
    let servers_own = (urgent.delay * COMMANDS).as_secs_f64() * 1e3;
    let context = format!("from the request on: {}; {others} mails meanwhile", spread(&asked));
    let median = Figure::new(format!("{name}_median"), "ms", answered.median()).context(context);
    report.add(median.at_most(MEDIAN_LIMIT + servers_own));
    let context = format!("max {:.1}; the mail server's own {servers_own:.0}", answered.max());
    let p99 = Figure::new(format!("{name}_p99"), "ms", answered.percentile(99.0)).context(context);
    report.add(p99.at_most(P99_LIMIT + servers_own));
    let lost = (accepted.len() - answered.len()) as f64;
    report.add(Figure::new(format!("{name}_lost"), "mails", lost).at_most(0.0));
    if others >= urgent.backlog as u64 {
        eprintln!("   the backlog was sent before the requests ended: this says little");
    }
}
