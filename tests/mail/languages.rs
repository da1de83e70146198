//! The languages of mails, and the words that operators choose.

use std::path::Path;

use gatepost::domain::{Language, MailContent, MailKind, MailStatus, SignInForm};
use gatepost::mail::{Rendered, samples};

use crate::content::{all_contents, keys, render_in, row, sign_in};
use crate::rig::{Rig, renderer, try_renderer};

on_both! {
    a_digest_of_nobody_is_not_sent,
}

/// A directory of an operator's with one file in it.
fn directory(file: &str, text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    dir
}

/// The subject of an approval, with an operator's texts.
fn approval(dir: &Path, language: Language) -> String {
    let content = MailContent::AccountApproved { name: String::new(), note: String::new() };
    let facts = samples::facts(&content, keys().current_id()).unwrap();
    renderer(&keys(), Some(dir)).render(&row(&content, language), &content, &facts).unwrap().subject
}

fn refused(dir: &Path) -> String {
    try_renderer(&keys(), Some(dir)).unwrap_err().to_string()
}

#[test]
fn every_mail_speaks_every_language() {
    for &language in Language::ALL {
        let direction = if language == Language::Arabic { "rtl" } else { "ltr" };
        for content in all_contents() {
            let Rendered { subject, text, html, .. } = render_in(&content, language);
            assert!(html.contains(&format!("<html lang=\"{language}\" dir=\"{direction}\"")), "{html}");
            assert!(subject.contains("Gatepost") && text.contains("Gatepost") && html.contains("Gatepost"));
            for marks in [&subject, &text, &html] {
                assert!(!marks.contains(['\u{2068}', '\u{2069}']), "{} in {language}", content.kind());
            }
            let english = render_in(&content, Language::English);
            assert!(language == Language::English || subject != english.subject, "{} in {language}", content.kind());
        }
    }
}

#[test]
fn a_sign_in_in_every_language() {
    for &language in Language::ALL {
        let Rendered { subject, text, .. } = render_in(&sign_in(SignInForm::CodeAndLink), language);
        insta::assert_snapshot!(format!("code_and_link_{language}"), format!("Subject: {subject}\n\n{text}"));
    }
}

#[test]
fn every_sign_in_names_device_place_and_time_and_says_what_to_do() {
    for &language in Language::ALL {
        let words = std::fs::read_to_string(format!("templates/locales/{language}/mail.ftl")).unwrap();
        let said = |name: &str| {
            let line = words.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.unwrap_or_else(|| panic!("{name} in {language}")).to_owned()
        };
        for form in [SignInForm::Code, SignInForm::MagicLink, SignInForm::CodeAndLink] {
            let Rendered { text, html, .. } = render_in(&sign_in(form), language);
            // The time is 13:30 in every language, in whatever words.
            for fact in ["Firefox", "Linux", "192.0.2.7", "13:30", "UTC"] {
                assert!(text.contains(fact) && html.contains(fact), "{fact} for {form:?} in {language}: {text}");
            }
            for name in ["label-device", "label-address", "label-time", "requested-from", "not-you", "not-you-advice"] {
                let said = said(name);
                assert!(text.contains(&said) && html.contains(&said), "{name} for {form:?} in {language}: {text}");
            }
        }
    }
}

#[test]
fn where_arabic_runs_the_other_way_html_says_so() {
    let Rendered { subject, html, code, .. } = render_in(&sign_in(SignInForm::CodeAndLink), Language::Arabic);
    assert!(subject.contains(code.unwrap().expose()), "two groups of digits would swap their places: {subject}");
    assert!(html.contains("<bdi>Gatepost</bdi>") && html.contains("<bdi>192.0.2.7</bdi>"), "{html}");
    assert!(!html.contains("<title><bdi>") && html.contains("align=\"center\" dir=\"ltr\""), "{html}");
    let english = render_in(&sign_in(SignInForm::CodeAndLink), Language::English).html;
    assert!(english.contains("Sign in to Gatepost</a>"), "{english}");
}

#[test]
fn an_unknown_language_is_english() {
    let content = &samples::of(MailKind::NewDevice)[0];
    let facts = samples::facts(content, keys().current_id()).unwrap();
    for (locale, begins) in [("xx", "New sign-in"), ("", "New sign-in"), ("de-AT", "Neue Anmeldung")] {
        let mail = gatepost::store::Mail { locale: locale.to_owned(), ..row(content, Language::English) };
        let subject = renderer(&keys(), None).render(&mail, content, &facts).unwrap().subject;
        assert!(subject.starts_with(begins), "{locale}: {subject}");
    }
}

#[test]
fn a_template_and_a_text_of_the_operators_are_used() {
    let dir = directory("locales/de/mail.ftl", "approved-subject = Willkommen bei { $product }!\n");
    assert_eq!(approval(dir.path(), Language::German), "Willkommen bei Gatepost!");
    assert_eq!(approval(dir.path(), Language::English), "Your Gatepost account is approved");
    let dir = directory("mail/account_approved.subject.txt", "{{ t('approved-heading') }} ({{ product }})");
    assert_eq!(approval(dir.path(), Language::French), "Votre compte est approuvé (Gatepost)");
}

#[test]
fn a_text_that_a_language_lacks_is_read_in_english() {
    let dir = directory("locales/en/mail.ftl", "x-welcome = Welcome to { $product }\n");
    std::fs::create_dir(dir.path().join("mail")).unwrap();
    std::fs::write(dir.path().join("mail/account_approved.subject.txt"), "{{ t('x-welcome') }}").unwrap();
    for language in [Language::English, Language::Japanese, Language::Arabic] {
        assert_eq!(approval(dir.path(), language), "Welcome to Gatepost", "{language}");
    }
}

#[test]
fn what_would_fail_a_mail_stops_the_start_and_names_itself() {
    let error = refused(directory("mail/new_device.txt", "{{ t('new-devcie-text') }}").path());
    assert!(error.contains("new_device") && error.contains("new-devcie-text"), "{error}");
    let error = refused(directory("mail/account_rejected.html", "{{ nothing }}").path());
    assert!(error.contains("account_rejected.html"), "{error}");
    let error = refused(directory("locales/fr/mail.ftl", "digest-text = { $count } personnes\n").path());
    assert!(error.contains("registration_digest in fr") && error.contains("digest-text"), "{error}");
    let error = refused(directory("locales/es/mail.ftl", "digest-txt = nadie\n").path());
    assert!(error.contains("es/mail.ftl") && error.contains("digest-txt"), "{error}");
}

async fn a_digest_of_nobody_is_not_sent(rig: Rig) {
    let _worker = rig.worker();
    let digest = MailContent::RegistrationDigest { since: rig.clock.now() };
    let mail = rig.accept_content(&digest, "admin@example.org").await;
    rig.until(mail.id, MailStatus::Expired).await;
    assert_eq!(rig.sink.count(), 0);
}
