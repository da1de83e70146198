//! The lists in Redis, as others may have left them.

use gatepost::domain::{MailStatus, Priority};
use gatepost::redis::keys::{MAIL_HIGH, MAIL_URGENT};

use crate::SOON;
use crate::rig::Rig;
use crate::support::{Redis, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_nothing_else_wait_in_redis() {
    let rig = Rig::sqlite_with(Redis::start().await).await;
    let mail = rig.accept("ann@example.org").await;
    let dump = rig.redis.as_ref().unwrap().dump().await;
    let waiting: Vec<&String> =
        dump.iter().filter(|text| !text.starts_with("gatepost:probe") && *text != "1").collect();
    assert_eq!(waiting, [MAIL_URGENT, &mail.id.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_are_no_ids_are_dropped_and_counted() {
    let rig = Rig::sqlite_with(Redis::start().await).await;
    let redis = rig.redis.as_ref().unwrap();
    redis.ask::<u64>(&["LPUSH", MAIL_HIGH, "", "not an id", "01890000-0000-7000-8000-00000000000g"]).await;
    // A well-formed id of nothing.
    redis.ask::<u64>(&["LPUSH", MAIL_HIGH, "01890000-0000-7000-8000-000000000001"]).await;
    let _worker = rig.worker();
    let mail = rig.accept("ann@example.org").await;
    rig.until(mail.id, MailStatus::Sent).await;
    eventually("the list to be empty", SOON, async || {
        (redis.ask::<u64>(&["LLEN", MAIL_HIGH]).await == 0).then_some(())
    })
    .await;
    eventually("them to be counted", SOON, async || (rig.counters.snapshot().malformed_ids == 3).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_no_list_is_removed_and_stops_no_mail() {
    let rig = Rig::sqlite_with(Redis::start().await).await;
    rig.redis.as_ref().unwrap().ask::<()>(&["SET", MAIL_URGENT, "a string"]).await;
    let (urgent, low) = (rig.accept("ann@example.org").await, rig.commit("bob@example.org").await);
    rig.queue.push(&[(low.id, Priority::Low)]).await;
    let begun = std::time::Instant::now();
    let _worker = rig.worker();
    rig.until(low.id, MailStatus::Sent).await;
    rig.until(urgent.id, MailStatus::Sent).await;
    assert!(begun.elapsed().as_millis() < 1900, "by the queue, not by the sweeper: {:?}", begun.elapsed());
    rig.accept("cat@example.org").await;
    rig.sink.next_to("cat@example.org").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_before_version_7_does() {
    let rig = Rig::sqlite_with(Redis::start_with(&["--rename-command", "BLMPOP", ""]).await).await;
    let mut mails = Vec::new();
    for number in 0..10 {
        mails.push(rig.commit(&format!("p{number}@d{number}.example")).await);
    }
    let entries: Vec<_> = mails.iter().map(|mail| (mail.id, Priority::Normal)).collect();
    rig.queue.push(&entries).await;
    rig.queue.push(&[(rig.commit("urgent@example.org").await.id, Priority::Urgent)]).await;
    let begun = std::time::Instant::now();
    let _worker = rig.worker_with(|settings| settings.workers = 1);
    let received = rig.sink.wait_for_count(11, SOON).await;
    assert!(begun.elapsed().as_millis() < 1900, "by the queue, not by the sweeper: {:?}", begun.elapsed());
    let order = received.iter().map(|mail| mail.to[0].split('@').next().unwrap()).filter(|name| *name != "urgent");
    assert_eq!(order.collect::<Vec<_>>(), ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"]);
}
