//! Redis dies, forgets, hangs, is full, or has lost its scripts while mails are being accepted and sent. Nobody who asks
//! is told, and nothing is lost or repeated.

use std::time::Duration;

use super::ledger::Ledger;
use crate::SOON;
use crate::server::ServerProcess;
use crate::setup::Setup;
use crate::support::{Fault, Stage, eventually};

/// Mails before the fault, during it, and after it.
const FLOW: usize = 8;

/// A server with mails on their way: two are held by the mail server, of the others some may be anywhere.
struct Flow {
    setup: Setup,
    server: ServerProcess,
    ledger: Ledger,
}

impl Flow {
    async fn begin() -> Self {
        let setup = super::on_servers().await;
        let (server, ledger) = (setup.start().await, Ledger::new());
        setup.sink().script(Fault::Hold { stage: Stage::Rcpt }.for_domain("held.test").times(2));
        for number in 0..2 {
            ledger.accept(&server, &format!("p{number}@held.test")).await;
        }
        setup.sink().wait_until_held(2, SOON).await;
        let flow = Self { setup, server, ledger };
        flow.goes_on("before").await;
        flow
    }

    async fn goes_on(&self, when: &str) {
        for number in 0..FLOW {
            self.ledger.accept(&self.server, &format!("{when}{number}@a.test")).await;
        }
    }

    /// Mails during the fault are sent during it.
    async fn gets_through(&self, when: &str) {
        self.goes_on(when).await;
        for number in 0..FLOW {
            let address = format!("{when}{number}@a.test");
            self.setup.sink().wait_for(|mail| mail.is_to(&address), SOON).await;
        }
    }

    /// The fault is over.
    async fn ends(self) {
        self.goes_on("after").await;
        self.setup.sink().release().await;
        let summary = self.ledger.settle(&self.setup, &self.server).await;
        assert_eq!(summary.accepted, 3 * FLOW + 2, "{summary:?}");
    }
}

#[tokio::test]
async fn redis_is_killed_and_comes_back_empty() {
    let mut flow = Flow::begin().await;
    flow.setup.servers_mut().redis.kill();
    flow.gets_through("during").await;
    flow.setup.servers_mut().redis.restart().await;
    flow.ends().await;
}

#[tokio::test]
async fn redis_forgets_everything_again_and_again() {
    let flow = Flow::begin().await;
    for number in 0..FLOW {
        flow.ledger.accept(&flow.server, &format!("during{number}@a.test")).await;
        flow.setup.servers().redis.flush().await;
    }
    flow.ends().await;
}

/// Ids that no worker has taken yet are the ones that are lost.
#[tokio::test]
async fn redis_forgets_mails_that_nobody_has_taken_yet() {
    let setup = super::on_servers().await.with(&[("GATEPOST_MAIL_WORKERS", "2")]);
    let (server, ledger) = (setup.start().await, Ledger::new());
    setup.sink().script(Fault::Hold { stage: Stage::Rcpt }.times(2));
    for number in 0..12 {
        ledger.accept(&server, &format!("p{number}@d{number}.test")).await;
    }
    setup.sink().wait_until_held(1, SOON).await;
    setup.servers().redis.flush().await;
    setup.sink().clear();
    setup.sink().release().await;
    ledger.settle(&setup, &server).await;
}

#[tokio::test]
async fn redis_hangs_and_goes_on() {
    let flow = Flow::begin().await;
    flow.setup.servers().redis.pause();
    flow.gets_through("during").await;
    flow.setup.servers().redis.resume();
    flow.ends().await;
}

#[tokio::test]
async fn redis_has_no_memory_left() {
    let flow = Flow::begin().await;
    let redis = &flow.setup.servers().redis;
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused = redis::cmd("SET").arg("k").arg("v").exec_async(&mut redis.connection().await).await;
    assert!(refused.unwrap_err().to_string().contains("OOM"), "the fault is one");
    flow.gets_through("during").await;
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    flow.ends().await;
}

/// With limits, whose script is the one that each request runs.
#[tokio::test]
async fn redis_has_lost_its_scripts() {
    let setup = super::on_servers().await;
    let limits = [("GATEPOST_RATE_LIMITS", "on"), ("GATEPOST_LIMITS_REQUEST_ADDRESS", "1000/60s")];
    let setup = setup.with(&limits);
    let (server, ledger) = (setup.start().await, Ledger::new());
    for number in 0..FLOW {
        ledger.accept(&server, &format!("p{number}@a.test")).await;
        setup.servers().redis.ask::<()>(&["SCRIPT", "FLUSH"]).await;
    }
    ledger.settle(&setup, &server).await;
}

/// Two instances share the queue; one that cannot reach it is no reason for a mail to wait for the other.
#[tokio::test]
async fn redis_is_killed_under_two_instances() {
    let mut flow = Flow::begin().await;
    let other = flow.setup.start().await;
    flow.setup.servers_mut().redis.kill();
    for number in 0..FLOW {
        flow.ledger.accept(&other, &format!("other{number}@a.test")).await;
    }
    flow.gets_through("during").await;
    flow.setup.servers_mut().redis.restart().await;
    flow.setup.sink().release().await;
    let what = "Redis to be used again";
    eventually(what, Duration::from_secs(30), async || {
        let body: serde_json::Value = reqwest::get(other.url("/health/ready")).await.ok()?.json().await.ok()?;
        (body["checks"]["redis"] == "up").then_some(())
    })
    .await;
    flow.ledger.settle(&flow.setup, &other).await;
}
