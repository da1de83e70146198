//! What mails say.

use std::sync::Arc;

use chrono::TimeDelta;
use gatepost::domain::{
    ChallengeId, Instant, KeyRing, Language, MailContent, MailId, MailKind, MailStatus, Requested, SecurityEvent,
    UserId,
};
use gatepost::mail::{RenderError, Rendered};
use gatepost::settings::LoginMethods;
use gatepost::store::{Challenge, Mail, NewMail};
use uuid::Uuid;

use crate::rig::{PUBLIC_URL, Rig, renderer};

const BOTH: LoginMethods = LoginMethods { otp: true, magic_link: true, password: false };

fn at() -> Instant {
    "2026-11-21T13:30:00Z".parse().unwrap()
}

fn keys() -> Arc<KeyRing> {
    Arc::new(KeyRing::new(b"an example secret of 32 bytes...", &[]).unwrap())
}

fn requested() -> Requested {
    Requested { device: "Firefox on Linux".to_owned(), address: "192.0.2.7".to_owned(), at: at() }
}

fn challenge(keys: &KeyRing) -> Challenge {
    Challenge {
        id: ChallengeId(Uuid::from_u128(0x0193_4f00_0000_7000_8000_0000_0000_0001)),
        key_id: keys.current_id().as_str().to_owned(),
        email: "ann@example.org".parse().unwrap(),
        name: String::new().try_into().unwrap(),
        note: String::new().try_into().unwrap(),
        locale: Language::English,
        next: None,
        flow_digest: None,
        address: "192.0.2.7".to_owned(),
        device: "Firefox on Linux".to_owned(),
        attempts: 0,
        created_at: at(),
        expires_at: at() + TimeDelta::minutes(10),
        consumed_at: None,
    }
}

fn row(content: &MailContent) -> Mail {
    let id = MailId(Uuid::from_u128(0x0193_4f00_0000_7000_8000_0000_0000_0002));
    Mail {
        id,
        kind: content.kind().to_string(),
        recipient: "ann@example.org".to_owned(),
        locale: "en".to_owned(),
        content: serde_json::to_string(content).unwrap(),
        challenge_id: content.challenge_id(),
        priority: content.priority().number(),
        status: MailStatus::Sending,
        attempts: 1,
        fence: 1,
        message_id: format!("{id}@example.com"),
        created_at: at(),
        next_attempt_at: at(),
        queued_until: at(),
        lease_until: None,
        expires_at: at() + TimeDelta::minutes(10),
        finished_at: None,
        last_error: None,
        fold: None,
    }
}

fn render_with(content: &MailContent, methods: LoginMethods) -> Rendered {
    let keys = keys();
    renderer(&keys, methods).render(&row(content), content, Some(&challenge(&keys))).unwrap()
}

fn render(content: &MailContent) -> Rendered {
    render_with(content, BOTH)
}

fn sign_in() -> MailContent {
    MailContent::SignIn { challenge_id: challenge(&keys()).id, requested: requested(), deliver: true }
}

fn notice(email: &str, name: &str, note: &str) -> MailContent {
    MailContent::RegistrationNotice {
        user_id: UserId(Uuid::from_u128(7)),
        email: email.to_owned(),
        name: name.to_owned(),
        note: note.to_owned(),
        requested: requested(),
    }
}

fn one_of_each() -> Vec<MailContent> {
    vec![
        sign_in(),
        notice("bea@example.net", "Bea Ray", "I work in the library.\nSecond floor."),
        MailContent::AccountApproved { name: "Bea".to_owned(), note: "Welcome!".to_owned() },
        MailContent::Invitation { inviter: "Ann Lee".to_owned(), name: "Bea".to_owned() },
        MailContent::SecurityNotice { event: SecurityEvent::NewDevice, requested: requested() },
    ]
}

#[test]
fn every_kind_has_its_words() {
    for content in one_of_each() {
        let Rendered { subject, text, .. } = render(&content);
        insta::assert_snapshot!(content.kind().as_str(), format!("Subject: {subject}\n\n{text}"));
    }
    assert_eq!(one_of_each().len(), MailKind::ALL.len());
}

#[test]
fn every_kind_goes_without_the_names_and_notes_that_people_leave_out() {
    let bare = [
        notice("bea@example.net", "", ""),
        MailContent::AccountApproved { name: String::new(), note: String::new() },
        MailContent::Invitation { inviter: String::new(), name: String::new() },
    ];
    let events = SecurityEvent::ALL.iter().map(|&event| MailContent::SecurityNotice { event, requested: requested() });
    for content in bare.into_iter().chain(events) {
        let rendered = render(&content);
        assert!(rendered.text.contains("Sent to ann@example.org") && rendered.html.contains("ann@example.org"));
        assert!(!rendered.subject.is_empty() && !rendered.text.contains("Hello ,"));
    }
}

#[test]
fn a_sign_in_mail_holds_what_the_methods_allow() {
    for (otp, magic_link, has_code, has_link) in
        [(true, true, true, true), (true, false, true, false), (false, true, false, true), (false, false, true, false)]
    {
        let rendered = render_with(&sign_in(), LoginMethods { otp, magic_link, password: true });
        assert_eq!((rendered.code.is_some(), rendered.link.is_some()), (has_code, has_link));
        assert_eq!(rendered.text.contains("/login/link?token="), has_link);
        assert_eq!(rendered.html.contains("/login/link?token="), has_link);
        let code = keys().code(keys().current_id(), challenge(&keys()).id).unwrap();
        assert_eq!(rendered.text.contains(code.expose()), has_code);
        assert_eq!(rendered.html.contains(code.expose()), has_code);
        assert_eq!(rendered.subject.contains(&code.spaced()), has_code);
    }
}

#[test]
fn links_lead_to_the_public_url_only() {
    let html = render(&notice("bea@example.net", "", "")).html;
    assert!(html.contains(&format!("{PUBLIC_URL}/admin/approvals/00000000-0000-0000-0000-000000000007")));
    for content in one_of_each() {
        let Rendered { text, html, .. } = render(&content);
        for part in [text, html.replace("http://www.w3.org/", "").replace("urn:", "")] {
            for (index, _) in part.match_indices("://") {
                let from = part[..index].rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |at| at + 1);
                assert!(part[from..].starts_with(PUBLIC_URL), "{}", &part[from..from + 40]);
            }
        }
    }
}

#[test]
fn html_shows_what_people_wrote_and_runs_none_of_it() {
    let evil = "<script>alert(1)</script>\"'>\r\n<img src=x onerror=alert(1)>";
    let device = || Requested { device: evil.to_owned(), address: evil.to_owned(), at: at() };
    let contents = [
        notice(evil, evil, evil),
        MailContent::AccountApproved { name: evil.to_owned(), note: evil.to_owned() },
        MailContent::Invitation { inviter: evil.to_owned(), name: evil.to_owned() },
        MailContent::SecurityNotice { event: SecurityEvent::PasswordChanged, requested: device() },
        MailContent::SignIn { challenge_id: challenge(&keys()).id, requested: device(), deliver: true },
    ];
    for content in contents {
        let Rendered { subject, html, .. } = render(&content);
        assert!(!subject.contains(['\r', '\n']), "{subject:?}");
        assert!(html.contains("&lt;script&gt;alert(1)"), "{}", content.kind());
        assert!(!html.contains("<script") && !html.contains("<img"), "{}", content.kind());
    }
}

#[test]
fn a_challenge_under_an_unknown_key_is_not_mailed() {
    let (ours, content) = (keys(), sign_in());
    let theirs = KeyRing::new(b"another example secret, 32 bytes", &[]).unwrap();
    let failed = renderer(&ours, BOTH).render(&row(&content), &content, Some(&challenge(&theirs)));
    assert!(matches!(failed, Err(RenderError::UnknownKey)));
    let failed = renderer(&ours, BOTH).render(&row(&content), &content, None);
    assert!(matches!(failed, Err(RenderError::NoChallenge)));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_a_header_into_a_mail() {
    let rig = Rig::sqlite().await;
    let _worker = rig.worker_with(|settings| {
        settings.from.name = Some("Gate\r\nBcc: evil@example.com\r\n\r\nbody".to_owned());
    });
    let evil = "x@y.zz\r\nBcc: evil@example.com\r\n\r\n.\r\nMAIL FROM:<evil@example.com>\r\n";
    rig.accept_content(&notice(evil, evil, evil), "admin@example.org").await;
    let received = rig.sink.next_to("admin@example.org").await;
    assert_eq!(received.to, ["admin@example.org"]);
    assert_eq!(received.header("Bcc"), None);
    let raw = String::from_utf8(received.raw.clone()).unwrap();
    let (headers, body) = raw.split_once("\r\n\r\n").unwrap();
    assert!(!headers.contains("\nBcc") && headers.contains("\nMIME-Version"), "{headers}");
    assert!(body.starts_with("--=_"), "{body}");
    assert_eq!(
        received.subject(),
        format!("{} asks for a Gatepost account", evil.split_whitespace().collect::<Vec<_>>().join(" "))
    );
    assert!(received.text().unwrap().contains("Bcc: evil@example.com"), "it is text now");
    assert_eq!(rig.sink.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_on_the_wire_depends_on_its_row_alone() {
    let rig = Rig::sqlite().await;
    let moment = std::time::Instant::now();
    rig.clock.align(at(), moment, moment);
    let (challenge, content) = (challenge(&rig.keys), sign_in());
    query!(&rig.database, challenges::insert(&challenge));
    let row = row(&content);
    let mail = NewMail {
        id: row.id,
        kind: content.kind(),
        recipient: "ann@example.org".parse().unwrap(),
        locale: Language::English,
        content: row.content.clone(),
        challenge_id: row.challenge_id,
        priority: row.priority,
        message_id: row.message_id.clone(),
        created_at: row.created_at,
        next_attempt_at: row.created_at,
        fold: None,
        expires_at: row.expires_at,
        queued_until: row.queued_until,
    };
    query!(&rig.database, outbox::insert(&mail));
    rig.outbox.enqueue(&[mail]).await;
    let _worker = rig.worker();
    let received = rig.sink.next_to("ann@example.org").await;
    let raw = String::from_utf8(received.raw).unwrap().replace('\r', "");
    let (all_but_html, _) = raw.split_once("<!doctype html>").unwrap();
    insta::assert_snapshot!("wire", all_but_html);
}
