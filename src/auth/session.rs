//! Recognising, listing and ending sessions.

use super::{Auth, AuthError};
use crate::domain::{Instant, Origin, SessionId, SessionToken, UserId, UserStatus, clock};
use crate::store::{self, Session, StoreError, User};

/// What a client shows to be recognised.
#[derive(Debug)]
pub enum Credential {
    /// A session token, from a cookie or as a bearer token.
    Session(SessionToken),
    /// An access token (JWT).
    Access(String),
}

/// Who is asking.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// The account.
    pub user: User,
    /// The session.
    pub session: Session,
}

impl Auth {
    /// Recognises a session by what the client shows; `None` when it is unknown or over, or its account may not sign
    /// in. Reads the cache, which is at most two seconds behind the database.
    pub async fn authenticate(
        &self,
        credential: &Credential,
        origin: &Origin,
    ) -> Result<Option<Authenticated>, AuthError> {
        let now = self.0.clock.now();
        let session = match credential {
            Credential::Session(token) => self.0.cache.session_by_token(token.digest()).await?,
            Credential::Access(token) => match self.0.access_tokens.verify(token, now) {
                Some(claims) => self.0.cache.session(claims.sid).await?.filter(|found| found.user_id == claims.sub),
                None => None,
            },
        };
        let session = match session {
            // A cached session may lag behind in when it was last seen: nobody is sent away for that.
            Some(session) if !self.is_alive(&session, now) => self.0.cache.session_afresh(session.id).await?,
            session => session,
        };
        let Some(session) = session.filter(|session| self.is_alive(session, now)) else { return Ok(None) };
        let user = self.0.cache.user(session.user_id).await?;
        let Some(user) = user.filter(|user| user.status == UserStatus::Approved) else { return Ok(None) };
        if now - session.last_seen_at >= clock::span(self.0.sessions.last_seen_interval) {
            self.0.cache.note_seen(session.id, &origin.address_text(), now);
        }
        Ok(Some(Authenticated { user, session }))
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
        let entry = self.audit_entry("session.others_ended", Some(user_id), Some(user_id), origin, "");
        let ended = store::transaction!(&self.0.database, async |conn, q| {
            q::audit::insert(conn, &entry).await?;
            q::sessions::revoke_all(conn, user_id, Some(keep), now).await
        })?;
        self.0.cache.forget_sessions(&ended).await;
        Ok(ended.len())
    }
}
