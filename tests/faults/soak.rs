//! An hour's worth of comings and goings in a quarter of a minute: nothing is left of those who have gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::SOON;
use crate::person::Person;
use crate::server::ServerProcess;
use crate::setup::Setup;
use crate::support::eventually;

/// People who come and go at the same time.
const PEOPLE: usize = 8;
/// Each half, unless `SOAK_SECONDS` says otherwise: what is in use at its end is compared.
const HALF: Duration = Duration::from_secs(8);
const VALIDATIONS: usize = 12;
/// Connections to the mail server, which are kept for the next mails for longer than the test waits. How many there are in the middle
/// depends on how many mails happened to be sent at the same time.
const MAIL_CONNECTIONS: usize = 8;

/// What a server holds.
#[derive(Clone, Copy, Debug)]
struct Holdings {
    memory_kib: u64,
    descriptors: usize,
    threads: u64,
    tasks: u64,
    redis_connections: usize,
    postgres_connections: i64,
}

/// A number out of what the kernel tells of a process.
fn status(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of the status");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

/// The memory that a process has in use.
pub(crate) fn memory_kib(process: u32) -> u64 {
    status(process, "VmRSS:")
}

async fn holdings(setup: &Setup, server: &ServerProcess) -> Holdings {
    let clients: String = setup.servers().redis.ask(&["CLIENT", "LIST"]).await;
    let client = setup.servers().database.client().await;
    let metrics = reqwest::get(server.url("/metrics")).await.unwrap().text().await.unwrap();
    let tasks = metrics.lines().find_map(|line| line.strip_prefix("gatepost_tasks ")).expect("a figure");
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";
    Holdings {
        memory_kib: memory_kib(server.id()),
        descriptors: std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count(),
        threads: status(server.id(), "Threads:"),
        tasks: tasks.parse().expect("a number"),
        redis_connections: clients.lines().count(),
        postgres_connections: client.query_one(connections, &[]).await.unwrap().get(0),
    }
}

fn half() -> Duration {
    let given = std::env::var("SOAK_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    given.map_or(HALF, Duration::from_secs)
}

/// One visit: signs in, is recognised many times, changes something now and then, logs out.
async fn visit(setup: &Setup, server: &ServerProcess, email: &str, number: usize) {
    let person = Person::signed_in(setup, server, email).await;
    for _ in 0..VALIDATIONS {
        assert!(person.is_known(server).await);
    }
    if number.is_multiple_of(5) {
        let changed = person.request_to_put(server, "/api/profile", &json!({ "name": format!("P {number}") }));
        assert!(changed.send().await.unwrap().status().is_success());
    }
    assert_eq!(person.post(server, "/api/auth/logout", &json!({})).await.status(), 204);
    assert!(!person.is_known(server).await);
}

/// People come and go until `until`; `visits` counts them.
async fn traffic(setup: &Setup, server: &ServerProcess, visits: &AtomicUsize, until: Instant) {
    let coming = |place: usize| async move {
        while Instant::now() < until {
            let number = visits.fetch_add(1, Ordering::Relaxed);
            // Some are new, some come back.
            let email = format!("p{}.{place}@example.com", number % 200);
            visit(setup, server, &email, number).await;
        }
    };
    futures_util::future::join_all((0..PEOPLE).map(coming)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_those_who_have_gone() {
    let setup = Setup::on_servers().await.with(&[("GATEPOST_RATE_LIMITS", "off")]);
    let server = setup.start().await;
    let visits = AtomicUsize::new(0);
    traffic(&setup, &server, &visits, Instant::now() + half()).await;
    let (middle, visited) = (holdings(&setup, &server).await, visits.load(Ordering::Relaxed));
    traffic(&setup, &server, &visits, Instant::now() + half()).await;
    let (end, all) = (holdings(&setup, &server).await, visits.load(Ordering::Relaxed));
    eprintln!("after {visited} visits of {} requests each: {middle:?}", VALIDATIONS + 4);
    eprintln!("after {all} visits: {end:?}");

    // A page or two for each visit would be many times this.
    assert!(end.memory_kib < middle.memory_kib + middle.memory_kib / 6 + 6 * 1024, "memory grows");
    eventually("what was open to be closed", SOON, async || {
        let now = holdings(&setup, &server).await;
        let flat = now.descriptors <= middle.descriptors + MAIL_CONNECTIONS + 2
            && now.threads <= middle.threads + 2
            && now.tasks <= middle.tasks + 4
            && now.redis_connections <= middle.redis_connections
            && now.postgres_connections <= middle.postgres_connections + 1;
        flat.then_some(())
    })
    .await;
    let keys: i64 = setup.servers().redis.ask(&["DBSIZE"]).await;
    eprintln!("{keys} keys in Redis");
    let lasting = lasting_keys(&setup).await;
    assert!(lasting.is_empty(), "these never end: {lasting:?}");
}

/// Keys of the cache that would stay for ever, but for the generations, of which there is one for each resource.
async fn lasting_keys(setup: &Setup) -> Vec<String> {
    let redis = &setup.servers().redis;
    let script = "local r = {} for _, k in ipairs(redis.call('KEYS', '*')) do if redis.call('PTTL', k) == -1 and not \
                  k:find('{mail}', 1, true) and not k:find('generation:', 1, true) then r[#r + 1] = k end end return r";
    redis.ask(&["EVAL", script, "0"]).await
}
