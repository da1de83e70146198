//! What those who steer the mail ask the outbox, and the mailboxes and switches beside it.

use gatepost::domain::SuppressionReason;
use gatepost::store::{DeadFilter, MailCounts, MailFilter, Suppression};

use super::*;

/// A mail to `email`, `n` milliseconds younger than the first.
fn mail_to(email: &str, n: i64, start: Instant) -> NewMail {
    let at = start + TimeDelta::milliseconds(n);
    let id = MailId(Entropy::system().uuid_v7(at));
    NewMail { id, recipient: EmailAddress::parse(email).unwrap(), created_at: at, ..new_mail(start) }
}

fn suppression(email: &str, now: Instant, days: i64) -> Suppression {
    let email = EmailAddress::parse(email).unwrap();
    Suppression {
        email_key: email.key().to_owned(),
        email,
        reason: SuppressionReason::Bounce,
        detail: "550 no".to_owned(),
        created_at: now,
        until: now + TimeDelta::days(days),
    }
}

on_both_databases! {
    async fn mails_are_listed_newest_first_whatever_their_kind(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let start = now();
        let mut made = Vec::new();
        for n in 0..4 {
            let mail = mail_to(&format!("P_{n}@Example.com"), n, start);
            q::outbox::insert(&mut conn, &mail).await.unwrap();
            made.push(mail.id);
        }
        // A newer version beside this one has written a mail that this one does not know.
        let newer = diesel::update(diesel::QueryDsl::find(q::schema::outbox::table, made[3]))
            .set(diesel::ExpressionMethods::eq(q::schema::outbox::kind, "birthday_card"));
        diesel_async::RunQueryDsl::execute(newer, &mut *conn).await.unwrap();
        q::outbox_admin::bury(&mut conn, made[1], "550 no", start).await.unwrap().unwrap();
        for (filter, expected) in [
            (MailFilter::default(), vec![3, 2, 1, 0]),
            (MailFilter { before: Some(made[2]), ..MailFilter::default() }, vec![1, 0]),
            (MailFilter { status: Some(MailStatus::Dead), ..MailFilter::default() }, vec![1]),
            (MailFilter { status: Some(MailStatus::Sent), ..MailFilter::default() }, vec![]),
            (MailFilter { kind: Some(MailKind::CodeAndLink), ..MailFilter::default() }, vec![2, 1, 0]),
            (MailFilter { recipient: Some("p_2@EXAMPLE".to_owned()), ..MailFilter::default() }, vec![2]),
            (MailFilter { recipient: Some("p%".to_owned()), ..MailFilter::default() }, vec![]),
        ] {
            let found = q::outbox_admin::list(&mut conn, &filter, 10).await.unwrap();
            let expected: Vec<MailId> = expected.into_iter().map(|n: usize| made[n]).collect();
            assert_eq!(found.iter().map(|mail| mail.id).collect::<Vec<_>>(), expected, "{filter:?}");
        }
        assert_eq!(q::outbox_admin::list(&mut conn, &MailFilter::default(), 2).await.unwrap().len(), 2);
        let unknown = q::outbox_admin::by_id(&mut conn, made[3]).await.unwrap().unwrap();
        assert_eq!(unknown.kind, "birthday_card");
    }

    async fn only_what_no_worker_holds_is_moved_by_hand(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let start = now();
        let (soon, later) = (start + TimeDelta::seconds(2), start + TimeDelta::minutes(1));
        let mail = NewMail { next_attempt_at: later, ..new_mail(start) };
        q::outbox::insert(&mut conn, &mail).await.unwrap();
        assert!(q::outbox_admin::revive(&mut conn, mail.id, start, soon).await.unwrap().is_none(), "not dead");
        let due = q::outbox_admin::hasten(&mut conn, mail.id, start, soon).await.unwrap().unwrap();
        assert_eq!((due.next_attempt_at, due.queued_until, due.attempts), (start, soon, 0));
        assert!(q::outbox_admin::hasten(&mut conn, mail.id, start, soon).await.unwrap().is_none(), "due already");

        let claimed = q::dispatch::claim(&mut conn, &[mail.id], start, later).await.unwrap();
        for moved in [
            q::outbox_admin::hasten(&mut conn, mail.id, start - TimeDelta::days(1), soon).await.unwrap(),
            q::outbox_admin::bury(&mut conn, mail.id, "by hand", start).await.unwrap(),
            q::outbox_admin::revive(&mut conn, mail.id, start, soon).await.unwrap(),
        ] {
            assert!(moved.is_none(), "its worker's alone: {moved:?}");
        }
        let fence = claimed[0].fence;
        let back = MailEnd { next_attempt_at: Some(later), ..ended(mail.id, fence, MailStatus::Ready) };
        assert_eq!(q::dispatch::settle(&mut conn, &[back], start).await.unwrap(), [mail.id]);
        let buried = q::outbox_admin::bury(&mut conn, mail.id, "by hand", start).await.unwrap().unwrap();
        assert_eq!((buried.status, buried.finished_at), (MailStatus::Dead, Some(start)));
        assert_eq!(buried.last_error.as_deref(), Some("by hand"));
        let expired = mail.expires_at;
        assert!(q::outbox_admin::revive(&mut conn, mail.id, expired, soon).await.unwrap().is_none(), "expired");
        let revived = q::outbox_admin::revive(&mut conn, mail.id, start, soon).await.unwrap().unwrap();
        assert_eq!((revived.status, revived.attempts, revived.finished_at), (MailStatus::Ready, 0, None));
        assert_eq!(revived.fence, fence, "the fence never goes back");
    }

    async fn dead_mails_are_revived_in_batches(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let start = now();
        let mut made = Vec::new();
        for n in 0..5 {
            let mut mail = mail_to(&format!("p{n}@example.com"), n, start);
            if n == 3 {
                mail.kind = MailKind::Invitation;
                mail.priority = 2;
            }
            q::outbox::insert(&mut conn, &mail).await.unwrap();
            made.push(mail.id);
        }
        for id in &made[..4] {
            q::outbox_admin::bury(&mut conn, *id, "550 no", start).await.unwrap().unwrap();
        }
        let found = async |conn: &mut q::Conn, filter: DeadFilter, at: Instant| -> Vec<MailId> {
            let found = q::outbox_admin::revivable(conn, &filter, at, 2).await.unwrap();
            found.into_iter().map(|(id, _)| id).collect()
        };
        let all = DeadFilter::default;
        assert_eq!(found(&mut conn, all(), start).await, made[..2]);
        assert_eq!(found(&mut conn, DeadFilter { after: Some(made[1]), ..all() }, start).await, made[2..4]);
        let of_kind = DeadFilter { kind: Some(MailKind::Invitation), ..all() };
        assert_eq!(found(&mut conn, of_kind, start).await, made[3..4]);
        let named = DeadFilter { ids: Some(vec![made[2], made[4]]), ..all() };
        assert_eq!(found(&mut conn, named, start).await, made[2..3]);
        let (late, soon) = (start + TimeDelta::minutes(10), start + TimeDelta::seconds(2));
        assert!(found(&mut conn, all(), late).await.is_empty());
        for (kind, at, count) in [(None, start, 4), (Some(MailKind::CodeAndLink), start, 3), (None, late, 0)] {
            assert_eq!(q::outbox_admin::count_revivable(&mut conn, kind, at).await.unwrap(), count);
        }
        assert!(q::outbox_admin::revive_all(&mut conn, &made, late, soon).await.unwrap().is_empty());
        let mut revived = q::outbox_admin::revive_all(&mut conn, &made, start, soon).await.unwrap();
        revived.sort_unstable();
        assert_eq!(revived, [(made[0], 0), (made[1], 0), (made[2], 0), (made[3], 2)]);
    }

    async fn the_figures_are_right(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let start = now();
        assert_eq!(q::outbox_admin::counts(&mut conn, start).await.unwrap(), MailCounts::default());
        let mut made = Vec::new();
        for (n, (priority, due)) in [(0, 90), (0, 10), (1, 30), (3, 20), (3, -5), (2, -60), (1, 0), (1, 0), (1, 0)]
            .into_iter()
            .enumerate()
        {
            let due = start - TimeDelta::seconds(due);
            let mail = NewMail { priority, next_attempt_at: due, ..mail_to(&format!("p{n}@example.com"), 0, start) };
            q::outbox::insert(&mut conn, &mail).await.unwrap();
            made.push(mail.id);
        }
        // One of a priority that this version does not know.
        q::outbox::insert(&mut conn, &NewMail { priority: 9, ..mail_to("p@example.com", 0, start) }).await.unwrap();
        q::outbox_admin::bury(&mut conn, made[8], "550 no", start).await.unwrap().unwrap();
        let claimed = q::dispatch::claim(&mut conn, &made[6..8], start, start + TimeDelta::minutes(1)).await.unwrap();
        assert_eq!(claimed.len(), 2);
        let sent = start - TimeDelta::minutes(59);
        let ends = [ended(made[6], 1, MailStatus::Sent)];
        assert_eq!(q::dispatch::settle(&mut conn, &ends, sent).await.unwrap(), [made[6]]);
        q::suppressions::put(&mut conn, &suppression("a@example.com", start, 1)).await.unwrap();
        q::suppressions::put(&mut conn, &suppression("b@example.com", start, -1)).await.unwrap();
        q::switches::set(&mut conn, gatepost::store::MAIL_PAUSED, true, None, start).await.unwrap();
        let counts = q::outbox_admin::counts(&mut conn, start).await.unwrap();
        let expected = MailCounts {
            queued: [2, 1, 0, 2],
            sending: 1,
            scheduled: 2,
            dead: 1,
            sent_last_hour: 1,
            oldest_age_ms: 90_000,
            suppressed: 1,
            paused: true,
        };
        assert_eq!(counts, expected);
        let later = q::outbox_admin::counts(&mut conn, start + TimeDelta::minutes(2)).await.unwrap();
        assert_eq!((later.queued, later.scheduled, later.sent_last_hour), ([2, 1, 1, 3], 0, 0));
    }

    async fn a_suppression_holds_for_its_time(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let start = now();
        let ada = suppression("Ada@Example.com", start, 7);
        for suppression in [&ada, &suppression("bob@example.com", start, 1), &suppression("eve@example.com", start, 7)] {
            q::suppressions::put(&mut conn, suppression).await.unwrap();
        }
        let keys = ["ada@example.com", "carol@example.com"].map(str::to_owned);
        assert_eq!(q::suppressions::among(&mut conn, &keys, start).await.unwrap(), std::slice::from_ref(&ada));
        let days = |n| start + TimeDelta::days(n);
        let listed = async |conn: &mut q::Conn, after: Option<&str>, at| -> Vec<String> {
            let found = q::suppressions::list(conn, after, at, 2).await.unwrap();
            found.into_iter().map(|one| one.email_key).collect()
        };
        assert_eq!(listed(&mut conn, None, start).await, ["ada@example.com", "bob@example.com"]);
        assert_eq!(listed(&mut conn, Some("bob@example.com"), start).await, ["eve@example.com"]);
        assert_eq!(listed(&mut conn, None, days(1)).await, ["ada@example.com", "eve@example.com"]);

        let longer = Suppression { until: days(9), reason: SuppressionReason::Manual, ..ada.clone() };
        q::suppressions::put(&mut conn, &longer).await.unwrap();
        assert_eq!(q::suppressions::among(&mut conn, &keys, days(8)).await.unwrap(), std::slice::from_ref(&longer));
        assert!(q::suppressions::lift(&mut conn, "bob@example.com", days(1)).await.unwrap().is_none(), "it is over");
        assert!(q::suppressions::lift(&mut conn, "nobody@example.com", start).await.unwrap().is_none());
        assert_eq!(q::suppressions::lift(&mut conn, "ada@example.com", days(8)).await.unwrap(), Some(longer));
        assert!(q::suppressions::among(&mut conn, &keys, start).await.unwrap().is_empty());
        assert_eq!(q::suppressions::prune(&mut conn, days(2)).await.unwrap(), 1);
    }

    async fn a_switch_says_whether_it_was_changed(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let name = gatepost::store::MAIL_PAUSED;
        let by = Some(UserId::new(&Clock::system(), &Entropy::system()));
        for (on, changes) in [(false, false), (true, true), (true, false), (false, true), (false, false), (true, true)] {
            assert_eq!(q::switches::set(&mut conn, name, on, by, now()).await.unwrap(), changes);
            assert_eq!(q::switches::is_on(&mut conn, name).await.unwrap(), on);
        }
        assert!(!q::switches::is_on(&mut conn, "another").await.unwrap());
    }
}
