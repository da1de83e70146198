//! Without a mouse.

use fantoccini::key::Key;

use crate::site::Site;
use crate::support::Options;
use crate::visitor::Visitor;

const ANN: &str = "ann@example.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_focus_is_where_one_types_and_moves_in_reading_order() {
    let (tab, enter) = (char::from(Key::Tab).to_string(), char::from(Key::Enter).to_string());
    let site = Site::open().await;
    let ann = Visitor::to(&site, Options::DESKTOP).await;
    ann.open("/login").await;
    ann.is_in("email").await;
    ann.types(&format!("{ANN}{enter}")).await;
    ann.sees("Check your mail").await;
    ann.is_in("code").await;
    for next in ["Sign in", "Send it again", "Use another address"] {
        ann.types(&tab).await;
        assert_eq!(ann.focus().await, next);
    }
    ann.types(&enter).await;
    ann.sees("Sign in to Gatepost").await;
    ann.is_in("email").await;
    ann.types(&format!("{ANN}{tab}")).await;
    assert_eq!(ann.focus().await, "Continue with e-mail");
    ann.types(&enter).await;
    ann.sees("Check your mail").await;
    ann.is_in("code").await;
    site.mail(ANN, "code_and_link").await;
    ann.types(&format!("{}{enter}", site.mail(ANN, "code_and_link").await.code())).await;
    ann.sees("Your account").await;

    ann.types(&tab).await;
    assert_eq!(ann.focus().await, "Skip to the content");
    ann.types(&enter).await;
    ann.types(&tab).await;
    ann.is_in("name").await;
    let outline = ann.measures("return getComputedStyle(document.activeElement).outlineStyle").await;
    assert_eq!(outline, "solid", "the focus can be seen");
    ann.leaves().await;
    site.close().await;
}
