//! How fast a full outbox is sent, beside lettre in a loop.

use std::time::Duration;

use crate::frame::{Figure, Options, Report, Samples};
use crate::rig::{self, Place};
use crate::seed::{self, Kind};
use crate::servers::Servers;
use crate::sink::Sink;
use crate::subject::Subject;
use crate::{CONNECTIONS, Ran, peer};

/// One comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    pub(crate) name: &'static str,
    pub(crate) mails: usize,
    pub(crate) rounds: usize,
    pub(crate) delay: Duration,
    /// Whether the outbox is in `SQLite`, and the queue in the process.
    pub(crate) on_sqlite: bool,
    /// What the ratio should be at least.
    pub(crate) limit: Option<f64>,
}

/// What the rounds of a comparison came to.
#[derive(Default)]
struct Found {
    peer: Samples,
    plain: Samples,
    pipelined: Samples,
    statements: Samples,
    peak_kib: Samples,
    peer_cpu: Samples,
    cpu: Samples,
    postgres_cpu: Samples,
    redis_cpu: Samples,
    lost: u64,
    repeated: u64,
}

/// The bytes of one mail as the product sends it, for the peer to send.
pub(crate) async fn specimen(servers: &mut Servers, options: &Options) -> (String, Vec<u8>) {
    let mut sink = Sink::start(Duration::ZERO, false);
    let place = servers.postgres(sink.port).await;
    let ids = seed::seed(&place, Kind::SignIn, 1).await;
    let mut subject = Subject::start(&place, options.verbose);
    subject.fill(Kind::SignIn, &ids);
    subject.drain(1, Duration::from_secs(20));
    sink.specimen()
}

/// Runs the rounds of a comparison, peer and product by turns; gives the most memory that the product used, in KiB.
pub(crate) async fn run(
    drain: Drain,
    servers: &mut Servers,
    specimen: &(String, Vec<u8>),
    options: &Options,
    report: &mut Report,
) -> f64 {
    eprintln!("{}: {} mails, {} round(s)", drain.name, drain.mails, drain.rounds);
    let mut found = Found::default();
    for _ in 0..drain.rounds {
        let mut sink = Sink::start(drain.delay, false);
        let ran = peer::send(sink.port, drain.mails, CONNECTIONS, specimen, drain.patience());
        assert_eq!(sink.got().mails, drain.mails as u64, "the peer's mails have come");
        found.peer.push(drain.rate(&ran));
        found.peer_cpu.push(drain.cpu_micros(ran.cpu));
        for offers_pipelining in [false, true] {
            let rate = product(drain, offers_pipelining, servers, options, &mut found).await;
            if offers_pipelining { found.pipelined.push(rate) } else { found.plain.push(rate) }
        }
    }
    tell(drain, &found, report);
    found.peak_kib.max()
}

/// One run of the product, in mails per second.
async fn product(
    drain: Drain,
    offers_pipelining: bool,
    servers: &mut Servers,
    options: &Options,
    found: &mut Found,
) -> f64 {
    let mut sink = Sink::start(drain.delay, offers_pipelining);
    let place = if drain.on_sqlite { servers.sqlite(sink.port) } else { servers.postgres(sink.port).await };
    let ids = seed::seed(&place, Kind::SignIn, drain.mails).await;
    assert_eq!(ids.len(), drain.mails, "the outbox is full");
    servers.settle().await;
    let mut subject = fill(&place, &ids, options).await;
    servers.count_statements().await;
    let before = servers.cpu();
    let ran = subject.drain(drain.mails, drain.patience());
    let after = servers.cpu();
    let got = sink.got();
    let sent = seed::with_status(&place, "sent").await as u64;
    found.lost += (drain.mails as u64).saturating_sub(got.distinct.min(sent));
    found.repeated += got.mails - got.distinct;
    found.peak_kib.push(ran.peak_kib);
    found.cpu.push(drain.cpu_micros(ran.cpu));
    found.postgres_cpu.push(drain.cpu_micros(after.0 - before.0));
    found.redis_cpu.push(drain.cpu_micros(after.1 - before.1));
    if place.is_postgres() {
        let statements = servers.statements(&place).await;
        let calls: i64 = statements.iter().map(|statement| statement.calls).sum();
        found.statements.push(calls as f64 / drain.mails as f64);
        if options.verbose && !offers_pipelining {
            for some in statements.iter().take(8) {
                let mean = some.total_ms * 1000.0 / some.calls as f64;
                let text: String = some.text.split_whitespace().collect::<Vec<_>>().join(" ");
                eprintln!("     {:>7} x {mean:>7.1} us  {text:.110}", some.calls);
            }
        }
    }
    drain.rate(&ran)
}

/// Starts the product with everything queued. With a Redis the ids are put there from here, so that the product's memory
/// is that of sending alone.
async fn fill(place: &Place, ids: &[gatepost::domain::MailId], options: &Options) -> Subject {
    if let Some(redis) = &place.redis {
        rig::fill_redis(redis, ids, Kind::SignIn.priority()).await;
        return Subject::start(place, options.verbose);
    }
    let mut subject = Subject::start(place, options.verbose);
    subject.fill(Kind::SignIn, ids);
    subject
}

fn tell(drain: Drain, found: &Found, report: &mut Report) {
    let name = drain.name;
    let ratio = |rates: &Samples| rates.median() / found.peer.median();
    let sides = |rates: &Samples| format!("gatepost {}/s, lettre in a loop {}/s", rates.spread(), found.peer.spread());
    let headline = Figure::new(name, "ratio", ratio(&found.plain)).context(sides(&found.plain));
    report.add(match drain.limit {
        Some(limit) => headline.at_least(limit),
        None => headline,
    });
    let pipelined = Figure::new(format!("{name}_pipelined"), "ratio", ratio(&found.pipelined));
    report.add(pipelined.context(sides(&found.pipelined)));
    if found.statements.len() > 0 {
        report.add(Figure::new(format!("{name}_statements"), "per_mail", found.statements.median()));
    }
    let cpu = format!(
        "lettre in a loop {:.0}; beside the product Postgres {:.0}, Redis {:.0}",
        found.peer_cpu.median(),
        found.postgres_cpu.median(),
        found.redis_cpu.median()
    );
    report.add(Figure::new(format!("{name}_cpu"), "us_per_mail", found.cpu.median()).context(cpu));
    report.add(Figure::new(format!("{name}_memory"), "MiB", found.peak_kib.max() / 1024.0).context("peak"));
    report.add(Figure::new(format!("{name}_lost"), "mails", found.lost as f64).at_most(0.0));
    report.add(Figure::new(format!("{name}_repeated"), "mails", found.repeated as f64).at_most(0.0));
}

impl Drain {
    fn patience(&self) -> Duration {
        Duration::from_mins(1) + Duration::from_millis(10) * u32::try_from(self.mails).unwrap_or(u32::MAX)
    }

    fn rate(&self, ran: &Ran) -> f64 {
        self.mails as f64 / ran.seconds
    }

    fn cpu_micros(&self, seconds: f64) -> f64 {
        seconds * 1e6 / self.mails as f64
    }
}
