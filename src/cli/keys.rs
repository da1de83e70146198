//! `keys …`: what an operator needs to change the secret.

use clap::Subcommand;
use serde_json::json;

use super::{Cli, Failure, say};
use crate::app;
use crate::domain::KeyRole;

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Prints a new secret, and changes nothing: put it where the instances read theirs (docs/keys.md)
    New,
}

pub(super) fn run(cli: &Cli, command: Option<&KeysCommand>) -> Result<(), Failure> {
    match command {
        None => list(cli),
        Some(KeysCommand::New) => make(cli),
    }
}

/// Prints every key's id with what it is used for. Two instances agree when they print the same.
fn list(cli: &Cli) -> Result<(), Failure> {
    let settings = cli.settings(false)?;
    let Some(keys) = app::present_keys(&settings)? else {
        return Err(Failure::Failed("there is no secret yet: it is made when the server first starts".to_owned()));
    };
    for (id, role) in keys.ids() {
        let (role, purpose) = match role {
            KeyRole::Current => ("current", "makes and checks"),
            KeyRole::Next => ("next", "checks"),
            KeyRole::Previous => ("previous", "checks"),
        };
        if cli.json {
            say(json!({ "id": id.as_str(), "role": role }))?;
        } else {
            say(format_args!("{}  {role:8}  {purpose}", id.as_str()))?;
        }
    }
    Ok(())
}

fn make(cli: &Cli) -> Result<(), Failure> {
    let (secret, id) =
        app::new_secret().map_err(|error| Failure::Failed(format!("a secret could not be made: {error}")))?;
    if cli.json { say(json!({ "secret": *secret, "id": id.as_str() })) } else { say(&*secret) }
}
