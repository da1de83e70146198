//! `mail preview`: what a mail looks like, without a server.

use crate::run::{gatepost, gatepost_in};

#[tokio::test]
async fn an_example_is_made_with_the_operators_settings_and_needs_no_database() {
    let directory = tempfile::tempdir().unwrap();
    let settings = [("GATEPOST_AUTH_PRODUCT_NAME", "Acme"), ("GATEPOST_PUBLIC_URL", "http://127.0.0.1:9")];
    let preview = async |more: &[&str]| {
        let arguments = [&["mail", "preview", "account_approved"], more].concat();
        gatepost_in(directory.path(), &arguments, &settings).await.done()
    };
    assert_eq!(preview(&["--format", "subject"]).await, "Your Acme account is approved\n");
    assert_eq!(preview(&["--format", "subject", "--locale", "de"]).await, "Ihr Konto bei Acme ist freigegeben\n");
    let text = preview(&["--format", "text"]).await;
    assert!(text.contains("http://127.0.0.1:9/login") && !text.contains("<html"), "{text}");
    let all = preview(&[]).await;
    assert!(all.starts_with("Your Acme") && all.contains(text.trim_end()) && all.contains("</html>"), "{all}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was made");
    assert_eq!(preview(&["--format", "html", "--out", "mail.html"]).await, "");
    let html = std::fs::read_to_string(directory.path().join("mail.html")).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.contains("Acme"), "{html}");
}

#[tokio::test]
async fn the_operators_own_words_are_shown_or_what_is_wrong_with_them() {
    let directory = tempfile::tempdir().unwrap();
    let german = directory.path().join("locales/de");
    std::fs::create_dir_all(&german).unwrap();
    let dir = [("GATEPOST_TEMPLATES_DIR", directory.path().to_str().unwrap())];
    let arguments = ["mail", "preview", "code", "--locale", "de", "--format", "subject"];
    std::fs::write(german.join("mail.ftl"), "code-subject = Der Code: { $code_spaced }\n").unwrap();
    assert!(gatepost(&arguments, &dir).await.done().starts_with("Der Code: "));
    std::fs::write(german.join("mail.ftl"), "code-subject = Der Code: { $kode }\n").unwrap();
    let outcome = gatepost(&arguments, &dir).await;
    assert!(outcome.code == 1 && outcome.stderr.contains("code-subject"), "{outcome:?}");
}

#[tokio::test]
async fn an_unknown_kind_or_language_is_answered_with_the_known_ones() {
    let outcome = gatepost(&["mail", "preview", "sign_in"], &[]).await;
    assert!(outcome.code == 2 && outcome.stderr.contains("code, magic_link, code_and_link"), "{outcome:?}");
    let outcome = gatepost(&["mail", "preview", "code", "--locale", "tlh"], &[]).await;
    assert!(outcome.code == 2 && outcome.stderr.contains("en, de, fr, es, pt, ja, ar"), "{outcome:?}");
}

#[tokio::test]
async fn an_example_is_sent_to_see_whether_it_arrives() {
    let sink = crate::support::SmtpSink::start().await;
    let settings = [("SMTP_URL", sink.url()), ("MAIL_FROM", "Door <door@example.com>".to_owned())];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let arguments = ["mail", "test", "ann@example.org", "--kind", "invitation", "--locale", "de"];
    let said = gatepost(&arguments, &settings).await.done();
    assert!(said.contains("ann@example.org: 250 kept"), "{said}");
    let received = sink.next_to("ann@example.org").await;
    assert!(received.subject().starts_with("Sie sind"), "{}", received.subject());
    assert!(received.message_id().unwrap().ends_with("@example.com"));

    let refusal = crate::support::Fault::Reply { stage: crate::support::Stage::Rcpt, code: 550, text: "no such user" };
    sink.script(refusal);
    let outcome = gatepost(&arguments, &settings).await;
    assert!(outcome.code == 1 && outcome.stderr.contains("550 no such user"), "{outcome:?}");
    sink.go_down().await;
    let outcome = gatepost(&arguments, &settings).await;
    assert!(outcome.code == 1 && outcome.stderr.contains("cannot connect"), "{outcome:?}");
    let outcome = gatepost(&arguments, &[]).await;
    assert!(outcome.code == 1 && outcome.stderr.contains("SMTP_URL"), "{outcome:?}");
}
