//! The mails that sign-ins, registrations and admins' decisions send.

use serde_json::json;

use crate::app::{CHROME, Challenge, FIREFOX, Mail, Options, ROOT, TestApp};

const ADA: &str = "ada@example.com";

/// As mails tell it.
fn in_words(at: chrono::DateTime<chrono::Utc>) -> String {
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}

/// Fails unless both forms of the mail say `text`.
fn assert_says(mail: &Mail, text: &str) {
    for form in [&mail.text, &mail.html] {
        assert!(form.contains(text), "no {text} in:\n{form}");
    }
}

/// Fails unless `email` has exactly this many mails once a later mail to somebody else has come.
async fn assert_mails(app: &TestApp, email: &str, count: usize) {
    // The queue is in order; with two workers one mail may overtake another, hardly two.
    for _ in 0..2 {
        app.challenge("later@example.com").await;
    }
    let subjects: Vec<_> = app.mails_to(email).await.into_iter().map(|mail| mail.subject).collect();
    assert_eq!(subjects.len(), count, "{subjects:?}");
}

on_both_setups! {
    async fn one_mail_carries_code_and_link(app: TestApp) {
        let before = app.now();
        let challenge = app.challenge_with(&app.browser_as(FIREFOX), ADA).await;
        let Challenge { mail, .. } = &challenge;
        let (left, right) = mail.code().split_at(3);
        assert_eq!(mail.subject, format!("{left} {right} is your Gatepost code"));
        assert_says(mail, mail.code());
        assert_says(mail, mail.link.as_deref().unwrap());
        assert_says(mail, "Firefox on Linux");
        assert_says(mail, "127.0.0.1");
        assert_says(mail, "10 minutes");
        let times = [in_words(before), in_words(app.now())];
        assert!(times.iter().any(|time| mail.text.contains(time) && mail.html.contains(time)), "{}", mail.text);
        assert_mails(&app, ADA, 1).await;
    }

    async fn without_links_a_mail_carries_the_code_alone(app: TestApp = Options::methods("otp")) {
        let challenge = app.challenge(ADA).await;
        assert_eq!(challenge.mail.link, None);
        for form in [&challenge.mail.text, &challenge.mail.html] {
            assert!(form.contains(challenge.code()) && !form.contains("/login/link"), "{form}");
        }
        app.verify(&challenge.id, challenge.code()).await.expect(200);
    }

    async fn without_codes_a_mail_carries_the_link_alone(app: TestApp = Options::methods("magic_link")) {
        app.program().post("/api/auth/magic-link/request", json!({ "email": ADA })).await.expect(202);
        let mail = app.sign_in_mail_to(ADA).await;
        assert_eq!((mail.code.as_deref(), mail.subject.as_str()), (None, "Your Gatepost sign-in link"));
        assert_says(&mail, mail.link.as_deref().unwrap());
        let body = json!({ "token": mail.token() });
        app.program().post("/api/auth/magic-link/verify", body).await.expect(200);
    }

    async fn the_products_name_is_the_operators(
        app: TestApp = Options::default().set("GATEPOST_AUTH_PRODUCT_NAME", "Acme & Söhne")
    ) {
        let mail = app.challenge(ADA).await.mail;
        assert!(mail.subject.ends_with("is your Acme & Söhne code"), "{}", mail.subject);
        assert!(mail.text.contains("Acme & Söhne") && mail.html.contains("Acme &amp; Söhne"), "{}", mail.html);
    }

    async fn mail_goes_to_the_address_as_it_was_written(app: TestApp) {
        app.request_code("Ada.Lovelace@Example.COM").await;
        let mail = app.sign_in_mail_to("Ada.Lovelace@example.com").await;
        assert_says(&mail, "Ada.Lovelace@example.com");
    }

    async fn every_admin_hears_of_a_registration(
        app: TestApp = Options::registration("approval").set("GATEPOST_ADMINS", format!("{ROOT},absent@example.com"))
    ) {
        app.invite("second@example.com").await;
        app.decide("second@example.com", "promote").await.expect(200);
        app.invite("nobody@example.com").await;
        let before = app.now();
        assert_eq!(app.register(ADA, "Ada Lovelace").await["status"], "pending_approval");
        let id = app.user_id(ADA).await;
        for admin in [ROOT, "second@example.com", "absent@example.com"] {
            let mail = app.mail_about(admin, "asks for").await;
            assert_eq!(mail.subject, format!("{ADA} asks for a Gatepost account"));
            for told in [ADA, "Ada Lovelace", "acme-cli", "127.0.0.1"] {
                assert_says(&mail, told);
            }
            assert!(mail.text.contains("It's me"), "{}", mail.text);
            assert_says(&mail, &format!("/admin/approvals/{id}"));
            let times = [in_words(before), in_words(app.now())];
            assert!(times.iter().any(|time| mail.text.contains(time)), "{}", mail.text);
        }
        // The invitation is all that others get, and nobody is told twice.
        assert_mails(&app, "nobody@example.com", 1).await;
        assert_mails(&app, "absent@example.com", 1).await;
    }

    async fn an_approved_person_is_told(app: TestApp = Options::registration("approval")) {
        app.register(ADA, "Ada Lovelace").await;
        let id = app.user_id(ADA).await;
        let body = json!({ "note": "Welcome <b>in</b>" });
        app.admin().await.post(&format!("/api/admin/users/{id}/approve"), body).await.expect(200);
        let mail = app.mail_about(ADA, "approved").await;
        assert_eq!(mail.subject, "Your Gatepost account is approved");
        assert_says(&mail, "http://gatepost.localhost/login");
        assert_says(&mail, "Ada Lovelace");
        assert!(mail.text.contains("Welcome <b>in</b>"), "{}", mail.text);
        assert!(!mail.html.contains("<b>in</b>") && mail.html.contains("Welcome &lt;b&gt;in"), "{}", mail.html);
        app.sign_in(ADA).await;
    }

    async fn a_rejected_person_is_told_and_a_banned_one_is_not(app: TestApp = Options::registration("approval")) {
        for (email, action, mails) in [(ADA, "reject", 2), ("ban@example.com", "ban", 1)] {
            app.register(email, "Somebody").await;
            app.decide(email, action).await.expect(200);
            assert_mails(&app, email, mails).await;
        }
        app.mail_about(ADA, "Your request for a Gatepost account").await;
    }

    async fn a_second_device_is_reported_and_the_first_is_not(app: TestApp) {
        app.sign_in_with(app.browser_as(FIREFOX), ADA).await;
        app.sign_in_with(app.browser_as(FIREFOX), ADA).await;
        app.sign_in_with(app.browser_as(CHROME), ADA).await;
        let mail = app.mail_about(ADA, "New sign-in").await;
        assert_eq!(mail.subject, "New sign-in to your Gatepost account");
        for told in ["Chrome on Windows", "127.0.0.1", "http://gatepost.localhost/account"] {
            assert_says(&mail, told);
        }
        app.sign_in_with(app.browser_as(CHROME), ADA).await;
        assert_mails(&app, ADA, 5).await;
    }
}

on_servers! {
    async fn what_an_instance_accepted_is_delivered_though_it_stops(app: TestApp = Options::without_limits()) {
        let stopping = app.beside().await;
        let readers: Vec<_> = (0..12).map(|n| format!("reader{n}@example.com")).collect();
        for reader in &readers {
            app.request_code_with(&stopping.program(), reader).await;
        }
        stopping.stop().await;
        for reader in &readers {
            let mail = app.sign_in_mail_to(reader).await;
            assert!(mail.code.is_some() && mail.link.is_some());
        }
    }

    async fn what_an_instance_accepted_and_cannot_send_another_sends(app: TestApp) {
        // No relay listens there.
        let stopping = app.beside_with(|options| options.set("SMTP_URL", "smtp://127.0.0.1:1")).await;
        let readers: Vec<_> = (0..6).map(|n| format!("reader{n}@example.com")).collect();
        for reader in &readers {
            app.request_code_with(&stopping.program(), reader).await;
        }
        stopping.stop().await;
        for reader in &readers {
            app.sign_in_mail_to(reader).await;
        }
        assert_eq!(app.mails().await.len(), readers.len());
    }
}
