//! The queries, against Postgres and `SQLite` alike: each body below is compiled and run once for either.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy's exceptions for tests cover only #[test] functions"
)]

#[path = "../support/mod.rs"]
mod support;
mod tls;

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::poll;
use gatepost::domain::{
    ChallengeId, Clock, Digest, DisplayName, EmailAddress, Entropy, GuessRule, Instant, Language, MailId, MailKind,
    MailStatus, Note, Redacted, Role, SessionId, UserId, UserStatus, Username,
};
use gatepost::settings::{self, DatabaseUrl};
use gatepost::store::{
    Challenge, Database, MailEnd, NewMail, NewUser, ProfileChange, Session, StoreError, SweepOrder, User, UserFilter,
};
use support::Postgres;

/// The most connections to Postgres.
const POOL_SIZE: u32 = 4;

/// The settings of a database at `url`.
fn settings(url: DatabaseUrl) -> settings::Database {
    let patience = Duration::from_secs(5);
    settings::Database { url, pool_size: POOL_SIZE, pool_timeout: patience, connect_timeout: patience }
}

fn now() -> Instant {
    Clock::system().now()
}

fn new_user(email: &str) -> NewUser {
    NewUser {
        id: UserId::new(&Clock::system(), &Entropy::system()),
        email: EmailAddress::parse(email).unwrap(),
        name: DisplayName::parse("Ada").unwrap(),
        note: Note::default(),
        locale: Language::English,
        role: Role::User,
        status: UserStatus::Pending,
        address: "192.0.2.1".to_owned(),
        device: "Firefox on Linux".to_owned(),
    }
}

fn new_challenge(now: Instant) -> Challenge {
    Challenge {
        id: ChallengeId::new(&Clock::system(), &Entropy::system()),
        key_id: "0011aabb".to_owned(),
        email: EmailAddress::parse("ada@example.com").unwrap(),
        name: DisplayName::default(),
        note: Note::default(),
        locale: Language::German,
        next: Some("/account".to_owned()),
        flow_digest: Some(Digest::of(b"flow")),
        address: "192.0.2.1".to_owned(),
        device: "curl".to_owned(),
        attempts: 0,
        created_at: now,
        expires_at: now + TimeDelta::minutes(10),
        consumed_at: None,
    }
}

fn new_session(user: &User, token: &[u8], now: Instant) -> Session {
    Session {
        id: SessionId::new(&Clock::system(), &Entropy::system()),
        user_id: user.id,
        token_digest: Some(Digest::of(token)),
        method: "otp".to_owned(),
        address: "192.0.2.1".to_owned(),
        device: "curl".to_owned(),
        version: 1,
        created_at: now,
        updated_at: now,
        last_seen_at: now,
        expires_at: now + TimeDelta::days(30),
        revoked_at: None,
    }
}

fn new_mail(now: Instant) -> NewMail {
    NewMail {
        id: MailId::new(&Clock::system(), &Entropy::system()),
        kind: MailKind::CodeAndLink,
        recipient: EmailAddress::parse("ada@example.com").unwrap(),
        locale: Language::English,
        content: "{}".to_owned(),
        challenge_id: None,
        priority: 0,
        message_id: "x@example.com".to_owned(),
        created_at: now,
        next_attempt_at: now,
        fold: None,
        expires_at: now + TimeDelta::minutes(10),
        queued_until: now + TimeDelta::seconds(2),
    }
}

fn sweep_at(now: Instant) -> SweepOrder {
    SweepOrder { now, reclaims: true, max_attempts: 3, priorities: vec![0, 1, 2, 3], queued_until: now, limit: 100 }
}

fn ended(id: MailId, fence: i64, status: MailStatus) -> MailEnd {
    MailEnd { id, fence, status, next_attempt_at: None, error: None, uncounted: false }
}

/// Compiles each test once for either backend. `$pool` is where connections that may write come from, `$q` the
/// backend's queries, `$database` the database itself, migrated and empty.
macro_rules! on_both_databases {
    ($(async fn $name:ident($database:ident, $pool:ident, $q:ident) $body:block)+) => {
        mod on_postgres {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[allow(unused_variables, reason = "not every test needs both")]
                async fn $name() {
                    #[allow(unused_imports, reason = "not every test asks a query")]
                    use gatepost::store::postgres as $q;
                    let home = Postgres::migrated().await;
                    let url = DatabaseUrl::Postgres(Redacted::new(home.url.clone()));
                    let $database = Database::connect(&settings(url)).await.unwrap();
                    $database.migrate().await.unwrap();
                    let Database::Postgres { pool: $pool, .. } = &$database else { panic!("not Postgres") };
                    $body
                }
            )+
        }
        mod on_sqlite {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[allow(unused_variables, reason = "not every test needs both")]
                async fn $name() {
                    #[allow(unused_imports, reason = "not every test asks a query")]
                    use gatepost::store::sqlite as $q;
                    let home = tempfile::tempdir().unwrap();
                    let url = DatabaseUrl::Sqlite(home.path().join("gatepost.db"));
                    let $database = Database::connect(&settings(url)).await.unwrap();
                    $database.migrate().await.unwrap();
                    let Database::Sqlite { writer: $pool, .. } = &$database else { panic!("not SQLite") };
                    $body
                }
            )+
        }
    };
}

mod outbox_admin;
mod people;

on_both_databases! {
    async fn migrations_run_once_and_are_then_current(database, pool, q) {
        assert!(database.is_migrated().await.unwrap());
        assert!(database.migrate().await.unwrap().is_empty());
    }

    async fn the_clock_is_set_by_the_databases(database, pool, q) {
        let clock = Clock::system();
        database.align(&clock).await.unwrap();
        assert!((clock.now() - now()).abs() < TimeDelta::seconds(5));
    }

    async fn a_user_is_found_by_every_spelling_of_its_address(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let made = q::users::insert(&mut conn, &new_user("Ada@Example.com"), now()).await.unwrap();
        let spelled = EmailAddress::parse("ADA@example.COM").unwrap();
        assert_eq!(q::users::by_email(&mut conn, &spelled).await.unwrap(), Some(made.clone()));
        assert_eq!(q::users::by_id(&mut conn, made.id).await.unwrap().unwrap().email.as_str(), "Ada@example.com");
        let again = q::users::insert(&mut conn, &new_user("ada@example.com"), now()).await;
        assert!(matches!(again, Err(StoreError::Taken(name)) if name.contains("email")));
    }

    async fn every_write_bumps_the_version(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let start = now();
        let made = q::users::insert(&mut conn, &new_user("ada@example.com"), start).await.unwrap();
        assert_eq!((made.version, made.updated_at), (1, start));
        let later = start + TimeDelta::seconds(1);
        let change = ProfileChange {
            name: Some(DisplayName::parse("Countess").unwrap()),
            username: Some(Some(Username::parse("ada").unwrap())),
            ..ProfileChange::default()
        };
        let changed = q::users::update_profile(&mut conn, made.id, &change, later).await.unwrap().unwrap();
        assert_eq!((changed.version, changed.updated_at, changed.name.as_str()), (2, later, "Countess"));
        let approved =
            q::users::set_standing(&mut conn, made.id, UserStatus::Approved, Role::Admin, later).await.unwrap().unwrap();
        assert_eq!((approved.version, approved.role), (3, Role::Admin));
        q::users::set_password_hash(&mut conn, made.id, "hash", later).await.unwrap();
        assert_eq!(q::users::record_sign_in(&mut conn, made.id, later).await.unwrap().version, 5);
        let removed = ProfileChange { username: Some(None), ..ProfileChange::default() };
        let bare = q::users::update_profile(&mut conn, made.id, &removed, later).await.unwrap().unwrap();
        assert_eq!((bare.username, bare.name.as_str()), (None, "Countess"));
    }

    async fn lists_filter_search_and_page(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let mut ids = Vec::new();
        for number in 0..5 {
            let user = q::users::insert(&mut conn, &new_user(&format!("p_{number}@example.com")), now()).await.unwrap();
            ids.push(user.id);
        }
        q::users::set_standing(&mut conn, ids[0], UserStatus::Approved, Role::User, now()).await.unwrap();
        ids.sort();
        ids.reverse();
        let all = UserFilter::default();
        let page = q::users::list(&mut conn, &all, 2).await.unwrap();
        assert_eq!(page.iter().map(|user| user.id).collect::<Vec<_>>(), ids[..2]);
        let next = UserFilter { before: Some(page[1].id), ..UserFilter::default() };
        assert_eq!(q::users::list(&mut conn, &next, 10).await.unwrap().len(), 3);
        let waiting = UserFilter { status: Some(UserStatus::Pending), ..UserFilter::default() };
        assert_eq!(q::users::list(&mut conn, &waiting, 10).await.unwrap().len(), 4);
        for (search, found) in [("P_3@", 1), ("ada", 5), ("p%", 0), ("px3", 0), ("nobody", 0)] {
            let filter = UserFilter { search: Some(search.to_owned()), ..UserFilter::default() };
            assert_eq!(q::users::list(&mut conn, &filter, 10).await.unwrap().len(), found, "{search}");
        }
    }

    async fn a_challenge_takes_five_guesses_however_many_come_at_once(database, pool, q) {
        let challenge = new_challenge(now());
        q::challenges::insert(&mut pool.get().await.unwrap(), &challenge).await.unwrap();
        let mut guesses = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let (pool, id) = (pool.clone(), challenge.id);
            guesses.spawn(async move {
                q::challenges::count_guess(&mut pool.get().await.unwrap(), id, 5, now()).await.unwrap().is_some()
            });
        }
        assert_eq!(guesses.join_all().await.into_iter().filter(|counted| *counted).count(), 5);
    }

    async fn a_challenge_is_consumed_once(database, pool, q) {
        let challenge = new_challenge(now());
        q::challenges::insert(&mut pool.get().await.unwrap(), &challenge).await.unwrap();
        let mut answers = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (pool, id) = (pool.clone(), challenge.id);
            answers.spawn(async move {
                q::challenges::consume(&mut pool.get().await.unwrap(), id, now()).await.unwrap().is_some()
            });
        }
        assert_eq!(answers.join_all().await.into_iter().filter(|first| *first).count(), 1);
        let mut conn = pool.get().await.unwrap();
        assert!(q::challenges::count_guess(&mut conn, challenge.id, 5, now()).await.unwrap().is_none());
    }

    async fn an_expired_challenge_takes_nothing(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let challenge = new_challenge(now());
        q::challenges::insert(&mut conn, &challenge).await.unwrap();
        let end = challenge.expires_at;
        assert!(q::challenges::count_guess(&mut conn, challenge.id, 5, end).await.unwrap().is_none());
        assert!(q::challenges::consume(&mut conn, challenge.id, end).await.unwrap().is_none());
        assert_eq!(q::challenges::prune(&mut conn, end + TimeDelta::seconds(1)).await.unwrap(), 1);
        assert!(q::challenges::by_id(&mut conn, challenge.id).await.unwrap().is_none());
    }

    async fn a_guess_budget_is_spent_refunded_and_renewed(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let (start, hour) = (now(), TimeDelta::hours(1));
        let rule = GuessRule { allowed: 3, at_once: 3, window: hour };
        for _ in 0..3 {
            assert!(q::guess_budgets::spend(&mut conn, "code:x", &rule, start).await.unwrap());
        }
        assert!(!q::guess_budgets::spend(&mut conn, "code:x", &rule, start).await.unwrap());
        assert!(q::guess_budgets::spend(&mut conn, "code:y", &rule, start).await.unwrap());
        q::guess_budgets::refund(&mut conn, "code:x").await.unwrap();
        assert!(q::guess_budgets::spend(&mut conn, "code:x", &rule, start).await.unwrap());
        assert!(!q::guess_budgets::spend(&mut conn, "code:x", &rule, start).await.unwrap());
        let stands = q::guess_budgets::by_subject(&mut conn, "code:x").await.unwrap().unwrap();
        assert_eq!((stands.failures, stands.window_started_at), (3, start));
        assert!(q::guess_budgets::spend(&mut conn, "code:x", &rule, start + hour).await.unwrap());
    }

    async fn the_database_counts_pauses_as_the_rule_does(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let rule = GuessRule { allowed: 100, at_once: 3, window: TimeDelta::hours(9) };
        let mut at = now();
        for failures in 0..16 {
            let pause = TimeDelta::milliseconds(rule.pause_ms(failures));
            if failures > 0 && pause > TimeDelta::zero() {
                let early = at + pause - TimeDelta::milliseconds(1);
                assert!(!q::guess_budgets::spend(&mut conn, "x", &rule, early).await.unwrap(), "{failures}");
            }
            at += pause;
            assert!(q::guess_budgets::spend(&mut conn, "x", &rule, at).await.unwrap(), "{failures}");
        }
        let stands = q::guess_budgets::by_subject(&mut conn, "x").await.unwrap().unwrap();
        assert_eq!((stands.failures, stands.guessed_at_ms), (16, at.timestamp_millis()));
    }

    async fn of_parallel_guesses_after_a_pause_one_is_taken(database, pool, q) {
        let rule = GuessRule { allowed: 100, at_once: 1, window: TimeDelta::hours(1) };
        let start = now();
        assert!(q::guess_budgets::spend(&mut pool.get().await.unwrap(), "x", &rule, start).await.unwrap());
        let mut guesses = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let pool = pool.clone();
            guesses.spawn(async move {
                let later = start + TimeDelta::seconds(1);
                q::guess_budgets::spend(&mut pool.get().await.unwrap(), "x", &rule, later).await.unwrap()
            });
        }
        assert_eq!(guesses.join_all().await.into_iter().filter(|taken| *taken).count(), 1);
    }

    async fn a_password_that_has_been_changed_is_not_renewed(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let ada = q::users::insert(&mut conn, &new_user("ada@example.com"), now()).await.unwrap();
        q::users::set_password_hash(&mut conn, ada.id, "changed", now()).await.unwrap();
        q::users::renew_password_hash(&mut conn, ada.id, "seen before", "renewed").await.unwrap();
        assert_eq!(q::users::password_hash(&mut conn, ada.id).await.unwrap().as_deref(), Some("changed"));
        q::users::renew_password_hash(&mut conn, ada.id, "changed", "renewed").await.unwrap();
        assert_eq!(q::users::password_hash(&mut conn, ada.id).await.unwrap().as_deref(), Some("renewed"));
    }

    async fn a_revoked_session_stays_revoked(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let start = now();
        let user = q::users::insert(&mut conn, &new_user("ada@example.com"), start).await.unwrap();
        let (one, two) = (new_session(&user, b"one", start), new_session(&user, b"two", start));
        q::sessions::insert(&mut conn, &one).await.unwrap();
        q::sessions::insert(&mut conn, &two).await.unwrap();
        assert_eq!(q::sessions::by_token(&mut conn, Digest::of(b"one")).await.unwrap(), Some(one.clone()));
        let stranger = UserId::new(&Clock::system(), &Entropy::system());
        assert!(q::sessions::revoke(&mut conn, stranger, one.id, start).await.unwrap().is_none());
        let ended = q::sessions::revoke(&mut conn, user.id, one.id, start).await.unwrap().unwrap();
        assert_eq!((ended.revoked_at, ended.version), (Some(start), 2));
        assert!(q::sessions::revoke(&mut conn, user.id, one.id, start).await.unwrap().is_none());
        q::sessions::touch(&mut conn, one.id, "192.0.2.2", start + TimeDelta::seconds(9)).await.unwrap();
        assert!(q::sessions::by_id(&mut conn, one.id).await.unwrap().unwrap().revoked_at.is_some());
        assert_eq!(q::sessions::open_of_user(&mut conn, user.id, start).await.unwrap(), vec![two.clone()]);
        assert!(q::sessions::revoke_all(&mut conn, user.id, Some(two.id), start).await.unwrap().is_empty());
        assert_eq!(q::sessions::revoke_all(&mut conn, user.id, None, start).await.unwrap().len(), 1);
    }

    async fn a_refresh_token_tells_its_first_use_from_the_next(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let start = now();
        let user = q::users::insert(&mut conn, &new_user("ada@example.com"), start).await.unwrap();
        let session = new_session(&user, b"one", start);
        q::sessions::insert(&mut conn, &session).await.unwrap();
        q::refresh_tokens::insert(&mut conn, Digest::of(b"r"), session.id, start).await.unwrap();
        let first = q::refresh_tokens::replace(&mut conn, Digest::of(b"r"), start).await.unwrap().unwrap();
        assert_eq!(first.replaced_at, None);
        let second = q::refresh_tokens::replace(&mut conn, Digest::of(b"r"), start + TimeDelta::hours(1)).await;
        assert_eq!(second.unwrap().unwrap().replaced_at, Some(start));
        assert!(q::refresh_tokens::replace(&mut conn, Digest::of(b"s"), start).await.unwrap().is_none());
    }

    async fn only_the_latest_fence_moves_a_mail(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let start = now();
        let mail = new_mail(start);
        q::outbox::insert(&mut conn, &mail).await.unwrap();
        let lease = start + TimeDelta::seconds(60);
        let claimed = q::dispatch::claim(&mut conn, &[mail.id, mail.id], start, lease).await.unwrap();
        assert_eq!(claimed.len(), 1);
        assert_eq!((claimed[0].attempts, claimed[0].fence, claimed[0].status), (1, 1, MailStatus::Sending));
        assert!(q::dispatch::claim(&mut conn, &[mail.id], start, lease).await.unwrap().is_empty());
        assert_eq!(q::dispatch::sweep(&mut conn, &sweep_at(lease)).await.unwrap().reclaimed, 1);
        let again = q::dispatch::claim(&mut conn, &[mail.id], lease, lease + TimeDelta::seconds(60)).await.unwrap();
        let late = [ended(mail.id, 1, MailStatus::Sent), ended(mail.id, 1, MailStatus::Ready)];
        assert!(q::dispatch::settle(&mut conn, &late, lease).await.unwrap().is_empty());
        let ends = [ended(mail.id, again[0].fence, MailStatus::Sent)];
        assert_eq!(q::dispatch::settle(&mut conn, &ends, lease).await.unwrap(), [mail.id]);
        let row = q::outbox_admin::by_id(&mut conn, mail.id).await.unwrap().unwrap();
        assert_eq!((row.status, row.finished_at, row.last_error), (MailStatus::Sent, Some(lease), None));
    }

    async fn an_expired_mail_is_not_claimed_and_ends_as_expired(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let mail = new_mail(now());
        q::outbox::insert(&mut conn, &mail).await.unwrap();
        let end = mail.expires_at;
        assert!(q::dispatch::claim(&mut conn, &[mail.id], end, end).await.unwrap().is_empty());
        assert_eq!(q::dispatch::sweep(&mut conn, &sweep_at(end)).await.unwrap().expired, 1);
        let row = q::outbox_admin::by_id(&mut conn, mail.id).await.unwrap().unwrap();
        assert_eq!(row.status, MailStatus::Expired);
    }

    async fn mails_end_each_in_its_own_way_in_one_statement(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let start = now();
        let mut ids = Vec::new();
        for _ in 0..4 {
            let mail = new_mail(start);
            q::outbox::insert(&mut conn, &mail).await.unwrap();
            ids.push(mail.id);
        }
        ids.sort();
        let lease = start + TimeDelta::seconds(60);
        assert_eq!(q::dispatch::claim(&mut conn, &ids, start, lease).await.unwrap().len(), 4);
        let later = start + TimeDelta::seconds(15);
        let ends = [
            ended(ids[0], 1, MailStatus::Sent),
            MailEnd { error: Some("550 no".to_owned()), ..ended(ids[1], 1, MailStatus::Dead) },
            MailEnd {
                next_attempt_at: Some(later),
                error: Some("450 later".to_owned()),
                ..ended(ids[2], 1, MailStatus::Ready)
            },
            MailEnd { next_attempt_at: Some(later), uncounted: true, ..ended(ids[3], 1, MailStatus::Ready) },
        ];
        let mut settled = q::dispatch::settle(&mut conn, &ends, start).await.unwrap();
        settled.sort();
        assert_eq!(settled, ids);
        let mut rows = Vec::new();
        for id in ids {
            let row = q::outbox_admin::by_id(&mut conn, id).await.unwrap().unwrap();
            assert_eq!(row.lease_until, None);
            rows.push((row.status, row.attempts, row.finished_at, row.next_attempt_at, row.last_error));
        }
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            rows,
            [
                (MailStatus::Sent, 1, Some(start), start, None),
                (MailStatus::Dead, 1, Some(start), start, text("550 no")),
                (MailStatus::Ready, 1, None, later, text("450 later")),
                (MailStatus::Ready, 0, None, later, None),
            ]
        );
    }

    async fn a_sweep_queues_what_is_due_most_urgent_first(database, pool, q) {
        let mut conn = pool.get().await.unwrap();
        let start = now();
        let mail = |priority, queued_until| NewMail { priority, queued_until, ..new_mail(start) };
        let (low, urgent) = (mail(3, start), mail(0, start));
        let (on_its_way, later) = (mail(0, start + TimeDelta::seconds(2)), new_mail(start));
        let later = NewMail { next_attempt_at: start + TimeDelta::seconds(9), queued_until: start, ..later };
        for mail in [&low, &urgent, &on_its_way, &later] {
            q::outbox::insert(&mut conn, mail).await.unwrap();
        }
        let order = SweepOrder { queued_until: start + TimeDelta::seconds(30), ..sweep_at(start) };
        let swept = q::dispatch::sweep(&mut conn, &order).await.unwrap();
        assert_eq!(swept.due, [(urgent.id, 0), (low.id, 3)]);
        assert!(q::dispatch::sweep(&mut conn, &order).await.unwrap().due.is_empty(), "they are in the queue now");
        let order = sweep_at(start + TimeDelta::seconds(30));
        let others = SweepOrder { priorities: vec![1, 2, 3], ..order.clone() };
        assert_eq!(q::dispatch::sweep(&mut conn, &others).await.unwrap().due, [(low.id, 3)]);
        assert_eq!(q::dispatch::sweep(&mut conn, &order).await.unwrap().due.len(), 4);
    }

    async fn who_waits_for_a_connection_has_it_before_those_who_come_later(database, pool, q) {
        let all = if database.backend() == "postgres" { POOL_SIZE } else { 1 };
        let mut held = Vec::new();
        for _ in 0..all {
            held.push(pool.get().await.unwrap());
        }
        let mut first = Box::pin(pool.get());
        assert!(poll!(first.as_mut()).is_pending());
        drop(held.pop());
        let mut later = Box::pin(pool.get());
        assert!(poll!(later.as_mut()).is_pending(), "it was the first one's turn");
        drop(first.await.unwrap());
        assert!(later.await.is_ok());
    }

    async fn a_transaction_that_fails_leaves_nothing(database, pool, q) {
        let user = new_user("ada@example.com");
        let mut conn = pool.get().await.unwrap();
        let outcome: Result<(), StoreError> = diesel_async::AsyncConnection::transaction(
            &mut *conn,
            async |conn: &mut q::Conn| {
                q::users::insert(conn, &user, now()).await?;
                Err(StoreError::Setup("on purpose".to_owned()))
            },
        )
        .await;
        assert!(outcome.is_err());
        assert!(q::users::by_id(&mut conn, user.id).await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_instances_that_start_at_once_migrate_once() {
    let home = Postgres::database().await;
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let url = DatabaseUrl::Postgres(Redacted::new(home.url.clone()));
        starts.spawn(async move { Database::connect(&settings(url)).await.unwrap().migrate().await.unwrap().len() });
    }
    let mut ran = starts.join_all().await;
    ran.sort_unstable();
    assert_eq!(ran[..5], [0; 5], "one of them runs all");
    assert!(ran[5] > 0);
}

#[tokio::test]
async fn urls_that_cannot_work_are_refused_with_a_reason() {
    let connect = async |url: &str| {
        let url = DatabaseUrl::Postgres(Redacted::new(url.to_owned()));
        match Database::connect(&settings(url)).await {
            Ok(_) => panic!("connected"),
            Err(error) => error.to_string(),
        }
    };
    assert!(connect("postgres://127.0.0.1/x?sslmode=verify-ca").await.contains("verify-full"));
    assert!(connect("postgres://127.0.0.1/x?sslrootcert=/nowhere&sslmode=verify-full").await.contains("/nowhere"));
    let port = support::free_port();
    assert!(connect(&format!("postgres://u:secretword@127.0.0.1:{port}/x")).await.contains("refused"));
}
