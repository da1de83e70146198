//! More connections than anybody needs, most of which say nothing.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::person::Person;
use crate::setup::Setup;
use crate::soak::memory_kib;

/// As many as somebody holds who wants nobody else to be served.
const CROWD: usize = 10_000;
/// What else this process has open.
const OTHERS: usize = 500;
/// What one of them may cost the server.
const KIB_EACH: u64 = 64;

/// How many connections this process can hold: where it may not have files enough, fewer than it should.
fn crowd() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let most: usize = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(1024);
    let crowd = CROWD.min(most.saturating_sub(OTHERS));
    if crowd < CROWD {
        eprintln!("only {crowd} connections: ulimit -n is {most}");
    }
    crowd
}

#[tokio::test]
async fn ten_thousand_idle_connections_are_no_reason_to_wait() {
    let setup = Setup::embedded();
    let server = setup
        .start_with(&[("GATEPOST_SERVER_MAX_CONNECTIONS", "20000"), ("GATEPOST_SERVER_REQUEST_TIMEOUT", "2m")])
        .await;
    let (before, crowd) = (memory_kib(server.id()), crowd());
    let mut held = Vec::with_capacity(crowd);
    for number in 0..crowd {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).await.expect("the server takes connections");
        if number % 2 == 1 {
            stream.writable().await.unwrap();
            let _ = stream.try_write(b"GET /health HTTP/1.1\r\nHost: x\r\n");
        }
        held.push(stream);
    }
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(reqwest::get(server.url("/health/ready")).await.unwrap().status(), 200);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    Person::signed_in(&setup, &server, "ada@example.com").await;
    let grown = memory_kib(server.id()).saturating_sub(before);
    assert!(grown < crowd as u64 * KIB_EACH, "{crowd} connections took {grown} KiB");
    drop(held);
    let metrics = reqwest::get(server.url("/metrics")).await.unwrap().text().await.unwrap();
    assert!(!metrics.contains(r#"status="5"#), "{metrics}");
}
