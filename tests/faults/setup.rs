//! The ways of running the server: on nothing but a directory, and on a Postgres, a Redis and an SMTP server; and, for
//! what concerns mail alone, on a directory and an SMTP server.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value;

use crate::SOON;
use crate::server::ServerProcess;
use crate::support::{Postgres, ReceivedMail, Redis, SmtpSink, TestDatabase, eventually};

/// A secret that a test can look for.
pub(crate) const SECRET: &str = "correct-horse-battery-staple-correct-horse";

/// What servers stand on. It outlives them, so that a second one can go on where the first ended.
pub(crate) struct Setup {
    data: tempfile::TempDir,
    /// What the embedded server has in its directory instead.
    pub(crate) servers: Option<Servers>,
    /// Where the embedded server sends its mail, if not to `/dev/mail`.
    relay: Option<SmtpSink>,
    /// More variables, for all that run on this.
    more: Vec<(&'static str, String)>,
    /// The mails at `/dev/mail` that were given out already.
    taken: Mutex<HashSet<String>>,
}

/// Real servers, for one test.
pub(crate) struct Servers {
    pub(crate) database: TestDatabase,
    pub(crate) redis: Redis,
    pub(crate) sink: SmtpSink,
}

impl Setup {
    /// A directory: `SQLite`, a secret made on the first start, and mails at `/dev/mail`.
    pub(crate) fn embedded() -> Self {
        let data = tempfile::Builder::new().prefix("gatepost-data.").tempdir().expect("a directory");
        Self { data, servers: None, relay: None, more: Vec::new(), taken: Mutex::default() }
    }

    /// A directory, and an SMTP server.
    pub(crate) async fn embedded_with_relay() -> Self {
        Self { relay: Some(SmtpSink::start().await), ..Self::embedded() }
    }

    /// A database of its own on the run's Postgres, which is migrated, a Redis and an SMTP server.
    pub(crate) async fn on_servers() -> Self {
        Self::on_database(Postgres::migrated().await).await
    }

    /// The same, with a database in which there is nothing yet.
    pub(crate) async fn on_fresh_servers() -> Self {
        Self::on_database(Postgres::database().await).await
    }

    /// This database, a Redis and an SMTP server.
    pub(crate) async fn on_database(database: TestDatabase) -> Self {
        let (redis, sink) = (Redis::start().await, SmtpSink::start().await);
        Self { servers: Some(Servers { database, redis, sink }), ..Self::embedded() }
    }

    /// Both of them, for what has to be the same on either.
    pub(crate) async fn both() -> [Self; 2] {
        [Self::embedded(), Self::on_servers().await]
    }

    /// The same with more variables; a later one of the same name wins.
    pub(crate) fn with(mut self, more: &[(&'static str, &str)]) -> Self {
        self.more.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self
    }

    /// Where mails arrive, unless at `/dev/mail`.
    pub(crate) fn sink(&self) -> &SmtpSink {
        self.servers.as_ref().map(|servers| &servers.sink).or(self.relay.as_ref()).expect("a setup with an SMTP server")
    }

    /// [`Self::sink`], to be shut down and brought back.
    pub(crate) fn sink_mut(&mut self) -> &mut SmtpSink {
        let of_servers = self.servers.as_mut().map(|servers| &mut servers.sink);
        of_servers.or(self.relay.as_mut()).expect("a setup with an SMTP server")
    }

    /// The real servers.
    pub(crate) fn servers(&self) -> &Servers {
        self.servers.as_ref().expect("a setup on servers")
    }

    /// The real servers, to be broken.
    pub(crate) fn servers_mut(&mut self) -> &mut Servers {
        self.servers.as_mut().expect("a setup on servers")
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data.path().join("data")
    }

    /// The variables that a server or a command on this setup needs. Registration is open, and leases are short, so
    /// that nobody waits a minute for the mails of a process that died.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("GATEPOST_DATA_DIR", self.data_dir().display().to_string()),
            ("GATEPOST_REGISTRATION", "open".to_owned()),
            ("GATEPOST_MAIL_LEASE", "1s".to_owned()),
        ];
        if let Some(servers) = &self.servers {
            environment.push(("DATABASE_URL", servers.database.url.clone()));
            environment.push(("REDIS_URL", servers.redis.url()));
            environment.push(("GATEPOST_SECRET", SECRET.to_owned()));
        }
        if self.servers.is_some() || self.relay.is_some() {
            environment.push(("SMTP_URL", self.sink().url()));
            environment.push(("MAIL_FROM", "Gatepost <no-reply@gatepost.test>".to_owned()));
        }
        environment.extend(self.more.iter().cloned());
        environment
    }

    /// A server on this setup that is ready.
    pub(crate) async fn start(&self) -> ServerProcess {
        self.start_with(&[]).await
    }

    /// A server on this setup that is ready, with more variables.
    pub(crate) async fn start_with(&self, more: &[(&str, &str)]) -> ServerProcess {
        ServerProcess::start(&joined(&self.environment(), more)).await
    }

    /// A server on this setup that is not ready yet.
    pub(crate) fn spawn(&self) -> ServerProcess {
        ServerProcess::spawn(&joined(&self.environment(), &[]))
    }

    /// Another server on the port of one that has ended, ready.
    pub(crate) async fn start_again(&self, ended: &ServerProcess) -> ServerProcess {
        let mut server = ServerProcess::spawn_on(ended.port(), &joined(&self.environment(), &[]));
        server.wait_ready().await;
        server
    }

    /// Waits for the oldest mail with a code to `address` that this has not given before.
    pub(crate) async fn next_code_to(&self, server: &ServerProcess, address: &str) -> ReceivedMail {
        if self.servers.is_some() || self.relay.is_some() {
            loop {
                let mail = self.sink().next_to(address).await;
                if mail.code().is_some() {
                    return mail;
                }
            }
        }
        eventually(&format!("a code for {address} at /dev/mail"), SOON, async || {
            let fresh = |(id, _): &(String, ReceivedMail)| !self.taken().contains(id);
            let mut mails = dev_mails_to(server, address).await.into_iter().rev().filter(fresh);
            let (id, mail) = mails.find(|(_, mail)| mail.code().is_some())?;
            self.taken().insert(id);
            Some(mail)
        })
        .await
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ids and contents of the mails to `address` at `/dev/mail`, newest first.
pub(crate) async fn dev_mails_to(server: &ServerProcess, address: &str) -> Vec<(String, ReceivedMail)> {
    let answer = reqwest::get(server.url("/dev/mail/messages")).await.expect("an answer");
    let mails: Vec<Value> = answer.json().await.expect("a list of mails");
    let text = |mail: &Value, field: &str| mail[field].as_str().unwrap_or_default().to_owned();
    let to_address = mails.iter().filter(|mail| text(mail, "to") == address);
    to_address
        .map(|mail| {
            let (subject, body) = (text(mail, "subject"), text(mail, "text"));
            let raw = format!(
                "Subject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
                 {body}"
            );
            let received = ReceivedMail {
                from: String::new(),
                to: vec![address.to_owned()],
                raw: raw.into_bytes(),
                received_at: Instant::now(),
                connection: 0,
            };
            (text(mail, "id"), received)
        })
        .collect()
}

/// `more` after `environment`.
pub(crate) fn joined<'a>(
    environment: &'a [(&'static str, String)],
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    environment.iter().map(|(name, value)| (*name, value.as_str())).chain(more.iter().copied()).collect()
}
