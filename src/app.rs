//! The composition root: settings in, a running server out. `main` and the tests start the very same thing.
//!
//! [`App::build`] opens what everything stands on (secret, database, Redis, templates) and joins the parts; nothing
//! runs yet, which is what the commands of operators need. [`App::start`] listens, builds, sends mail and keeps house,
//! until [`Running::stop`]: not ready any more, requests finished, mails in flight finished or given back.

mod housekeeping;
mod readings;
mod secret;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::auth::{self, AccessTokens, Auth, AuthError, Captcha, CaptchaError, PasswordHashing, Screening};
use crate::cache::Cache;
use crate::domain::keyring::KeyRingError;
use crate::domain::{Clock, Entropy, KeyId, KeyRing};
use crate::http::{self, Site};
use crate::limit::{Limiter, Upkeep};
use crate::mail::{Counters, Outbox, Queue, Renderer, Transport, TransportError, Worker, WorkerHandle};
use crate::redis::{Redis, RedisError};
use crate::settings::{DatabaseUrl, Settings};
use crate::store::{Database, StoreError};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::MetricsError;
use crate::templates::{TemplateError, Templates};

/// The keys that the settings give, making nothing: `None` where the secret is made on the first start and has not been.
pub fn present_keys(settings: &Settings) -> Result<Option<KeyRing>, StartError> {
    secret::present_keys(settings)
}

/// A new secret, for an operator to keep, and the id of its key.
pub fn new_secret() -> Result<(Zeroizing<String>, KeyId), KeyRingError> {
    let secret = secret::new_secret(&Entropy::system());
    let id = KeyRing::new(secret.as_bytes(), &[])?.current_id().clone();
    Ok((secret, id))
}

/// What mails in flight get to finish when requests have used up the time that a shutdown may take.
const MAIL_PATIENCE: Duration = Duration::from_secs(5);

/// How long the last failed sign-ins may take on their way into the audit trail.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why the server did not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {error}. Stop what uses it, or set GATEPOST_BIND to another address:port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The data directory cannot be used.
    #[error("cannot use the data directory {path}: {error}. Make it writable, or set GATEPOST_DATA_DIR")]
    DataDir {
        /// The directory or the file in it.
        path: std::path::PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The secret cannot be used.
    #[error("cannot use the secret {origin}: {error}")]
    Secret {
        /// Where it came from.
        origin: String,
        /// Why.
        error: KeyRingError,
    },
    /// The database cannot be reached, opened or migrated.
    #[error("{0}. Check DATABASE_URL and that the database is running")]
    Database(#[from] StoreError),
    /// A command was asked about a database that no server has made.
    #[error("there is no database {0}. Start the server first, run `gatepost migrate`, or set GATEPOST_DATA_DIR")]
    NotMade(std::path::PathBuf),
    /// The database is of an older version.
    #[error("the database is older than this program, or empty. Run `gatepost migrate` first")]
    NotMigrated,
    /// The Redis URL is of no use. A server that is merely away is no reason not to start.
    #[error("{0}. Check REDIS_URL")]
    Redis(#[from] RedisError),
    /// The SMTP settings are of no use.
    #[error("{0}. Check SMTP_URL")]
    Mail(#[from] TransportError),
    /// A template is broken.
    #[error("{0}. Check the directory of templates")]
    Templates(#[from] TemplateError),
    /// Something that should not happen.
    #[error("{0}")]
    Auth(#[from] AuthError),
    /// Something that should not happen.
    #[error("{0}")]
    Metrics(#[from] MetricsError),
    /// What the CAPTCHA needs cannot be set up.
    #[error("{0}")]
    Captcha(#[from] CaptchaError),
}

/// Everything, joined and not yet running.
pub struct App {
    /// The use cases.
    pub auth: Auth,
    /// The truth.
    pub database: Database,
    /// The database's time.
    pub clock: Clock,
    /// The settings it was built from.
    pub settings: Settings,
    /// The cache of users and sessions.
    pub cache: Cache,
    /// The request limits.
    pub limiter: Limiter,
    redis: Option<Redis>,
    templates: Templates,
    transport: Transport,
    worker: crate::mail::Parts,
    metrics: Metrics,
}

/// A running server.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// What people type to get there.
    pub public_url: String,
    /// The use cases, for tests and for what runs beside the server.
    pub auth: Auth,
    /// The truth.
    pub database: Database,
    /// The database's time.
    pub clock: Clock,
    server: ServerHandle,
    finished: JoinHandle<std::io::Result<()>>,
    background: Background,
    limits: Upkeep,
    draining: Arc<AtomicBool>,
    patience: Duration,
}

/// What runs beside HTTP.
pub struct Background {
    worker: Option<WorkerHandle>,
    cache: Cache,
    auth: Auth,
    housekeeping: JoinHandle<()>,
}

impl App {
    /// Opens everything, making what is not there yet and running the migrations that are missing, and joins the parts.
    pub async fn build(settings: Settings) -> Result<Self, StartError> {
        secret::prepare_data_dir(&settings.server.data_dir)?;
        let database = Database::connect(&settings.database).await?;
        let ran = database.migrate().await?;
        if !ran.is_empty() {
            log::info!("ran {} migration(s): {}", ran.len(), ran.join(", "));
        }
        Self::join(settings, database).await
    }

    /// Opens what a server has made, and changes nothing about it: for commands, which may run in the wrong place or
    /// be of another version.
    pub async fn open(settings: Settings) -> Result<Self, StartError> {
        if let DatabaseUrl::Sqlite(path) = &settings.database.url
            && !path.exists()
        {
            return Err(StartError::NotMade(path.clone()));
        }
        let database = Database::connect(&settings.database).await?;
        if !database.is_migrated().await? {
            return Err(StartError::NotMigrated);
        }
        Self::join(settings, database).await
    }

    async fn join(settings: Settings, database: Database) -> Result<Self, StartError> {
        // Fails when it has been done before, in this process: then it is done.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (clock, entropy) = (Clock::system(), Entropy::system());
        let keys = Arc::new(secret::keys(&settings, &entropy)?);
        let templates = Templates::load(settings.templates.dir.as_deref())?;
        database.align(&clock).await?;
        let redis = match &settings.redis {
            Some(redis) => Some(Redis::connect(redis).await?),
            None => None,
        };
        let counters = Counters::default();
        let queue = Queue::new(redis.clone(), counters.clone());
        let from = &settings.mail.from.address;
        let outbox = Outbox::new(queue.clone(), from, clock.clone(), entropy.clone(), counters.clone());
        let transport = Transport::new(&settings.mail, &clock, &entropy)?;
        let worker = crate::mail::Parts {
            database: database.clone(),
            queue,
            renderer: Renderer::new(
                templates.clone(),
                &settings.auth.product_name,
                &settings.server.public_url,
                keys.clone(),
            )?,
            transport: transport.clone(),
            settings: settings.mail.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            counters: counters.clone(),
        };
        let cache = Cache::with(&settings.cache, redis.clone(), database.clone(), clock.clone());
        let limiter = Limiter::new(redis.clone(), settings.limits.clone());
        let issuer = settings.server.public_origin();
        let auth = Auth::new(auth::Parts {
            database: database.clone(),
            cache: cache.clone(),
            outbox,
            access_tokens: AccessTokens::new(&keys, issuer, settings.session.access_token_lifetime)?,
            keys,
            passwords: PasswordHashing::new(&settings.auth.password, settings.auth.methods.password)?,
            clock: clock.clone(),
            entropy,
            screening: Screening::new(&settings.abuse),
            settings: settings.auth.clone(),
            sessions: settings.session.clone(),
        });
        let metrics = Metrics::new()?;
        readings::observe(&metrics, &counters, &limiter, &cache, &database)?;
        readings::observe_relays(&metrics, &transport)?;
        Ok(Self { auth, database, clock, settings, cache, limiter, redis, templates, transport, worker, metrics })
    }

    /// Starts what runs beside HTTP: housekeeping, the cache's upkeep and, if `sends_mail`, the mail worker.
    pub fn start_background(&self, sends_mail: bool) -> Background {
        self.cache.spawn_background();
        Background {
            worker: sends_mail.then(|| Worker::spawn(self.worker.clone())),
            cache: self.cache.clone(),
            auth: self.auth.clone(),
            housekeeping: housekeeping::spawn(
                self.database.clone(),
                self.clock.clone(),
                self.limiter.clone(),
                self.settings.auth.guess_window,
                housekeeping::Trail { auth: self.auth.clone(), keep: self.settings.audit.keep },
            ),
        }
    }

    /// Listens, builds and starts everything. Listens first: a port that is taken is told before anything is touched,
    /// and one that the system chooses is in every link.
    pub async fn start(mut settings: Settings) -> Result<Running, StartError> {
        let address = settings.server.bind;
        let listen = |error| StartError::Listen { address, error };
        let listener = http::listen(address).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        settings.server.bound_to(address);
        Self::build(settings).await?.serve(listener, address)
    }

    fn serve(self, listener: TcpListener, address: SocketAddr) -> Result<Running, StartError> {
        let background = self.start_background(true);
        self.cache.spawn_warming();
        let limits = self.limiter.spawn_upkeep();
        let public_url = self.settings.server.public_url.as_str().trim_end_matches('/').to_owned();
        let draining = Arc::new(AtomicBool::new(false));
        let patience = self.settings.server.shutdown_timeout;
        let captcha =
            self.settings.abuse.captcha.map(|captcha| Captcha::new(captcha, self.clock.clone())).transpose()?;
        let site = Arc::new(Site {
            captcha,
            auth: self.auth.clone(),
            cache: self.cache,
            limiter: self.limiter,
            database: self.database.clone(),
            redis: self.redis,
            templates: self.templates,
            dev_mailbox: self.transport.dev_mailbox().cloned(),
            server: self.settings.server,
            sessions: self.settings.session,
            metrics: self.metrics,
            clock: self.clock.clone(),
            draining: draining.clone(),
        });
        let server = http::serve(site, listener).map_err(|error| StartError::Listen { address, error })?;
        let handle = server.handle();
        let finished = tokio::spawn(server);
        Ok(Running {
            address,
            public_url,
            auth: self.auth,
            database: self.database,
            clock: self.clock,
            server: handle,
            finished,
            background,
            limits,
            draining,
            patience,
        })
    }
}

impl Running {
    /// Stops being ready, finishes the requests and the mails that are under way, and ends.
    pub async fn stop(self) {
        let began = Instant::now();
        self.draining.store(true, Ordering::Relaxed);
        self.server.stop(true).await;
        if let Ok(Err(error)) = self.finished.await {
            log::error!("the HTTP server ended with an error: {error}");
        }
        self.limits.stop().await;
        // One deadline for both, but never none for the mails.
        self.background.stop(self.patience.saturating_sub(began.elapsed()).max(MAIL_PATIENCE)).await;
    }
}

impl Background {
    /// Finishes or gives back the mails that are under way, writes what is pending, and ends.
    pub async fn stop(self, patience: Duration) {
        if let Some(worker) = self.worker {
            worker.shutdown(patience).await;
        }
        self.cache.shutdown().await;
        self.housekeeping.abort();
        match tokio::time::timeout(LAST_WORDS, self.auth.write_failures(true)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => log::warn!("the last failed sign-ins are not in the audit trail: {error}"),
            Err(_) => log::warn!("the last failed sign-ins are not in the audit trail: no answer in time"),
        }
    }
}
