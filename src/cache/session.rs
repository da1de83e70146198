//! Sessions, by the digest of their token and by id.
//!
//! Only open sessions are kept. Whatever a tier holds, a session that has been revoked or is past its absolute expiry
//! is handed out by none. Its idle lifetime is the caller's to judge: see [`Cache::session_by_token`].

use std::time::{Duration, Instant as Monotonic};

use super::Cache;
use super::shared::{Fill, Kind, Lookup, Mark, SCHEMA, Stored, hash};
use super::tier::{Began, Entry, FROM_DATABASE};
use crate::domain::{Digest, SessionId};
use crate::redis::{Cmd, Key, cmd, keys};
use crate::store::{Session, StoreError, read};

/// How long a session may stay in Redis; never longer than it lasts.
pub const SESSION_TTL: Duration = Duration::from_mins(5);

/// How a session is asked for.
#[derive(Clone, Copy, Debug)]
pub enum SessionName {
    /// By the digest of its token.
    Token(Digest),
    /// By its id.
    Id(SessionId),
}

impl SessionName {
    pub(super) fn key(self) -> String {
        match self {
            Self::Token(digest) => keys::session(&digest),
            Self::Id(id) => keys::session_id(id),
        }
    }

    /// Whether this names `session`: what was stored under a key need not be what belongs there.
    fn names(self, session: &Session) -> bool {
        match self {
            Self::Token(digest) => session.token_digest.is_some_and(|stored| stored.matches(&digest)),
            Self::Id(id) => session.id == id,
        }
    }
}

impl Cache {
    /// The open session whose token has this digest, at most two seconds old; a token that is not known, is revoked or
    /// has passed its absolute expiry gives `None`. Fails only when the database had to be asked and failed.
    ///
    /// `last_seen_at` may be some six minutes behind on instances that did not see the session themselves, so ask
    /// [`Self::session_afresh`] before refusing a session as idle.
    pub async fn session_by_token(&self, digest: Digest) -> Result<Option<Session>, StoreError> {
        self.open_session(SessionName::Token(digest)).await
    }

    /// The open session with this id; otherwise as [`Self::session_by_token`].
    pub async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.open_session(SessionName::Id(id)).await
    }

    /// The open session with this id, from the database. Its `last_seen_at` is behind by no more than other instances
    /// hold back: seventy seconds.
    pub async fn session_afresh(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let session = self.read_session(SessionName::Id(id)).await?;
        Ok(session.filter(|session| self.is_open(session)).map(|session| self.as_last_seen(session)))
    }

    /// Makes every instance read this session anew. Call it after the commit, with the row as it was written. Never
    /// fails: what Redis does not take in is found by the next look at the database.
    pub async fn forget_session(&self, session: &Session) {
        self.forget_sessions(std::slice::from_ref(session)).await;
    }

    /// [`Self::forget_session`] for several.
    pub async fn forget_sessions(&self, sessions: &[Session]) {
        let marks = |session: &Session| session_marks(session.id, session.token_digest, session.version);
        self.forget(sessions.iter().flat_map(marks).collect()).await;
    }

    async fn open_session(&self, name: SessionName) -> Result<Option<Session>, StoreError> {
        let (session, _) = self.session_entry(name).await?.into_parts();
        Ok(session.filter(|session| self.is_open(session)).map(|session| self.as_last_seen(session)))
    }

    /// What is under this name, loaded anew beside the caller if it is about to end.
    pub(super) async fn session_entry(&self, name: SessionName) -> Result<Entry<Session>, StoreError> {
        let load = |began, at_least| self.load_session(name, began, at_least);
        let counts = Some(&self.0.session_counts);
        let entry = self.0.sessions.entry(&name.key(), &self.0.guards, counts, load).await?;
        if entry.is_to_be_renewed() {
            let cache = self.clone();
            self.in_background(async move { cache.renew_session(name).await.map(drop) });
        }
        Ok(entry)
    }

    /// Loads what is under this name now.
    pub(super) async fn renew_session(&self, name: SessionName) -> Result<Entry<Session>, StoreError> {
        let load = |began, at_least| self.load_session(name, began, at_least);
        self.0.sessions.renew(&name.key(), &self.0.guards, load).await
    }

    async fn load_session(&self, name: SessionName, began: Began, at_least: i64) -> Result<Entry<Session>, StoreError> {
        let key = name.key();
        let mut may_fill = false;
        if at_least != FROM_DATABASE {
            let parse = |fields| parse(fields, name);
            match self.0.shared.read(&key, command, &self.0.session_counts, parse).await {
                Lookup::Found(session, until) if session.version >= at_least => {
                    let version = session.version;
                    return Ok(Entry::new(Some(session), version, began).until(until));
                }
                Lookup::Found(..) | Lookup::Nothing => may_fill = true,
                Lookup::Away => {}
            }
        }
        let session = self.read_session(name).await?.filter(|session| self.is_open(session));
        if let Some(session) = session.as_ref().filter(|_| may_fill) {
            self.share_session(&key, session, began).await;
        }
        let version = session.as_ref().map_or(0, |session| session.version);
        Ok(Entry::new(session, version, began))
    }

    async fn share_session(&self, key: &str, session: &Session, began: Began) {
        let Ok(json) = serde_json::to_string(session) else { return };
        let version = session.version.to_string();
        let value = hash(&[("schema", &SCHEMA.to_string()), ("version", &version), ("session", &json)]);
        let left = (session.expires_at - self.0.clock.now()).to_std().unwrap_or(Duration::ZERO);
        let ttl = self.0.shared.shortened(SESSION_TTL).min(left);
        let stamp = self.0.shared.stamp(session.version, session.id);
        let fill = Fill { key, version: session.version, stamp, ttl, value };
        self.0.shared.fill(fill, began, &self.0.session_counts).await;
    }

    async fn read_session(&self, name: SessionName) -> Result<Option<Session>, StoreError> {
        let (asked, database) = (Monotonic::now(), &self.0.database);
        let ask = async || match name {
            SessionName::Token(digest) => read!(database, sessions::by_token(digest)),
            SessionName::Id(id) => read!(database, sessions::by_id(id)),
        };
        let outcome = ask().await;
        self.0.session_counts.loaded(asked.elapsed(), outcome)
    }

    pub(super) fn is_open(&self, session: &Session) -> bool {
        session.revoked_at.is_none() && session.expires_at > self.0.clock.now()
    }
}

/// Everything under which a session is cached.
pub(super) fn session_marks(id: SessionId, token: Option<Digest>, version: i64) -> Vec<Mark> {
    let by_token = token.map(|digest| keys::session(&digest));
    let all = by_token.into_iter().chain([keys::session_id(id)]);
    all.map(|key| Mark { key, kind: Kind::Session, version }).collect()
}

/// Asks for the fields of a session.
pub(super) fn command(key: Key<'_>) -> Cmd {
    cmd("HMGET").arg(key).arg("schema").arg("version").arg("session").take()
}

/// What the fields under the key of `name` hold; `None` when there are none.
pub(super) fn parse([schema, version, session]: [Option<Vec<u8>>; 3], name: SessionName) -> Option<Stored<Session>> {
    if schema.is_none() && version.is_none() && session.is_none() {
        return None;
    }
    Some(read_fields(schema.as_deref(), version.as_deref(), session.as_deref(), name).unwrap_or(Stored::Garbage))
}

/// `None` when they cannot be read.
fn read_fields(
    schema: Option<&[u8]>,
    version: Option<&[u8]>,
    session: Option<&[u8]>,
    name: SessionName,
) -> Option<Stored<Session>> {
    let number = |bytes: Option<&[u8]>| std::str::from_utf8(bytes?).ok()?.parse::<i64>().ok();
    if number(schema)? != i64::from(SCHEMA) {
        return None;
    }
    let version = number(version)?;
    let Some(session) = session else { return Some(Stored::Tombstone) };
    let session: Session = serde_json::from_slice(session).ok()?;
    (name.names(&session) && session.version == version).then_some(Stored::Value(session))
}
