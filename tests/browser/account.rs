//! A person's own page.

use crate::SOON;
use crate::site::Site;
use crate::support::eventually;
use crate::visitor::Visitor;

const ANN: &str = "ann@example.com";
const FIREFOX: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";

with_and_without_scripts! {
    async fn a_person_changes_the_name_ends_another_session_and_signs_out(options: Options) {
        let site = Site::open().await;
        let ann = Visitor::to(&site, options).await;
        ann.signs_in_as(&site, ANN).await;

        ann.fill("Name", "Ann Example").await;
        ann.fill("Username", "no spaces!").await;
        ann.press("Save profile").await;
        assert!(ann.alert().await.starts_with("Username: "));
        assert_eq!(ann.value_of("Name").await, "Ann Example");
        ann.fill("Username", "ann.example").await;
        ann.press("Save profile").await;
        ann.reads("Your profile is saved.").await;
        assert_eq!(ann.value_of("Username").await, "ann.example");

        let elsewhere = site.sign_in_elsewhere(ANN, FIREFOX).await;
        assert!(site.accepts(&elsewhere).await);
        ann.open("/account").await;
        ann.reads("This device").await;
        ann.reads("Firefox on Windows").await;
        ann.press("Sign out Firefox on Windows").await;
        ann.reads("The device has been signed out.").await;
        assert!(!ann.can_read("Firefox on Windows").await);
        eventually("the device to be refused", SOON, async || (!site.accepts(&elsewhere).await).then_some(())).await;

        ann.press("Sign out").await;
        ann.sees("You’re signed out").await;
        assert!(!ann.is_signed_in().await);
        ann.open("/account").await;
        ann.sees("Sign in to Gatepost").await;
        ann.leaves().await;
        site.close().await;
    }
}
