//! The reader of access tokens, for the fuzz targets.

use std::time::Duration;

use super::{AccessTokens, AuthError};
use crate::domain::{Digest, Instant, KeyRing};
use crate::store::{Session, User};

/// Issues and checks access tokens as one server does.
pub struct TokenCheck {
    tokens: AccessTokens,
    now: Instant,
}

impl TokenCheck {
    /// With the keys of `secret`, at the moment `now`.
    pub fn new(secret: &[u8], now: Instant) -> Result<Self, AuthError> {
        let keys = KeyRing::new(secret, &[]).map_err(|error| AuthError::Internal(error.to_string()))?;
        let tokens = AccessTokens::new(&keys, "https://gatepost.example".to_owned(), Duration::from_mins(15))?;
        Ok(Self { tokens, now })
    }

    /// A good token.
    pub fn issue(&self, user: &User, session: &Session) -> Result<String, AuthError> {
        Ok(self.tokens.issue(user, session, self.now)?.text.expose().clone())
    }

    /// Whether `token` is taken.
    pub fn accepts(&self, token: &str) -> bool {
        self.tokens.verify(token, Digest::of(token.as_bytes()), self.now).is_some()
    }
}
