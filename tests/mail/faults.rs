//! What happens to mails when servers refuse, hang, break and vanish.

use std::time::Duration;

use gatepost::domain::{MailContent, MailStatus};

use crate::SOON;
use crate::rig::Rig;
use crate::support::{Fault, PrivatePostgres, Stage, eventually};

on_both!(
    a_refusal_for_now_is_retried_with_the_same_message,
    a_refusal_for_good_ends_one_mail_and_no_other,
    a_repeat_after_a_broken_final_dot_is_the_same_mail,
    a_mail_that_would_be_late_is_not_tried_again,
    a_poison_row_dies_alone,
    attempts_come_to_an_end,
    a_slow_domain_does_not_hold_up_the_others,
);

async fn a_refusal_for_now_is_retried_with_the_same_message(rig: Rig) {
    rig.sink.script(Fault::Reply { stage: Stage::Rcpt, code: 451, text: "4.7.1 greylisted, come back" }.times(2));
    let _worker = rig.worker();
    let mail = rig.accept("ann@example.org").await;
    let received = rig.sink.next_to("ann@example.org").await;
    assert_eq!(received.message_id(), Some(mail.message_id.clone()));
    assert_eq!(received.code(), Some(rig.code(&mail)));
    let row = rig.until(mail.id, MailStatus::Sent).await;
    assert_eq!(row.attempts, 3);
    rig.counted(|counts| counts.retried, 2).await;
    assert_eq!(rig.sink.connections(), 1, "a refusal is no reason to hang up");
}

async fn a_refusal_for_good_ends_one_mail_and_no_other(rig: Rig) {
    let refusal = Fault::Reply { stage: Stage::Rcpt, code: 550, text: "5.1.1 <ann@gone.test>: no such user" };
    rig.sink.script(refusal.for_domain("gone.test"));
    let _worker = rig.worker();
    let gone = rig.accept("ann@gone.test").await;
    let other = rig.accept("bob@example.org").await;
    let row = rig.until(gone.id, MailStatus::Dead).await;
    assert_eq!(row.attempts, 1);
    assert_eq!(row.last_error.as_deref(), Some("550 5.1.1 <ann@gone.test>: no such user"));
    rig.until(other.id, MailStatus::Sent).await;
    rig.counted(|counts| counts.dead, 1).await;
    assert_eq!(rig.sink.count(), 1);
}

async fn a_repeat_after_a_broken_final_dot_is_the_same_mail(rig: Rig) {
    rig.sink.script(Fault::DropAfter { stage: Stage::Dot }.times(1));
    let _worker = rig.worker();
    let mail = rig.accept("ann@example.org").await;
    let twice = rig.sink.wait_for_count(2, SOON).await;
    assert_eq!(twice[0].raw, twice[1].raw, "the same bytes");
    assert_eq!(twice[0].message_id(), Some(mail.message_id.clone()));
    let row = rig.until(mail.id, MailStatus::Sent).await;
    assert_eq!((row.attempts, rig.sink.count()), (2, 2));
}

async fn a_mail_that_would_be_late_is_not_tried_again(rig: Rig) {
    rig.sink.script(Fault::Reply { stage: Stage::Mail, code: 452, text: "full" });
    let _worker = rig.worker_with(|settings| settings.backoff = vec![Duration::from_hours(1)]);
    let mail = rig.accept("ann@example.org").await;
    let row = rig.until(mail.id, MailStatus::Expired).await;
    assert_eq!((row.attempts, row.last_error.as_deref()), (1, Some("452 full")));
    rig.counted(|counts| counts.expired, 1).await;
}

async fn a_poison_row_dies_alone(rig: Rig) {
    let _worker = rig.worker_with(|settings| settings.max_attempts = 2);
    let approved = MailContent::AccountApproved { name: String::new(), note: String::new() };
    let mut unknown = rig.compose(&approved, "poison@example.org", rig.clock.now() + chrono::TimeDelta::hours(1));
    r#"{"kind":"carrier_pigeon"}"#.clone_into(&mut unknown.content);
    let mut garbled = rig.compose(&approved, "poison@example.org", rig.clock.now() + chrono::TimeDelta::hours(1));
    "\u{0001}not json".clone_into(&mut garbled.content);
    let poison = [unknown, garbled];
    for mail in &poison {
        query!(&rig.database, outbox::insert(mail));
    }
    rig.outbox.enqueue(&poison).await;
    let good = rig.accept("good@example.org").await;
    rig.until(good.id, MailStatus::Sent).await;
    for mail in &poison {
        let row = rig.until(mail.id, MailStatus::Dead).await;
        assert_eq!(row.attempts, 2, "another version may know its kind");
        assert!(row.last_error.unwrap().starts_with("the content cannot be read"));
    }
    assert_eq!(rig.sink.count(), 1);
}

async fn attempts_come_to_an_end(rig: Rig) {
    rig.sink.script(Fault::Reply { stage: Stage::Data, code: 421, text: "closing" });
    let _worker = rig.worker();
    let mail = rig.accept("ann@example.org").await;
    let row = rig.until(mail.id, MailStatus::Dead).await;
    assert_eq!(row.attempts, 3);
    assert!(row.last_error.unwrap().ends_with(": 421 closing"));
}

async fn a_slow_domain_does_not_hold_up_the_others(rig: Rig) {
    rig.sink.script(Fault::Hang { stage: Stage::Rcpt }.for_domain("slow.test"));
    let _worker = rig.worker_with(|settings| settings.command_timeout = Duration::from_mins(1));
    for number in 0..20 {
        rig.accept(&format!("p{number}@slow.test")).await;
    }
    // They fill all four slots, and make room a second later.
    rig.sink.wait_until_reached(Stage::Rcpt, 4, SOON).await;
    for number in 0..8 {
        rig.accept(&format!("p{number}@quick.test")).await;
    }
    for number in 0..8 {
        rig.sink.wait_for(|mail| mail.is_to(&format!("p{number}@quick.test")), Duration::from_secs(8)).await;
    }
    let begun = rig.sink.reached(Stage::Rcpt) - 8;
    assert!((4..=7).contains(&begun), "the last slot is not for the slow domain, which has begun {begun}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_flow_while_redis_dies_and_comes_back() {
    let mut rig = Rig::postgres_with_redis().await;
    let _worker = rig.worker();
    rig.accept("before@example.org").await;
    rig.sink.next_to("before@example.org").await;

    rig.redis.as_mut().unwrap().kill();
    for number in 0..10 {
        rig.accept(&format!("during{number}@example.org")).await;
    }
    for number in 0..10 {
        rig.sink.next_to(&format!("during{number}@example.org")).await;
    }
    rig.redis.as_mut().unwrap().restart().await;
    for number in 0..10 {
        rig.accept(&format!("after{number}@example.org")).await;
    }
    for number in 0..10 {
        rig.sink.next_to(&format!("after{number}@example.org")).await;
    }
    eventually("every mail to be sent", SOON, async || (rig.counters.snapshot().sent == 21).then_some(())).await;
    assert_eq!(rig.sink.count(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_flow_while_redis_hangs() {
    let rig = Rig::postgres_with_redis().await;
    let _worker = rig.worker();
    rig.accept("before@example.org").await;
    rig.sink.next_to("before@example.org").await;
    rig.redis.as_ref().unwrap().pause();
    for number in 0..5 {
        rig.accept(&format!("during{number}@example.org")).await;
    }
    for number in 0..5 {
        rig.sink.next_to(&format!("during{number}@example.org")).await;
    }
    rig.redis.as_ref().unwrap().resume();
    rig.accept("after@example.org").await;
    rig.sink.next_to("after@example.org").await;
    assert_eq!(rig.sink.count(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_database_repeats_no_mail() {
    let postgres = PrivatePostgres::start().await;
    let database = postgres.database().await;
    let rig = Rig::on(database.url.clone()).await;
    // Long enough to take the database away, with a lease that runs out meanwhile.
    rig.sink.script(Fault::Slow { bytes_per_second: 4_000 });
    let _worker = rig.worker_with(|settings| settings.lease = Duration::from_secs(2));
    let mut mails = Vec::new();
    for number in 0..4 {
        mails.push(rig.accept(&format!("ann@d{number}.example")).await);
    }
    rig.sink.wait_until_reached(Stage::Data, 4, SOON).await;
    postgres.stop().await;
    rig.sink.wait_for_count(4, SOON).await;
    let claimed_at = std::time::Instant::now();
    eventually("the lease to run out", SOON, async || (claimed_at.elapsed() > Duration::from_secs(3)).then_some(()))
        .await;
    postgres.start_again().await;
    for mail in &mails {
        assert_eq!(rig.until(mail.id, MailStatus::Sent).await.attempts, 1);
    }
    assert_eq!((rig.sink.count(), rig.counters.snapshot().reclaimed), (4, 0));
}
