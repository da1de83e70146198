//! Settings: read once, checked as a whole, handed out as plain structs.
//!
//! The life of a setting: `config/default.toml`, which is built in, lists its key, its meaning, its default and its
//! environment variable. `layers` lays the operator's file, the environment and the command line over that list, each
//! brought to one form (text and where it came from), and points out names that nobody knows. Each feature's struct
//! reads its keys through `reader`, which parses and checks them; what is wrong is collected, so that one start shows
//! every mistake. `safety` refuses settings that are dangerous together. Then there is a [`Settings`], or a
//! [`SettingsError`] that names each wrong setting with its source and an example, and nothing has been started yet.
//!
//! To add a setting: a documented key in `config/default.toml`, and a field that reads it in the feature's file. The
//! tests find a key that is only in one of the two places.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

mod abuse;
mod audit;
mod auth;
mod cache;
mod database;
mod dkim;
mod edge;
mod keys;
mod layers;
mod limits;
mod log;
mod mail;
mod mailbox;
mod mask;
mod origin;
mod problem;
mod reader;
mod redis;
mod redis_url;
mod relay;
mod safety;
mod secret;
mod server;
mod session;
mod templates;
#[cfg(test)]
mod tests;
mod values;

pub use abuse::{Abuse, Captcha, CaptchaProvider, DomainPattern};
pub use audit::Audit;
pub use auth::{Auth, LoginMethods, PasswordHashing, Registration};
pub use cache::Cache;
pub use database::{Database, DatabaseUrl};
pub use dkim::{Dkim, DkimKey, SigningKey};
pub use edge::{Connections, ForwardedHeader, Hsts, Operators, Proxies};
pub use limits::{Limits, PolicyName};
pub use log::{Log, LogFormat};
pub use mail::{Delivery, Mail};
pub use mailbox::Mailbox;
pub use problem::{Effective, Problem, SettingsError, Source};
pub use redis::Redis;
pub use redis_url::{RedisKind, RedisUrl};
pub use relay::{Relay, RelayTls};
pub use secret::{OtherSecrets, SecretSource};
pub use server::Server;
pub use session::Sessions;
pub use templates::Templates;
pub use values::Policy;
pub use values::duration as read_duration;

use reader::{Outcome, Reader};

/// Everything that an operator can set, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server listens and what it is called.
    pub server: Server,
    /// The database.
    pub database: Database,
    /// Redis, if there is one.
    pub redis: Option<Redis>,
    /// The cache of users and sessions.
    pub cache: Cache,
    /// How mail leaves.
    pub mail: Mail,
    /// Who may sign in, and how.
    pub auth: Auth,
    /// How long sessions last.
    pub session: Sessions,
    /// How many requests pass.
    pub limits: Limits,
    /// Who gets mail without having an account.
    pub abuse: Abuse,
    /// How long the audit trail is kept.
    pub audit: Audit,
    /// The secret that every key is derived from.
    pub secret: SecretSource,
    /// The secrets beside that one, while a change of it rolls out.
    pub other_secrets: OtherSecrets,
    /// Pages and mails of the operator's own.
    pub templates: Templates,
    /// What is logged.
    pub log: Log,
    /// Remarks that deserve a line of warning in the log at the start. They hold no secrets.
    pub notes: Vec<String>,
    effective: Vec<Effective>,
}

impl Settings {
    /// Reads and checks every setting. Reads files (the one of settings, those of secrets) and changes nothing.
    ///
    /// Fails with every wrong setting at once.
    pub fn load(sources: &Sources) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(sources);
        let settings = Self::read(&mut reader);
        let Outcome { problems, notes, effective } = reader.finish();
        match settings {
            Ok(settings) if problems.is_empty() => Ok(Self { notes, effective, ..settings }),
            _ => Err(SettingsError(problems)),
        }
    }

    fn read(reader: &mut Reader) -> reader::Read<Self> {
        let server = Server::read(reader);
        let known_server = server.as_ref().ok();
        let data_dir = known_server.map(|server| server.data_dir.as_path());
        let database = Database::read(reader, data_dir);
        let redis = Redis::read(reader);
        let cache = Cache::read(reader);
        let auth = Auth::read(reader, known_server);
        let mail = Mail::read(reader, known_server, auth.as_ref().ok().map(|auth| auth.product_name.as_str()));
        let session = Sessions::read(reader);
        let limits = Limits::read(reader);
        let abuse = Abuse::read(reader);
        let audit = Audit::read(reader);
        let secret = SecretSource::read(reader, data_dir);
        let other_secrets = OtherSecrets::read(reader);
        let templates = Templates::read(reader);
        let log = Log::read(reader);
        let reach = safety::Reach::of(reader, known_server);
        if let Ok(limits) = &limits {
            safety::check_limits(reader, &reach, limits);
        }
        if let Ok(mail) = &mail {
            safety::check_mail(reader, &reach, mail);
        }
        if let (Ok(database), Ok(secret)) = (&database, &secret) {
            safety::remark_secret(reader, database, secret);
        }
        Ok(Self {
            server: server?,
            database: database?,
            redis: redis?,
            cache: cache?,
            mail: mail?,
            auth: auth?,
            session: session?,
            limits: limits?,
            abuse: abuse?,
            audit: audit?,
            secret: secret?,
            other_secrets: other_secrets?,
            templates: templates?,
            log: log?,
            notes: Vec::new(),
            effective: Vec::new(),
        })
    }

    /// The settings that somebody has set, on one line, with secrets hidden: for a trail of what was changed. Those that
    /// belong to one machine are left out, so that instances that are set alike say the same.
    pub fn summary(&self) -> String {
        const OWN: [&str; 5] = ["server.bind", "server.workers", "server.data_dir", "log.filter", "log.format"];
        let set = self.effective.iter().filter(|one| one.source != Source::Default && !OWN.contains(&one.key.as_str()));
        let parts: Vec<_> = set.map(|one| format!("{} = {}", one.key, one.value)).collect();
        parts.join("; ").chars().take(4000).collect()
    }

    /// Every setting as it is in force, by key, with secrets hidden and passwords in URLs masked.
    pub fn effective(&self) -> Vec<Effective> {
        self.effective.clone()
    }
}

/// Where settings come from besides the built-in defaults, weakest first.
#[derive(Clone, Default)]
pub struct Sources {
    /// A file of settings. `None`: the one that `GATEPOST_CONFIG` in `environment` names, if any.
    pub file: Option<PathBuf>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Keys and values from the command line, such as `("server.bind", "127.0.0.1:9000")`; later ones win.
    pub overrides: Vec<(String, String)>,
}

impl Sources {
    /// `file` and the variables of this process. What is not UTF-8 is kept with marks, and reported if it is a setting.
    pub fn from_process(file: Option<PathBuf>) -> Self {
        let environment = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        Self { file, environment, overrides: Vec::new() }
    }
}

/// Names only: the values have not been told apart into secrets and others yet.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("environment", &self.environment.keys())
            .field("overrides", &self.overrides.iter().map(|(key, _)| key).collect::<Vec<_>>())
            .finish()
    }
}
