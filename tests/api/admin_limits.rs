//! The request limits in figures, and a fresh start for whoever has used one up.

use serde_json::{Value, json};

use crate::app::{Options, Setup, TestApp};
use crate::client::Client;
use crate::mail_steering::audited;

const ADA: &str = "ada@example.com";

async fn ask(app: &TestApp, email: &str) -> u16 {
    app.program().post("/api/auth/otp/request", json!({ "email": email })).await.status
}

/// The row of a policy.
fn row(figures: &Value, policy: &str) -> Value {
    let rows = figures["policies"].as_array().expect("a list");
    rows.iter().find(|row| row["policy"] == policy).unwrap_or_else(|| panic!("no {policy} in {figures}")).clone()
}

async fn standing(admin: &Client, policy: &str, subject: &str) -> Value {
    let path = format!("/api/admin/limits?policy={policy}&subject={subject}");
    admin.get(&path).await.expect(200).json()["subject"].clone()
}

on_both_setups! {
    async fn an_admin_sees_the_limits_in_figures(app: TestApp) {
        let admin = app.admin().await;
        for status in [202, 202, 202, 202, 202, 429] {
            assert_eq!(ask(&app, ADA).await, status);
        }
        let figures = admin.get("/api/admin/limits").await.expect(200).json();
        let decided_by = if app.setup == Setup::Servers { "redis" } else { "local" };
        assert_eq!((&figures["enabled"], &figures["decided_by"]), (&json!(true), &json!(decided_by)));
        assert_eq!((&figures["instances"], &figures["subject"]), (&json!(1), &Value::Null));
        assert_eq!(figures["policies"].as_array().unwrap().len(), 16);
        let email = row(&figures, "otp_request_email");
        assert_eq!((&email["limit"], &email["window"]), (&json!(5), &json!(300)));
        assert_eq!(email["setting"], "limits.otp_request_email");
        // The admin has signed in, too.
        assert_eq!((&email["allowed"], &email["denied"]), (&json!(6), &json!(1)));
        let (by_redis, locally) = if app.setup == Setup::Servers { (7, 0) } else { (0, 7) };
        assert_eq!((&email["decided_by_redis"], &email["decided_locally"]), (&json!(by_redis), &json!(locally)));
        assert_eq!(email["subjects"], 2);
        assert_eq!(row(&figures, "request_global")["allowed"], 6);
        assert_eq!(row(&figures, "request_global")["denied"], 0);
        assert!(row(&figures, "admin_address")["allowed"].as_u64() >= Some(1), "{figures}");
        assert_eq!((&figures["shield"]["burst"], &figures["shield"]["denied"]), (&json!(3000), &json!(0)));
    }

    async fn an_admin_looks_a_subject_up_and_gives_it_a_fresh_start(app: TestApp) {
        let admin = app.admin().await;
        for _ in 0..6 {
            ask(&app, ADA).await;
        }
        let found = standing(admin, "otp_request_email", "Ada%40Example.com").await;
        assert_eq!((&found["remaining"], &found["limit"]), (&json!(0), &json!(5)));
        assert!(found["retry_after"].as_u64() > Some(0), "{found}");
        let hash = found["subject"].as_str().unwrap();
        assert!(hash.len() == 32 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()), "{hash}");
        assert_eq!(standing(admin, "otp_request_email", hash).await["remaining"], 0, "looking counts nothing");

        let answer = admin.delete("/api/admin/limits/otp_request_email/ada@example.com").await.expect(200).json();
        assert_eq!(answer, json!({ "policy": "otp_request_email", "subject": hash, "everywhere": true }));
        assert_eq!(standing(admin, "otp_request_email", ADA).await["remaining"], 5);
        assert_eq!(ask(&app, ADA).await, 202);
        assert_eq!(audited(&app, "limit.reset").await, [format!("otp_request_email {hash}")]);
        // By address, in any spelling of it.
        let before = standing(admin, "request_address", "127.0.0.1").await;
        assert!(before["remaining"].as_u64() < Some(30), "{before}");
        admin.delete("/api/admin/limits/request_address/::ffff:127.0.0.1").await.expect(200);
        assert_eq!(standing(admin, "request_address", "127.0.0.1").await["remaining"], 30);
    }

    async fn what_no_policy_counts_by_cannot_be_named(app: TestApp) {
        let admin = app.admin().await;
        admin.delete("/api/admin/limits/nonsense/ada@example.com").await.expect_problem(404, "not_found");
        for (policy, subject) in [
            ("otp_request_email", "ada"),
            ("request_address", "ada@example.com"),
            ("request_network", "127.0.0.1"),
            ("request_global", "everything"),
        ] {
            admin.delete(&format!("/api/admin/limits/{policy}/{subject}")).await.expect_wrong_fields(&["subject"]);
            let path = format!("/api/admin/limits?policy={policy}&subject={subject}");
            admin.get(&path).await.expect_wrong_fields(&["subject"]);
        }
        admin.get("/api/admin/limits?policy=nonsense&subject=a").await.expect_wrong_fields(&["policy"]);
        admin.get("/api/admin/limits?policy=api_address").await.expect_wrong_fields(&["subject"]);
        assert_eq!(audited(&app, "limit.reset").await, Vec::<String>::new());
    }

    async fn the_limits_are_for_admins(app: TestApp) {
        let (user, nobody) = (app.sign_in("bob@example.com").await, app.program());
        let path = "/api/admin/limits/otp_request_email/ada@example.com";
        user.get("/api/admin/limits").await.expect_problem(403, "forbidden");
        user.delete(path).await.expect_problem(403, "forbidden");
        nobody.get("/api/admin/limits").await.expect_problem(401, "unauthorized");
        nobody.delete(path).await.expect_problem(401, "unauthorized");
        let fields = [("policy", "otp_request_email"), ("subject", ADA)];
        user.form("/admin/limits/reset", &fields).await.expect_page(403);
        let foreign = app.admin().await.with_origin("https://evil.example");
        foreign.form("/admin/limits/reset", &fields).await.expect_page(403);
    }

    async fn the_page_shows_the_limits_and_gives_a_fresh_start(app: TestApp) {
        let admin = app.admin().await;
        for _ in 0..6 {
            ask(&app, ADA).await;
        }
        let page = admin.page("/admin").await.expect_page(200);
        assert!(page.body.contains("otp_request_email (5/5m)"), "{}", page.body);
        assert!(page.body.contains("6 passed, 1 refused"), "{}", page.body);
        let fields = [("policy", "otp_request_email"), ("subject", ADA), ("return_to", "/admin?status=approved")];
        let answer = admin.form("/admin/limits/reset", &fields).await.expect(303);
        assert_eq!(answer.location(), "/admin?status=approved&notice=limit-reset");
        assert!(admin.page(answer.location()).await.body.contains("The whole limit is left again"));
        assert_eq!(ask(&app, ADA).await, 202);
        let unknown = admin.form("/admin/limits/reset", &[("policy", "api_address"), ("subject", ADA)]).await.expect(303);
        assert_eq!(unknown.location(), "/admin?notice=limit-unknown");
    }

    async fn the_metrics_tell_decisions_by_policy(app: TestApp) {
        for _ in 0..6 {
            ask(&app, ADA).await;
        }
        let text = app.program().get("/metrics").await.expect(200).body;
        let by = if app.setup == Setup::Servers { "redis" } else { "local" };
        for (outcome, count) in [("allowed", 5), ("denied", 1)] {
            let start = "gatepost_limiter_decisions_total{";
            let labels = [format!("by=\"{by}\""), format!("outcome=\"{outcome}\""), "policy=\"otp_request_email\"".to_owned()];
            let line = text.lines().find(|line| line.starts_with(start) && labels.iter().all(|label| line.contains(label)));
            assert!(line.is_some_and(|line| line.ends_with(&format!(" {count}"))), "{line:?}");
        }
        for line in ["gatepost_instances 1", "gatepost_shield_denied_total 0"] {
            assert!(text.lines().any(|told| told == line), "{line}");
        }
    }
}

on_servers! {
    async fn without_redis_the_admin_is_told_who_decides_and_that_only_this_server_forgets(
        app: TestApp = Options::default()
    ) {
        let admin = app.admin().await;
        for _ in 0..5 {
            ask(&app, ADA).await;
        }
        app.kill_redis().await;
        assert_eq!(ask(&app, ADA).await, 429);
        let figures = admin.get("/api/admin/limits").await.expect(200).json();
        assert_eq!(figures["decided_by"], "local");
        assert_eq!(standing(admin, "otp_request_email", ADA).await["told_by"], "local");
        let answer = admin.delete("/api/admin/limits/otp_request_email/ada@example.com").await.expect(200).json();
        assert_eq!(answer["everywhere"], false);
        assert_eq!(ask(&app, ADA).await, 202);
        assert!(admin.page("/admin").await.body.contains("Redis is away"));
    }
}
