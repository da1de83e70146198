//! A server for one test, what it stands on, and the mails it sends.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::app::{App, Running};
use gatepost::domain::{EmailAddress, Origin};
use gatepost::settings::{Settings, Sources};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::client::{Answer, Client};
use crate::support::{Postgres, Redis, SmtpSink, TestDatabase, eventually};

/// Longer than anything here takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Within this a revocation is enforced everywhere.
pub(crate) const PROMISED: Duration = Duration::from_secs(2);
/// What the server calls itself, whatever its port: as behind a load balancer.
pub(crate) const PUBLIC_URL: &str = "http://gatepost.localhost";
/// The admin that the settings name, unless a test says otherwise.
pub(crate) const ROOT: &str = "root@example.com";
/// Two devices that are told apart.
pub(crate) const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
pub(crate) const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// Makes two tests of one story: `…::embedded` and `…::servers`. `app: TestApp = Options::…` starts it with options.
macro_rules! on_both_setups {
    ($($(#[$meta:meta])* async fn $name:ident($app:ident: TestApp $(= $options:expr)?) $body:block)+) => {
        $(
            $(#[$meta])*
            async fn $name(setup: $crate::app::Setup) {
                #[allow(unused_mut, unused_assignments, reason = "a story may be without options")]
                let mut options = $crate::app::Options::default();
                $(options = $options;)?
                let $app = $crate::app::TestApp::start(setup, options).await;
                $body
            }

            mod $name {
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn embedded() {
                    Box::pin(super::$name($crate::app::Setup::Embedded)).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn servers() {
                    Box::pin(super::$name($crate::app::Setup::Servers)).await;
                }
            }
        )+
    };
}

/// Makes a test of a story that needs Postgres, Redis and SMTP.
macro_rules! on_servers {
    ($($(#[$meta:meta])* async fn $name:ident($app:ident: TestApp $(= $options:expr)?) $body:block)+) => {
        $(
            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                #[allow(unused_mut, unused_assignments, reason = "a story may be without options")]
                let mut options = $crate::app::Options::default();
                $(options = $options;)?
                let $app = $crate::app::TestApp::start($crate::app::Setup::Servers, options).await;
                $body
            }
        )+
    };
}

/// What a server stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// `SQLite`, no Redis, mails at `/dev/mail`.
    Embedded,
    /// Postgres, Redis, SMTP.
    Servers,
}

/// The environment variables of a server. Registration is open, and [`ROOT`] is admin, unless they say otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Options(BTreeMap<String, String>);

impl Default for Options {
    fn default() -> Self {
        let options = Self(BTreeMap::new())
            .set("GATEPOST_BIND", "127.0.0.1:0")
            .set("GATEPOST_PUBLIC_URL", PUBLIC_URL)
            .set("GATEPOST_REGISTRATION", "open")
            .set("GATEPOST_ADMINS", ROOT)
            .set("GATEPOST_WORKERS", "1")
            .set("GATEPOST_MAIL_WORKERS", "2")
            .set("GATEPOST_DATABASE_POOL_SIZE", "6")
            .set("GATEPOST_SERVER_SHUTDOWN_TIMEOUT", "1s")
            // As cheap as is allowed.
            .set("GATEPOST_AUTH_PASSWORD_MEMORY_KIB", "8192")
            .set("GATEPOST_AUTH_PASSWORD_ITERATIONS", "1");
        // Late answers of a busy machine are no outage; tests/faults has those.
        options.set("GATEPOST_REDIS_RESPONSE_TIMEOUT", "5s")
    }
}

impl Options {
    /// Sets an environment variable.
    pub(crate) fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves an environment variable out.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// Who becomes a user.
    pub(crate) fn registration(value: &str) -> Self {
        Self::default().set("GATEPOST_REGISTRATION", value)
    }

    /// The ways to sign in.
    pub(crate) fn methods(value: &str) -> Self {
        Self::default().set("LOGIN_METHOD", value)
    }

    /// For stories with more requests than one client may make.
    pub(crate) fn without_limits() -> Self {
        Self::default().unlimited()
    }

    /// As [`Self::without_limits`], on top of other options.
    pub(crate) fn unlimited(self) -> Self {
        self.set("GATEPOST_RATE_LIMITS", "off")
    }

    /// Clients may say who they forward for, so that a story can have several client addresses.
    pub(crate) fn behind_a_proxy(self) -> Self {
        self.set("GATEPOST_TRUSTED_PROXIES", "127.0.0.1")
    }
}

/// What all instances of a test share.
struct World {
    // Dropped in this order, after the servers.
    database: Option<TestDatabase>,
    redis: Option<Redis>,
    sink: Option<SmtpSink>,
    directory: TempDir,
    /// Mails that a test has been given.
    taken: Mutex<HashSet<String>>,
}

/// A mail as its reader has it.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
    pub(crate) code: Option<String>,
    pub(crate) link: Option<String>,
    key: String,
    to: String,
}

impl Mail {
    fn new(key: String, to: String, subject: String, text: String, html: String) -> Self {
        let code = text.lines().map(str::trim).find(|line| line.len() == 6 && line.bytes().all(|b| b.is_ascii_digit()));
        let link = text.split_whitespace().find(|word| word.contains("/login/link?"));
        let (code, link) = (code.map(str::to_owned), link.map(str::to_owned));
        Self { subject, text, html, code, link, key, to }
    }

    /// The code in it.
    pub(crate) fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_else(|| panic!("there is no code in this mail:\n{}", self.text))
    }

    /// The path and query of the link in it.
    pub(crate) fn link_path(&self) -> &str {
        let link = self.link.as_deref().unwrap_or_else(|| panic!("there is no link in this mail:\n{}", self.text));
        link.strip_prefix(PUBLIC_URL).unwrap_or_else(|| panic!("{link} does not start with {PUBLIC_URL}"))
    }

    /// The token of the link in it.
    pub(crate) fn token(&self) -> &str {
        self.link_path().split_once("token=").expect("a link has a token").1
    }
}

/// A challenge that was asked for, and its mail.
#[derive(Debug)]
pub(crate) struct Challenge {
    pub(crate) id: String,
    pub(crate) mail: Mail,
}

impl Challenge {
    /// The right code.
    pub(crate) fn code(&self) -> &str {
        self.mail.code()
    }

    /// A wrong code: another for each `n`.
    pub(crate) fn wrong_code(&self, n: u32) -> String {
        let right: u32 = self.code().parse().expect("a code is a number");
        format!("{:06}", (right + 1 + n) % 1_000_000)
    }
}

/// What a client without cookies holds.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Tokens {
    /// Reads the answer to a sign-in or a refresh.
    pub(crate) fn of(answer: &Value) -> Self {
        let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token") }
    }
}

/// A running server. It ends when this is dropped.
pub(crate) struct TestApp {
    pub(crate) setup: Setup,
    pub(crate) address: SocketAddr,
    running: Option<Running>,
    admin: OnceCell<Client>,
    options: Options,
    world: Arc<World>,
}

impl TestApp {
    /// Starts a server on everything of its own.
    pub(crate) async fn start(setup: Setup, options: Options) -> Self {
        let directory = tempfile::Builder::new().prefix("gatepost-api.").tempdir().expect("a directory");
        let mut options = options.set("GATEPOST_DATA_DIR", directory.path().to_string_lossy());
        let mut world = World { database: None, redis: None, sink: None, directory, taken: Mutex::default() };
        if setup == Setup::Servers {
            let (database, redis, sink) = tokio::join!(Postgres::migrated(), Redis::start(), SmtpSink::start());
            options = options
                .set("DATABASE_URL", database.url.as_str())
                .set("REDIS_URL", redis.url())
                .set("SMTP_URL", sink.url())
                .set("GATEPOST_SECRET", "a secret that all instances of one test share");
            (world.database, world.redis, world.sink) = (Some(database), Some(redis), Some(sink));
        }
        Self::start_in(setup, options, Arc::new(world)).await
    }

    /// Starts another instance on the same database and Redis.
    pub(crate) async fn beside(&self) -> Self {
        Self::start_in(self.setup, self.options.clone(), self.world.clone()).await
    }

    /// Starts another instance on the same database and Redis with other settings.
    pub(crate) async fn beside_with(&self, change: impl FnOnce(Options) -> Options) -> Self {
        Self::start_in(self.setup, change(self.options.clone()), self.world.clone()).await
    }

    async fn start_in(setup: Setup, options: Options, world: Arc<World>) -> Self {
        let sources = Sources { file: None, environment: options.0.clone(), overrides: Vec::new() };
        let settings = Settings::load(&sources).expect("the settings of the test are right");
        let running = App::start(settings).await.expect("the server starts");
        let address = running.address;
        Self { setup, address, running: Some(running), admin: OnceCell::new(), options, world }
    }

    /// Ends the server in good order: what it holds back is written.
    pub(crate) async fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the server runs")
    }

    /// Lets time pass for this instance.
    pub(crate) fn advance(&self, by: Duration) {
        self.running().clock.advance(by);
    }

    /// The server's time.
    pub(crate) fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.running().clock.now()
    }

    /// The server's use cases.
    pub(crate) fn auth(&self) -> &gatepost::auth::Auth {
        &self.running().auth
    }

    /// The server's database, whichever it is.
    pub(crate) fn store(&self) -> &gatepost::store::Database {
        &self.running().database
    }

    /// The database of [`Setup::Servers`].
    pub(crate) fn database(&self) -> &TestDatabase {
        self.world.database.as_ref().expect("only with servers")
    }

    /// The Redis of [`Setup::Servers`].
    pub(crate) fn redis(&self) -> &Redis {
        self.world.redis.as_ref().expect("only with servers")
    }

    /// Ends the Redis of [`Setup::Servers`] for good, with everything in it.
    pub(crate) async fn kill_redis(&self) {
        let mut connection = self.redis().connection().await;
        // There is no answer but the end of the connection.
        let _ = redis::cmd("SHUTDOWN").arg("NOSAVE").exec_async(&mut connection).await;
    }

    /// Where the embedded server keeps its files.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.world.directory.path()
    }

    /// A browser that knows nothing yet: it keeps cookies and says where its writes come from.
    pub(crate) fn browser(&self) -> Client {
        self.browser_as(FIREFOX)
    }

    /// A browser of another kind.
    pub(crate) fn browser_as(&self, user_agent: &str) -> Client {
        Client::new(self.address, user_agent).with_origin(PUBLIC_URL)
    }

    /// A program: it says nothing about where it comes from.
    pub(crate) fn program(&self) -> Client {
        Client::new(self.address, "acme-cli/1.0")
    }

    /// Asks for a code; gives the challenge's id.
    pub(crate) async fn request_code(&self, email: &str) -> String {
        self.request_code_with(&self.program(), email).await
    }

    /// Asks for a code from `client`.
    pub(crate) async fn request_code_with(&self, client: &Client, email: &str) -> String {
        let answer = client.post("/api/auth/otp/request", json!({ "email": email })).await.expect(202).json();
        answer["challenge_id"].as_str().expect("the answer names the challenge").to_owned()
    }

    /// Asks for a code and waits for its mail.
    pub(crate) async fn challenge(&self, email: &str) -> Challenge {
        self.challenge_with(&self.program(), email).await
    }

    /// As [`Self::challenge`], from `client`.
    pub(crate) async fn challenge_with(&self, client: &Client, email: &str) -> Challenge {
        let id = self.request_code_with(client, email).await;
        Challenge { id, mail: self.sign_in_mail_to(email).await }
    }

    /// Answers a challenge with a code.
    pub(crate) async fn verify(&self, challenge_id: &str, code: &str) -> Answer {
        verify(&self.program(), challenge_id, code).await
    }

    /// Signs in a new browser.
    pub(crate) async fn sign_in(&self, email: &str) -> Client {
        self.sign_in_with(self.browser(), email).await
    }

    /// Signs `client` in.
    pub(crate) async fn sign_in_with(&self, client: Client, email: &str) -> Client {
        let challenge = self.challenge_with(&client, email).await;
        let answer = verify(&client, &challenge.id, challenge.code()).await.expect(200).json();
        assert_eq!(answer["status"], "signed_in", "{answer}");
        client
    }

    /// Signs in a program that keeps tokens.
    pub(crate) async fn tokens(&self, email: &str) -> Tokens {
        let challenge = self.challenge(email).await;
        let body = json!({ "challenge_id": challenge.id, "code": challenge.code(), "mode": "token" });
        Tokens::of(&self.program().post("/api/auth/otp/verify", body).await.expect(200).json())
    }

    /// Registers, proves the mailbox, and gives what the person is told.
    pub(crate) async fn register(&self, email: &str, name: &str) -> Value {
        let body = json!({ "email": email, "name": name, "note": "It's me" });
        let issued = self.program().post("/api/auth/register", body).await.expect(202).json();
        let code = self.sign_in_mail_to(email).await;
        self.verify(issued["challenge_id"].as_str().unwrap(), code.code()).await.expect(200).json()
    }

    /// [`ROOT`], signed in.
    pub(crate) async fn admin(&self) -> &Client {
        self.admin.get_or_init(|| self.sign_in(ROOT)).await
    }

    /// Lets the admin decide about an account.
    pub(crate) async fn decide(&self, email: &str, action: &str) -> Answer {
        let id = self.user_id(email).await;
        self.admin().await.post(&format!("/api/admin/users/{id}/{action}"), json!({})).await
    }

    /// Lets the admin approve an account.
    pub(crate) async fn approve(&self, email: &str) {
        self.decide(email, "approve").await.expect(200);
    }

    /// The id of an account.
    pub(crate) async fn user_id(&self, email: &str) -> String {
        let email = EmailAddress::parse(email).expect("an address");
        let user = self.running().auth.user_by_email(&email).await.expect("the database answers");
        user.unwrap_or_else(|| panic!("{email} has no account")).id.to_string()
    }

    /// Whether a mailbox has an account.
    pub(crate) async fn has_account(&self, email: &str) -> bool {
        let email = EmailAddress::parse(email).expect("an address");
        self.running().auth.user_by_email(&email).await.expect("the database answers").is_some()
    }

    /// Makes an approved account without the mails of a sign-in. It is invited.
    pub(crate) async fn invite(&self, email: &str) {
        let email = EmailAddress::parse(email).expect("an address");
        let origin = Origin {
            address: std::net::IpAddr::from([127, 0, 0, 1]),
            device: gatepost::domain::Device::describe(None),
        };
        let auth = &self.running().auth;
        auth.invite(None, &email, &"Invited".parse().unwrap(), gatepost::domain::Language::English, &origin)
            .await
            .expect("the account can be made");
    }

    /// Waits for the oldest mail to `email` that was not taken before.
    pub(crate) async fn mail_to(&self, email: &str) -> Mail {
        self.take_mail(email, "any", |_| true).await
    }

    /// Waits for the oldest mail with a code or link.
    pub(crate) async fn sign_in_mail_to(&self, email: &str) -> Mail {
        self.take_mail(email, "a code or link", |mail| mail.code.is_some() || mail.link.is_some()).await
    }

    /// Waits for the oldest mail whose subject contains `subject`.
    pub(crate) async fn mail_about(&self, email: &str, subject: &str) -> Mail {
        self.take_mail(email, subject, |mail| mail.subject.contains(subject)).await
    }

    async fn take_mail(&self, email: &str, what: &str, wanted: impl Fn(&Mail) -> bool) -> Mail {
        eventually(&format!("a mail to {email}: {what}"), SOON, async || {
            let mails = self.mails_to(email).await;
            let mut taken = self.world.taken.lock().unwrap();
            mails.into_iter().find(|mail| wanted(mail) && taken.insert(mail.key.clone()))
        })
        .await
    }

    /// Every mail to `email` so far, oldest first, taken or not.
    pub(crate) async fn mails_to(&self, email: &str) -> Vec<Mail> {
        let mut mails = self.mails().await;
        mails.retain(|mail| mail.to.eq_ignore_ascii_case(email));
        mails
    }

    /// Every mail so far, oldest first.
    pub(crate) async fn mails(&self) -> Vec<Mail> {
        if let Some(sink) = &self.world.sink {
            return sink
                .messages()
                .iter()
                .enumerate()
                .map(|(index, mail)| {
                    let text = mail.text().unwrap_or_default().replace("\r\n", "\n");
                    let html = mail.html().unwrap_or_default();
                    Mail::new(index.to_string(), mail.to.join(","), mail.subject(), text, html)
                })
                .collect();
        }
        let listed = self.program().get("/dev/mail/messages").await.expect(200).json();
        let text = |mail: &Value, name: &str| mail[name].as_str().unwrap_or_default().to_owned();
        let read = |mail: &Value| {
            let key = text(mail, "id");
            Mail::new(key, text(mail, "to"), text(mail, "subject"), text(mail, "text"), text(mail, "html"))
        };
        listed.as_array().expect("a list").iter().rev().map(read).collect()
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // Its client must not keep a connection open that the server would wait for.
        self.admin = OnceCell::new();
        let Some(running) = self.running.take() else { return };
        // In a thread: a runtime cannot be entered from within another.
        let stopping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), running.stop()).await.ok() })
        });
        let _ = stopping.join();
    }
}

/// Answers a challenge from `client`.
pub(crate) async fn verify(client: &Client, challenge_id: &str, code: &str) -> Answer {
    client.post("/api/auth/otp/verify", json!({ "challenge_id": challenge_id, "code": code })).await
}
