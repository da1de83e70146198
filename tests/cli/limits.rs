//! `limits`: what is in force, where somebody stands, and a fresh start.

use crate::person::Person;
use crate::run::{gatepost, on, prepared};
use crate::setup::Setup;

const ANN: &str = "ann@example.com";

#[tokio::test]
async fn the_limits_in_force_are_listed_with_their_variables() {
    let text = gatepost(&["limits", "list"], &[("GATEPOST_LIMITS_LOGIN_EMAIL", "3/1h")]).await.done();
    for told in ["otp_request_email", "5/5m", "login_email", "3/1h", "GATEPOST_LIMITS_LOGIN_EMAIL"] {
        assert!(text.contains(told), "{told} in {text}");
    }
    let rows = gatepost(&["limits", "list", "--json"], &[]).await.json();
    let row = rows.iter().find(|row| row["policy"] == "request_address").expect("it is listed");
    assert_eq!((row["limit"].as_u64(), row["window"].as_u64()), (Some(30), Some(300)));
    assert_eq!(row["setting"], "limits.request_address");
}

#[tokio::test]
async fn an_operator_looks_somebody_up_and_gives_them_a_fresh_start() {
    let setup = Setup::on_servers().await.with(&[("GATEPOST_RATE_LIMITS", "on")]);
    let server = setup.start().await;
    Person::signed_in(&setup, &server, ANN).await;
    let show = ["limits", "show", "otp_request_email", ANN];
    let row = on(&setup, &[&show[..], &["--json"]].concat()).await.json().remove(0);
    assert_eq!((row["remaining"].as_u64(), row["limit"].as_u64()), (Some(4), Some(5)), "{row}");
    let text = on(&setup, &show).await.done();
    assert!(text.contains("4 of 5 left, may go on") && !text.contains(ANN), "{text}");
    let text = on(&setup, &["limits", "reset", "otp_request_email", ANN]).await.done();
    assert!(text.contains("on every server"), "{text}");
    let row = on(&setup, &[&show[..], &["--json"]].concat()).await.json().remove(0);
    assert_eq!(row["remaining"], 5);
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_told() {
    let setup = Setup::on_servers().await;
    prepared(&setup).await;
    let outcome = on(&setup, &["limits", "show", "nonsense", ANN]).await;
    assert!(outcome.failed_with(2).contains("limits list"));
    let outcome = on(&setup, &["limits", "reset", "request_address", ANN]).await;
    assert!(outcome.failed_with(2).contains("does not count by"));
    let embedded = Setup::embedded();
    prepared(&embedded).await;
    let outcome = on(&embedded, &["limits", "show", "otp_request_email", ANN]).await;
    assert!(outcome.failed_with(2).contains("REDIS_URL"));
}
