//! Who owns a row: leases that run out, and fences that move on.

use std::time::Duration;

use chrono::TimeDelta;
use gatepost::domain::MailStatus;

use crate::SOON;
use crate::rig::Rig;
use crate::support::{Fault, Stage, eventually};

on_both!(
    the_mail_of_a_dead_worker_is_sent_by_another,
    a_mail_that_kills_its_workers_is_buried,
    a_stale_fence_changes_nothing,
    a_long_send_keeps_its_lease,
    a_send_that_lost_its_lease_is_broken_off_before_the_final_dot,
    an_acknowledgement_that_comes_too_late_changes_nothing,
);

async fn the_mail_of_a_dead_worker_is_sent_by_another(rig: Rig) {
    let mail = rig.commit("ann@example.org").await;
    let dead = rig.claim(mail.id, rig.clock.now() + TimeDelta::seconds(1)).await;
    let _worker = rig.worker();
    assert_eq!(rig.sink.next_to("ann@example.org").await.code(), Some(rig.code(&mail)));
    let row = rig.until(mail.id, MailStatus::Sent).await;
    assert_eq!(row.attempts, 2);
    assert!(row.fence > dead.fence);
    rig.counted(|counts| counts.reclaimed, 1).await;
}

async fn a_mail_that_kills_its_workers_is_buried(rig: Rig) {
    let mail = rig.commit("ann@example.org").await;
    for attempt in 1..=3 {
        let past = rig.clock.now() - TimeDelta::seconds(1);
        rig.claim(mail.id, past).await;
        let swept = rig.sweep(rig.clock.now()).await;
        assert_eq!((swept.reclaimed, swept.dead), if attempt < 3 { (1, 0) } else { (0, 1) });
    }
    let _worker = rig.worker();
    let row = rig.until(mail.id, MailStatus::Dead).await;
    assert_eq!((row.attempts, rig.sink.count()), (3, 0));
}

async fn a_stale_fence_changes_nothing(rig: Rig) {
    let mail = rig.commit("ann@example.org").await;
    let now = rig.clock.now();
    let first = rig.claim(mail.id, now - TimeDelta::seconds(1)).await;
    assert_eq!(rig.sweep(now).await.reclaimed, 1);
    let second = rig.claim(mail.id, now + TimeDelta::minutes(1)).await;

    let (id, fence, later) = (mail.id, first.fence, now + TimeDelta::hours(1));
    assert!(query!(&rig.database, dispatch::renew(&[(id, fence)], later)).is_empty());
    for status in [MailStatus::Dead, MailStatus::Sent, MailStatus::Expired, MailStatus::Ready] {
        assert!(!rig.end(id, fence, status, Some("stale")).await);
    }
    let row = rig.row(id).await;
    assert_eq!((row.status, row.fence, row.attempts, row.last_error), (MailStatus::Sending, second.fence, 2, None));
    assert_eq!(row.lease_until, second.lease_until);
    assert!(rig.end(id, second.fence, MailStatus::Sent, None).await);
}

async fn a_long_send_keeps_its_lease(rig: Rig) {
    rig.sink.script(Fault::Slow { bytes_per_second: 4_000 });
    let worker = rig.worker_with(|settings| settings.lease = Duration::from_secs(1));
    let mail = rig.accept("ann@example.org").await;
    let row = rig.until(mail.id, MailStatus::Sent).await;
    let took = row.finished_at.unwrap() - row.created_at;
    assert!(took > TimeDelta::milliseconds(1500), "the send outlasted a lease: {took}");
    worker.shutdown(SOON).await;
    assert_eq!((row.attempts, rig.sink.count(), rig.counters.snapshot().reclaimed), (1, 1, 0));
}

/// Takes a row from the worker that is sending it, as another instance would that has seen its lease run out.
async fn take_over(rig: &Rig, mail: gatepost::domain::MailId) -> i64 {
    let future = rig.clock.now() + TimeDelta::minutes(5);
    assert_eq!(rig.sweep(future).await.reclaimed, 1);
    let mut claimed = query!(&rig.database, dispatch::claim(&[mail], future, future + TimeDelta::minutes(5)));
    claimed.pop().unwrap().fence
}

async fn a_send_that_lost_its_lease_is_broken_off_before_the_final_dot(rig: Rig) {
    rig.sink.script(Fault::Hang { stage: Stage::Rcpt });
    let _worker = rig.worker_with(|settings| settings.lease = Duration::from_secs(1));
    let mail = rig.accept("ann@example.org").await;
    rig.sink.wait_until_reached(Stage::Rcpt, 1, SOON).await;
    let fence = take_over(&rig, mail.id).await;
    eventually("the send to be broken off", SOON, async || (rig.counters.snapshot().abandoned == 1).then_some(()))
        .await;
    let row = rig.row(mail.id).await;
    assert_eq!((row.status, row.fence), (MailStatus::Sending, fence));
    eventually("the connection to be closed", SOON, async || (rig.sink.open_connections() == 0).then_some(())).await;
}

async fn an_acknowledgement_that_comes_too_late_changes_nothing(rig: Rig) {
    rig.sink.script(Fault::Slow { bytes_per_second: 8_000 });
    let _worker = rig.worker_with(|settings| settings.lease = Duration::from_secs(1));
    let mail = rig.accept("ann@example.org").await;
    rig.sink.wait_until_reached(Stage::Data, 1, SOON).await;
    // The relay has asked for the message and takes its time. Nothing but time tells when the dot is on the wire.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let fence = take_over(&rig, mail.id).await;
    rig.sink.next_to("ann@example.org").await;
    eventually("the late word", SOON, async || (rig.counters.snapshot().late == 1).then_some(())).await;
    let row = rig.row(mail.id).await;
    assert_eq!((row.status, row.fence, rig.counters.snapshot().abandoned), (MailStatus::Sending, fence, 0));
}
