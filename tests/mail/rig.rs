//! A database, perhaps a Redis, a mail server, and an outbox between them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use gatepost::domain::{
    ChallengeId, Clock, EmailAddress, Entropy, Instant, KeyId, KeyRing, Language, MailContent, MailId, MailStatus,
    Redacted, Requested, SignInForm,
};
use gatepost::mail::{Counters, CountersSnapshot, Outbox, Parts, Queue, Renderer, Transport, Worker, WorkerHandle};
use gatepost::redis::Redis;
use gatepost::settings::{self, DatabaseUrl, Delivery, Mailbox, Relay, RelayTls};
use gatepost::store::{Challenge, Database, Mail, MailEnd, NewMail, SweepOrder, Swept};
use gatepost::templates::{TemplateError, Templates};

use crate::SOON;
use crate::support::{self, Postgres, SmtpSink, TestDatabase, eventually};

/// Runs a query of the store on whichever database `$database` is.
macro_rules! query {
    ($database:expr, $module:ident::$query:ident($($argument:expr),* $(,)?)) => {
        match $database {
            gatepost::store::Database::Postgres { pool, .. } => {
                let mut conn = pool.get().await.expect("a connection");
                gatepost::store::postgres::$module::$query(&mut conn, $($argument),*).await.expect("an answer")
            }
            gatepost::store::Database::Sqlite { writer, .. } => {
                let mut conn = writer.get().await.expect("a connection");
                gatepost::store::sqlite::$module::$query(&mut conn, $($argument),*).await.expect("an answer")
            }
        }
    };
}

/// Makes two tests of `async fn $name(rig: Rig)`: the product with nothing beside it, and the one with everything.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn on_sqlite_alone() {
                super::$name(crate::rig::Rig::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_postgres_with_redis() {
                super::$name(crate::rig::Rig::postgres_with_redis().await).await;
            }
        }
    )+};
}

/// The public URL of the product under test.
pub(crate) const PUBLIC_URL: &str = "https://login.example.com";

pub(crate) struct Rig {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) queue: Queue,
    pub(crate) outbox: Outbox,
    pub(crate) counters: Counters,
    pub(crate) sink: SmtpSink,
    pub(crate) redis: Option<support::Redis>,
    entropy: Entropy,
    _files: Option<tempfile::TempDir>,
    _database: Option<TestDatabase>,
}

impl Rig {
    /// `SQLite`, and nothing else.
    pub(crate) async fn sqlite() -> Self {
        let files = tempfile::tempdir().unwrap();
        let database = connect(DatabaseUrl::Sqlite(files.path().join("gatepost.db"))).await;
        Self { _files: Some(files), ..Self::new(database, None).await }
    }

    /// A fresh Postgres database, and a Redis of its own.
    pub(crate) async fn postgres_with_redis() -> Self {
        let kept = Postgres::migrated().await;
        let database = connect(DatabaseUrl::Postgres(Redacted::new(kept.url.clone()))).await;
        Self { _database: Some(kept), ..Self::new(database, Some(support::Redis::start().await)).await }
    }

    /// A fresh database at `url`, without a Redis.
    pub(crate) async fn on(url: String) -> Self {
        Self::new(connect(DatabaseUrl::Postgres(Redacted::new(url))).await, None).await
    }

    /// `SQLite` with this Redis.
    pub(crate) async fn sqlite_with(redis: support::Redis) -> Self {
        let files = tempfile::tempdir().unwrap();
        let database = connect(DatabaseUrl::Sqlite(files.path().join("gatepost.db"))).await;
        Self { _files: Some(files), ..Self::new(database, Some(redis)).await }
    }

    async fn new(database: Database, redis: Option<support::Redis>) -> Self {
        let (clock, entropy, counters) = (Clock::system(), Entropy::system(), Counters::default());
        database.align(&clock).await.unwrap();
        let queue = queue(redis.as_ref(), &counters).await;
        let outbox = Outbox::new(queue.clone(), &sender().address, clock.clone(), entropy.clone(), counters.clone());
        let keys = Arc::new(KeyRing::new(b"an example secret of 32 bytes...", &[]).unwrap());
        let sink = SmtpSink::start().await;
        Self { database, clock, keys, queue, outbox, counters, sink, redis, entropy, _files: None, _database: None }
    }

    /// Settings that deliver to the sink, impatiently.
    pub(crate) fn settings(&self) -> settings::Mail {
        settings::Mail {
            delivery: Delivery::Smtp(vec![relay(&self.sink)]),
            from: sender(),
            dkim: None,
            workers: 4,
            max_attempts: 3,
            lease: Duration::from_mins(1),
            backoff: vec![Duration::from_millis(100)],
            connect_timeout: Duration::from_secs(2),
            command_timeout: Duration::from_secs(5),
            retention: Duration::from_hours(1),
            expiry_margin: Duration::from_secs(5),
            suppress_for: Duration::from_hours(24),
        }
    }

    /// What a worker with these settings is made of.
    pub(crate) fn parts(&self, settings: settings::Mail) -> Parts {
        Parts {
            database: self.database.clone(),
            queue: self.queue.clone(),
            renderer: renderer(&self.keys, None),
            transport: Transport::new(&settings, &self.clock, &self.entropy).unwrap(),
            settings,
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            counters: self.counters.clone(),
        }
    }

    pub(crate) fn worker(&self) -> WorkerHandle {
        self.worker_with(|_| {})
    }

    pub(crate) fn worker_with(&self, change: impl FnOnce(&mut settings::Mail)) -> WorkerHandle {
        let mut settings = self.settings();
        change(&mut settings);
        Worker::spawn(self.parts(settings))
    }

    /// A handle on the queue, and counters, as another instance has them.
    pub(crate) async fn of_another_instance(&self, settings: settings::Mail) -> Parts {
        let counters = Counters::default();
        Parts { queue: queue(self.redis.as_ref(), &counters).await, counters, ..self.parts(settings) }
    }

    /// Commits a sign-in mail without putting its id anywhere.
    pub(crate) async fn commit(&self, email: &str) -> NewMail {
        self.commit_for(email, TimeDelta::minutes(10)).await
    }

    /// The same, with a code that works for `lifetime`.
    pub(crate) async fn commit_for(&self, email: &str, lifetime: TimeDelta) -> NewMail {
        let challenge = self.challenge(email, lifetime);
        query!(&self.database, challenges::insert(&challenge));
        let (form, requested) = (SignInForm::CodeAndLink, self.requested());
        let content = MailContent::SignIn { challenge_id: challenge.id, form, requested, deliver: true };
        let mail = self.compose(&content, email, challenge.expires_at);
        query!(&self.database, outbox::insert(&mail));
        mail
    }

    /// Commits a sign-in mail and queues it, as a request does.
    pub(crate) async fn accept(&self, email: &str) -> NewMail {
        let mail = self.commit(email).await;
        self.outbox.enqueue(std::slice::from_ref(&mail)).await;
        mail
    }

    /// Commits and queues a mail of any kind but sign-in.
    pub(crate) async fn accept_content(&self, content: &MailContent, email: &str) -> NewMail {
        let mail = self.compose(content, email, self.clock.now() + TimeDelta::days(1));
        query!(&self.database, outbox::insert(&mail));
        self.outbox.enqueue(std::slice::from_ref(&mail)).await;
        mail
    }

    pub(crate) fn compose(&self, content: &MailContent, email: &str, expires_at: Instant) -> NewMail {
        self.outbox.compose(content, &email.parse().unwrap(), Language::English, expires_at).unwrap()
    }

    pub(crate) fn challenge(&self, email: &str, lifetime: TimeDelta) -> Challenge {
        let now = self.clock.now();
        Challenge {
            id: ChallengeId::new(&self.clock, &self.entropy),
            key_id: self.keys.current_id().as_str().to_owned(),
            email: email.parse().unwrap(),
            name: String::new().try_into().unwrap(),
            note: String::new().try_into().unwrap(),
            locale: Language::English,
            next: None,
            flow_digest: None,
            address: "192.0.2.7".to_owned(),
            device: "Firefox on Linux".to_owned(),
            attempts: 0,
            created_at: now,
            expires_at: now + lifetime,
            consumed_at: None,
        }
    }

    pub(crate) fn requested(&self) -> Requested {
        Requested { device: "Firefox on Linux".to_owned(), address: "192.0.2.7".to_owned(), at: self.clock.now() }
    }

    /// The code that belongs into a sign-in mail.
    pub(crate) fn code(&self, mail: &NewMail) -> String {
        let key = KeyId::stored(self.keys.current_id().as_str().to_owned());
        self.keys.code(&key, mail.challenge_id.unwrap()).unwrap().expose().to_owned()
    }

    /// The link that belongs into a sign-in mail.
    pub(crate) fn link(&self, mail: &NewMail) -> String {
        let token = self.keys.link(self.keys.current_id(), mail.challenge_id.unwrap()).unwrap();
        format!("{PUBLIC_URL}/login/link?token={}", token.expose())
    }

    pub(crate) async fn row(&self, id: MailId) -> Mail {
        query!(&self.database, outbox_admin::by_id(id)).expect("the row is there")
    }

    /// Waits until the mail stands so, and gives its row.
    pub(crate) async fn until(&self, id: MailId, status: MailStatus) -> Mail {
        let what = format!("the mail to be {status}");
        eventually(&what, SOON, async || Some(self.row(id).await).filter(|row| row.status == status)).await
    }

    /// Waits until the worker has counted, which it does after it has written, and fails if that was more than `count`.
    pub(crate) async fn counted(&self, of: impl Fn(&CountersSnapshot) -> u64, count: u64) {
        let counted = async || Some(of(&self.counters.snapshot())).filter(|counted| *counted >= count);
        assert_eq!(eventually("it to be counted", SOON, counted).await, count);
    }

    /// Ends a claimed row by hand, or gives it back; whether the fence was still good.
    pub(crate) async fn end(&self, id: MailId, fence: i64, status: MailStatus, error: Option<&str>) -> bool {
        let next_attempt_at = (status == MailStatus::Ready).then(|| self.clock.now() + TimeDelta::hours(1));
        let error = error.map(str::to_owned);
        let end = MailEnd { id, fence, status, next_attempt_at, error, uncounted: false };
        let ended: Vec<MailId> = query!(&self.database, dispatch::settle(&[end], self.clock.now()));
        ended == [id]
    }

    /// Sweeps as another instance does at `now`; gives what was found.
    pub(crate) async fn sweep(&self, now: Instant) -> Swept {
        let order =
            SweepOrder { now, reclaims: true, max_attempts: 3, priorities: Vec::new(), queued_until: now, limit: 100 };
        query!(&self.database, dispatch::sweep(&order))
    }

    /// Claims a row by hand, as a worker does that is about to die.
    pub(crate) async fn claim(&self, id: MailId, lease_until: Instant) -> Mail {
        let now = self.clock.now() + TimeDelta::seconds(1);
        let mut claimed = query!(&self.database, dispatch::claim(&[id], now, lease_until));
        claimed.pop().expect("the row can be claimed")
    }
}

pub(crate) fn sender() -> Mailbox {
    Mailbox { name: Some("Gatepost".to_owned()), address: address("no-reply@example.com") }
}

pub(crate) fn address(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

/// A renderer with the built-in texts, but for those of an operator's directory.
pub(crate) fn renderer(keys: &Arc<KeyRing>, dir: Option<&Path>) -> Renderer {
    try_renderer(keys, dir).unwrap()
}

pub(crate) fn try_renderer(keys: &Arc<KeyRing>, dir: Option<&Path>) -> Result<Renderer, TemplateError> {
    Renderer::new(Templates::load(dir)?, "Gatepost", &PUBLIC_URL.parse().unwrap(), Arc::clone(keys))
}

/// The sink as a relay, without TLS.
pub(crate) fn relay(sink: &SmtpSink) -> Relay {
    let url = sink.url();
    let port = url.rsplit_once(':').unwrap().1.parse().unwrap();
    relay_at(port)
}

pub(crate) fn relay_at(port: u16) -> Relay {
    Relay { host: "127.0.0.1".to_owned(), port, tls: RelayTls::None, user: None, password: None }
}

async fn queue(redis: Option<&support::Redis>, counters: &Counters) -> Queue {
    let Some(redis) = redis else { return Queue::new(None, counters.clone()) };
    let settings = settings::Redis {
        url: Redacted::new(redis.url()),
        pool_size: 4,
        pool_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_millis(500),
        connect_timeout: Duration::from_secs(2),
    };
    Queue::new(Some(Redis::connect(&settings).await.unwrap()), counters.clone())
}

async fn connect(url: DatabaseUrl) -> Database {
    let settings = settings::Database {
        url,
        pool_size: 8,
        pool_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
    };
    let database = Database::connect(&settings).await.unwrap();
    database.migrate().await.unwrap();
    database
}

/// A path beside this file.
pub(crate) fn beside(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/mail").join(name)
}
