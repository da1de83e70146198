//! `keys`: ids, and never a secret.

use std::collections::BTreeSet;

use crate::run::{gatepost, on};
use crate::setup::{Setup, joined};

const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

#[tokio::test]
async fn a_new_secret_is_made_and_nothing_else() {
    let setup = Setup::embedded();
    let made: BTreeSet<String> = [on(&setup, &["keys", "new"]).await.done(), on(&setup, &["keys", "new"]).await.done()]
        .map(|line| line.trim().to_owned())
        .into();
    assert_eq!(made.len(), 2, "each is another");
    assert!(made.iter().all(|secret| secret.len() == 44), "{made:?}");
    assert!(on(&setup, &["keys"]).await.failed_with(1).contains("no secret yet"));
}

#[tokio::test]
async fn the_keys_in_force_are_listed_by_id() {
    let setup = Setup::embedded();
    let environment = setup.environment();
    let made = on(&setup, &["keys", "new", "--json"]).await.json().remove(0);
    let [next, id] = ["secret", "id"].map(|name| made[name].as_str().unwrap());
    let secrets = [
        ("GATEPOST_SECRET", SECRET),
        ("GATEPOST_SECRET_NEXT", next),
        ("GATEPOST_SECRET_PREVIOUS", "an older one, hunter2-hunter2-hunter2"),
        ("GATEPOST_SECRET_PREVIOUS_2", "the oldest one, hunter2-hunter2-hunter2"),
    ];
    let listed = gatepost(&["keys", "--json"], &joined(&environment, &secrets)).await.json();
    let roles: Vec<_> = listed.iter().map(|row| row["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["current", "next", "previous", "previous"]);
    assert_eq!(listed[1]["id"], id, "the same secret has the same id everywhere");
    let text = gatepost(&["keys"], &joined(&environment, &secrets)).await.done();
    for row in &listed {
        assert!(text.contains(row["id"].as_str().unwrap()), "{text}");
    }
    assert!(!text.contains("hunter2") && !text.contains(next), "{text}");
}
