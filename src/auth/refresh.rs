//! Refresh tokens: each buys one new pair. A second use after a short grace (a client may not have got the answer to
//! its first) means that the token was copied, and ends the session (RFC 9700, 4.14.2).
//!
//! A token's successor is derived from it, so within the grace it buys the very same one again, however many ask at
//! once and on whichever instance. There is one chain a session: a thief who is quick holds the token that the owner
//! holds, and the one of the two who comes second with it, or with any after it, ends the session.

use super::{AccessToken, Auth, AuthError};
use crate::domain::{Origin, RefreshToken, SecurityEvent, UserStatus, clock};
use crate::store::{self, Session, StoreError, User};

/// The next pair of tokens.
#[derive(Debug)]
pub struct Refreshed {
    /// The next access token.
    pub access: AccessToken,
    /// The next refresh token.
    pub refresh: RefreshToken,
}

enum Outcome {
    /// Which of the successors is the next token.
    Renewed(Box<(User, Session)>, usize),
    /// The session was ended, and its owner is told.
    Reused(Box<Option<Session>>),
    Invalid,
}

impl Auth {
    /// Exchanges a refresh token for the next pair.
    pub async fn refresh(&self, token: &RefreshToken, origin: &Origin) -> Result<Refreshed, AuthError> {
        let now = self.0.clock.now();
        let mut successors = self.0.keys.successors(token);
        let digests: Vec<_> = successors.iter().map(RefreshToken::digest).collect();
        let grace = clock::span(self.0.sessions.refresh_grace);
        let mut notice = None;
        let outcome = {
            let notice = &mut notice;
            let digests = &digests;
            store::transaction!(&self.0.database, async |conn, q| {
                let Some(row) = q::refresh_tokens::replace(conn, token.digest(), now).await? else {
                    return Ok(Outcome::Invalid);
                };
                let Some(session) = q::sessions::by_id(conn, row.session_id).await? else {
                    return Ok(Outcome::Invalid);
                };
                let Some(user) = q::users::by_id(conn, session.user_id).await? else {
                    return Ok(Outcome::Invalid);
                };
                if !self.is_alive(&session, now) || user.status != UserStatus::Approved {
                    return Ok(Outcome::Invalid);
                }
                if row.replaced_at.is_some_and(|used| now - used > grace) {
                    let ended = q::sessions::revoke(conn, user.id, session.id, now).await?;
                    let detail = format!("session {}", session.id);
                    let entry = self.audit_entry("session.refresh_reused", None, Some(user.id), origin, detail);
                    q::audit::insert(conn, &entry).await?;
                    let mail = self.security_notice(&user, SecurityEvent::RefreshTokenReused, origin)?;
                    q::outbox::insert(conn, &mail).await?;
                    *notice = Some(mail);
                    return Ok(Outcome::Reused(Box::new(ended)));
                }
                let is_first_use = row.replaced_at.is_none();
                // An instance that has another current key may have made the successor.
                let known = if is_first_use { Vec::new() } else { q::refresh_tokens::known(conn, digests).await? };
                let next = digests.iter().position(|digest| known.contains(digest));
                if next.is_none() {
                    q::refresh_tokens::insert(conn, digests[0], session.id, now).await?;
                }
                q::sessions::touch(conn, session.id, &origin.address_text(), now).await?;
                Ok::<_, StoreError>(Outcome::Renewed(Box::new((user, session)), next.unwrap_or(0)))
            })?
        };
        match outcome {
            Outcome::Renewed(parts, next) => {
                let access = self.issue_access_token(&parts.0, &parts.1)?;
                Ok(Refreshed { access, refresh: successors.swap_remove(next) })
            }
            Outcome::Reused(ended) => {
                if let Some(session) = &*ended {
                    self.0.cache.forget_session(session).await;
                }
                self.0.outbox.enqueue(notice.as_slice()).await;
                Err(AuthError::InvalidRefreshToken)
            }
            Outcome::Invalid => Err(AuthError::InvalidRefreshToken),
        }
    }
}
