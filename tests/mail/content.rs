//! What mails say.

use std::sync::{Arc, LazyLock};

use chrono::TimeDelta;
use gatepost::domain::{
    ChallengeId, Instant, KeyRing, Language, MailContent, MailId, MailKind, Requested, SecurityEvent, SignInForm,
    UserId,
};
use gatepost::mail::{Facts, RenderError, Rendered, Renderer, samples};
use gatepost::store::{Challenge, Mail, NewMail};
use uuid::Uuid;

use crate::rig::{PUBLIC_URL, Rig, renderer};

const FORMS: [SignInForm; 3] = [SignInForm::Code, SignInForm::MagicLink, SignInForm::CodeAndLink];

fn at() -> Instant {
    "2026-11-21T13:30:00Z".parse().unwrap()
}

pub(crate) fn keys() -> Arc<KeyRing> {
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

pub(crate) fn row(content: &MailContent, language: Language) -> Mail {
    let id = MailId(Uuid::from_u128(0x0193_4f00_0000_7000_8000_0000_0000_0002));
    let row = samples::row(content, language).unwrap();
    let recipient = "ann@example.org".to_owned();
    Mail { id, recipient, message_id: format!("{id}@example.com"), ..row }
}

fn facts(content: &MailContent) -> Facts {
    samples::facts(content, keys().current_id()).unwrap()
}

pub(crate) fn render_in(content: &MailContent, language: Language) -> Rendered {
    static BUILT_IN: LazyLock<Renderer> = LazyLock::new(|| renderer(&keys(), None));
    BUILT_IN.render(&row(content, language), content, &facts(content)).unwrap()
}

fn render(content: &MailContent) -> Rendered {
    render_in(content, Language::English)
}

pub(crate) fn sign_in(form: SignInForm) -> MailContent {
    MailContent::SignIn { challenge_id: challenge(&keys()).id, form, requested: requested(), deliver: true }
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

/// Every text of every kind.
pub(crate) fn all_contents() -> impl Iterator<Item = MailContent> {
    MailKind::ALL.iter().flat_map(|&kind| samples::of(kind))
}

#[test]
fn every_kind_has_its_words() {
    for &kind in MailKind::ALL {
        let contents = samples::of(kind);
        let Rendered { subject, text, .. } = render(&contents[0]);
        assert_eq!(contents[0].kind(), kind);
        insta::assert_snapshot!(kind.as_str(), format!("Subject: {subject}\n\n{text}"));
    }
}

#[test]
fn every_kind_goes_without_the_names_and_notes_that_people_leave_out() {
    for content in all_contents() {
        let rendered = render(&content);
        assert!(rendered.text.contains("Sent to ann@example.org") && rendered.html.contains("ann@example.org"));
        assert!(!rendered.subject.is_empty() && !rendered.text.contains("Hello ,") && !rendered.text.contains("“”"));
        assert!(!rendered.text.contains("\n\n\n"), "{}:\n{}", content.kind(), rendered.text);
    }
}

#[test]
fn a_sign_in_mail_holds_what_its_form_says() {
    for form in FORMS {
        let (rendered, has_code, has_link) = (render(&sign_in(form)), form.has_code(), form.has_link());
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
    for content in all_contents() {
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
    let evil = "<script>alert(1)</script>\"'>\r\n<img src=x onerror=alert(1)>\u{2069}\u{2068}";
    let text = || evil.to_owned();
    let device = || Requested { device: text(), address: text(), at: at() };
    let contents = [
        notice(evil, evil, evil),
        MailContent::AccountApproved { name: text(), note: text() },
        MailContent::AccountRejected { name: text(), note: text() },
        MailContent::Invitation { inviter: text(), name: text() },
        MailContent::NewDevice { requested: device() },
        MailContent::AddressChanged { new_address_masked: text(), requested: device() },
        MailContent::SecurityNotice { event: SecurityEvent::PasswordChanged, requested: device() },
        MailContent::SignIn {
            challenge_id: challenge(&keys()).id,
            form: SignInForm::CodeAndLink,
            requested: device(),
            deliver: true,
        },
    ];
    for (content, &language) in contents.iter().flat_map(|content| Language::ALL.iter().map(move |l| (content, l))) {
        let Rendered { subject, html, .. } = render_in(content, language);
        assert!(!subject.contains(['\r', '\n']), "{subject:?}");
        assert!(html.contains("&lt;script&gt;alert(1)"), "{} in {language}", content.kind());
        assert!(!html.contains("<script") && !html.contains("<img"), "{} in {language}", content.kind());
        assert_eq!(html.matches("<bdi>").count(), html.matches("</bdi>").count(), "{} in {language}", content.kind());
    }
}

#[test]
fn a_mail_is_not_made_without_its_facts() {
    let (ours, content) = (keys(), sign_in(SignInForm::CodeAndLink));
    let theirs = KeyRing::new(b"another example secret, 32 bytes", &[]).unwrap();
    let render = |facts: Facts| renderer(&ours, None).render(&row(&content, Language::English), &content, &facts);
    let failed = render(Facts::Challenge(Box::new(challenge(&theirs))));
    assert!(matches!(failed, Err(RenderError::UnknownKey)));
    assert!(matches!(render(Facts::None), Err(RenderError::NoFacts)));
    let nobody = Facts::Applicants { newest: Vec::new(), total: 0 };
    assert!(matches!(render(nobody), Err(RenderError::NoFacts)));
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
    let (challenge, content) = (challenge(&rig.keys), sign_in(SignInForm::CodeAndLink));
    query!(&rig.database, challenges::insert(&challenge));
    let row = row(&content, Language::English);
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
