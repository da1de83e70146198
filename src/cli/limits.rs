//! `limits …`: the request limits, from the command line.

use clap::Subcommand;
use serde_json::json;

use super::{Cli, Failure, operator, say};
use crate::app::App;
use crate::limit::{Check, PolicyName};

#[derive(Debug, Subcommand)]
pub(super) enum LimitsCommand {
    /// Prints the limits in force, and the setting of each
    List,
    /// Prints where a subject stands on all servers
    Show {
        /// A limit, by its name in the list
        policy: String,
        /// An e-mail address, a domain, a client address, or all
        subject: String,
    },
    /// Gives a subject its whole limit back, on every server
    Reset {
        /// A limit, by its name in the list
        policy: String,
        /// An e-mail address, a domain, a client address, or all
        subject: String,
    },
}

/// Carries the command out.
pub(super) async fn run(cli: &Cli, command: &LimitsCommand) -> Result<(), Failure> {
    match command {
        LimitsCommand::List => list(cli),
        LimitsCommand::Show { policy, subject } => show(cli, policy, subject).await,
        LimitsCommand::Reset { policy, subject } => reset(cli, policy, subject).await,
    }
}

fn list(cli: &Cli) -> Result<(), Failure> {
    let limits = cli.settings(false)?.limits;
    if !limits.enabled && !cli.json {
        say("Limits are switched off (limits.enabled).")?;
    }
    for policy in PolicyName::ALL {
        let (limit, setting, variable) = (limits.of(policy), policy.setting(), policy.variable());
        if cli.json {
            let window = limit.window.as_secs();
            say(json!({
                "policy": policy.as_str(), "limit": limit.limit, "window": window, "setting": setting,
                "variable": variable, "enabled": limits.enabled,
            }))?;
        } else {
            say(format_args!("{:24} {:>12}  {variable}", policy.as_str(), limit.to_string()))?;
        }
    }
    Ok(())
}

/// What is asked about, and an application whose limiter knows: one on Redis, since each server's own memory is out of
/// reach from here.
async fn find(cli: &Cli, policy: &str, subject: &str) -> Result<(App, Check), Failure> {
    let policy: PolicyName = policy
        .parse()
        .map_err(|_| Failure::Wrong(format!("there is no limit {policy}: `gatepost limits list` names them")))?;
    let app = cli.app().await?;
    if app.settings.redis.is_none() {
        let why =
            "there is no Redis: set REDIS_URL; without it, each server counts for itself, and its admins' page resets";
        return Err(Failure::Wrong(why.to_owned()));
    }
    let check = app.auth.limit_subject(policy, subject);
    let check = check.ok_or_else(|| Failure::Wrong(format!("{policy} does not count by {subject:?}")))?;
    Ok((app, check))
}

fn away() -> Failure {
    Failure::Failed("Redis cannot be reached: `gatepost cache ping` says why".to_owned())
}

async fn show(cli: &Cli, policy: &str, subject: &str) -> Result<(), Failure> {
    let (app, check) = find(cli, policy, subject).await?;
    let standing = app.limiter.standing(&check).await;
    if !standing.told_by_redis {
        return Err(away());
    }
    let (window, wait) = (&standing.window, standing.retry_after.as_millis().div_ceil(1000));
    if cli.json {
        return say(json!({
            "policy": check.policy.as_str(), "subject": check.subject, "limit": window.limit,
            "window": window.window.as_secs(), "remaining": window.remaining, "retry_after": wait,
        }));
    }
    let state = if wait == 0 { "may go on".to_owned() } else { format!("has to wait {wait} s") };
    let (left, limit) = (window.remaining, window.limit);
    say(format_args!("{} {}: {left} of {limit} left, {state}", check.policy, check.subject))
}

async fn reset(cli: &Cli, policy: &str, subject: &str) -> Result<(), Failure> {
    let (app, check) = find(cli, policy, subject).await?;
    if !app.limiter.is_shared() {
        return Err(away());
    }
    if !app.auth.reset_limit(&app.limiter, None, &check, &operator()).await? {
        return Err(Failure::Failed("Redis went away: not all is forgotten. Try again".to_owned()));
    }
    if cli.json {
        return say(json!({ "policy": check.policy.as_str(), "subject": check.subject, "reset": true }));
    }
    say(format_args!("{} {}: the whole limit is left again, on every server", check.policy, check.subject))
}
