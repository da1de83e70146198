//! The audit trail: what leaves a line, what a line says, and that it stays.

use chrono::TimeDelta;
use diesel_async::RunQueryDsl;
use gatepost::domain::{AuditId, Clock, Entropy};
use gatepost::store::{AuditEntry, Database};
use serde_json::{Value, json};

use crate::app::{CHROME, DAY, MINUTE, Options, ROOT, SOON, TestApp};
use crate::pages::Form;
use crate::support::eventually;

const ADA: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// The lines that fit, newest first.
async fn lines(app: &TestApp, query: &str) -> Vec<Value> {
    let answer = app.admin().await.get(&format!("/api/admin/audit?limit=200&{query}")).await.expect(200).json();
    answer["entries"].as_array().unwrap().clone()
}

/// The actions of lines, oldest first.
fn actions(lines: &[Value]) -> Vec<&str> {
    lines.iter().rev().map(|line| line["action"].as_str().unwrap()).collect()
}

/// Waits until there are so many lines of this action.
async fn until_lines(app: &TestApp, action: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} lines of {action}"), SOON, async || {
        let found = lines(app, &format!("action={action}")).await;
        (found.len() >= count).then_some(found)
    })
    .await
}

/// Runs a statement that has to fail, whatever the rules of the product's own queries are.
async fn refused(app: &TestApp, statement: &str) -> String {
    let query = diesel::sql_query(statement);
    let outcome = match app.store() {
        Database::Postgres { pool, .. } => query.execute(&mut *pool.get().await.unwrap()).await,
        Database::Sqlite { writer, .. } => query.execute(&mut *writer.get().await.unwrap()).await,
    };
    outcome.expect_err("the trail is append-only").to_string()
}

/// Puts a line into the trail that is so old.
async fn old_line(app: &TestApp, age: TimeDelta) {
    let at = app.now() - age;
    let entry = AuditEntry {
        id: AuditId::new(&Clock::system(), &Entropy::system()),
        at,
        action: "session.ended".to_owned(),
        actor: None,
        subject: None,
        address: String::new(),
        device: String::new(),
        detail: format!("{} days old", age.num_days()),
        times: 1,
    };
    match app.store() {
        Database::Postgres { pool, .. } => {
            gatepost::store::postgres::audit::insert(&mut pool.get().await.unwrap(), &entry).await.unwrap();
        }
        Database::Sqlite { writer, .. } => {
            gatepost::store::sqlite::audit::insert(&mut writer.get().await.unwrap(), &entry).await.unwrap();
        }
    }
}

on_both_setups! {
    async fn the_life_of_an_account_is_told(app: TestApp = Options::registration("approval").unlimited()) {
        app.register(ADA, "Ada").await;
        app.decide(ADA, "approve").await.expect(200);
        let browser = app.sign_in(ADA).await;
        let other = app.sign_in_with(app.browser_as(CHROME), ADA).await;
        let change = json!({ "name": "Ada L.", "username": "ada" });
        browser.put("/api/profile", change).await.expect(200);
        other.post("/api/auth/logout", json!({})).await.expect(204);
        browser.delete("/api/sessions").await.expect(200);
        for action in ["promote", "demote", "ban"] {
            app.decide(ADA, action).await.expect(200);
        }
        assert_eq!(app.register(ADA, "Ada").await["status"], "rejected");
        app.decide(ADA, "unban").await.expect(200);

        let told = lines(&app, &format!("subject={ADA}")).await;
        assert_eq!(actions(&told), [
            "user.registered", "user.approve", "session.started", "session.started", "user.profile_changed",
            "user.username_changed", "session.ended", "session.others_ended", "user.promote", "user.demote", "user.ban",
            "session.all_ended", "sign_in.refused", "user.unban",
        ]);
        let of = |action: &str| told.iter().rev().find(|line| line["action"] == action).unwrap();
        let started = of("session.started");
        assert!(started["detail"].as_str().unwrap().ends_with(" by otp"), "{started}");
        assert_eq!((&started["device"], &started["address"], &started["times"]),
            (&json!("Firefox on Linux"), &json!("127.0.0.1"), &json!(1)));
        assert_eq!((&started["actor_email"], &started["subject_email"]), (&json!(ADA), &json!(ADA)));
        assert_eq!(of("user.ban")["actor_email"], ROOT);
        assert_eq!((&of("session.all_ended")["actor_email"], &of("session.all_ended")["detail"]), (&json!(ROOT), &json!("sessions: 1")));
        assert_eq!(of("user.profile_changed")["detail"], "name, username");
        assert_eq!(of("user.username_changed")["detail"], "from none to ada");
        assert_eq!(of("sign_in.refused")["detail"], "banned account, by otp");
    }

    async fn passwords_are_set_changed_and_failed(app: TestApp = Options::methods("otp,password").unlimited()) {
        let browser = app.sign_in(ADA).await;
        browser.post("/api/auth/change-password", json!({ "new": PASSWORD })).await.expect(204);
        let change = json!({ "current": PASSWORD, "new": "another horse battery staple" });
        browser.post("/api/auth/change-password", change).await.expect(204);
        let told = lines(&app, &format!("subject={ADA}")).await;
        let changes: Vec<_> = actions(&told).into_iter().filter(|action| action.starts_with("user.password")).collect();
        assert_eq!(changes, ["user.password_set", "user.password_changed"]);
        for email in [ADA, "nobody@example.com"] {
            let body = json!({ "email": email, "password": PASSWORD });
            app.program().post("/api/auth/login", body).await.expect_problem(401, "invalid_credentials");
        }
        let failed = until_lines(&app, "sign_in.failed", 2).await;
        let mut subjects: Vec<_> = failed.iter().map(|line| line["subject_email"].as_str().unwrap_or("-")).collect();
        subjects.sort_unstable();
        assert_eq!(subjects, ["-", ADA], "known and unknown leave the same lines");
        for line in &failed {
            let detail = line["detail"].as_str().unwrap();
            assert!(detail.starts_with("wrong password, mailbox ") && !detail.contains('@'), "{line}");
        }
        assert!(!format!("{told:?}{failed:?}").contains("battery"), "no secrets");
    }

    async fn wrong_codes_and_links_are_told_at_once_and_repeats_together(app: TestApp = Options::without_limits()) {
        app.invite(ADA).await;
        let challenge = app.challenge(ADA).await;
        app.verify(&challenge.id, &challenge.wrong_code(0)).await.expect(401);
        let first = until_lines(&app, "sign_in.failed", 1).await;
        assert_eq!((&first[0]["subject_email"], &first[0]["actor"], &first[0]["times"]), (&json!(ADA), &json!(null), &json!(1)));
        for n in 1..5 {
            app.verify(&challenge.id, &challenge.wrong_code(n)).await.expect(401);
        }
        let locked = until_lines(&app, "sign_in.locked", 1).await;
        assert!(locked[0]["detail"].as_str().unwrap().starts_with("the challenge has no guess left"), "{locked:?}");
        app.verify(&challenge.id, challenge.code()).await.expect(401);
        app.program().post("/api/auth/magic-link/verify", json!({ "token": "forged" })).await.expect(401);
        let token = challenge.mail.token();
        let forged = format!("{}{}", &token[..token.len() - 2], if token.ends_with("AA") { "BB" } else { "AA" });
        app.program().post("/api/auth/magic-link/verify", json!({ "token": forged })).await.expect(401);
        let found = until_lines(&app, "sign_in.failed", 3).await;
        let told = |kind: &str, of: &Value| {
            found.iter().any(|line| line["detail"].as_str().unwrap().starts_with(kind) && &line["subject_email"] == of)
        };
        // Whose challenge it was is known, also when it is over.
        assert!(told("code of a challenge that is not open", &json!(ADA)), "{found:?}");
        assert!(told("link that is not valid", &json!(ADA)), "{found:?}");
        app.advance(MINUTE);
        let found = until_lines(&app, "sign_in.failed", 4).await;
        let repeats: Vec<_> = found.iter().filter(|line| line["detail"].as_str().unwrap().starts_with("wrong code")).collect();
        assert_eq!((repeats.len(), &repeats[0]["times"]), (2, &json!(4)));
    }

    async fn nobody_changes_a_line_and_only_old_ones_go(app: TestApp) {
        app.sign_in(ADA).await;
        for days in [29, 31, 364, 366, 400] {
            old_line(&app, TimeDelta::days(days)).await;
        }
        for statement in [
            "UPDATE audit SET detail = 'nothing happened'",
            "UPDATE audit SET at = at WHERE action = 'session.ended'",
            "DELETE FROM audit WHERE action = 'session.started'",
            "DELETE FROM audit WHERE detail = '29 days old'",
        ] {
            let error = refused(&app, statement).await;
            assert!(error.contains("append-only"), "{statement}: {error}");
        }
        let before = lines(&app, "").await.len();
        assert_eq!(app.auth().prune_audit(DAY * 365).await.unwrap(), 2);
        assert_eq!(app.auth().prune_audit(DAY * 365).await.unwrap(), 0);
        assert_eq!(lines(&app, "").await.len(), before - 2);
        let mut kept: Vec<_> =
            lines(&app, "action=session.ended").await.iter().map(|line| line["detail"].as_str().unwrap().to_owned()).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["29 days old", "31 days old", "364 days old"]);
        assert!(app.auth().prune_audit(DAY).await.is_err(), "the database has the last word");
    }

    async fn a_page_leads_to_the_next_and_filters_narrow(app: TestApp = Options::without_limits()) {
        for n in 0..5 {
            app.sign_in(&format!("p{n}@example.com")).await;
        }
        let admin = app.admin().await;
        let all = lines(&app, "").await;
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = admin.get(&format!("/api/admin/audit?limit=3&cursor={cursor}")).await.expect(200).json();
            ids.extend(page["entries"].as_array().unwrap().iter().map(|line| line["id"].clone()));
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(ids, all.iter().map(|line| line["id"].clone()).collect::<Vec<_>>(), "each once, in order");
        let id = app.user_id("p1@example.com").await;
        for query in ["actor=p1@example.com".to_owned(), format!("actor={id}"), format!("subject={id}&actor={id}")] {
            let found = lines(&app, &query).await;
            assert_eq!(actions(&found), ["user.registered", "session.started"], "{query}");
        }
        assert_eq!(actions(&lines(&app, &format!("actor={id}&action=session.started")).await), ["session.started"]);
        assert!(lines(&app, "actor=nobody@example.com").await.is_empty());
        admin.get("/api/admin/audit?actor=x&subject=y&action=A%20B&cursor=z").await
            .expect_wrong_fields(&["actor", "subject", "action", "cursor"]);
    }

    async fn the_trail_is_for_admins(app: TestApp) {
        let user = app.sign_in(ADA).await;
        user.get("/api/admin/audit").await.expect_problem(403, "forbidden");
        user.page("/admin/audit").await.expect_page(403);
        app.program().get("/api/admin/audit").await.expect_problem(401, "unauthorized");
    }

    async fn an_admin_leafs_through_the_page(app: TestApp = Options::without_limits()) {
        for n in 0..30 {
            app.invite(&format!("p{n}@example.com")).await;
        }
        let admin = app.admin().await;
        let people = admin.page("/admin").await.expect_page(200);
        assert!(people.body.contains(r#"href="/admin/audit""#));
        let page = admin.page("/admin/audit?limit=20").await.expect_page(200);
        assert!(page.body.contains("session.started") && !page.body.contains("p0@example.com"), "{}", page.body);
        let next = page.body.split(r#"href="/admin/audit?cursor="#).nth(1).unwrap().split('"').next().unwrap();
        let older = admin.page(&format!("/admin/audit?cursor={next}")).await.expect_page(200);
        assert!(older.body.contains("p0@example.com") && !older.body.contains("Older lines"), "{}", older.body);
        assert!(Form::has(&page, "/admin/audit") && page.body.contains("<option>user.invited</option>"));
        let filtered = admin.page("/admin/audit?actor=&subject=p7%40example.com&action=user.invited").await.expect_page(200);
        assert!(filtered.body.contains("p7@example.com") && !filtered.body.contains("p8@example.com"), "{}", filtered.body);
        let wrong = admin.page("/admin/audit?actor=%3Cscript%3E").await.expect_page(400);
        assert!(wrong.body.contains("an account") && !wrong.body.contains("<script>"), "{}", wrong.body);
    }

    async fn other_settings_are_noted_once(app: TestApp) {
        let origin = gatepost::domain::Origin {
            address: [127, 0, 0, 1].into(),
            device: gatepost::domain::Device::describe(None),
        };
        let note = async |summary: &str| app.auth().note_settings(summary, &origin).await.unwrap();
        assert!(note("auth.registration = open").await);
        assert!(!note("auth.registration = open").await, "nothing has changed");
        assert!(note("auth.registration = closed").await && note("auth.registration = open").await);
        let details: Vec<_> =
            lines(&app, "action=server.settings_changed").await.iter().map(|line| line["detail"].clone()).collect();
        assert_eq!(details.len(), 3);
        assert_eq!(details[1], "auth.registration = closed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_last_is_written_when_the_server_stops() {
    let app = TestApp::start(crate::app::Setup::Servers, Options::without_limits()).await;
    let other = app.beside().await;
    let challenge = app.challenge(ADA).await;
    // The first is told at once, the second would wait for its minute.
    for n in 0..2 {
        app.verify(&challenge.id, &challenge.wrong_code(n)).await.expect(401);
        until_lines(&app, "sign_in.failed", 1).await;
    }
    app.stop().await;
    let found = until_lines(&other, "sign_in.failed", 2).await;
    assert_eq!(found.iter().map(|line| line["times"].as_i64().unwrap()).sum::<i64>(), 2);
}

#[test]
fn every_action_is_listed_and_explained() {
    fn visit(folder: &std::path::Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, text);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                text.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut source = String::new();
    visit(&root.join("src/auth"), &mut source);
    let docs = std::fs::read_to_string(root.join("docs/audit.md")).unwrap();
    let written = source.split("audit_entry(").skip(1).filter_map(|rest| {
        let action = rest.trim_start().strip_prefix('"')?.split('"').next()?;
        action.contains('.').then(|| action.to_owned())
    });
    let written: Vec<String> = written.collect();
    assert!(written.len() > 8, "{written:?}");
    for action in written.iter().map(String::as_str).chain(gatepost::auth::AUDIT_ACTIONS.iter().copied()) {
        assert!(gatepost::auth::AUDIT_ACTIONS.contains(&action), "{action} is not in AUDIT_ACTIONS");
        assert!(docs.contains(&format!("`{action}`")), "{action} is not in docs/audit.md");
    }
}
