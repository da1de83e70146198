//! What is true of every page.

use fantoccini::Locator;
use serde_json::{Value, json};

use crate::site::{ADMIN, Site};
use crate::support::Options;
use crate::visitor::Visitor;

/// What is wrong with the page, as sentences.
const FAULTS: &str = r"
    const faults = [], all = selector => [...document.querySelectorAll(selector)];
    const wide = document.documentElement.scrollWidth - innerWidth;
    if (wide > 0) faults.push(`it is ${wide} pixels too wide`);
    if (all('h1').length !== 1) faults.push('it has no single h1');
    if (!document.title.includes('Gatepost')) faults.push(`its title is ${document.title}`);
    if (!document.documentElement.lang) faults.push('it has no language');
    const ids = all('[id]').map(element => element.id);
    if (new Set(ids).size !== ids.length) faults.push('an id occurs twice');
    for (const field of all('input:not([type=hidden], [hidden]), select, textarea'))
        if (!field.labels.length) faults.push(`${field.name} has no label`);
    for (const element of all('[aria-describedby], [aria-labelledby]'))
        for (const id of `${element.getAttribute('aria-describedby') || ''} ${element.getAttribute('aria-labelledby') || ''}`.split(' '))
            if (id && !document.getElementById(id)) faults.push(`#${id} is named and not there`);
    for (const element of all('button, .button, input:not([type=hidden], [hidden]), summary')) {
        const box = element.getBoundingClientRect();
        if (box.height && box.height < 43) faults.push(`${element.textContent.trim() || element.name} is too low for a finger`);
    }
    if (all('[style], style, script').length) faults.push('it has styles or scripts of its own');
    return faults;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_fits_a_phone_and_says_what_it_is() {
    let site = Site::with(&[("LOGIN_METHOD", "otp,magic_link,password")]).await;
    let visitor = Visitor::to(&site, Options::PHONE).await;
    let long = format!("{}@{}.example.com", "a".repeat(60), "b".repeat(60));
    visitor.open("/login").await;
    visitor.asks_to_sign_in_as(&long).await;
    is_sound(&visitor, "the code").await;
    visitor.open(&site.mail(&long, "code_and_link").await.link("/login/link")).await;
    is_sound(&visitor, "the link").await;
    let public = ["/login", "/register", "/pending", "/pending?status=rejected", "/signed-out", "/login/link?token=x"];
    for path in public.into_iter().chain(["/nothing-here", "/dev/mail"]) {
        visitor.open(path).await;
        is_sound(&visitor, path).await;
    }
    visitor.signs_in_as(&site, ADMIN).await;
    for path in
        ["/account", "/admin", "/admin?status=all", "/admin?status=banned&search=x", "/admin/audit", "/nothing-here"]
    {
        visitor.open(path).await;
        is_sound(&visitor, path).await;
    }
    visitor.leaves().await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_is_shown_as_its_reader_would_see_it() {
    let site = Site::open().await;
    let visitor = Visitor::to(&site, Options::DESKTOP).await;
    visitor.open("/dev/mail").await;
    visitor.reads("No mails yet").await;
    visitor.open("/login").await;
    visitor.asks_to_sign_in_as("ann@example.com").await;
    let mail = site.mail("ann@example.com", "code_and_link").await;
    visitor.open("/dev/mail").await;
    visitor.reads("is your Gatepost code").await;
    let browser = visitor.browser();
    browser.find(Locator::Css("iframe")).await.unwrap().enter_frame().await.unwrap();
    visitor.sees("Your sign-in code").await;
    let card = browser.find(Locator::Css(".card")).await.unwrap();
    assert_eq!(card.css_value("background-color").await.unwrap(), "rgba(255, 255, 255, 1)", "its styles apply");
    browser.enter_parent_frame().await.unwrap();
    visitor.press("Open the link").await;
    visitor.sees("Finish signing in").await;
    assert!(visitor.place().await.starts_with("/login/link?token="));
    assert!(mail.link("/login/link").ends_with(&visitor.place().await));
    visitor.leaves().await;
    site.close().await;
}

async fn is_sound(visitor: &Visitor, page: &str) {
    let faults: Value = visitor.measures(FAULTS).await;
    assert_eq!(faults, json!([]), "{page}");
}
