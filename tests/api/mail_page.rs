//! The mail on the admins' page, by its forms.

use serde_json::json;

use crate::client::{Answer, Client};
use crate::mail_steering::{approved, dead, show, stats, until_sent, waiting};
use crate::pages::Form;

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

/// Presses the button that posts there; gives the page that it leads to.
async fn press(admin: &Client, page: &Answer, action: &str) -> Answer {
    let answer = Form::of(page, action).submit(admin).await.expect(303);
    admin.page(answer.location()).await.expect_page(200)
}

on_both_setups! {
    async fn an_admin_stops_sending_and_lets_it_go_on(app: TestApp) {
        let admin = app.admin().await;
        let page = admin.page("/admin?status=approved").await.expect_page(200);
        assert!(!page.body.contains(">Stopped<") && !page.body.contains("Undeliverable mail") && !page.body.contains("Suppressed"));
        let page = press(admin, &page, "/admin/mail/pause").await;
        assert!(page.body.contains("Sending is stopped") && page.body.contains(">Stopped<"), "{}", page.body);
        assert!(page.body.contains("People who are approved"), "the admin is where the button was: {}", page.body);
        assert_eq!(stats(admin).await["paused"], true);
        let page = press(admin, &page, "/admin/mail/resume").await;
        assert!(page.body.contains("Mails are sent again") && !page.body.contains(">Stopped<"), "{}", page.body);
        assert_eq!(stats(admin).await["paused"], false);
    }

    async fn an_admin_tries_a_dead_mail_again_and_lifts_a_suppression(app: TestApp) {
        let admin = app.admin().await;
        let (ada, bob) = (dead(&app, ADA, &approved()).await, dead(&app, BOB, &approved()).await);
        waiting(&app, "carol@example.com", &approved()).await;
        let body = json!({ "email": BOB, "reason": "bounce", "detail": "5.1.1 <b>gone</b>" });
        admin.post("/api/admin/mail/suppressions", body).await.expect(201);
        let page = admin.page("/admin").await.expect_page(200);
        for told in ["550 5.1.1 &lt;nobody&gt; here", "5.1.1 &lt;b&gt;gone&lt;", "account approved", "bounce"] {
            assert!(page.body.contains(told), "{told} in {}", page.body);
        }
        assert!(!page.body.contains("carol@example.com"));

        let page = press(admin, &page, &format!("/admin/mail/{ada}/retry")).await;
        assert!(page.body.contains("on its way again") && !page.body.contains(ADA), "{}", page.body);
        until_sent(admin, ada).await;
        let page = press(admin, &page, &format!("/admin/mail/{bob}/retry")).await;
        assert!(page.body.contains("is suppressed. Lift that first."), "{}", page.body);
        assert_eq!(show(admin, bob).await["status"], "dead");

        let page = press(admin, &page, "/admin/mail/suppressions/lift").await;
        assert!(page.body.contains("gets mail again") && !page.body.contains("Suppressed mailboxes"), "{}", page.body);
        press(admin, &page, &format!("/admin/mail/{bob}/retry")).await;
        until_sent(admin, bob).await;
        let sent = admin.form(&format!("/admin/mail/{bob}/retry"), &[("return_to", "https://evil.example/")]).await;
        assert_eq!(sent.expect(303).location(), "/admin?notice=mail-conflict");
    }

    async fn what_has_expired_has_no_button(app: TestApp) {
        let id = dead(&app, ADA, &approved()).await;
        app.advance(crate::app::HOUR * 25);
        let admin = app.admin().await;
        let page = admin.page("/admin").await.expect_page(200);
        assert!(page.body.contains(ADA) && page.body.contains("Expired"), "{}", page.body);
        assert!(!Form::has(&page, &format!("/admin/mail/{id}/retry")), "{}", page.body);
        let late = admin.form(&format!("/admin/mail/{id}/retry"), &[]).await.expect(303);
        assert_eq!(late.location(), "/admin?notice=mail-expired");
    }

    async fn the_buttons_are_for_admins_on_this_site(app: TestApp) {
        let id = dead(&app, ADA, &approved()).await;
        let (user, admin) = (app.sign_in(BOB).await, app.admin().await);
        let retry = format!("/admin/mail/{id}/retry");
        for path in ["/admin/mail/pause", "/admin/mail/resume", "/admin/mail/suppressions/lift", retry.as_str()] {
            user.form(path, &[("email", ADA)]).await.expect_page(403);
            admin.with_origin("https://evil.example").form(path, &[("email", ADA)]).await.expect_page(403);
            admin.without_origin().form(path, &[("email", ADA)]).await.expect_page(403);
        }
        assert_eq!(show(admin, id).await["status"], "dead");
        assert_eq!(stats(admin).await["paused"], false);
    }
}
