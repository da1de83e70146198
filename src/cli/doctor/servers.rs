//! What the server stands on: the database, Redis, the mail relays.

use std::time::Duration;

use super::Finding;
use crate::domain::{Clock, Entropy};
use crate::mail::Transport;
use crate::redis::diagnose;
use crate::settings::{DatabaseUrl, Delivery, Settings};
use crate::store::Database;

/// A database whose clock is further from this machine's than that is told.
const CLOCKS_APART: chrono::TimeDelta = chrono::TimeDelta::seconds(2);
/// No look at a database takes longer where one is there.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks at what the server stands on.
pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    // Fails when it has been done before, in this process: then it is done.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut findings = database(settings).await;
    findings.extend(redis(settings).await);
    findings.extend(relays(settings).await);
    findings
}

async fn database(settings: &Settings) -> Vec<Finding> {
    if let DatabaseUrl::Sqlite(path) = &settings.database.url
        && !path.exists()
    {
        return vec![Finding::ok("database", format!("{} is not there yet; the first start makes it", path.display()))];
    }
    match tokio::time::timeout(PATIENCE, examine(settings)).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => {
            vec![Finding::fail("database", error.to_string(), "check DATABASE_URL and that the database is running")]
        }
        Err(_) => vec![Finding::fail("database", "it does not answer", "look at its load and its locks")],
    }
}

async fn examine(settings: &Settings) -> Result<Vec<Finding>, crate::store::StoreError> {
    let database = Database::connect(&settings.database).await?;
    let (clock, backend) = (Clock::system(), database.backend());
    let took = database.align(&clock).await?;
    let apart = clock.now() - Clock::system().now();
    let mut findings =
        vec![Finding::ok("database", format!("{backend} answers in {:.1} ms", took.as_secs_f64() * 1e3))];
    if !database.is_migrated().await? {
        let found = "it is empty, or of an older version";
        let advice = "the next start of the server brings it up to date; or run `gatepost migrate` now";
        findings.push(Finding::warn("database", found, advice));
    }
    if apart.abs() > CLOCKS_APART {
        #[allow(clippy::cast_precision_loss, reason = "for people")]
        let seconds = apart.num_milliseconds() as f64 / 1e3;
        findings.push(Finding::warn(
            "time",
            format!("the database's clock is {seconds:+.1} s from this machine's"),
            "keep both by NTP: codes and sessions follow the database's, logs this machine's",
        ));
    }
    Ok(findings)
}

async fn redis(settings: &Settings) -> Vec<Finding> {
    let Some(redis) = &settings.redis else {
        return vec![Finding::ok("redis", "none: cache, limits and queue live in the process, right for one instance")];
    };
    let found = diagnose(redis).await;
    if let Some(fault) = found.fault {
        return vec![Finding::fail("redis", fault, "the server runs without it, slower, with limits for itself alone")];
    }
    let median = found.timings.iter().find(|timing| timing.what == "GET").map_or(0.0, |timing| timing.median_ms);
    let version = found.version.as_deref().unwrap_or("of an unknown version");
    let found_as = found.found_as.map(|what| format!(", {what},")).unwrap_or_default();
    let told = format!("{}{found_as} is Redis {version} and answers in {median:.1} ms", found.server);
    let mut findings = vec![Finding::ok("redis", told)];
    if let Some(policy) = found.evicts {
        findings.push(Finding::warn(
            "redis",
            format!(
                "when its memory is full it throws keys out ({policy}): limits forget, and mails wait for the sweeper"
            ),
            "give it memory enough, and set maxmemory-policy noeviction; docs/cache.md says how much",
        ));
    }
    findings
}

async fn relays(settings: &Settings) -> Vec<Finding> {
    if settings.mail.delivery == Delivery::DevMailbox {
        return vec![Finding::ok("mail", "mails are not sent but shown at /dev/mail; set SMTP_URL to send them")];
    }
    let tried = match Transport::new(&settings.mail, &Clock::system(), &Entropy::system()) {
        Ok(transport) => transport.try_relays().await,
        Err(error) => return vec![Finding::fail("mail", error.to_string(), "check SMTP_URL")],
    };
    let some_work = tried.iter().any(|(_, outcome)| outcome.is_ok());
    let finding = |(relay, outcome): (String, Result<(), String>)| match outcome {
        Ok(()) => Finding::ok("mail", format!("{relay} takes a connection, and the sign-on; nothing was sent")),
        Err(why) if some_work => {
            let advice = "another relay works; look at this one before that fails too";
            Finding::warn("mail", format!("{relay}: {why}"), advice)
        }
        Err(why) => Finding::fail("mail", format!("{relay}: {why}"), "check SMTP_URL, and that the relay is running"),
    };
    tried.into_iter().map(finding).collect()
}
