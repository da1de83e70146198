//! `cache …`: the cache, from the command line.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Cli, Failure, health, operator, say};
use crate::app::App;
use crate::cache::{Held, Scope};
use crate::domain::EmailAddress;
use crate::redis::{Diagnosis, RedisError, diagnose};
use crate::store::User;

#[derive(Debug, Subcommand)]
pub(super) enum CacheCommand {
    /// Prints what the running server's cache has done since it started
    Stats,
    /// Prints what Redis holds under a key, or about an account, and for how long
    Get {
        /// A key, such as user:id:…, or an account's address
        #[arg(value_name = "KEY|ADDRESS")]
        what: String,
    },
    /// Has every server forget something; what is asked for next is read from the database
    Invalidate {
        /// all, users, sessions, stats, the beginning of a key, or an account's address
        #[arg(value_name = "PREFIX|ADDRESS")]
        what: String,
    },
    /// Tries Redis, and says how fast it is, or what is wrong
    Ping,
}

/// Carries the command out.
pub(super) async fn run(cli: &Cli, command: &CacheCommand) -> Result<(), Failure> {
    match command {
        CacheCommand::Stats => stats(cli).await,
        CacheCommand::Get { what } => get(cli, what).await,
        CacheCommand::Invalidate { what } => invalidate(cli, what).await,
        CacheCommand::Ping => ping(cli).await,
    }
}

async fn stats(cli: &Cli) -> Result<(), Failure> {
    let answer = health::fetch(cli, "/health/cache").await?;
    let unreadable = || Failure::Failed(format!("{} does not answer as Gatepost does", answer.from));
    if answer.status == "403" {
        let advice = "add the address from which this machine asks to server.operator_networks";
        return Err(Failure::Failed(format!("{} does not take this machine for an operator's: {advice}", answer.from)));
    }
    if answer.status != "200" {
        return Err(unreadable());
    }
    let body: Value = serde_json::from_str(&answer.body).map_err(|_| unreadable())?;
    if cli.json {
        return say(body);
    }
    let (stats, text) = (&body["stats"], |value: &Value| value.as_str().unwrap_or("?").to_owned());
    say(format_args!("{}: {}, answers from {}", answer.from, text(&body["status"]), text(&body["backend"])))?;
    let line = format!("{} % answered without the database, {} errors", stats["hit_rate_percent"], stats["errors"]);
    say(line)?;
    let row = |cells: [String; 8]| {
        let [name, cells @ ..] = cells;
        cells.iter().fold(format!("{name:10}"), |row, cell| format!("{row}{cell:>12}"))
    };
    say(row(
        ["", "in process", "by Redis", "by database", "each \u{b5}s", "forgotten", "entries", "KiB"].map(str::to_owned)
    ))?;
    for name in ["sessions", "users", "answers"] {
        let kind = &stats[name];
        let kib = kind["weight_bytes"].as_u64().unwrap_or(0) / 1024;
        say(row([
            name.to_owned(),
            kind["memory"]["hits"].to_string(),
            kind["redis"]["hits"].to_string(),
            kind["loads"].to_string(),
            kind["average_load_micros"].to_string(),
            kind["invalidations"].to_string(),
            kind["entries"].to_string(),
            kib.to_string(),
        ]))?;
    }
    Ok(())
}

/// The account with this address, where it is one: keys have colons, which addresses have not.
async fn account(app: &App, what: &str) -> Result<Option<User>, Failure> {
    let Ok(email) = EmailAddress::parse(what) else { return Ok(None) };
    if what.starts_with("user:") || what.starts_with("session:") {
        return Ok(None);
    }
    let found = app.auth.user_by_email(&email).await?;
    found.map(Some).ok_or_else(|| Failure::Failed(format!("there is no account of {email}")))
}

async fn get(cli: &Cli, what: &str) -> Result<(), Failure> {
    let app = cli.app().await?;
    if app.settings.redis.is_none() {
        return Err(no_redis("`gatepost cache stats` tells what a server holds in process"));
    }
    let keys = match account(&app, what).await? {
        Some(user) => app.auth.cache_keys_of(&user).await?,
        None => vec![what.to_owned()],
    };
    let failed = |error: RedisError| Failure::Failed(error.to_string());
    for key in &keys {
        let held = app.cache.held(key).await.map_err(failed)?;
        let held = held.ok_or_else(|| {
            Failure::Wrong(format!("{key} is no key of the cache: they begin with user: or session:"))
        })?;
        print(cli, &held)?;
    }
    Ok(())
}

fn print(cli: &Cli, held: &Held) -> Result<(), Failure> {
    if cli.json {
        return say(json!(held));
    }
    let Some(value) = &held.value else { return say(format_args!("{}  (nothing)", held.key)) };
    let lives = held.ttl().map_or_else(|| "for good".to_owned(), |left| format!("{} s left", left.as_secs()));
    let bytes = held.bytes.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
    say(format_args!("{}  ({lives}{bytes})\n  {value}", held.key))
}

async fn invalidate(cli: &Cli, what: &str) -> Result<(), Failure> {
    let app = cli.app().await?;
    if app.settings.redis.is_none() {
        return Err(no_redis("what a server holds in process ends by itself within eight seconds"));
    }
    if !reached(&app).await {
        return Err(Failure::Failed("Redis cannot be reached: `gatepost cache ping` says why".to_owned()));
    }
    if let Some(user) = account(&app, what).await? {
        let keys = app.auth.invalidate_account(None, &user, &operator()).await?;
        return told(cli, &user.email.to_string(), keys as u64);
    }
    let scope: Scope = what.parse().map_err(|error: crate::cache::ScopeError| Failure::Wrong(error.to_string()))?;
    let swept = app.auth.invalidate_cache(None, &scope, &operator()).await?;
    if swept.everywhere {
        told(cli, &scope.to_string(), swept.removed)
    } else {
        Err(Failure::Failed("Redis went away: not all is forgotten. Try again".to_owned()))
    }
}

/// Whether Redis answers.
async fn reached(app: &App) -> bool {
    app.cache.held("user:").await.is_ok()
}

fn told(cli: &Cli, what: &str, keys: u64) -> Result<(), Failure> {
    if cli.json {
        return say(json!({ "forgotten": what, "keys": keys }));
    }
    say(format_args!("Forgotten on every server: {what} ({keys} keys in Redis)."))
}

fn no_redis(instead: &str) -> Failure {
    Failure::Wrong(format!("there is no Redis: set REDIS_URL; {instead}"))
}

async fn ping(cli: &Cli) -> Result<(), Failure> {
    let Some(settings) = cli.settings(false)?.redis else {
        return Err(no_redis("without it, the cache lives in process"));
    };
    let found = diagnose(&settings).await;
    if cli.json {
        say(json!(found))?;
    } else {
        table(&found)?;
    }
    found.fault.map_or(Ok(()), |fault| Err(Failure::Failed(fault)))
}

fn table(found: &Diagnosis) -> Result<(), Failure> {
    let Some(connect) = found.timings.first() else { return Ok(()) };
    let version = found.version.as_deref().map_or_else(|| "of an unknown version".to_owned(), ToOwned::to_owned);
    let found_as = found.found_as.map(|what| format!(" ({what})")).unwrap_or_default();
    say(format_args!("{}: Redis {version}{found_as}", found.server))?;
    say(format_args!("{:10}{:>12}{:>12}", "ms", "median", "longest"))?;
    say(format_args!("{:10}{:>12.3}", connect.what, connect.median_ms))?;
    for timing in found.timings.iter().skip(1) {
        say(format_args!("{:10}{:>12.3}{:>12.3}", timing.what, timing.median_ms, timing.longest_ms))?;
    }
    Ok(())
}
