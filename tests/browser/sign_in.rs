//! Signing in with a code.

use crate::site::Site;
use crate::visitor::Visitor;

const ANN: &str = "ann@example.com";

with_and_without_scripts! {
    async fn a_code_signs_in_and_leads_where_one_wanted_to_go(options: Options) {
        let site = Site::open().await;
        let ann = Visitor::to(&site, options).await;
        ann.open("/account?from=bookmark").await;
        ann.asks_to_sign_in_as(ANN).await;
        ann.reads(ANN).await;
        let code = site.mail(ANN, "code_and_link").await.code();
        assert!(code.contains(' '), "{code:?} is as one copies it from the mail");
        ann.enters(&format!(" {code} ")).await;
        ann.sees("Your account").await;
        assert_eq!(ann.place().await, "/account?from=bookmark");

        ann.open("/login").await;
        ann.sees("Your account").await;
        ann.leaves().await;
        site.close().await;
    }

    async fn a_wrong_code_is_told_and_the_right_one_still_works(options: Options) {
        let site = Site::open().await;
        let ann = Visitor::to(&site, options).await;
        ann.open("/login?next=/account%3Fhere").await;
        ann.asks_to_sign_in_as(ANN).await;
        let mail = site.mail(ANN, "code_and_link").await;
        ann.enters(&mail.another_code()).await;
        assert_eq!(ann.alert().await, "That code is not right. Use the one in the newest mail.");
        ann.sees("Check your mail").await;
        ann.reads(ANN).await;
        ann.is_in("code").await;
        ann.enters("12 34").await;
        ann.reads("Enter the six digits from the mail.").await;

        ann.press("Send it again").await;
        ann.reads("The mail is on its way again, with the same code.").await;
        ann.enters(&mail.code()).await;
        ann.sees("Your account").await;
        assert_eq!(ann.place().await, "/account?here");
        ann.leaves().await;
        site.close().await;
    }

    async fn a_burnt_code_offers_a_fresh_start(options: Options) {
        let site = Site::open().await;
        let ann = Visitor::to(&site, options).await;
        ann.open("/login").await;
        ann.asks_to_sign_in_as(ANN).await;
        let burnt = site.mail(ANN, "code_and_link").await;
        for _ in 1..5 {
            ann.enters(&burnt.another_code()).await;
            ann.alert().await;
            ann.sees("Check your mail").await;
        }
        ann.enters(&burnt.another_code()).await;
        ann.sees("This code no longer works").await;
        ann.press("Send a new code").await;
        ann.sees("Check your mail").await;
        let fresh = site.mail(ANN, "code_and_link").await;
        assert_ne!(fresh.code(), burnt.code());
        ann.enters(&fresh.code()).await;
        ann.sees("Your account").await;
        ann.leaves().await;
        site.close().await;
    }

    async fn an_address_that_is_none_is_told_at_its_field(options: Options) {
        let site = Site::with(&[("GATEPOST_LIMITS_OTP_REQUEST_EMAIL", "1/5m")]).await;
        let ann = Visitor::to(&site, options).await;
        ann.open("/login").await;
        // Good enough for the browser.
        ann.fill("E-mail address", "ann..b@example.com").await;
        ann.press("Continue with e-mail").await;
        assert!(ann.alert().await.contains("Enter an address like name@example.com."));
        assert_eq!(ann.value_of("E-mail address").await, "ann..b@example.com");
        ann.is_in("email").await;

        // One mail in five minutes is allowed here.
        ann.fill("E-mail address", ANN).await;
        ann.press("Continue with e-mail").await;
        ann.sees("Check your mail").await;
        ann.press("Use another address").await;
        ann.sees("Sign in to Gatepost").await;
        ann.fill("E-mail address", ANN).await;
        ann.press("Continue with e-mail").await;
        assert!(ann.alert().await.starts_with("Too many requests. Try again in"));
        ann.leaves().await;
        site.close().await;
    }
}
