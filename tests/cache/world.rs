//! One database and one Redis, the instances over them, and the people in them.

use std::time::Duration;

use diesel_async::RunQueryDsl;
use gatepost::cache::Cache;
use gatepost::domain::{
    Clock, Digest, DisplayName, EmailAddress, Entropy, Language, Note, Redacted, Role, SessionId, SessionToken, UserId,
    UserStatus,
};
use gatepost::redis::Redis;
use gatepost::settings::{self, DatabaseUrl};
use gatepost::store::{Database, NewUser, ProfileChange, Session, User, postgres, sqlite};

use crate::support::{self, Postgres, TestDatabase, eventually};

/// Longer than anything here takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// Within this a revocation is enforced everywhere, whatever single thing has failed.
pub(crate) const PROMISED: Duration = Duration::from_secs(2);

/// Runs a query on whichever database it is; only one instance writes at a time here.
macro_rules! on {
    ($database:expr, $module:ident::$query:ident($($argument:expr),* $(,)?)) => {
        match $database {
            Database::Postgres { pool, .. } => {
                let mut conn = pool.get().await.unwrap();
                postgres::$module::$query(&mut conn, $($argument),*).await.unwrap()
            }
            Database::Sqlite { writer, .. } => {
                let mut conn = writer.get().await.unwrap();
                sqlite::$module::$query(&mut conn, $($argument),*).await.unwrap()
            }
        }
    };
}

/// Which database a world is built on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// What keeps the database there.
enum Kept {
    File(tempfile::TempDir),
    Database(TestDatabase),
}

/// A database, a Redis, and what is needed to make instances.
pub(crate) struct World {
    pub(crate) redis: support::Redis,
    pub(crate) clock: Clock,
    pub(crate) database: Database,
    kept: Kept,
    /// Where Redis finds what it was told to `SAVE`, when it starts again.
    _snapshots: tempfile::TempDir,
    entropy: Entropy,
}

/// Twice the default, of which readers wait for half: test machines are busy.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(200);

/// A signed-in person.
pub(crate) struct Person {
    pub(crate) user: User,
    pub(crate) session: Session,
    pub(crate) token: SessionToken,
}

impl Person {
    pub(crate) fn digest(&self) -> Digest {
        self.token.digest()
    }

    /// The key of the session in Redis.
    pub(crate) fn key(&self) -> String {
        format!("session:{}", self.digest().hex())
    }
}

impl World {
    pub(crate) async fn new(backend: Backend) -> Self {
        let kept = match backend {
            Backend::Sqlite => Kept::File(tempfile::tempdir().unwrap()),
            Backend::Postgres => Kept::Database(Postgres::migrated().await),
        };
        let database = connect(&kept).await;
        database.migrate().await.unwrap();
        let snapshots = tempfile::tempdir().unwrap();
        let redis = support::Redis::start_with(&["--dir", snapshots.path().to_str().unwrap()]).await;
        Self { redis, clock: Clock::system(), database, kept, _snapshots: snapshots, entropy: Entropy::system() }
    }

    /// An instance with connections of its own, and an upkeep that has had its first look.
    pub(crate) async fn instance(&self) -> Cache {
        self.instance_on(self.connection(RESPONSE_TIMEOUT).await, &self.redis).await
    }

    /// The same over another Redis, where `server` publishes too.
    pub(crate) async fn instance_on(&self, redis: Redis, server: &support::Redis) -> Cache {
        let cache = Cache::new(Some(redis), connect(&self.kept).await, self.clock.clone());
        cache.poll_changes().await.unwrap();
        cache.spawn_background();
        is_subscribed(&cache, server).await;
        cache
    }

    /// An instance whose upkeep does not run, but which has looked once.
    pub(crate) async fn quiet_instance(&self) -> Cache {
        self.quiet_instance_on(self.connection(RESPONSE_TIMEOUT).await).await
    }

    /// The same over this connection.
    pub(crate) async fn quiet_instance_on(&self, redis: Redis) -> Cache {
        let cache = Cache::new(Some(redis), connect(&self.kept).await, self.clock.clone());
        cache.poll_changes().await.unwrap();
        cache
    }

    /// An instance that waits for Redis for as long as it takes.
    pub(crate) async fn patient_instance(&self) -> Cache {
        self.quiet_instance_on(self.connection(SOON).await).await
    }

    /// An instance with these settings that waits for Redis for as long as it takes, and has looked once.
    pub(crate) async fn instance_with(&self, settings: &settings::Cache) -> Cache {
        self.instance_with_redis(settings, self.redis.url()).await
    }

    /// The same over another Redis.
    pub(crate) async fn instance_with_redis(&self, settings: &settings::Cache, url: String) -> Cache {
        let redis = Some(connection_to(url, SOON).await);
        let cache = Cache::with(settings, redis, connect(&self.kept).await, self.clock.clone());
        cache.poll_changes().await.unwrap();
        cache
    }

    /// An instance that has no Redis.
    pub(crate) async fn lone_instance(&self) -> Cache {
        Cache::new(None, connect(&self.kept).await, self.clock.clone())
    }

    pub(crate) async fn connection(&self, response_timeout: Duration) -> Redis {
        connection_to(self.redis.url(), response_timeout).await
    }

    /// Makes an approved account and a session of it.
    pub(crate) async fn sign_in(&self, email: &str) -> Person {
        let now = self.clock.now();
        let user = NewUser {
            id: UserId::new(&self.clock, &self.entropy),
            email: EmailAddress::parse(email).unwrap(),
            name: DisplayName::parse("Ann").unwrap(),
            note: Note::parse("").unwrap(),
            locale: Language::ALL[0],
            role: Role::User,
            status: UserStatus::Approved,
            address: "192.0.2.1".to_owned(),
            device: "Firefox on Linux".to_owned(),
        };
        let user: User = on!(&self.database, users::insert(&user, now));
        let token = SessionToken::generate(&self.entropy);
        let session = Session {
            id: SessionId::new(&self.clock, &self.entropy),
            user_id: user.id,
            token_digest: Some(token.digest()),
            method: "code".to_owned(),
            address: "192.0.2.1".to_owned(),
            device: "Firefox on Linux".to_owned(),
            version: 1,
            created_at: now,
            updated_at: now,
            last_seen_at: now,
            expires_at: now + Duration::from_hours(1),
            revoked_at: None,
        };
        on!(&self.database, sessions::insert(&session));
        Person { user, session, token }
    }

    /// Revokes in the database, and tells nobody: as a writer that dies after its commit.
    pub(crate) async fn revoke(&self, person: &Person) -> Session {
        on!(&self.database, sessions::revoke(person.user.id, person.session.id, self.clock.now())).unwrap()
    }

    /// Bans in the database, and tells nobody.
    pub(crate) async fn ban(&self, user: &User) -> User {
        on!(&self.database, users::set_standing(user.id, UserStatus::Banned, user.role, self.clock.now())).unwrap()
    }

    /// Changes a profile in the database, and tells nobody.
    pub(crate) async fn change(&self, user: &User, change: &ProfileChange) -> User {
        on!(&self.database, users::update_profile(user.id, change, self.clock.now())).unwrap()
    }

    /// Notes a sign-in in the database, and tells nobody.
    pub(crate) async fn note_sign_in(&self, user: &User) -> User {
        on!(&self.database, users::record_sign_in(user.id, self.clock.now()))
    }

    pub(crate) async fn set_password_hash(&self, user: &User, hash: &str) {
        on!(&self.database, users::set_password_hash(user.id, hash, self.clock.now()));
    }

    /// The row as it is.
    pub(crate) async fn session(&self, id: SessionId) -> Session {
        on!(&self.database, sessions::by_id(id)).unwrap()
    }

    /// Runs a statement without parameters.
    pub(crate) async fn execute(&self, sql: &str) {
        match &self.database {
            Database::Postgres { pool, .. } => {
                let mut conn = pool.get().await.unwrap();
                diesel::sql_query(sql).execute(&mut conn).await.unwrap();
            }
            Database::Sqlite { writer, .. } => {
                let mut conn = writer.get().await.unwrap();
                diesel::sql_query(sql).execute(&mut conn).await.unwrap();
            }
        }
    }
}

pub(crate) async fn connection_to(url: String, response_timeout: Duration) -> Redis {
    let settings = settings::Redis {
        url: Redacted::new(url),
        pool_size: 10,
        pool_timeout: Duration::from_secs(5),
        response_timeout,
        connect_timeout: Duration::from_secs(2),
    };
    let redis = Redis::connect(&settings).await.unwrap();
    // The first answer may be late on a busy machine.
    let mut changes = redis.changes();
    tokio::time::timeout(SOON, changes.wait_for(|available| *available)).await.unwrap().unwrap();
    redis
}

/// Waits until `cache` hears what is published at `server`: a key that is published is read anew.
async fn is_subscribed(cache: &Cache, server: &support::Redis) {
    let id = UserId(uuid::Uuid::from_u128(1));
    eventually("the instance to be subscribed", SOON, async || {
        cache.user(id).await.unwrap();
        let loads = cache.stats().users.loads;
        server.ask::<i64>(&["PUBLISH", "gatepost:invalidations", &format!("1 user:id:{id}")]).await;
        // Heard within a moment, long before the entry ends by itself.
        for _ in 0..20 {
            cache.user(id).await.unwrap();
            if cache.stats().users.loads > loads {
                return Some(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    })
    .await;
}

async fn connect(kept: &Kept) -> Database {
    let url = match kept {
        Kept::File(folder) => DatabaseUrl::Sqlite(folder.path().join("gatepost.db")),
        Kept::Database(database) => DatabaseUrl::Postgres(Redacted::new(database.url.clone())),
    };
    let settings =
        settings::Database { url, pool_size: 4, pool_timeout: Duration::from_secs(5), connect_timeout: SOON };
    Database::connect(&settings).await.unwrap()
}

/// Whether the token still signs in on this instance.
pub(crate) async fn accepts(cache: &Cache, person: &Person) -> bool {
    cache.session_by_token(person.digest()).await.unwrap().is_some()
}

/// Waits until `cache` refuses the token and gives how long that took.
pub(crate) async fn refuses(cache: &Cache, person: &Person) -> Duration {
    let begun = std::time::Instant::now();
    eventually("the session to be refused", SOON, async || (!accepts(cache, person).await).then_some(())).await;
    begun.elapsed()
}
