//! The admins' list of people.

use crate::site::{ADMIN, Site};
use crate::visitor::Visitor;

const BOB: &str = "bob@example.com";

with_and_without_scripts! {
    async fn an_admin_invites_bans_and_forgives(options: Options) {
        let site = Site::with(&[]).await;
        let admin = Visitor::to(&site, options).await;
        admin.signs_in_as(&site, ADMIN).await;
        admin.press("Admin").await;
        admin.sees("People").await;
        admin.reads("Nothing to decide").await;
        admin.press("Invite someone").await;
        admin.fill("E-mail address", BOB).await;
        admin.press("Send invitation").await;
        admin.reads("The invitation is on its way.").await;
        assert!(site.mail(BOB, "invitation").await.text.contains("/login"));

        admin.reads(BOB).await;
        admin.press("Manage bob@example.com").await;
        admin.press("Ban and sign out").await;
        admin.reads("Banned, and signed out everywhere.").await;
        assert!(!admin.can_read(BOB).await, "the list is of those who are approved");
        admin.press("Banned").await;
        admin.reads(BOB).await;
        admin.press("Lift the ban").await;
        // It takes the place of what was said before.
        admin.reads("The ban is lifted.").await;
        assert!(!admin.can_read("signed out everywhere").await);
        admin.fill("Search", "nobody").await;
        admin.press("Search").await;
        admin.reads("Nobody matches “nobody”").await;
        admin.leaves().await;
        site.close().await;
    }
}
