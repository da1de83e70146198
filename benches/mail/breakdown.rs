//! What the steps of sending a mail take, one at a time, each alone: a map for whoever wants to make it faster.

use std::time::Instant;

use chrono::TimeDelta;
use gatepost::domain::{MailId, MailStatus, Priority};
use gatepost::mail::{Renderer, load_facts};
use gatepost::store::postgres::{challenges, dispatch, outbox_admin};
use gatepost::store::{Database, Mail, MailEnd};

use crate::frame::{Figure, Report, cpu_of_thread};
use crate::rig::{Place, Rig};
use crate::seed::{self, Kind};
use crate::servers::Servers;

const MAILS: usize = 2_000;

pub(crate) async fn run(servers: &mut Servers, report: &mut Report) {
    eprintln!("breakdown: each step alone, one at a time");
    let place = servers.postgres(9).await;
    let ids = seed::seed(&place, Kind::SignIn, MAILS).await;
    let rig = Rig::open(&place).await;
    let calls = 5_000;
    texts(&rig, ids[0], calls, report).await;
    statements(&rig, &ids, report).await;
    queue(&rig, &place, &ids, report).await;
}

/// Reading the content, and rendering.
async fn texts(rig: &Rig, id: MailId, calls: usize, report: &mut Report) {
    let Database::Postgres { pool, .. } = &rig.parts.database else { panic!("Postgres only") };
    let mut conn = pool.get().await.expect("a connection");
    let mail = outbox_admin::by_id(&mut conn, id).await.expect("an answer").expect("a mail");
    let content = Renderer::content(&mail).expect("a content");
    let facts = load_facts(&rig.parts.database, &content, rig.clock.now()).await.expect("an answer").expect("facts");
    let render = || rig.renderer.render(&mail, &content, &facts).expect("a text");
    report.add(step("render", calls, || drop(std::hint::black_box(render()))));
    report.add(step("content_from_json", calls, || drop(std::hint::black_box(Renderer::content(&mail)))));
}

/// Mean processor time of a call, after some that do not count.
fn step(name: &str, calls: usize, mut call: impl FnMut()) -> Figure {
    (0..calls / 10).for_each(|_| call());
    let before = cpu_of_thread();
    (0..calls).for_each(|_| call());
    let nanos = cpu_of_thread().saturating_sub(before) as f64;
    Figure::new(format!("step_{name}"), "us", nanos / 1000.0 / calls as f64).context("processor time")
}

/// The statements around a mail, through a connection of the pool, with as much durability as the server is set to.
async fn statements(rig: &Rig, ids: &[MailId], report: &mut Report) {
    let Database::Postgres { pool, .. } = &rig.parts.database else { panic!("Postgres only") };
    let now = rig.clock.now() + TimeDelta::seconds(1);
    let lease = now + TimeDelta::minutes(1);
    let mut claimed = Vec::new();
    let mut rest = ids;
    for (batch, rounds) in [(1, 200), (8, 50), (64, 20)] {
        let (now_ids, later) = rest.split_at(batch * rounds);
        rest = later;
        let begun = Instant::now();
        for some in now_ids.chunks(batch) {
            let mut conn = pool.get().await.expect("a connection");
            claimed.extend(dispatch::claim(&mut conn, some, now, lease).await.expect("claimed"));
        }
        let each = begun.elapsed().as_secs_f64() * 1e6 / (rounds as f64);
        let context = format!("{:.1} us a mail", each / batch as f64);
        report.add(Figure::new(format!("step_claim_{batch}"), "us", each).context(context));
    }
    let begun = Instant::now();
    for mail in claimed.iter().take(400) {
        let mut conn = pool.get().await.expect("a connection");
        let id = mail.challenge_id.expect("a challenge");
        challenges::by_id(&mut conn, id).await.expect("an answer").expect("a challenge");
    }
    report.add(Figure::new("step_read_challenge", "us", begun.elapsed().as_secs_f64() * 1e6 / 400.0));
    let end = |mail: &Mail| MailEnd {
        id: mail.id,
        fence: mail.fence,
        status: MailStatus::Sent,
        next_attempt_at: None,
        error: None,
        uncounted: false,
    };
    let ends: Vec<MailEnd> = claimed.iter().map(end).collect();
    let mut rest = ends.as_slice();
    for (batch, rounds) in [(1, 200), (64, 20)] {
        let (these, later) = rest.split_at(batch * rounds);
        rest = later;
        let begun = Instant::now();
        for some in these.chunks(batch) {
            let mut conn = pool.get().await.expect("a connection");
            let settled = dispatch::settle(&mut conn, some, now).await.expect("an answer");
            assert_eq!(settled.len(), batch, "the rows are ours");
        }
        let each = begun.elapsed().as_secs_f64() * 1e6 / rounds as f64;
        let context = format!("{:.1} us a mail", each / batch as f64);
        report.add(Figure::new(format!("step_settle_{batch}"), "us", each).context(context));
    }
}

/// What Redis takes to queue an id and to give a batch of them.
async fn queue(rig: &Rig, place: &Place, ids: &[MailId], report: &mut Report) {
    let begun = Instant::now();
    for id in ids {
        rig.queue.push(&[(*id, Priority::Urgent)]).await;
    }
    report.add(Figure::new("step_push_1", "us", begun.elapsed().as_secs_f64() * 1e6 / ids.len() as f64));
    let url = place.redis.clone().expect("a Redis");
    let client = redis::Client::open(url).expect("a URL");
    let mut conn = client.get_multiplexed_async_connection().await.expect("a connection");
    let rounds = ids.len() / 8;
    let begun = Instant::now();
    for _ in 0..rounds {
        let mut pop = redis::cmd("BLMPOP");
        pop.arg(1).arg(1).arg(gatepost::redis::keys::MAIL_URGENT).arg("RIGHT").arg("COUNT").arg(8);
        let _: (String, Vec<String>) = pop.query_async(&mut conn).await.expect("ids");
    }
    report.add(Figure::new("step_pop_8", "us", begun.elapsed().as_secs_f64() * 1e6 / rounds as f64));
}
