//! `user …`: accounts, from the command line.

use clap::Subcommand;

use super::{Cli, Failure, operator, say};
use crate::auth::UserQuery;
use crate::domain::{AdminAction, DisplayName, EmailAddress, Language, Note, UserStatus};
use crate::store::User;

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Lists accounts, newest first
    List {
        /// Only those that stand so: pending, approved, rejected or banned
        #[arg(long, value_parser = status)]
        status: Option<UserStatus>,
        /// Only those whose address, name or username contains this
        #[arg(long)]
        search: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u16,
    },
    /// Lets a pending or rejected account in, and mails its owner
    Approve(Subject),
    /// Turns a pending account down, and mails its owner
    Reject(Subject),
    /// Ends an account's access and all its sessions
    Ban(Subject),
    /// Takes a ban back
    Unban(Subject),
    /// Makes an admin; an address without an account gets one
    Promote(Subject),
    /// Makes an admin an ordinary user
    Demote(Subject),
    /// Makes an approved account and mails its owner an invitation
    Invite {
        /// The address
        #[arg(value_parser = address)]
        email: EmailAddress,
        /// What the person is called
        #[arg(long, default_value = "")]
        name: String,
    },
}

/// Whom a decision is about.
#[derive(Debug, clap::Args)]
pub(super) struct Subject {
    /// The account's address
    #[arg(value_parser = address)]
    email: EmailAddress,
    /// A note to keep with the decision, and to mail on approval or rejection
    #[arg(long, default_value = "")]
    note: String,
}

fn address(text: &str) -> Result<EmailAddress, String> {
    text.parse().map_err(|error: crate::domain::EmailAddressError| error.to_string())
}

fn status(text: &str) -> Result<UserStatus, String> {
    text.parse().map_err(|_| "use pending, approved, rejected or banned".to_owned())
}

/// Carries the command out.
pub(super) async fn run(cli: &Cli, command: &UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::List { status, search, limit } => {
            let query = UserQuery { status: *status, search: search.clone(), cursor: None, limit: *limit };
            let page = cli.app().await?.auth.users(&query).await?;
            for user in &page.users {
                print(cli, user)?;
            }
            if page.next.is_some() && !cli.json {
                eprintln!("There are more: raise --limit.");
            }
            Ok(())
        }
        UserCommand::Approve(subject) => decide(cli, subject, AdminAction::Approve).await,
        UserCommand::Reject(subject) => decide(cli, subject, AdminAction::Reject).await,
        UserCommand::Ban(subject) => decide(cli, subject, AdminAction::Ban).await,
        UserCommand::Unban(subject) => decide(cli, subject, AdminAction::Unban).await,
        UserCommand::Demote(subject) => decide(cli, subject, AdminAction::Demote).await,
        UserCommand::Promote(subject) => promote(cli, subject).await,
        UserCommand::Invite { email, name } => {
            let name = DisplayName::parse(name).map_err(|error| Failure::Wrong(format!("the name: {error}")))?;
            let auth = cli.app().await?.auth;
            print(cli, &auth.invite(None, email, &name, Language::English, &operator()).await?)
        }
    }
}

async fn decide(cli: &Cli, subject: &Subject, action: AdminAction) -> Result<(), Failure> {
    let note = Note::parse(&subject.note).map_err(|error| Failure::Wrong(format!("the note: {error}")))?;
    let auth = cli.app().await?.auth;
    let found = auth.user_by_email(&subject.email).await?;
    let user = found.ok_or_else(|| Failure::Failed(format!("there is no account of {}", subject.email)))?;
    print(cli, &auth.decide(None, user.id, action, &note, &operator()).await?)
}

/// Makes an admin of whoever it is: an unknown address is invited first, a waiting one approved.
async fn promote(cli: &Cli, subject: &Subject) -> Result<(), Failure> {
    let auth = cli.app().await?.auth;
    let user = match auth.user_by_email(&subject.email).await? {
        Some(user) => user,
        None => auth.invite(None, &subject.email, &DisplayName::default(), Language::English, &operator()).await?,
    };
    if matches!(user.status, UserStatus::Pending | UserStatus::Rejected) {
        auth.decide(None, user.id, AdminAction::Approve, &Note::default(), &operator()).await?;
    }
    print(cli, &auth.decide(None, user.id, AdminAction::Promote, &Note::default(), &operator()).await?)
}

fn print(cli: &Cli, user: &User) -> Result<(), Failure> {
    if cli.json {
        let row = serde_json::json!({
            "id": user.id, "email": user.email, "name": user.name, "status": user.status, "role": user.role,
            "created_at": user.created_at, "last_sign_in_at": user.last_sign_in_at,
        });
        say(row)
    } else {
        let User { id, status, role, email, name, .. } = user;
        say(format_args!("{id}  {status:8}  {role:5}  {email}  {name}"))
    }
}
