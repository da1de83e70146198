//! `doctor`: what it finds on servers that are well, that are away, and that are set up badly.

use serde_json::Value;

use crate::run::{Outcome, gatepost, gatepost_in, on, prepared};
use crate::setup::{Setup, joined};
use crate::support::free_port;

/// The findings about one thing.
fn about<'a>(found: &'a Value, check: &str) -> Vec<&'a Value> {
    found["checks"].as_array().expect("a list").iter().filter(|finding| finding["check"] == check).collect()
}

/// The one finding about a thing, which is of this level; what was found.
#[track_caller]
fn expect<'a>(found: &'a Value, check: &str, level: &str) -> &'a str {
    let finding = about(found, check).into_iter().find(|finding| finding["level"] == level);
    let finding = finding.unwrap_or_else(|| panic!("no {level} about {check} in {found:#}"));
    assert_eq!(finding["advice"].is_null(), level == "ok", "{finding}");
    finding["found"].as_str().expect("words")
}

/// What it found, although something does not work.
#[track_caller]
fn failed(outcome: &Outcome) -> Value {
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains("not work"), "{outcome:?}");
    serde_json::from_str(outcome.stdout.trim()).expect("one line of JSON")
}

#[tokio::test]
async fn before_the_first_start_all_is_well_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let bind = format!("127.0.0.1:{}", free_port());
    let text = gatepost_in(folder.path(), &["doctor"], &[("GATEPOST_BIND", &bind)]).await.done();
    for check in
        ["settings", "data", "secret", "time", "database", "redis", "mail", "address", "proxies", "cookies", "server"]
    {
        assert!(text.lines().any(|line| line.starts_with(&format!("ok    {check} "))), "{check} in {text}");
    }
    assert!(!text.contains("FAIL"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn beside_a_running_server_everything_it_stands_on_is_looked_at() {
    let setup = Setup::on_servers().await;
    let server = setup.start().await;
    let bind = format!("127.0.0.1:{}", server.port());
    let environment = setup.environment();
    let here = joined(&environment, &[("GATEPOST_BIND", &bind)]);
    let found = gatepost(&["doctor", "--json"], &here).await.json().remove(0);
    assert!(expect(&found, "database", "ok").starts_with("postgres answers in"));
    assert!(expect(&found, "redis", "ok").contains("is Redis 7"));
    assert!(expect(&found, "mail", "ok").contains("nothing was sent"));
    assert!(expect(&found, "server", "ok").contains(&bind));
    expect(&found, "data", "ok");
    expect(&found, "secret", "warn");
    assert_eq!(found["level"], "warn", "{found:#}");
    assert_eq!(setup.sink().messages().len(), 0);
}

#[tokio::test]
async fn what_is_away_is_told_and_fails() {
    let mut setup = Setup::on_servers().await;
    prepared(&setup).await;
    let redis = setup.servers().redis.url();
    setup.servers_mut().redis.kill();
    let [nobody, mail] = [free_port(), free_port()];
    let (database, mail) = (format!("postgres://ann:hunter2@127.0.0.1:{nobody}/x"), format!("smtp://127.0.0.1:{mail}"));
    let environment = setup.environment();
    let away = joined(&environment, &[("DATABASE_URL", &database), ("REDIS_URL", &redis), ("SMTP_URL", &mail)]);
    let outcome = gatepost(&["doctor", "--json"], &away).await;
    let found = failed(&outcome);
    assert!(expect(&found, "database", "fail").contains("cannot connect"));
    assert!(expect(&found, "redis", "fail").contains("nothing listens"));
    assert!(expect(&found, "mail", "fail").contains("cannot connect"));
    assert!(outcome.stderr.contains("3 things") && !outcome.stdout.contains("hunter2"), "{outcome:?}");
    // One relay that works is enough, and the other is told.
    let both = format!("{mail},{}", setup.sink().url());
    let environment = setup.environment();
    let partly = joined(&environment, &[("REDIS_URL", ""), ("SMTP_URL", &both)]);
    let found = gatepost(&["doctor", "--json"], &partly).await.json().remove(0);
    expect(&found, "mail", "ok");
    expect(&found, "mail", "warn");
}

#[tokio::test]
async fn a_redis_that_forgets_and_a_database_without_tables_are_told() {
    let setup = Setup::on_fresh_servers().await;
    let redis = &setup.servers().redis;
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "100mb"]).await;
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let found = on(&setup, &["doctor", "--json"]).await.json().remove(0);
    assert!(expect(&found, "redis", "warn").contains("allkeys-lru"));
    assert!(expect(&found, "database", "warn").contains("empty"));
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    let found = on(&setup, &["doctor", "--json"]).await.json().remove(0);
    assert_eq!(about(&found, "redis").len(), 1, "{found:#}");
}

#[tokio::test]
async fn wrong_settings_are_findings_too() {
    let outcome =
        gatepost(&["doctor", "--json"], &[("GATEPOST_BIND", "nowhere"), ("GATEPOST_SECRET", "hunter2")]).await;
    let found = failed(&outcome);
    assert_eq!(about(&found, "settings").len(), 2, "{found:#}");
    assert!(!outcome.stdout.contains("hunter2"), "{outcome:?}");
    let text = gatepost(&["doctor"], &[("GATEPOST_BIND", "nowhere")]).await;
    assert_eq!(text.code, 1);
    assert!(text.stdout.contains("FAIL  settings") && text.stdout.contains("-> such as"), "{text:?}");
}

#[tokio::test]
async fn a_proxy_that_the_settings_do_not_know_is_pointed_out() {
    let setup = Setup::embedded();
    let server = setup.start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.get(format!("{}/login", server.origin())).header("x-forwarded-for", "203.0.113.9");
    assert!(request.send().await.unwrap().status().is_success());
    let bind = format!("127.0.0.1:{}", server.port());
    let environment = setup.environment();
    let found = gatepost(&["doctor", "--json"], &joined(&environment, &[("GATEPOST_BIND", &bind)])).await;
    assert!(expect(&found.json().remove(0), "proxies", "warn").starts_with("1 requests"));
    let https = [("GATEPOST_PUBLIC_URL", "https://sign-in.example.com"), ("SMTP_URL", "smtp://127.0.0.1:1")];
    let outcome = gatepost(&["doctor", "--json"], &joined(&environment, &https)).await;
    assert!(expect(&failed(&outcome), "proxies", "warn").contains("all clients look like that proxy"));
}

#[tokio::test]
async fn a_server_that_wants_connections_announced_is_asked_in_its_way() {
    let wants = [("GATEPOST_TRUSTED_PROXIES", "127.0.0.1"), ("GATEPOST_SERVER_PROXY_PROTOCOL", "required")];
    let setup = Setup::embedded().with(&wants);
    let port = free_port();
    let environment = setup.environment();
    let _server = crate::server::ServerProcess::spawn_on(port, &joined(&environment, &[]));
    let bind = format!("127.0.0.1:{port}");
    let here = joined(&environment, &[("GATEPOST_BIND", &bind)]);
    crate::support::eventually("the server to be ready", crate::SOON, async || {
        (gatepost(&["health"], &here).await.code == 0).then_some(())
    })
    .await;
    let found = gatepost(&["doctor", "--json"], &here).await.json().remove(0);
    assert!(expect(&found, "server", "ok").contains("is ready"));
}
