//! `audit …`: the audit trail, from the command line.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use serde_json::json;

use super::{Cli, Failure, say};
use crate::auth::{AuditPage, AuditParty, AuditQuery, Auth};
use crate::domain::{AuditId, Instant, UserId, clock};
use crate::settings::read_duration;
use crate::store::AuditEntry;

/// How often a follower looks for new lines.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How late a line may be committed after the moment that its id names, and still be followed.
const LATE: TimeDelta = TimeDelta::seconds(10);
/// Lines that are read at once.
const PAGE: u16 = 200;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Lists who did what to whom, newest first
    List(Lines),
}

/// Which lines to list.
#[derive(Debug, clap::Args)]
pub(super) struct Lines {
    /// Only what this account did: its id or its address
    #[arg(long, value_name = "ID|ADDRESS")]
    actor: Option<AuditParty>,
    /// Only what was done to this account: its id or its address
    #[arg(long, value_name = "ID|ADDRESS")]
    subject: Option<AuditParty>,
    /// Only this action, such as session.started
    #[arg(long)]
    action: Option<String>,
    /// Only what happened since then: 2h, 7d, or a time such as 2026-11-21T09:30:00Z
    #[arg(long, value_parser = since)]
    since: Option<Since>,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Goes on with new lines as they are written, oldest first
    #[arg(long)]
    follow: bool,
}

/// From when on lines are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(Instant),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(Since::At(at.with_timezone(&Utc)));
    }
    read_duration(text).map(Since::Ago).map_err(|_| "use a duration such as 2h or 7d, or a time in RFC 3339".to_owned())
}

/// Carries the command out.
pub(super) async fn run(cli: &Cli, command: &AuditCommand) -> Result<(), Failure> {
    let AuditCommand::List(lines) = command;
    let auth = cli.app().await?.auth;
    let since = lines.since.map(|since| match since {
        Since::Ago(span) => auth.now() - clock::span(span),
        Since::At(at) => at,
    });
    let query = AuditQuery {
        actor: lines.actor.clone(),
        subject: lines.subject.clone(),
        action: lines.action.clone(),
        since,
        cursor: None,
        limit: PAGE,
    };
    let began = auth.now();
    let listed = list(cli, &auth, &query, lines).await?;
    if lines.follow { follow(cli, &auth, &query, began, listed).await } else { Ok(()) }
}

/// Prints up to `limit` lines; those of a follower end with the newest. Gives the ids of those that are so new that others
/// may still come between them.
async fn list(
    cli: &Cli,
    auth: &Auth,
    query: &AuditQuery,
    lines: &Lines,
) -> Result<BTreeMap<AuditId, Instant>, Failure> {
    let (mut query, mut left) = (query.clone(), lines.limit);
    let (mut kept, mut seen) = (Vec::new(), BTreeMap::new());
    while left > 0 {
        query.limit = u16::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = auth.audit(&query).await?;
        for entry in &page.entries {
            seen.insert(entry.id, entry.at);
            let line = line(cli, &page, entry);
            if lines.follow { kept.push(line) } else { say(line)? }
        }
        left = left.saturating_sub(u32::try_from(page.entries.len()).unwrap_or(u32::MAX));
        query.cursor = page.next;
        if page.next.is_none() {
            break;
        }
    }
    for line in kept.into_iter().rev() {
        say(line)?;
    }
    Ok(seen)
}

/// Prints lines as they are written, until somebody ends it. Instances commit in an order of their own: each look
/// goes back a few seconds, and passes over what it has printed.
async fn follow(
    cli: &Cli,
    auth: &Auth,
    query: &AuditQuery,
    began: Instant,
    mut seen: BTreeMap<AuditId, Instant>,
) -> Result<(), Failure> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let from = (auth.now() - LATE).max(began - LATE).max(query.since.unwrap_or(began - LATE));
        let mut fresh = AuditQuery { since: Some(from), ..query.clone() };
        let mut found = Vec::new();
        loop {
            let page = auth.audit(&fresh).await?;
            let new = page.entries.iter().filter(|entry| !seen.contains_key(&entry.id));
            found.extend(new.map(|entry| (entry.id, entry.at, line(cli, &page, entry))));
            fresh.cursor = page.next;
            if page.next.is_none() {
                break;
            }
        }
        for (id, at, line) in found.into_iter().rev() {
            say(line)?;
            seen.insert(id, at);
        }
        seen.retain(|_, at| *at >= from - LATE);
    }
}

fn line(cli: &Cli, page: &AuditPage, entry: &AuditEntry) -> String {
    let name = |id: Option<UserId>| id.map(|id| page.mailbox(id).map_or_else(|| id.to_string(), ToString::to_string));
    let (actor, subject) = (name(entry.actor), name(entry.subject));
    if cli.json {
        let row = json!({
            "id": entry.id, "at": entry.at, "action": entry.action,
            "actor": entry.actor, "actor_email": entry.actor.and_then(|id| page.mailbox(id)),
            "subject": entry.subject, "subject_email": entry.subject.and_then(|id| page.mailbox(id)),
            "address": entry.address, "device": entry.device, "detail": entry.detail, "times": entry.times,
        });
        return row.to_string();
    }
    let at = entry.at.format("%Y-%m-%d %H:%M:%S");
    let times = if entry.times > 1 { format!("  {} times", entry.times) } else { String::new() };
    let whom = match (actor, subject) {
        (Some(actor), Some(subject)) if actor != subject => format!("{actor} -> {subject}"),
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => "-".to_owned(),
    };
    format!("{at}  {:24}{times}  {whom}  {}  {}  {}", entry.action, entry.address, entry.device, entry.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_span_or_a_moment() {
        assert_eq!(since("2h"), Ok(Since::Ago(Duration::from_hours(2))));
        assert_eq!(since("2026-11-21T09:30:00+01:00"), Ok(Since::At("2026-11-21T08:30:00Z".parse().unwrap())));
        assert!(since("yesterday").is_err() && since("").is_err());
    }
}
