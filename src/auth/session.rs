//! Recognising, listing and ending sessions.
//!
//! A credential is recognised in one of two ways. [`Auth::recognise`] looks only into this process and answers at once;
//! it knows a credential for some seconds after it was recognised the other way, while nothing has changed. [`Auth::authenticate`]
//! reads the cache, and the database if it must. Both apply the same rules to the same rows: see [`crate::cache::Recognised`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant as Monotonic;

use super::{Auth, AuthError};
/// Who is asking.
pub use crate::cache::{AskedRedis, Recognised as Authenticated};
use crate::cache::{Freshness, SessionName};
use crate::domain::{Digest, Fingerprint, Instant, Origin, SessionId, SessionToken, UserId, UserStatus, clock};
use crate::store::{self, AuditEntry, Session, StoreError};

/// What a client shows to be recognised.
#[derive(Debug)]
pub enum Credential {
    /// A session token, from a cookie or as a bearer token.
    Session(SessionToken),
    /// An access token (JWT).
    Access(String),
}

/// What a good credential says: which session it stands for.
struct Claim {
    /// The digest of its [`Fingerprint`], and the rest of that.
    credential: Digest,
    open: Box<[u8]>,
    session: SessionName,
    /// Whose session it must be; `None` where only the session itself says that.
    owner: Option<UserId>,
    /// When the credential ends of itself; `None` where that is with its session.
    expires_at: Option<Instant>,
}

impl Auth {
    /// Recognises a session by a credential, as it was shown, that this process has recognised before and that still stands;
    /// otherwise `None`, and [`Self::authenticate`] knows. Waits for nothing. `at` is the present moment; `address` is asked
    /// for only when the use is noted.
    pub fn recognise(
        &self,
        credential: &[u8],
        at: Monotonic,
        address: impl FnOnce() -> IpAddr,
    ) -> Option<Arc<Authenticated>> {
        let credential = Fingerprint::of(credential);
        let who = self.0.cache.recognised(&credential, at)?;
        let now = self.0.clock.micros_at(at);
        if !self.still_stands(&who, now) {
            return None;
        }
        self.note_use(&who, now, address);
        if let Some(session) = self.0.cache.is_to_be_renewed(&who, at) {
            let (owner, expires_at) = (Some(who.user.id), who.expires_at());
            let claim =
                Claim { credential: credential.digest, open: credential.open.into(), session, owner, expires_at };
            let auth = self.clone();
            self.0.cache.in_background(async move { auth.find(claim, Freshness::Renewed).await.map(drop) });
        }
        Some(who)
    }

    /// Whether [`Self::recognise_by_redis`] is to be asked instead of [`Self::recognise`].
    pub fn asks_redis_alone(&self) -> bool {
        self.0.cache.asks_redis_alone()
    }

    /// Asks Redis whose session it is by a credential, as it was shown, that this process has recognised before; otherwise
    /// `None`, and [`Self::authenticate`] knows.
    pub fn ask_redis(&self, credential: &[u8]) -> Option<AskedRedis> {
        self.0.cache.ask_redis(Fingerprint::of(credential))
    }

    /// Recognises the session that was asked for, by what Redis says at this moment; otherwise `None`, and
    /// [`Self::authenticate`] knows. Waits for Redis alone and may be dropped. `address` is asked for only when the use is
    /// noted.
    pub async fn recognise_by_redis(
        &self,
        asked: &mut AskedRedis,
        address: impl FnOnce() -> IpAddr,
    ) -> Option<Arc<Authenticated>> {
        let (who, at) = self.0.cache.recognised_by_redis(asked).await?;
        let now = self.0.clock.micros_at(at);
        if who.user.status != UserStatus::Approved || !self.still_stands(&who, now) {
            return None;
        }
        self.note_use(&who, now, address);
        Some(who)
    }

    /// Whether what was recognised by this credential has passed none of its lifetimes at `now`, in microseconds since the
    /// Unix epoch.
    fn still_stands(&self, who: &Authenticated, now: i64) -> bool {
        !who.has_ended(now) && who.idle(now) < clock::micros(self.0.sessions.idle_lifetime)
    }

    /// Recognises a session by what the client shows; `None` when it is unknown or over, or its account may not sign
    /// in. Reads the cache, which is at most two seconds behind the database.
    pub async fn authenticate(
        &self,
        credential: &Credential,
        origin: &Origin,
    ) -> Result<Option<Arc<Authenticated>>, AuthError> {
        let now = self.0.clock.now();
        let claim = match credential {
            Credential::Session(token) => {
                let credential = token.digest();
                let owner = self.0.cache.owner(&credential);
                let (session, open) = (SessionName::Token(credential), Box::default());
                Claim { credential, open, session, owner, expires_at: None }
            }
            Credential::Access(token) => {
                let (digest, fingerprint) = (Digest::of(token.as_bytes()), Fingerprint::of(token.as_bytes()));
                let Some(token) = self.0.access_tokens.verify(token, digest, now) else { return Ok(None) };
                let (session, owner, expires_at) =
                    (SessionName::Id(token.sid), Some(token.sub), Some(token.expires_at));
                Claim { credential: fingerprint.digest, open: fingerprint.open.into(), session, owner, expires_at }
            }
        };
        let found = self.find(claim, Freshness::Kept).await?;
        if let Some(who) = &found {
            self.note_use(who, now.timestamp_micros(), || origin.address);
        }
        Ok(found)
    }

    /// The session and its account, if they can be used, and remembers them.
    async fn find(&self, claim: Claim, freshness: Freshness) -> Result<Option<Arc<Authenticated>>, AuthError> {
        let now = self.0.clock.now();
        let is_alive = |session: &Session| self.is_alive(session, now);
        let found = self.0.cache.recognise(claim.session, claim.owner, freshness, is_alive).await?;
        let may_sign_in = |who: &Authenticated| who.user.status == UserStatus::Approved;
        let Some(who) = found.filter(may_sign_in) else { return Ok(None) };
        let who = Arc::new(who.by(claim.open, claim.expires_at));
        self.0.cache.remember(claim.credential, who.clone());
        Ok(Some(who))
    }

    /// Notes, now and then, that the session is used at `now`, in microseconds since the Unix epoch.
    fn note_use(&self, who: &Authenticated, now: i64, address: impl FnOnce() -> IpAddr) {
        if who.idle(now) >= clock::micros(self.0.sessions.last_seen_interval)
            && let Some(now) = Instant::from_timestamp_micros(now)
        {
            self.0.cache.note_used(who, &address().to_canonical().to_string(), now);
        }
    }

    /// Whether a session can still be used.
    pub(super) fn is_alive(&self, session: &Session, now: Instant) -> bool {
        session.revoked_at.is_none()
            && session.expires_at > now
            && session.last_seen_at + clock::span(self.0.sessions.idle_lifetime) > now
    }

    /// The sessions of an account that can still be used, last used first.
    pub async fn sessions(&self, user_id: UserId) -> Result<Vec<Session>, AuthError> {
        let now = self.0.clock.now();
        let open = store::read!(&self.0.database, sessions::open_of_user(user_id, now))?;
        Ok(open.into_iter().filter(|session| self.is_alive(session, now)).collect())
    }

    /// Ends the session itself.
    pub async fn log_out(&self, who: &Authenticated, origin: &Origin) -> Result<(), AuthError> {
        match self.end_session(who, who.session.id, origin).await {
            // Somebody else ended it first: that is what was wanted.
            Err(AuthError::NotFound) => Ok(()),
            outcome => outcome,
        }
    }

    /// Ends one of the account's sessions.
    pub async fn end_session(&self, who: &Authenticated, id: SessionId, origin: &Origin) -> Result<(), AuthError> {
        let (user_id, now) = (who.user.id, self.0.clock.now());
        let entry = self.audit_entry("session.ended", Some(user_id), Some(user_id), origin, format!("session {id}"));
        let ended = store::transaction!(&self.0.database, async |conn, q| {
            let ended = q::sessions::revoke(conn, user_id, id, now).await?;
            if ended.is_some() {
                q::audit::insert(conn, &entry).await?;
            }
            Ok::<_, StoreError>(ended)
        })?;
        let session = ended.ok_or(AuthError::NotFound)?;
        self.0.cache.forget_session(&session).await;
        Ok(())
    }

    /// Ends all sessions of the account but the one that asks; gives how many.
    pub async fn end_other_sessions(&self, who: &Authenticated, origin: &Origin) -> Result<usize, AuthError> {
        let (user_id, keep, now) = (who.user.id, who.session.id, self.0.clock.now());
        let ended = store::transaction!(&self.0.database, async |conn, q| {
            let ended = q::sessions::revoke_all(conn, user_id, Some(keep), now).await?;
            q::audit::insert(conn, &self.others_ended(who, ended.len(), origin)).await?;
            Ok::<_, StoreError>(ended)
        })?;
        self.0.cache.forget_sessions(&ended).await;
        Ok(ended.len())
    }

    /// The line that says that the account's sessions but the one that asks were ended.
    pub(super) fn others_ended(&self, who: &Authenticated, count: usize, origin: &Origin) -> AuditEntry {
        let detail = format!("sessions: {count}; kept: {}", who.session.id);
        self.audit_entry("session.others_ended", Some(who.user.id), Some(who.user.id), origin, detail)
    }
}
