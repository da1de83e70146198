//! A worker that is told to stop.

use std::time::{Duration, Instant};

use gatepost::domain::MailStatus;
use gatepost::mail::Worker;

use crate::SOON;
use crate::rig::Rig;
use crate::support::{Fault, Stage};

on_both!(
    sends_in_flight_are_finished,
    what_hangs_is_released_at_the_deadline_for_another_worker,
    what_was_not_begun_is_left_for_another_worker,
    an_idle_worker_stops_at_once_and_says_goodbye,
);

async fn sends_in_flight_are_finished(rig: Rig) {
    rig.sink.script(Fault::Slow { bytes_per_second: 10_000 });
    let worker = rig.worker();
    let mail = rig.accept("ann@example.org").await;
    rig.sink.wait_until_reached(Stage::Data, 1, SOON).await;
    worker.shutdown(SOON).await;
    let row = rig.row(mail.id).await;
    assert_eq!((row.status, row.attempts, rig.sink.count()), (MailStatus::Sent, 1, 1));
}

async fn what_hangs_is_released_at_the_deadline_for_another_worker(rig: Rig) {
    rig.sink.script(Fault::Hang { stage: Stage::Rcpt });
    let worker = rig.worker();
    let mail = rig.accept("ann@example.org").await;
    rig.sink.wait_until_reached(Stage::Rcpt, 1, SOON).await;
    let begun = Instant::now();
    worker.shutdown(Duration::from_millis(300)).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let row = rig.row(mail.id).await;
    assert_eq!((row.status, row.attempts, row.lease_until), (MailStatus::Ready, 0, None));

    rig.sink.clear();
    let _next = rig.worker();
    assert_eq!(rig.until(mail.id, MailStatus::Sent).await.attempts, 1);
}

async fn what_was_not_begun_is_left_for_another_worker(rig: Rig) {
    rig.sink.script(Fault::Hang { stage: Stage::Rcpt });
    let worker = rig.worker_with(|settings| settings.workers = 2);
    let mut mails = Vec::new();
    for number in 0..12 {
        mails.push(rig.accept(&format!("p{number}@example.org")).await);
    }
    rig.sink.wait_until_reached(Stage::Rcpt, 1, SOON).await;
    worker.shutdown(Duration::from_millis(200)).await;
    for mail in &mails {
        let row = rig.row(mail.id).await;
        assert_eq!((row.status, row.attempts), (MailStatus::Ready, 0));
    }
    rig.sink.clear();
    let _next = Worker::spawn(rig.of_another_instance(rig.settings()).await);
    for mail in &mails {
        rig.until(mail.id, MailStatus::Sent).await;
    }
    assert_eq!(rig.sink.count(), 12);
}

async fn an_idle_worker_stops_at_once_and_says_goodbye(rig: Rig) {
    let worker = rig.worker();
    let mail = rig.accept("ann@example.org").await;
    rig.until(mail.id, MailStatus::Sent).await;
    assert_eq!(rig.sink.open_connections(), 1, "kept for the next mail");
    let begun = Instant::now();
    worker.shutdown(SOON).await;
    // Not as long as there is time.
    assert!(begun.elapsed() < SOON * 4 / 5, "{:?}", begun.elapsed());
    crate::support::eventually("the connection to be closed", SOON, async || {
        (rig.sink.open_connections() == 0).then_some(())
    })
    .await;
}

/// How many connections wait for something to be put into a list.
async fn waiting(redis: &crate::support::Redis) -> usize {
    let info: String = redis.ask(&["INFO", "clients"]).await;
    let waiting = info.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
    waiting.and_then(|count| count.parse().ok()).expect("Redis counts them")
}

/// How long it takes to stop a worker that has just begun to wait for mail: the least of some.
async fn stopping(rig: &Rig) -> Duration {
    let mut least = SOON;
    for _ in 0..4 {
        let worker = rig.worker();
        crate::support::eventually("both lanes to wait", SOON, async || {
            (waiting(rig.redis.as_ref().unwrap()).await == 2).then_some(())
        })
        .await;
        let begun = Instant::now();
        worker.shutdown(SOON).await;
        least = least.min(begun.elapsed());
    }
    least
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_waits_for_mail_is_called_off() {
    let rig = Rig::postgres_with_redis().await;
    let least = stopping(&rig).await;
    assert!(least < Duration::from_millis(600), "{least:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_calls_nobody_off_is_waited_for() {
    let rig = Rig::postgres_with_redis().await;
    let redis = rig.redis.as_ref().unwrap();
    redis.ask::<()>(&["ACL", "SETUSER", "default", "-client|unblock"]).await;
    let least = stopping(&rig).await;
    assert!(least > Duration::from_millis(600), "the other test would not notice: {least:?}");
    let mail = rig.accept("ann@example.org").await;
    let _worker = rig.worker();
    rig.until(mail.id, MailStatus::Sent).await;
}
