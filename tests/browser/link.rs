//! Signing in with a link.

use crate::site::Site;
use crate::support::Options;
use crate::visitor::Visitor;

const ANN: &str = "ann@example.com";

with_and_without_scripts! {
    async fn a_link_signs_in_the_browser_that_asked(options: Options) {
        let site = Site::open().await;
        let ann = Visitor::to(&site, options).await;
        ann.open("/login?next=/account%3Fhere").await;
        ann.asks_to_sign_in_as(ANN).await;
        let link = site.mail(ANN, "code_and_link").await.link("/login/link");
        ann.open(&link).await;
        ann.sees("Finish signing in").await;
        assert!(!ann.is_signed_in().await, "to look at a link changes nothing");
        ann.press("Sign in as ann@example.com").await;
        ann.sees("Your account").await;
        assert_eq!(ann.place().await, "/account?here");

        ann.open(&link).await;
        ann.sees("This link no longer works").await;
        ann.leaves().await;
        site.close().await;
    }

    async fn a_link_in_another_browser_is_told_first_and_signs_in_that_browser_only(options: Options) {
        let site = Site::open().await;
        let asking = Visitor::to(&site, options).await;
        asking.open("/login").await;
        asking.asks_to_sign_in_as(ANN).await;
        let link = site.mail(ANN, "code_and_link").await.link("/login/link");

        let other = Visitor::to(&site, options).await;
        other.open(&link).await;
        other.sees("Check before you sign in").await;
        for told in ["Another browser asked for this link", ANN, "Chrome on Linux", "127.0.0.1"] {
            other.reads(told).await;
        }
        assert!(!other.is_signed_in().await, "to look at a link changes nothing");
        other.press("Sign in here as").await;
        other.sees("Your account").await;

        asking.open("/account").await;
        asking.sees("Sign in to Gatepost").await;
        assert!(!asking.is_signed_in().await);
        asking.leaves().await;
        other.leaves().await;
        site.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scanner_that_runs_scripts_and_follows_every_link_signs_nobody_in() {
    let site = Site::open().await;
    let ann = Visitor::to(&site, Options::DESKTOP).await;
    ann.open("/login").await;
    ann.asks_to_sign_in_as(ANN).await;
    let link = site.mail(ANN, "code_and_link").await.link("/login/link");

    let scanner = Visitor::to(&site, Options::DESKTOP).await;
    scanner.open(&link).await;
    scanner.sees("Check before you sign in").await;
    assert_eq!(scanner.measures("return document.scripts.length").await, 0, "nothing there could do it by itself");
    let linked = scanner.measures("return [...document.querySelectorAll('a[href]')].map(link => link.href)").await;
    let linked = linked.as_array().unwrap().iter().map(|href| href.as_str().unwrap());
    for href in linked.filter(|href| href.starts_with(&site.url)) {
        scanner.open(href).await;
    }
    scanner.open(&link).await;
    scanner.sees("Check before you sign in").await;
    assert!(!scanner.is_signed_in().await);

    ann.open(&link).await;
    ann.press("Sign in as ann@example.com").await;
    ann.sees("Your account").await;
    ann.leaves().await;
    scanner.leaves().await;
    site.close().await;
}
