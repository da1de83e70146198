//! What admins see of the mail, and how they steer it by the API.

use std::time::Duration;

use chrono::TimeDelta;
use gatepost::domain::{Clock, EmailAddress, Entropy, Language, MailContent, MailId};
use gatepost::store::{Database, NewMail};
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{HOUR, SOON, TestApp};
use crate::client::Client;
use crate::support::eventually;

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
const NOBODY: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Runs a query of the store on whichever database the server has.
macro_rules! query {
    ($app:expr, $module:ident::$query:ident($($argument:expr),* $(,)?)) => {
        match $app.store() {
            Database::Postgres { pool, .. } => {
                let mut conn = pool.get().await.expect("a connection");
                gatepost::store::postgres::$module::$query(&mut conn, $($argument),*).await.expect("an answer")
            }
            Database::Sqlite { writer, .. } => {
                let mut conn = writer.get().await.expect("a connection");
                gatepost::store::sqlite::$module::$query(&mut conn, $($argument),*).await.expect("an answer")
            }
        }
    };
}

/// The lines of the audit trail with this action: their details.
pub(crate) async fn audited(app: &TestApp, action: &str) -> Vec<String> {
    #[derive(diesel::QueryableByName)]
    struct Line {
        #[diesel(sql_type = diesel::sql_types::Text)]
        detail: String,
    }
    let lines = diesel::sql_query(format!("SELECT detail FROM audit WHERE action = '{action}' ORDER BY at, id"));
    let lines: Vec<Line> = match app.store() {
        Database::Postgres { pool, .. } => {
            diesel_async::RunQueryDsl::load(lines, &mut *pool.get().await.unwrap()).await.unwrap()
        }
        Database::Sqlite { writer, .. } => {
            diesel_async::RunQueryDsl::load(lines, &mut *writer.get().await.unwrap()).await.unwrap()
        }
    };
    lines.into_iter().map(|line| line.detail).collect()
}

/// Commits a mail that waits an hour for its attempt, and is of use for a day.
pub(crate) async fn waiting(app: &TestApp, email: &str, content: &MailContent) -> MailId {
    let now = app.now();
    let (id, later) = (MailId::new(&Clock::system(), &Entropy::system()), now + TimeDelta::hours(1));
    let mail = NewMail {
        id,
        kind: content.kind(),
        recipient: EmailAddress::parse(email).unwrap(),
        locale: Language::English,
        content: serde_json::to_string(content).unwrap(),
        challenge_id: None,
        priority: content.priority().number(),
        message_id: format!("{id}@example.com"),
        created_at: now,
        next_attempt_at: later,
        expires_at: now + TimeDelta::days(1),
        queued_until: later,
        fold: None,
    };
    query!(app, outbox::insert(&mail));
    id
}

pub(crate) fn approved() -> MailContent {
    MailContent::AccountApproved { name: "Ada".to_owned(), note: String::new() }
}

fn invitation() -> MailContent {
    MailContent::Invitation { inviter: "Root".to_owned(), name: "Ada".to_owned() }
}

/// A mail that was given up, as a relay's refusal leaves it.
pub(crate) async fn dead(app: &TestApp, email: &str, content: &MailContent) -> MailId {
    let id = waiting(app, email, content).await;
    query!(app, outbox_admin::bury(id, "550 5.1.1 <nobody> here", app.now())).expect("it waited");
    id
}

pub(crate) async fn show(admin: &Client, id: MailId) -> Value {
    admin.get(&format!("/api/admin/mail/{id}")).await.expect(200).json()
}

async fn act(admin: &Client, id: MailId, action: &str) -> crate::client::Answer {
    admin.post(&format!("/api/admin/mail/{id}/{action}"), json!({})).await
}

pub(crate) async fn stats(admin: &Client) -> Value {
    admin.get("/api/admin/mail/stats").await.expect(200).json()
}

pub(crate) async fn until_sent(admin: &Client, id: MailId) -> Value {
    eventually("the mail to be sent", SOON, async || {
        Some(show(admin, id).await).filter(|mail| mail["status"] == "sent")
    })
    .await
}

/// The ids in a list of mails, in its order.
pub(crate) fn ids(listed: &Value) -> Vec<String> {
    listed["mails"].as_array().expect("a list").iter().map(|mail| mail["id"].as_str().unwrap().to_owned()).collect()
}

/// Every route that steers, and a body that it takes.
fn routes(id: &str) -> Vec<(Method, String, Value)> {
    let (get, post) = (Method::GET, Method::POST);
    let route = |method: &Method, path: &str, body: Value| (method.clone(), format!("/api/admin/mail{path}"), body);
    vec![
        route(&get, "", json!({})),
        route(&get, "/stats", json!({})),
        route(&get, &format!("/{id}"), json!({})),
        route(&get, "/suppressions", json!({})),
        route(&post, &format!("/{id}/retry"), json!({})),
        route(&post, &format!("/{id}/bury"), json!({})),
        route(&post, "/retry", json!({ "status": "dead" })),
        route(&post, "/pause", json!({})),
        route(&post, "/resume", json!({})),
        route(&post, "/suppressions", json!({ "email": "new@example.com" })),
        route(&Method::DELETE, "/suppressions/bob@example.com", json!({})),
    ]
}

on_both_setups! {
    async fn only_admins_steer_the_mail_and_only_from_this_site(app: TestApp) {
        let id = waiting(&app, BOB, &approved()).await;
        let (user, admin) = (app.sign_in(ADA).await, app.admin().await);
        admin.post("/api/admin/mail/suppressions", json!({ "email": BOB })).await.expect(201);
        for (method, path, body) in routes(&id.to_string()) {
            for (client, status, code) in [(&user, 403, "forbidden"), (&app.program(), 401, "unauthorized")] {
                client.send(client.request(method.clone(), &path).json(&body)).await.expect_problem(status, code);
            }
            if !method.is_safe() {
                let elsewhere = admin.with_origin("https://evil.example");
                for client in [elsewhere, admin.without_origin()] {
                    client.send(client.request(method.clone(), &path).json(&body)).await.expect_problem(403, "cross_site");
                }
            }
        }
        assert_eq!(show(admin, id).await["status"], "ready");
        let after = stats(admin).await;
        assert_eq!((&after["paused"], &after["suppressed"]), (&json!(false), &json!(1)));
    }

    async fn the_mail_queue_is_shown_in_figures(app: TestApp) {
        let admin = app.admin().await;
        let before = eventually("the mail to the admin counts as sent", SOON, async || {
            Some(stats(admin).await).filter(|stats| stats["sent_last_hour"] == 1)
        })
        .await;
        let expected = json!({
            "queued": { "urgent": 0, "high": 0, "normal": 0, "low": 0 },
            "sending": 0, "scheduled": 0, "dead": 0, "sent_last_hour": 1, "oldest_age_ms": 0,
            "paused": false, "suppressed": 0,
        });
        assert_eq!(before, expected);
        for n in 0..3 {
            waiting(&app, &format!("w{n}@example.com"), &approved()).await;
        }
        for n in 0..2 {
            dead(&app, &format!("d{n}@example.com"), &invitation()).await;
        }
        let held = waiting(&app, BOB, &approved()).await;
        let later = app.now() + TimeDelta::hours(2);
        assert_eq!(query!(app, dispatch::claim(&[held], later, later)).len(), 1);
        admin.post("/api/admin/mail/suppressions", json!({ "email": BOB })).await.expect(201);
        let after = stats(admin).await;
        for (field, count) in [("scheduled", 3), ("dead", 2), ("sending", 1), ("suppressed", 1), ("sent_last_hour", 1)] {
            assert_eq!(after[field], count, "{field}: {after}");
        }
    }

    async fn a_mail_is_shown_without_what_it_says(app: TestApp) {
        let admin = app.admin().await;
        let code = app.challenge(ADA).await;
        let listed = admin.get("/api/admin/mail?kind=code_and_link&recipient=ADA@").await.expect(200);
        let row = listed.json()["mails"][0].clone();
        for (field, value) in [
            ("kind", json!("code_and_link")),
            ("recipient", json!(ADA)),
            ("locale", json!("en")),
            ("priority", json!("urgent")),
            ("attempts", json!(1)),
            ("last_error", Value::Null),
        ] {
            assert_eq!(row[field], value, "{field}");
        }
        assert!(row["message_id"].as_str().is_some_and(|id| id.starts_with(row["id"].as_str().unwrap())), "{row}");
        let fields: Vec<&String> = row.as_object().unwrap().keys().collect();
        assert_eq!(fields.len(), 13, "{fields:?}");
        for told in [code.code(), &code.id, "acme-cli", "challenge", "content", "127.0.0.1"] {
            assert!(!listed.body.contains(told), "{told} in {}", listed.body);
        }
        let id = row["id"].as_str().unwrap();
        let one = eventually("the same of the one mail", SOON, async || {
            let one = admin.get(&format!("/api/admin/mail/{id}")).await.expect(200).json();
            (one["status"] == "sent" && one["finished_at"].is_string()).then_some(one)
        })
        .await;
        assert_eq!(one["id"], row["id"]);
        for id in [NOBODY, "nonsense", "%00", "1"] {
            admin.get(&format!("/api/admin/mail/{id}")).await.expect_problem(404, "not_found");
        }
    }

    async fn the_list_is_filtered_and_comes_in_pages(app: TestApp) {
        let admin = app.admin().await;
        let mut made = Vec::new();
        for n in 0..4 {
            let email = format!("Pat_{n}@example.com");
            let content = if n % 2 == 0 { approved() } else { invitation() };
            made.push(dead(&app, &email, &content).await.to_string());
        }
        made.push(waiting(&app, BOB, &approved()).await.to_string());
        let list = async |query: &str| admin.get(&format!("/api/admin/mail{query}")).await.expect(200).json();
        let newest = |picked: &[usize]| -> Vec<String> { picked.iter().map(|n| made[*n].clone()).collect() };
        for (query, expected) in [
            ("?status=dead", newest(&[3, 2, 1, 0])),
            ("?status=ready", newest(&[4])),
            ("?status=dead&kind=invitation", newest(&[3, 1])),
            ("?kind=account_approved", newest(&[4, 2, 0])),
            ("?recipient=pat_", newest(&[3, 2, 1, 0])),
            ("?recipient=PAT_2", newest(&[2])),
            ("?recipient=p%25t", vec![]),
            ("?status=sending", vec![]),
        ] {
            assert_eq!(ids(&list(query).await), expected, "{query}");
        }
        for query in ["", "?status=all", "?status=", "?limit=0", "?limit=500", "?recipient=&kind="] {
            assert_eq!(ids(&list(query).await).len(), 6, "{query}");
        }
        let (mut cursor, mut found) = (String::new(), Vec::new());
        loop {
            let page = list(&format!("?status=dead&limit=3&cursor={cursor}")).await;
            found.push(ids(&page));
            let Some(next) = page["next_cursor"].as_str() else { break };
            next.clone_into(&mut cursor);
        }
        assert_eq!(found, [newest(&[3, 2, 1]), newest(&[0])]);
        let wrong = "/api/admin/mail?status=odd&kind=odd&recipient=%00&cursor=odd";
        let problem = admin.get(wrong).await.expect_wrong_fields(&["status", "kind", "recipient", "cursor"]);
        assert!(problem["errors"][1]["detail"].as_str().unwrap().contains("registration_notice"), "{problem}");
    }

    async fn a_dead_mail_is_tried_again_and_sent(app: TestApp) {
        let admin = app.admin().await;
        let id = dead(&app, ADA, &approved()).await;
        let before = show(admin, id).await;
        assert_eq!((&before["status"], &before["last_error"]), (&json!("dead"), &json!("550 5.1.1 <nobody> here")));
        let after = act(admin, id, "retry").await.expect(200).json();
        assert_eq!((&after["status"], &after["attempts"], &after["finished_at"]), (&json!("ready"), &json!(0), &Value::Null));
        let mail = app.mail_about(ADA, "approved").await;
        assert!(mail.text.contains("Ada"));
        assert_eq!(until_sent(admin, id).await["attempts"], 1);
        act(admin, id, "retry").await.expect_problem(409, "conflict");
        assert_eq!(audited(&app, "mail.retried").await, [format!("mail {id}")]);
    }

    async fn a_mail_that_waits_for_later_can_be_sent_at_once(app: TestApp) {
        let admin = app.admin().await;
        let id = waiting(&app, ADA, &approved()).await;
        assert_eq!(act(admin, id, "retry").await.expect(200).json()["status"], "ready");
        app.mail_about(ADA, "approved").await;
        until_sent(admin, id).await;
    }

    async fn a_mail_that_waits_can_be_given_up_and_taken_back(app: TestApp) {
        let admin = app.admin().await;
        let id = waiting(&app, ADA, &approved()).await;
        let after = act(admin, id, "bury").await.expect(200).json();
        assert_eq!((&after["status"], &after["last_error"]), (&json!("dead"), &json!("given up by an operator")));
        assert!(after["finished_at"].is_string());
        act(admin, id, "bury").await.expect_problem(409, "conflict");
        act(admin, id, "retry").await.expect(200);
        until_sent(admin, id).await;
        act(admin, id, "bury").await.expect_problem(409, "conflict");
        assert_eq!(audited(&app, "mail.buried").await, [format!("mail {id}")]);
    }

    async fn a_mail_in_a_workers_hands_is_left_alone(app: TestApp) {
        let admin = app.admin().await;
        let id = waiting(&app, ADA, &approved()).await;
        let later = app.now() + TimeDelta::hours(2);
        assert_eq!(query!(app, dispatch::claim(&[id], later, later)).len(), 1);
        for action in ["retry", "bury"] {
            let problem = act(admin, id, action).await.expect_problem(409, "conflict");
            assert!(problem["detail"].as_str().unwrap().contains("being sent"), "{problem}");
        }
        assert_eq!(show(admin, id).await["status"], "sending");
        for action in ["retry", "bury"] {
            for id in [NOBODY, "nonsense"] {
                admin.post(&format!("/api/admin/mail/{id}/{action}"), json!({})).await.expect_problem(404, "not_found");
            }
        }
    }

    async fn a_mail_that_has_expired_stays_where_it_is(app: TestApp) {
        let id = dead(&app, ADA, &approved()).await;
        app.advance(HOUR * 25);
        let admin = app.admin().await;
        let problem = act(admin, id, "retry").await.expect_problem(409, "mail_expired");
        assert!(problem["detail"].as_str().unwrap().contains("no use"), "{problem}");
        let body = json!({ "status": "dead" });
        let batch = admin.post("/api/admin/mail/retry", body).await.expect(200).json();
        assert_eq!(batch, json!({ "retried": 0, "suppressed": 0, "next_cursor": null }));
        assert_eq!(show(admin, id).await["status"], "dead");
        assert_eq!(audited(&app, "mail.retried").await, Vec::<String>::new());
    }

    async fn many_dead_mails_are_tried_again_at_once(app: TestApp) {
        let admin = app.admin().await;
        let retry = async |body: Value| admin.post("/api/admin/mail/retry", body).await;
        let (first, second) = (dead(&app, ADA, &approved()).await, dead(&app, BOB, &invitation()).await);
        let (third, stopped) =
            (dead(&app, "carol@example.com", &approved()).await, dead(&app, "Dan@example.com", &approved()).await);
        let lives = waiting(&app, "eve@example.com", &approved()).await;
        admin.post("/api/admin/mail/suppressions", json!({ "email": "dan@EXAMPLE.com" })).await.expect(201);
        let named = json!({ "status": "dead", "ids": [first, lives, NOBODY] });
        assert_eq!(retry(named).await.expect(200).json()["retried"], 1);
        let of_kind = json!({ "status": "dead", "kind": "invitation" });
        assert_eq!(retry(of_kind).await.expect(200).json()["retried"], 1);
        let all = retry(json!({ "status": "dead" })).await.expect(200).json();
        assert_eq!(all, json!({ "retried": 1, "suppressed": 1, "next_cursor": null }));
        for id in [first, second, third] {
            until_sent(admin, id).await;
        }
        assert_eq!(show(admin, stopped).await["status"], "dead");
        assert_eq!(show(admin, lives).await["status"], "ready");
        assert_eq!(audited(&app, "mail.retried").await.len(), 3);

        let wrong = json!({ "status": "sent", "kind": "odd", "ids": ["odd"], "cursor": "odd" });
        retry(wrong).await.expect_wrong_fields(&["status", "kind", "ids", "cursor"]);
        retry(json!({})).await.expect_wrong_fields(&["status"]);
        let too_many = vec![NOBODY; 501];
        retry(json!({ "status": "dead", "ids": too_many })).await.expect_wrong_fields(&["ids"]);
    }

    async fn sending_is_paused_and_resumed_once_each(app: TestApp) {
        let admin = app.admin().await;
        let switch = async |to: &str| admin.post(&format!("/api/admin/mail/{to}"), json!({})).await.expect(200).json();
        assert_eq!(switch("resume").await, json!({ "paused": false }));
        assert_eq!(audited(&app, "mail.resumed").await.len(), 0, "it was not paused");
        for _ in 0..2 {
            assert_eq!(switch("pause").await, json!({ "paused": true }));
            assert_eq!(stats(admin).await["paused"], true);
        }
        for _ in 0..2 {
            assert_eq!(switch("resume").await, json!({ "paused": false }));
            assert_eq!(stats(admin).await["paused"], false);
        }
        assert_eq!((audited(&app, "mail.paused").await.len(), audited(&app, "mail.resumed").await.len()), (1, 1));
    }

    async fn a_suppressed_mailbox_keeps_its_mails_dead_until_it_is_lifted(app: TestApp) {
        let admin = app.admin().await;
        let id = dead(&app, "Ada@example.com", &approved()).await;
        let body = json!({ "email": "ADA@Example.com", "reason": "bounce", "detail": "550 no such user", "days": 7 });
        let made = admin.post("/api/admin/mail/suppressions", body).await.expect(201).json();
        assert_eq!((&made["reason"], &made["detail"]), (&json!("bounce"), &json!("550 no such user")));
        let problem = act(admin, id, "retry").await.expect_problem(409, "suppressed");
        assert!(problem["detail"].as_str().unwrap().contains("Lift"), "{problem}");
        assert_eq!(show(admin, id).await["status"], "dead");
        admin.delete("/api/admin/mail/suppressions/ada@EXAMPLE.com").await.expect(204);
        act(admin, id, "retry").await.expect(200);
        until_sent(admin, id).await;
        assert_eq!(audited(&app, "suppression.added").await, ["ada@example.com, bounce for 7 days"]);
        assert_eq!(audited(&app, "suppression.lifted").await, ["ada@example.com"]);
    }

    async fn a_suppression_ends_by_itself(app: TestApp) {
        let id = dead(&app, ADA, &approved()).await;
        let admin = app.admin().await;
        let body = json!({ "email": ADA, "days": 1 });
        admin.post("/api/admin/mail/suppressions", body).await.expect(201);
        app.advance(HOUR * 23);
        act(admin, id, "retry").await.expect_problem(409, "suppressed");
        app.advance(HOUR + Duration::from_secs(1));
        assert_eq!(stats(admin).await["suppressed"], 0);
        let none = admin.get("/api/admin/mail/suppressions").await.expect(200).json();
        assert_eq!(none, json!({ "suppressions": [], "next_cursor": null }));
        admin.delete(&format!("/api/admin/mail/suppressions/{ADA}")).await.expect_problem(404, "not_found");
    }

    async fn suppressions_are_listed_by_address_in_pages(app: TestApp) {
        let admin = app.admin().await;
        let suppress = async |body: Value| admin.post("/api/admin/mail/suppressions", body).await;
        for email in ["c@example.com", "A+x/y@example.com", "b@example.com", "zoë@bücher.example"] {
            suppress(json!({ "email": email, "reason": "complaint" })).await.expect(201);
        }
        // Again, with other words: these count.
        suppress(json!({ "email": "B@example.com", "detail": "asked by phone" })).await.expect(201);
        let list = async |query: &str| {
            let page = admin.get(&format!("/api/admin/mail/suppressions{query}")).await.expect(200).json();
            let rows = page["suppressions"].as_array().unwrap().clone();
            (rows, page["next_cursor"].as_str().map(str::to_owned))
        };
        let (first, next) = list("?limit=3").await;
        let emails: Vec<&Value> = first.iter().map(|row| &row["email"]).collect();
        assert_eq!(emails, ["A+x/y@example.com", "B@example.com", "c@example.com"]);
        assert_eq!((&first[1]["reason"], &first[1]["detail"]), (&json!("manual"), &json!("asked by phone")));
        let (second, end) = list(&format!("?limit=3&cursor={}", next.unwrap())).await;
        assert_eq!((second.len(), second[0]["email"].as_str(), end), (1, Some("zoë@xn--bcher-kva.example"), None));

        admin.delete("/api/admin/mail/suppressions/a+x%2Fy@example.com").await.expect(204);
        admin.delete("/api/admin/mail/suppressions/zo%C3%AB@b%C3%BCcher.example").await.expect(204);
        assert_eq!(stats(admin).await["suppressed"], 2);
        for email in ["nobody@example.com", "nonsense", "%00"] {
            let path = format!("/api/admin/mail/suppressions/{email}");
            admin.delete(&path).await.expect_problem(404, "not_found");
        }
        let wrong = json!({ "email": "odd", "reason": "odd", "detail": "x".repeat(501), "days": 0 });
        suppress(wrong).await.expect_wrong_fields(&["email", "reason", "detail", "days"]);
        suppress(json!({ "email": ADA, "days": 3651 })).await.expect_wrong_fields(&["days"]);
        admin.get("/api/admin/mail/suppressions?cursor=%00").await.expect_wrong_fields(&["cursor"]);
    }
}
