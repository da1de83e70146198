//! What admins learn of registrations, and people of what became of theirs.

use serde_json::json;

use crate::app::{MINUTE, Options, ROOT, TestApp};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
const EVE: &str = "eve@example.com";

fn approval() -> Options {
    Options::registration("approval").unlimited()
}

/// How many mails the admin has about registrations.
async fn told(app: &TestApp) -> usize {
    app.mails_to(ROOT).await.iter().filter(|mail| mail.subject.contains(" account")).count()
}

on_both_setups! {
    async fn of_several_registrations_an_admin_gets_a_notice_and_a_digest(app: TestApp = approval()) {
        for email in [ADA, BOB, EVE] {
            app.register(email, "Somebody").await;
        }
        app.mail_about(ROOT, ADA).await;
        assert_eq!(told(&app).await, 1);
        app.advance(MINUTE * 10);
        let digest = app.mail_about(ROOT, "2 more people ask for a Gatepost account").await;
        assert!(digest.text.contains(BOB) && digest.text.contains(EVE) && !digest.text.contains(ADA), "{}", digest.text);
        for email in [BOB, EVE] {
            assert!(digest.text.contains(&format!("/admin/approvals/{}", app.user_id(email).await)));
        }
        assert!(digest.text.contains("/admin\n"), "{}", digest.text);
        assert_eq!(told(&app).await, 2);
    }

    async fn who_was_decided_about_is_in_no_digest(app: TestApp = approval()) {
        for email in [ADA, BOB, EVE] {
            app.register(email, "Somebody").await;
        }
        app.approve(BOB).await;
        app.advance(MINUTE * 10);
        let digest = app.mail_about(ROOT, "One more person asks for a Gatepost account").await;
        assert!(digest.text.contains(EVE) && !digest.text.contains(BOB), "{}", digest.text);
    }

    async fn a_quiet_while_later_the_next_notice_comes_at_once(app: TestApp = approval()) {
        app.register(ADA, "Ada").await;
        app.mail_about(ROOT, ADA).await;
        app.advance(MINUTE * 10);
        app.register(BOB, "Bob").await;
        app.mail_about(ROOT, BOB).await;
        assert_eq!(told(&app).await, 2);
    }

    async fn registrations_at_once_make_one_notice(app: TestApp = approval()) {
        let people = [ADA, BOB, EVE, "fay@example.com", "gus@example.com"];
        futures_util::future::join_all(people.map(|email| app.register(email, "Somebody"))).await;
        app.mail_about(ROOT, "asks for").await;
        app.advance(MINUTE * 10);
        let digest = app.mail_about(ROOT, "more people ask").await;
        let notice = app.mails_to(ROOT).await.remove(0);
        for email in people {
            assert!(digest.text.contains(email) || notice.text.contains(email), "{email} is in no mail");
        }
        assert_eq!(told(&app).await, 2);
    }

    async fn an_admin_who_never_signed_in_reads_english(app: TestApp = approval()) {
        let body = json!({ "email": ADA, "name": "Ada", "locale": "de" });
        let issued = app.program().post("/api/auth/register", body).await.expect(202).json();
        let mail = app.sign_in_mail_to(ADA).await;
        assert!(mail.subject.ends_with("ist Ihr Code für Gatepost"), "{}", mail.subject);
        app.verify(issued["challenge_id"].as_str().unwrap(), mail.code()).await.expect(200);
        assert_eq!(app.mail_about(ROOT, ADA).await.subject, format!("{ADA} asks for a Gatepost account"));
        app.approve(ADA).await;
        app.mail_about(ADA, "ist freigegeben").await;
    }

    async fn who_is_turned_down_is_told_why(app: TestApp = approval()) {
        app.register(ADA, "Ada").await;
        let path = format!("/api/admin/users/{}/reject", app.user_id(ADA).await);
        app.admin().await.post(&path, json!({ "note": "Please use your work address." })).await.expect(200);
        let mail = app.mail_about(ADA, "Your request for a Gatepost account").await;
        assert!(mail.text.contains("turned down") && mail.text.contains("> Please use your work address."), "{}", mail.text);
    }
}
