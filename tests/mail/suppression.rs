//! Mailboxes that do not exist, and get no more mail for a while.

use std::time::Duration;

use chrono::TimeDelta;
use gatepost::domain::{MailContent, MailStatus, SuppressionReason};
use gatepost::store::Suppression;

use crate::SOON;
use crate::rig::Rig;
use crate::support::{Fault, Stage, eventually};

on_both!(
    a_mailbox_that_does_not_exist_gets_no_more_mail_for_a_while,
    a_refusal_that_may_mean_something_else_suppresses_for_a_short_time,
    a_refusal_of_another_spelling_or_for_another_reason_suppresses_nobody,
    a_bounce_does_not_shorten_what_an_operator_has_decided,
    two_mails_of_one_challenge_are_both_sent,
);

fn key(email: &str) -> String {
    crate::rig::address(email).key().to_owned()
}

async fn suppressions(rig: &Rig) -> Vec<Suppression> {
    query!(&rig.database, suppressions::list(None, rig.clock.now(), 10))
}

async fn suppression_of(rig: &Rig, email: &str) -> Suppression {
    let key = key(email);
    eventually("the suppression", SOON, async || {
        suppressions(rig).await.into_iter().find(|suppression| suppression.email_key == key)
    })
    .await
}

async fn a_mailbox_that_does_not_exist_gets_no_more_mail_for_a_while(rig: Rig) {
    rig.sink.script(Fault::Reply { stage: Stage::Rcpt, code: 550, text: "5.1.1 no such user" }.for_domain("gone.test"));
    let _worker = rig.worker();
    let first = rig.accept("ann@gone.test").await;
    rig.until(first.id, MailStatus::Dead).await;
    let suppression = suppression_of(&rig, "ann@gone.test").await;
    assert_eq!(
        (suppression.reason, suppression.detail.as_str()),
        (SuppressionReason::Bounce, "550 5.1.1 no such user")
    );
    assert_eq!(suppression.until - suppression.created_at, TimeDelta::days(1));

    let tried = rig.sink.reached(Stage::Rcpt);
    let second = rig.accept("ann@gone.test").await;
    let row = rig.until(second.id, MailStatus::Dead).await;
    assert!(row.last_error.unwrap().starts_with("not sent: the mailbox is suppressed until"));
    let other = rig.accept("bob@gone.test").await;
    rig.until(other.id, MailStatus::Dead).await;
    assert_eq!(rig.sink.reached(Stage::Rcpt), tried + 1, "the other mailbox was tried, this one was not");

    rig.sink.clear();
    rig.clock.advance(Duration::from_hours(25));
    let later = rig.accept("ann@gone.test").await;
    rig.until(later.id, MailStatus::Sent).await;
}

async fn a_refusal_that_may_mean_something_else_suppresses_for_a_short_time(rig: Rig) {
    rig.sink.script(Fault::Reply { stage: Stage::Rcpt, code: 550, text: "no" }.times(1));
    let _worker = rig.worker();
    rig.accept("ann@example.org").await;
    let suppression = suppression_of(&rig, "ann@example.org").await;
    assert_eq!(suppression.until - suppression.created_at, TimeDelta::hours(1));
}

async fn a_refusal_of_another_spelling_or_for_another_reason_suppresses_nobody(rig: Rig) {
    let refusals = [
        ("Ann@spelling.test", Stage::Rcpt, "5.1.1 no such user"),
        ("ann@policy.test", Stage::Rcpt, "5.7.1 not from you"),
        ("ann@full.test", Stage::Rcpt, "5.2.2 full"),
        ("ann@content.test", Stage::Dot, "5.1.1 confused"),
    ];
    let _worker = rig.worker();
    for (email, stage, text) in refusals {
        let domain = email.split('@').nth(1).unwrap();
        rig.sink.script(Fault::Reply { stage, code: 550, text }.for_domain(domain));
        let mail = rig.accept(email).await;
        rig.until(mail.id, MailStatus::Dead).await;
    }
    // Written after this one's, had there been any.
    rig.sink.script(Fault::Reply { stage: Stage::Rcpt, code: 550, text: "5.1.1 gone" }.for_domain("gone.test"));
    rig.accept("ann@gone.test").await;
    suppression_of(&rig, "ann@gone.test").await;
    assert_eq!(suppressions(&rig).await.len(), 1);
}

async fn a_bounce_does_not_shorten_what_an_operator_has_decided(rig: Rig) {
    let now = rig.clock.now();
    let suppression = |reason, days| Suppression {
        email_key: key("ann@example.org"),
        email: crate::rig::address("ann@example.org"),
        reason,
        detail: String::new(),
        created_at: now,
        until: now + TimeDelta::days(days),
    };
    for (reason, days, lasts) in [
        (SuppressionReason::Bounce, 1, 1),
        (SuppressionReason::Manual, 90, 90),
        (SuppressionReason::Bounce, 1, 90),
        (SuppressionReason::Bounce, 100, 100),
    ] {
        if reason == SuppressionReason::Manual {
            query!(&rig.database, suppressions::put(&suppression(reason, days)));
        } else {
            query!(&rig.database, suppressions::put_unless_longer(&suppression(reason, days)));
        }
        assert_eq!(suppressions(&rig).await[0].until, now + TimeDelta::days(lasts));
    }
}

/// As after a resend: the worker may well take them together.
async fn two_mails_of_one_challenge_are_both_sent(rig: Rig) {
    let first = rig.commit("ann@example.org").await;
    let content = serde_json::from_str::<MailContent>(&first.content).unwrap();
    let second = rig.compose(&content, "ann@example.org", first.expires_at);
    query!(&rig.database, outbox::insert(&second));
    rig.outbox.enqueue(&[first.clone(), second.clone()]).await;
    let _worker = rig.worker();
    for mail in [&first, &second] {
        rig.until(mail.id, MailStatus::Sent).await;
    }
    let received = rig.sink.messages();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].code(), received[1].code());
}
