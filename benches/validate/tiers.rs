//! The tiers below the process's memory, each alone: Redis beside a handler that asks Redis once for what it answers, and the
//! database beside the one that asks nobody.

use crate::aim::{Aim, Carrier};
use crate::bare::{self, Constant};
use crate::frame::{Options, Report};
use crate::hot::{HOT, connections, seeded, specimen};
use crate::load::Load;
use crate::place::Tiers;
use crate::rounds::{self, Side, by_turns};
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
    let mut load = Load::start();
    let side = |server, carrier| Side { server, aim: Aim::new(carrier, HOT, sessions) };
    for &connections in connections(options) {
        let sides = [
            side(&from_redis, Carrier::Cookie),
            side(&redis_only, Carrier::Cookie),
            side(&redis_only, Carrier::Bearer),
            side(&redis_only, Carrier::Jwt(file.clone())),
            side(&plain, Carrier::Cookie),
            side(&database_only, Carrier::Cookie),
        ];
        let found = by_turns(&mut load, &sides, connections, options);
        for (carrier, rounds) in ["cookie", "bearer", "jwt"].iter().zip(&found[1..]) {
            let name = format!("redis_only_{carrier}_c{connections}");
            report.add(rounds::throughput(&name, rounds, &found[0]).at_least(THROUGHPUT));
            report.add(rounds::cpu(&name, rounds, &found[0]));
            report.add(rounds::p99(&name, rounds, &found[0]));
        }
        let (peer, own) = (&found[4], &found[5]);
        let name = format!("database_only_cookie_c{connections}");
        report.add(rounds::throughput(&name, own, peer));
        report.add(rounds::cpu(&name, own, peer));
        report.add(rounds::p99(&name, own, peer));
    }
}
