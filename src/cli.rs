//! The commands of `gatepost`. Each builds an [`App`] from the settings and calls the use cases that the pages and the
//! API call.

#![allow(clippy::print_stderr, reason = "a command line says on standard error why it failed")]

mod audit;
mod cache;
mod config;
mod doctor;
mod health;
mod keys;
mod limits;
mod mail;
mod serve;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::{App, StartError};
use crate::auth::AuthError;
use crate::domain::{Device, Origin};
use crate::settings::{Settings, SettingsError, Sources};
use crate::store::StoreError;
use crate::telemetry::logging;

/// Passwordless sign-in server: mailed codes and links, approvals, sessions.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    propagate_version = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong arguments or settings."
)]
pub struct Cli {
    /// A file of settings (see config/default.toml for all of them)
    #[arg(long, short, global = true, env = "GATEPOST_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one setting, such as server.bind=127.0.0.1:9000; may be repeated
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    overrides: Vec<(String, String)>,
    /// Prints JSON for programs
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server: HTTP and the mail worker (the default)
    Serve,
    /// Runs a mail worker alone, beside servers that share the same database and Redis
    Worker,
    /// Brings the database up to date and ends
    Migrate,
    /// Prints the settings in force and where each comes from, with secrets hidden
    Config,
    /// Looks for what is wrong with the settings and with what they name, and says what to do; changes nothing
    Doctor,
    /// Prints the ids of the keys in force, never the keys; or makes a new secret
    Keys {
        #[command(subcommand)]
        command: Option<keys::KeysCommand>,
    },
    /// Looks at accounts and decides about them
    #[command(subcommand)]
    User(user::UserCommand),
    /// Looks at the mail, and steers it
    #[command(subcommand)]
    Mail(mail::MailCommand),
    /// Looks at the cache, has it forget, and tries Redis
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    /// Looks at the request limits, and gives somebody a fresh start
    #[command(subcommand)]
    Limits(limits::LimitsCommand),
    /// Reads the audit trail
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Asks a running server whether it is ready; for container health checks
    Health,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Settings(#[from] SettingsError),
    #[error("{0}")]
    Start(#[from] StartError),
    #[error("{0}")]
    Auth(#[from] AuthError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Wrong(String),
    #[error("{0}")]
    Failed(String),
}

/// Runs the command, and says on standard error why it failed.
pub async fn run(cli: Cli) -> ExitCode {
    let outcome = match &cli.command {
        None | Some(Command::Serve) => Box::pin(serve::serve(&cli)).await,
        Some(Command::Worker) => serve::worker(&cli).await,
        Some(Command::Migrate) => migrate(&cli).await,
        Some(Command::Config) => config::print(&cli),
        Some(Command::Doctor) => doctor::run(&cli).await,
        Some(Command::Keys { command }) => keys::run(&cli, command.as_ref()),
        Some(Command::User(command)) => user::run(&cli, command).await,
        Some(Command::Mail(command)) => mail::run(&cli, command).await,
        Some(Command::Cache(command)) => cache::run(&cli, command).await,
        Some(Command::Limits(command)) => limits::run(&cli, command).await,
        Some(Command::Audit(command)) => audit::run(&cli, command).await,
        Some(Command::Health) => health::ask(&cli).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gatepost: {failure}");
            ExitCode::from(if matches!(failure, Failure::Settings(_) | Failure::Wrong(_)) { 2 } else { 1 })
        }
    }
}

impl Cli {
    /// Reads the settings, and starts logging as they say. Commands that are not servers log only warnings.
    fn settings(&self, is_server: bool) -> Result<Settings, Failure> {
        let mut sources = Sources::from_process(self.config.clone());
        sources.overrides.clone_from(&self.overrides);
        let mut settings = Settings::load(&sources)?;
        if !is_server && !sources.environment.contains_key("RUST_LOG") {
            "warn".clone_into(&mut settings.log.filter);
        }
        logging::start(&settings.log);
        if is_server {
            for note in &settings.notes {
                log::warn!("{note}");
            }
        }
        Ok(settings)
    }

    async fn app(&self) -> Result<App, Failure> {
        Ok(App::open(self.settings(false)?).await?)
    }
}

/// What commands are recorded as in the audit trail.
fn operator() -> Origin {
    Origin { address: [127, 0, 0, 1].into(), device: Device::stored("command line".to_owned()) }
}

async fn migrate(cli: &Cli) -> Result<(), Failure> {
    let app = App::build(cli.settings(false)?).await?;
    let backend = app.database.backend();
    if cli.json {
        say(serde_json::json!({ "database": backend, "migrated": true }))
    } else {
        say(format_args!("The {backend} database is up to date."))
    }
}

/// Prints a line. A reader that has left (`gatepost user list | head`) has read what it wanted.
fn say(line: impl std::fmt::Display) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write};
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Failed(format!("cannot print: {error}"))),
        _ => Ok(()),
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value, such as server.workers=4")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
