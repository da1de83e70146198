//! Asking for an account, and being let in.

use crate::site::{ADMIN, Site};
use crate::visitor::Visitor;

const EVE: &str = "eve.adams@example.com";

with_and_without_scripts! {
    async fn a_person_asks_an_admin_approves_and_the_person_signs_in(options: Options) {
        let site = Site::with(&[]).await;
        let admin = Visitor::to(&site, options).await;
        admin.signs_in_as(&site, ADMIN).await;

        let eve = Visitor::to(&site, options).await;
        eve.open("/login").await;
        eve.press("Request an account").await;
        eve.sees("Request an account").await;
        eve.fill("E-mail address", EVE).await;
        eve.fill("Your name", "Eve Adams").await;
        eve.fill("Note to the administrator", "I sit next to Tom.").await;
        eve.press("Continue").await;
        eve.sees("Check your mail").await;
        eve.enters(&site.mail(EVE, "code_and_link").await.code()).await;
        eve.sees("Your request is waiting").await;
        assert!(!eve.is_signed_in().await);

        let notice = site.mail(ADMIN, "registration_notice").await;
        admin.open(&notice.link("/admin/approvals/")).await;
        admin.sees("Eve Adams").await;
        for told in [EVE, "I sit next to Tom.", "Chrome on Linux", "Pending"] {
            admin.reads(told).await;
        }
        admin.fill("Note", "Welcome, Eve.").await;
        admin.press("Approve").await;
        admin.reads("Approved. A mail tells them that they can sign in.").await;

        let told = site.mail(EVE, "account_approved").await;
        assert!(told.text.contains("Welcome, Eve."), "{}", told.text);
        eve.open(&told.link("/login")).await;
        eve.asks_to_sign_in_as(EVE).await;
        eve.enters(&site.mail(EVE, "code_and_link").await.code()).await;
        eve.sees("Your account").await;
        assert_eq!(eve.value_of("Name").await, "Eve Adams");
        eve.leaves().await;
        admin.leaves().await;
        site.close().await;
    }

    async fn what_is_missing_is_told_and_what_is_there_is_kept(options: Options) {
        let site = Site::open().await;
        let eve = Visitor::to(&site, options).await;
        eve.open("/register").await;
        eve.sees("Create an account").await;
        eve.is_in("email").await;
        eve.fill("E-mail address", EVE).await;
        // Good enough for the browser.
        eve.fill("Your name", " ").await;
        eve.press("Continue").await;
        assert!(eve.alert().await.contains("This is needed."));
        eve.is_in("name").await;
        assert_eq!(eve.value_of("E-mail address").await, EVE);
        eve.leaves().await;
        site.close().await;
    }
}
