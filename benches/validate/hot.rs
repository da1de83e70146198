//! Sessions that are in the process's memory, shown in three ways, beside a handler that answers the same bytes.

use std::path::{Path, PathBuf};

use crate::aim::{self, Aim, Carrier};
use crate::bare::{self, Constant};
use crate::frame::{Options, Report};
use crate::load::Load;
use crate::place::Place;
use crate::rounds::{self, Lengths, Server, Side, by_turns};
use crate::servers::Servers;
use crate::wire::Connection;
use crate::{seed, subject};

/// Sessions that are asked for all the time: so few that each is asked for again before the process's memory lets go of it,
/// over one connection and on a busy machine too.
pub(crate) const HOT: usize = 100;
/// Connections of the long rounds.
const STEADY: usize = 64;
/// What the web server sets itself, or would set.
const ITS_OWN: [&str; 4] = ["content-length", "content-type", "date", "connection"];

/// What is measured: the product and its peers, and how it is asked.
struct Stage {
    product: Server,
    plain: Server,
    with_headers: Server,
    access_tokens: PathBuf,
    sessions: usize,
}

impl Stage {
    async fn set(servers: &mut Servers, options: &Options) -> Self {
        let sessions = if options.quick { 50_000 } else { 100_000 };
        eprintln!("{HOT} of {sessions} sessions, asked for all the time");
        let place = seeded(servers, sessions).await;
        let product = subject::start(&place, options.verbose);
        let specimen = specimen(&product).await;
        let plain = bare::start(&Constant { headers: Vec::new(), ..specimen.clone() }, options.verbose);
        let with_headers = bare::start(&specimen, options.verbose);
        let access_tokens = servers.file("access-tokens");
        seed::write_access_tokens(&access_tokens, Aim::numbers(HOT, sessions));
        Self { product, plain, with_headers, access_tokens, sessions }
    }

    fn side<'a>(&self, server: &'a Server, carrier: &Carrier) -> Side<'a> {
        Side { server, aim: Aim::new(carrier.clone(), HOT, self.sessions) }
    }
}

pub(crate) async fn run(servers: &mut Servers, options: &Options, report: &mut Report) {
    let stage = Stage::set(servers, options).await;
    let (mut load, lengths) = (Load::start(), Lengths::short(options));
    for &connections in connections(options) {
        for (name, carrier) in carriers(&stage.access_tokens) {
            // The same requests to each: a token of some hundred bytes takes any server longer to read.
            let mut sides = vec![stage.side(&stage.plain, &carrier), stage.side(&stage.product, &carrier)];
            if matches!(carrier, Carrier::Cookie) {
                sides.push(stage.side(&stage.with_headers, &carrier));
            }
            let found = by_turns(&mut load, &sides, connections, lengths);
            rounds::tell_hot(&format!("hot_{name}_c{connections}"), &found[1], &found[0], report);
            if let Some(with_headers) = found.get(2) {
                let name = format!("bare_with_headers_{name}_c{connections}");
                report.add(rounds::throughput(&name, with_headers, &found[0]));
                report.add(rounds::cpu(&name, with_headers, &found[0]));
            }
        }
    }
}

/// Rounds so long that whatever the product does now and then is in each of them.
pub(crate) async fn run_long(servers: &mut Servers, options: &Options, report: &mut Report) {
    let stage = Stage::set(servers, options).await;
    let mut load = Load::start();
    for (name, carrier) in carriers(&stage.access_tokens) {
        let sides = [&stage.plain, &stage.product].map(|server| stage.side(server, &carrier));
        let found = by_turns(&mut load, &sides, STEADY, Lengths::long(options));
        rounds::tell_hot(&format!("steady_{name}_c{STEADY}"), &found[1], &found[0], report);
    }
}

/// The ways to show a session, by name; `file` holds access tokens.
pub(crate) fn carriers(file: &Path) -> [(&'static str, Carrier); 3] {
    [("cookie", Carrier::Cookie), ("bearer", Carrier::Bearer), ("jwt", Carrier::Jwt(file.to_owned()))]
}

/// Connections of the load.
pub(crate) fn connections(options: &Options) -> &'static [usize] {
    if options.quick { &[1, 64] } else { &[1, 16, 64, 256] }
}

/// A place with so many sessions.
pub(crate) async fn seeded(servers: &Servers, sessions: usize) -> Place {
    let (place, database) = servers.place().await;
    seed::migrate(&place).await;
    seed::fill(&database, 0, sessions).await;
    servers.settle().await;
    place
}

/// What the product answers.
pub(crate) async fn specimen(product: &Server) -> Constant {
    let mut connection = Connection::open(product.address).await;
    let reply = connection.ask(&aim::by_bearer(&seed::token(1))).await;
    let body = String::from_utf8_lossy(reply.body).into_owned();
    assert!(reply.status == 200 && body.contains(&seed::email(1)), "{} {body}", reply.status);
    let head = String::from_utf8_lossy(reply.head).into_owned();
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let headers = headers.filter(|(name, _)| !ITS_OWN.contains(&name.as_str())).collect();
    Constant { body, headers, redis: None }
}
