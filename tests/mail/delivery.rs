//! What happens to mails when nothing goes wrong for good.

use std::time::Duration;

use chrono::TimeDelta;
use gatepost::domain::{MailContent, MailId, MailStatus, UserId};
use gatepost::mail::{Transport, Worker};
use gatepost::settings::Delivery;
use gatepost::store::{MAIL_PAUSED, MailFilter};

use crate::SOON;
use crate::rig::Rig;
use crate::support::eventually;

on_both!(
    an_accepted_mail_arrives_with_its_code_and_link,
    the_most_urgent_goes_first,
    an_urgent_mail_overtakes_a_backlog,
    a_mail_whose_push_was_lost_is_sent_within_seconds,
    two_workers_send_each_mail_once,
    an_expired_mail_is_not_sent,
    a_sign_in_that_was_answered_is_not_mailed_any_more,
    while_mail_is_paused_nobody_takes_any,
    old_records_are_deleted_but_not_what_can_be_tried_again,
);

async fn an_accepted_mail_arrives_with_its_code_and_link(rig: Rig) {
    let _worker = rig.worker();
    let mail = rig.accept("Ann.Lee@example.org").await;
    let received = rig.sink.next_to("Ann.Lee@example.org").await;

    let code = rig.code(&mail);
    assert_eq!(received.subject(), format!("{} {} is your Gatepost code", &code[..3], &code[3..]));
    assert_eq!(received.code().as_deref(), Some(code.as_str()));
    assert_eq!(received.link().as_deref(), Some(rig.link(&mail).as_str()));
    assert!(received.html().unwrap().contains(&code) && received.html().unwrap().contains(&rig.link(&mail)));
    assert_eq!(received.message_id(), Some(format!("{}@example.com", mail.id)));
    assert_eq!(received.from, "no-reply@example.com");
    assert_eq!(received.header("From").as_deref(), Some("Gatepost <no-reply@example.com>"));
    assert_eq!(received.header("Auto-Submitted").as_deref(), Some("auto-generated"));
    assert!(received.raw.is_ascii(), "a relay without 8BITMIME takes it");

    let row = rig.until(mail.id, MailStatus::Sent).await;
    assert_eq!((row.attempts, row.last_error, row.lease_until), (1, None, None));
    assert!(row.finished_at.is_some());
    assert!(!row.content.contains(&code), "the row has no code");
    rig.counted(|counts| counts.sent, 1).await;
    let counts = rig.counters.snapshot();
    assert_eq!((counts.accepted, counts.sent, counts.retried, counts.dead), (1, 1, 0, 0));
}

async fn the_most_urgent_goes_first(rig: Rig) {
    let approved = MailContent::AccountApproved { name: String::new(), note: String::new() };
    let notice = MailContent::RegistrationNotice {
        user_id: UserId(uuid_of(7)),
        email: "new@example.org".to_owned(),
        name: String::new(),
        note: String::new(),
        requested: rig.requested(),
    };
    let security = MailContent::NewDevice { requested: rig.requested() };
    rig.accept_content(&notice, "low@example.org").await;
    rig.accept_content(&approved, "normal1@example.org").await;
    rig.accept_content(&approved, "normal2@example.org").await;
    rig.accept_content(&security, "high@example.org").await;

    let _worker = rig.worker_with(|settings| settings.workers = 1);
    let order: Vec<String> =
        rig.sink.wait_for_count(4, SOON).await.into_iter().map(|mail| mail.to[0].clone()).collect();
    let names = ["high", "normal1", "normal2", "low"];
    assert_eq!(order, names.map(|name| format!("{name}@example.org")));
}

async fn an_urgent_mail_overtakes_a_backlog(rig: Rig) {
    let approved = MailContent::AccountApproved { name: String::new(), note: String::new() };
    for number in 0..300 {
        rig.accept_content(&approved, &format!("p{number}@d{}.example", number % 7)).await;
    }
    let _worker = rig.worker_with(|settings| settings.workers = 1);
    rig.sink.wait_for_count(10, SOON).await;
    let before = rig.sink.count();
    rig.accept("urgent@example.org").await;
    rig.sink.next_to("urgent@example.org").await;
    let received = rig.sink.wait_for_count(301, Duration::from_mins(1)).await;
    let place = received.iter().position(|mail| mail.is_to("urgent@example.org")).unwrap();
    assert!(place < before + 60, "it was accepted after {before} and received after {place}");
}

async fn a_mail_whose_push_was_lost_is_sent_within_seconds(rig: Rig) {
    let _worker = rig.worker();
    let mail = rig.commit("ann@example.org").await;
    let received = rig.sink.wait_for(|mail| mail.is_to("ann@example.org"), Duration::from_secs(5)).await;
    assert_eq!(received.code(), Some(rig.code(&mail)));
}

async fn two_workers_send_each_mail_once(rig: Rig) {
    let mut mails = Vec::new();
    for number in 0..40 {
        mails.push(rig.commit(&format!("p{number}@d{}.example", number % 7)).await);
    }
    let other = rig.of_another_instance(rig.settings()).await;
    let entries: Vec<_> = mails.iter().map(|mail| (mail.id, gatepost::domain::Priority::Urgent)).collect();
    // Each id twice, at both.
    for queue in [&rig.queue, &other.queue, &rig.queue, &other.queue] {
        queue.push(&entries).await;
    }
    let counters = other.counters.clone();
    let (one, two) = (rig.worker(), Worker::spawn(other));
    rig.sink.wait_for_count(mails.len(), SOON).await;
    for mail in &mails {
        assert_eq!(rig.until(mail.id, MailStatus::Sent).await.attempts, 1);
    }
    tokio::join!(one.shutdown(SOON), two.shutdown(SOON));
    let mut recipients: Vec<String> = rig.sink.messages().into_iter().map(|mail| mail.to[0].clone()).collect();
    recipients.sort_unstable();
    recipients.dedup();
    assert_eq!((recipients.len(), rig.sink.count()), (mails.len(), mails.len()));
    let sent = rig.counters.snapshot().sent + counters.snapshot().sent;
    assert_eq!(sent, 40);
}

async fn an_expired_mail_is_not_sent(rig: Rig) {
    let late = rig.accept("late@example.org").await;
    rig.clock.advance(Duration::from_mins(11));
    let good = rig.accept("good@example.org").await;
    let _worker = rig.worker();
    rig.until(good.id, MailStatus::Sent).await;
    let row = rig.until(late.id, MailStatus::Expired).await;
    assert_eq!(row.attempts, 0);
    assert_eq!(rig.sink.count(), 1);
    rig.counted(|counts| counts.expired, 1).await;
}

async fn a_sign_in_that_was_answered_is_not_mailed_any_more(rig: Rig) {
    let answered = rig.accept("answered@example.org").await;
    let now = rig.clock.now();
    assert!(query!(&rig.database, challenges::consume(answered.challenge_id.unwrap(), now)).is_some());
    let good = rig.accept("good@example.org").await;
    let _worker = rig.worker();
    rig.until(answered.id, MailStatus::Expired).await;
    rig.until(good.id, MailStatus::Sent).await;
    assert_eq!(rig.sink.count(), 1);
}

async fn while_mail_is_paused_nobody_takes_any(rig: Rig) {
    let _worker = rig.worker();
    let _another = Worker::spawn(rig.of_another_instance(rig.settings()).await);
    let switch = async |on| query!(&rig.database, switches::set(MAIL_PAUSED, on, None, rig.clock.now()));
    let rounds = async || {
        let before = rig.counters.snapshot().sweeps;
        eventually("a few rounds", SOON, async || (rig.counters.snapshot().sweeps >= before + 3).then_some(())).await;
    };
    assert!(switch(true).await);
    rounds().await;
    let mail = rig.accept("ann@example.org").await;
    rounds().await;
    assert_eq!((rig.row(mail.id).await.status, rig.sink.count()), (MailStatus::Ready, 0));
    assert!(switch(false).await);
    rig.until(mail.id, MailStatus::Sent).await;
}

async fn old_records_are_deleted_but_not_what_can_be_tried_again(rig: Rig) {
    let (sent, late) = (rig.commit("sent@example.org").await, rig.commit("late@example.org").await);
    let dead = rig.commit_for("dead@example.org", TimeDelta::hours(9)).await;
    let now = rig.clock.now();
    for (mail, status) in [(&sent, MailStatus::Sent), (&late, MailStatus::Dead), (&dead, MailStatus::Dead)] {
        let row = rig.claim(mail.id, now + TimeDelta::minutes(1)).await;
        assert!(rig.end(row.id, row.fence, status, None).await);
    }
    rig.clock.advance(Duration::from_hours(2));
    let now = rig.clock.now();
    assert!(query!(&rig.database, outbox_admin::revive(late.id, now, now)).is_none(), "its code has expired");
    let _worker = rig.worker();
    for gone in [sent.id, late.id] {
        eventually("the record to go", SOON, async || {
            query!(&rig.database, outbox_admin::by_id(gone)).is_none().then_some(())
        })
        .await;
    }
    assert_eq!(rig.row(dead.id).await.status, MailStatus::Dead);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_relay_mails_are_kept_for_the_developer() {
    let rig = Rig::sqlite().await;
    let mut settings = rig.settings();
    settings.delivery = Delivery::DevMailbox;
    let parts = rig.parts(settings);
    let Transport::Dev(mailbox) = parts.transport.clone() else { panic!("not for developers") };
    let _worker = Worker::spawn(parts);
    let mut last = None;
    for number in 0..202 {
        last = Some(rig.accept(&format!("p{number}@example.org")).await);
    }
    let last = last.unwrap();
    eventually("all to be sent", SOON, async || (rig.counters.snapshot().sent == 202).then_some(())).await;

    let messages = mailbox.messages();
    assert_eq!(messages.len(), 200, "the oldest make room");
    let newest = mailbox.message(last.id).unwrap();
    assert_eq!(newest.code, Some(rig.code(&last)));
    assert_eq!(newest.link, Some(rig.link(&last)));
    assert_eq!((newest.to.as_str(), newest.kind.as_str()), ("p201@example.org", "code_and_link"));
    assert!(newest.text.contains(&rig.code(&last)) && newest.html.contains("<html"));
    let shown = format!("{newest:?} {mailbox:?}");
    assert!(!shown.contains(&rig.code(&last)) && !shown.contains("p201"), "{shown}");
}

fn uuid_of(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lists_mails_and_revives_a_dead_one() {
    let rig = Rig::sqlite().await;
    let mut ids: Vec<MailId> = Vec::new();
    for number in 0..3 {
        rig.clock.advance(Duration::from_millis(5));
        ids.push(rig.commit(&format!("p{number}@example.org")).await.id);
    }
    let now = rig.clock.now();
    let row = rig.claim(ids[1], now + TimeDelta::minutes(1)).await;
    assert!(rig.end(row.id, row.fence, MailStatus::Dead, Some("550 no")).await);

    let list = async |status, before, limit| -> Vec<MailId> {
        let filter = MailFilter { status, before, ..MailFilter::default() };
        let found = query!(&rig.database, outbox_admin::list(&filter, limit));
        found.into_iter().map(|mail| mail.id).collect()
    };
    assert_eq!(list(None, None, 2).await, [ids[2], ids[1]]);
    assert_eq!(list(None, Some(ids[1]), 2).await, [ids[0]]);
    assert_eq!(list(Some(MailStatus::Dead), None, 9).await, [ids[1]]);

    assert!(query!(&rig.database, outbox_admin::revive(ids[0], now, now)).is_none(), "it is not dead");
    assert!(query!(&rig.database, outbox_admin::revive(ids[1], now, now)).is_some());
    let _worker = rig.worker();
    assert_eq!(rig.until(ids[1], MailStatus::Sent).await.attempts, 1);
}
