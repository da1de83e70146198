//! The tiers below the process's memory, each alone: Redis beside a handler that asks Redis once for what it answers, and the
//! database beside the one that asks nobody.

use crate::aim::{Aim, Carrier};
use crate::bare::{self, Constant};
use crate::frame::{Options, Report};
use crate::hot::{HOT, carriers, connections, seeded, specimen};
use crate::load::Load;
use crate::place::Tiers;
use crate::rounds::{self, Lengths, Side, by_turns};
use crate::servers::Servers;
use crate::{seed, subject};

/// At least so much of the requests per second of a handler that asks Redis once.
const THROUGHPUT: f64 = 0.80;

pub(crate) async fn run(servers: &mut Servers, options: &Options, report: &mut Report) {
    let sessions = if options.quick { 50_000 } else { 100_000 };
    eprintln!("tiers: {HOT} of {sessions} sessions, without the process's memory");
    let place = seeded(servers, sessions).await;
    let redis_only = subject::start(&place.with(Tiers { memory: false, redis: true }), options.verbose);
    let database_only = subject::start(&place.with(Tiers { memory: false, redis: false }), options.verbose);
    let specimen = Constant { headers: Vec::new(), ..specimen(&redis_only).await };
    let from_redis = bare::start(&Constant { redis: Some(place.redis.clone()), ..specimen.clone() }, options.verbose);
    let plain = bare::start(&specimen, options.verbose);
    let file = servers.file("access-tokens");
    seed::write_access_tokens(&file, Aim::numbers(HOT, sessions));
    let (mut load, lengths) = (Load::start(), Lengths::short(options));
    let side = |server, carrier| Side { server, aim: Aim::new(carrier, HOT, sessions) };
    for &connections in connections(options) {
        for (name, carrier) in carriers(&file) {
            let sides = [&from_redis, &redis_only].map(|server| side(server, carrier.clone()));
            let found = by_turns(&mut load, &sides, connections, lengths);
            let name = format!("redis_only_{name}_c{connections}");
            report.add(rounds::throughput(&name, &found[1], &found[0]).at_least(THROUGHPUT));
            report.add(rounds::cpu(&name, &found[1], &found[0]));
            report.add(rounds::p99(&name, &found[1], &found[0]));
        }
        let sides = [&plain, &database_only].map(|server| side(server, Carrier::Cookie));
        let found = by_turns(&mut load, &sides, connections, lengths);
        let (peer, own) = (&found[0], &found[1]);
        let name = format!("database_only_cookie_c{connections}");
        report.add(rounds::throughput(&name, own, peer));
        report.add(rounds::cpu(&name, own, peer));
        report.add(rounds::p99(&name, own, peer));
    }
}
