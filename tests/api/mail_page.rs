//! The mail on the admins' page, by its forms.

use serde_json::json;

use crate::client::Client;
use crate::mail_steering::{approved, dead, show, stats, until_sent, waiting};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

/// The forms of the page that post to this place: the values of their fields.
fn forms(page: &str, action: &str) -> Vec<Vec<(String, String)>> {
    let start = format!("<form method=\"post\" action=\"{action}\">");
    let value = |input: &str, name: &str| Some(input.split_once(&format!("{name}=\""))?.1.split('"').next()?.to_owned());
    let fields = |form: &str| {
        let inputs = form.split("<input ").skip(1);
        inputs.filter_map(|input| Some((value(input, "name")?, value(input, "value")?))).collect()
    };
    page.split(&start).skip(1).map(|form| fields(form.split("</form>").next().unwrap())).collect()
}

/// Presses the one button that posts there; gives the page that it leads to.
async fn press(admin: &Client, page: &str, action: &str) -> String {
    let mut found = forms(page, action);
    assert_eq!(found.len(), 1, "forms to {action} in {page}");
    let fields = found.remove(0);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = admin.form(action, &fields).await.expect(303);
    admin.page(answer.location()).await.expect_page(200).body
}

on_both_setups! {
    async fn an_admin_stops_sending_and_lets_it_go_on(app: TestApp) {
        let admin = app.admin().await;
        let page = admin.page("/admin?status=approved").await.expect_page(200).body;
        assert!(!page.contains(">Stopped<") && !page.contains("Undeliverable mail") && !page.contains("Suppressed"));
        let page = press(admin, &page, "/admin/mail/pause").await;
        assert!(page.contains("Sending is stopped") && page.contains(">Stopped<"), "{page}");
        assert!(page.contains("People who are approved"), "the admin is where the button was: {page}");
        assert_eq!(stats(admin).await["paused"], true);
        let page = press(admin, &page, "/admin/mail/resume").await;
        assert!(page.contains("Mails are sent again") && !page.contains(">Stopped<"), "{page}");
        assert_eq!(stats(admin).await["paused"], false);
    }

    async fn an_admin_tries_a_dead_mail_again_and_lifts_a_suppression(app: TestApp) {
        let admin = app.admin().await;
        let (ada, bob) = (dead(&app, ADA, &approved()).await, dead(&app, BOB, &approved()).await);
        waiting(&app, "carol@example.com", &approved()).await;
        let body = json!({ "email": BOB, "reason": "bounce", "detail": "5.1.1 <b>gone</b>" });
        admin.post("/api/admin/mail/suppressions", body).await.expect(201);
        let page = admin.page("/admin").await.expect_page(200).body;
        for told in ["550 5.1.1 &lt;nobody&gt; here", "5.1.1 &lt;b&gt;gone&lt;", "account approved", "bounce"] {
            assert!(page.contains(told), "{told} in {page}");
        }
        assert!(!page.contains("carol@example.com"));

        let page = press(admin, &page, &format!("/admin/mail/{ada}/retry")).await;
        assert!(page.contains("on its way again") && !page.contains(ADA), "{page}");
        until_sent(admin, ada).await;
        let page = press(admin, &page, &format!("/admin/mail/{bob}/retry")).await;
        assert!(page.contains("is suppressed. Lift that first."), "{page}");
        assert_eq!(show(admin, bob).await["status"], "dead");

        let page = press(admin, &page, "/admin/mail/suppressions/lift").await;
        assert!(page.contains("gets mail again") && !page.contains("Suppressed mailboxes"), "{page}");
        press(admin, &page, &format!("/admin/mail/{bob}/retry")).await;
        until_sent(admin, bob).await;
        let sent = admin.form(&format!("/admin/mail/{bob}/retry"), &[("return_to", "https://evil.example/")]).await;
        assert_eq!(sent.expect(303).location(), "/admin?notice=mail-conflict");
    }

    async fn what_has_expired_has_no_button(app: TestApp) {
        let id = dead(&app, ADA, &approved()).await;
        app.advance(crate::app::HOUR * 25);
        let admin = app.admin().await;
        let page = admin.page("/admin").await.expect_page(200).body;
        assert!(page.contains(ADA) && page.contains("Expired"), "{page}");
        assert!(forms(&page, &format!("/admin/mail/{id}/retry")).is_empty(), "{page}");
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
