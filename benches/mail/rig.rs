//! The product as the mail benchmark sees it. Whatever changes in the product's interface changes here.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use chrono::TimeDelta;
use gatepost::auth::{self, AccessTokens, Auth, ChallengeRequest, PasswordHashing, Screening};
use gatepost::cache::Cache;
use gatepost::domain::{
    Clock, Device, EmailAddress, Entropy, KeyRing, Language, MailContent, MailId, Origin, Priority, Requested, UserId,
};
use gatepost::mail::{Counters, Outbox, Parts, Queue, Renderer, Transport, Worker, WorkerHandle};
use gatepost::redis::Redis;
use gatepost::settings::{Settings, Sources};
use gatepost::store::{Database, NewMail};
use gatepost::templates::Templates;
use serde::{Deserialize, Serialize};

/// What the keys of the benchmark are made from.
const SECRET: &str = "only for measurements, never for people";

/// Where an instance of the product works; handed from the bench to its roles.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The URL of a Postgres, or `sqlite:` and a path.
    pub(crate) database: String,
    pub(crate) redis: Option<String>,
    pub(crate) smtp_port: u16,
    pub(crate) connections: usize,
}

impl Place {
    pub(crate) fn is_postgres(&self) -> bool {
        self.database.starts_with("postgres:")
    }

    /// The product's own settings, with its defaults wherever the benchmark does not depend on a value.
    fn settings(&self) -> Settings {
        let set = |key: &str, value: String| (key.to_owned(), value);
        let mut overrides = vec![
            set("secret", SECRET.to_owned()),
            set("database.url", self.database.clone()),
            set("mail.smtp_url", format!("smtp://127.0.0.1:{}?tls=none", self.smtp_port)),
            set("mail.from", "Gatepost <no-reply@example.com>".to_owned()),
            set("mail.workers", self.connections.to_string()),
            // Nothing shall expire while it waits for the end of a long queue.
            set("auth.challenge_lifetime", "1h".to_owned()),
        ];
        overrides.extend(self.redis.iter().map(|url| set("redis.url", url.clone())));
        Settings::load(&Sources { overrides, ..Sources::default() }).expect("settings that the product takes")
    }
}

/// The parts of the product that take mails and send them, joined as `app.rs` joins them.
pub(crate) struct Rig {
    pub(crate) auth: Auth,
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    pub(crate) renderer: Renderer,
    pub(crate) clock: Clock,
    pub(crate) outbox: Outbox,
    pub(crate) parts: Parts,
}

impl Rig {
    /// Connects, and runs the migrations that are missing.
    pub(crate) async fn open(place: &Place) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let settings = place.settings();
        let (clock, entropy, counters) = (Clock::system(), Entropy::system(), Counters::default());
        let database = Database::connect(&settings.database).await.expect("a database");
        database.migrate().await.expect("migrations");
        database.align(&clock).await.expect("the time");
        let redis = match &settings.redis {
            Some(redis) => Some(Redis::connect(redis).await.expect("a Redis")),
            None => None,
        };
        let queue = Queue::new(redis.clone(), counters.clone());
        let from = &settings.mail.from.address;
        let outbox = Outbox::new(queue.clone(), from, clock.clone(), entropy.clone(), counters.clone());
        let keys = Arc::new(KeyRing::new(SECRET.as_bytes(), &[]).expect("keys"));
        let renderer = renderer(&settings, &keys);
        let parts = Parts {
            database: database.clone(),
            queue: queue.clone(),
            renderer: renderer.clone(),
            transport: Transport::new(&settings.mail, &clock, &entropy).expect("a transport"),
            settings: settings.mail.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            counters: counters.clone(),
        };
        let issuer = settings.server.public_origin();
        let auth = Auth::new(auth::Parts {
            database: database.clone(),
            cache: Cache::new(redis, database, clock.clone()),
            outbox: outbox.clone(),
            access_tokens: AccessTokens::new(&keys, issuer, settings.session.access_token_lifetime).expect("keys"),
            keys,
            passwords: PasswordHashing::new(&settings.auth.password, false).expect("no passwords"),
            clock: clock.clone(),
            entropy,
            screening: Screening::new(&settings.abuse),
            settings: settings.auth.clone(),
            sessions: settings.session.clone(),
        });
        Self { auth, queue, counters, renderer, clock, outbox, parts }
    }

    /// Starts sending, as a server does.
    pub(crate) fn worker(&self) -> WorkerHandle {
        Worker::spawn(self.parts.clone())
    }

    /// Mails that have come to an end.
    pub(crate) fn ended(&self) -> u64 {
        let counts = self.counters.snapshot();
        counts.sent + counts.dead + counts.expired
    }

    /// Accepts the request of somebody who wants to sign in: what is behind `POST /v1/otp` and the like.
    pub(crate) async fn accept(&self, email: &str) {
        let request = ChallengeRequest {
            email: email.parse().expect("an address"),
            next: None,
            locale: Language::English,
            resend_of: None,
            flow: None,
            origin: Origin {
                address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
                device: Device::stored("Firefox on Linux".to_owned()),
            },
            registration: None,
        };
        self.auth.request_challenge(&request).await.expect("the request is accepted");
    }

    /// Queues mails whose rows are there, in this process.
    pub(crate) async fn fill(&self, ids: &[MailId], priority: Priority) {
        for some in ids.chunks(1000) {
            let entries: Vec<_> = some.iter().map(|id| (*id, priority)).collect();
            self.queue.push(&entries).await;
        }
    }

    /// The row of a mail that nobody is in a hurry for.
    pub(crate) fn notice(&self, recipient: &EmailAddress) -> NewMail {
        let now = self.clock.now();
        let content = MailContent::RegistrationNotice {
            user_id: UserId(uuid::Uuid::from_u128(7)),
            email: "applicant@example.org".to_owned(),
            name: "Ada Applicant".to_owned(),
            note: "I would like to join the reading group.".to_owned(),
            requested: Requested { device: "Firefox on Linux".to_owned(), address: "192.0.2.7".to_owned(), at: now },
        };
        let expires_at = now + TimeDelta::hours(1);
        self.outbox.compose(&content, recipient, Language::English, expires_at).expect("a row")
    }
}

/// Queues mails whose rows are there in the Redis at `url`. Not through the product, which gives up a Redis that is slow.
pub(crate) async fn fill_redis(url: &str, ids: &[MailId], priority: Priority) {
    let list = gatepost::redis::keys::MAIL_LISTS[usize::try_from(priority.number()).expect("one of four")];
    let client = redis::Client::open(url).expect("a URL");
    let mut conn = client.get_multiplexed_async_connection().await.expect("a connection");
    let _: () = redis::cmd("DEL").arg(list).query_async(&mut conn).await.expect("an answer");
    for some in ids.chunks(500) {
        let some: Vec<String> = some.iter().map(ToString::to_string).collect();
        let _: u64 = redis::cmd("LPUSH").arg(list).arg(some).query_async(&mut conn).await.expect("an answer");
    }
}

fn renderer(settings: &Settings, keys: &Arc<KeyRing>) -> Renderer {
    let templates = Templates::load(None).expect("the built-in templates");
    let auth = &settings.auth;
    let renderer = Renderer::new(templates, &auth.product_name, &settings.server.public_url, Arc::clone(keys));
    renderer.expect("the built-in texts")
}

/// Logs as a server with the default settings does; to wherever the error output goes.
pub(crate) fn start_log(place: &Place) {
    gatepost::telemetry::logging::start(&place.settings().log);
}
