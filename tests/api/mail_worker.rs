//! What the mail worker makes of how the mail is steered.

use serde_json::json;

use crate::app::SOON;
use crate::mail_steering::{ids, show, stats};
use crate::support::eventually;

const ADA: &str = "ada@example.com";

on_both_setups! {
    async fn while_sending_is_paused_mails_wait_and_afterwards_they_go_out(app: TestApp) {
        let admin = app.admin().await;
        admin.post("/api/admin/mail/pause", json!({})).await.expect(200);
        let mut written = Vec::new();
        // Those that were accepted before the worker heard of it go out, so it is asked for more.
        eventually("a mail to wait for longer than any does", SOON, async || {
            let stats = stats(admin).await;
            if stats["queued"]["normal"] == 0 {
                written.push(format!("p{}@example.com", written.len()));
                app.invite(written.last().unwrap()).await;
            }
            (stats["oldest_age_ms"].as_i64()? >= 3000).then_some(())
        })
        .await;
        let waits = written.last().unwrap();
        assert!(app.mails_to(waits).await.is_empty());
        admin.post("/api/admin/mail/resume", json!({})).await.expect(200);
        app.mail_about(waits, "invited").await;
    }

    async fn a_mail_to_a_suppressed_mailbox_is_given_up_unsent(app: TestApp) {
        let admin = app.admin().await;
        let body = json!({ "email": ADA, "detail": "asked by phone" });
        admin.post("/api/admin/mail/suppressions", body).await.expect(201);
        app.invite("Ada@Example.com").await;
        let listed = admin.get("/api/admin/mail?recipient=ada@").await.expect(200).json();
        let id = ids(&listed).remove(0).parse().unwrap();
        let dead = eventually("the mail to be dead", SOON, async || {
            Some(show(admin, id).await).filter(|mail| mail["status"] == "dead")
        })
        .await;
        assert!(dead["last_error"].as_str().is_some_and(|why| !why.is_empty()), "{dead}");
        assert!(app.mails_to(ADA).await.is_empty());
    }
}
