//! Access tokens: JWTs (RFC 7519, profile of RFC 9068) signed with Ed25519 (RFC 8037), good for a quarter of an hour
//! and bound to a session, so that ending the session ends them.

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::{Auth, AuthError};
use crate::cache::Digests;
use crate::domain::{Digest, Instant, KeyRing, Redacted, Role, SessionId, UserId};
use crate::store::{Session, User};

/// The most tokens that are remembered as good, some ten megabytes.
const REMEMBERED: usize = 100_000;

/// Signs with the current key, and checks against every key of the ring. A token that was found good is remembered
/// by its digest until it expires: checking a signature takes longer than all the rest of a request.
pub struct AccessTokens {
    issuer: String,
    lifetime: Duration,
    keys: Vec<Key>,
    jwks: serde_json::Value,
    verified: Digests<Verified>,
}

/// What a good access token says that matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verified {
    /// Whose it is.
    pub(super) sub: UserId,
    /// The session it stands for.
    pub(super) sid: SessionId,
    /// When it expires.
    pub(super) expires_at: Instant,
}

/// A new access token.
#[derive(Debug)]
pub struct AccessToken {
    /// What the client shows.
    pub text: Redacted<String>,
    /// How long it is good for: never longer than its session.
    pub expires_in: Duration,
}

struct Key {
    id: String,
    signing: EncodingKey,
    checking: DecodingKey,
}

/// What an access token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    role: Role,
    iat: i64,
    exp: i64,
}

impl AccessTokens {
    /// Derives the signing keys. `issuer` is the public origin, which is the audience as well.
    pub fn new(keys: &KeyRing, issuer: String, lifetime: Duration) -> Result<Self, AuthError> {
        let refused = |_| AuthError::Internal("the crypto library refused a signing key".to_owned());
        let mut ring = Vec::new();
        let mut published = Vec::new();
        for (id, seed) in keys.access_token_seeds() {
            let pair = Ed25519KeyPair::from_seed_unchecked(seed)
                .map_err(|error| AuthError::Internal(format!("a signing key is refused: {error}")))?;
            let document = pair.to_pkcs8v1().map_err(refused)?;
            let public = pair.public_key().as_ref();
            published.push(serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
                "kid": id.as_str(), "x": URL_SAFE_NO_PAD.encode(public),
            }));
            ring.push(Key {
                id: id.as_str().to_owned(),
                signing: EncodingKey::from_ed_der(document.as_ref()),
                checking: DecodingKey::from_ed_der(public),
            });
        }
        let jwks = serde_json::json!({ "keys": published });
        Ok(Self { issuer, lifetime, keys: ring, jwks, verified: Digests::new(REMEMBERED) })
    }

    /// The public keys as a JWK set (RFC 7517).
    pub fn jwks(&self) -> &serde_json::Value {
        &self.jwks
    }

    pub(super) fn issue(&self, user: &User, session: &Session, now: Instant) -> Result<AccessToken, AuthError> {
        let key = self.keys.first().ok_or_else(|| AuthError::Internal("there is no signing key".to_owned()))?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.id.clone());
        header.typ = Some("at+jwt".to_owned());
        let expires = (now + crate::domain::clock::span(self.lifetime)).min(session.expires_at);
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.issuer.clone(),
            sub: user.id,
            sid: session.id,
            role: user.role,
            iat: now.timestamp(),
            exp: expires.timestamp(),
        };
        let text = jsonwebtoken::encode(&header, &claims, &key.signing)
            .map_err(|error| AuthError::Internal(format!("an access token could not be signed: {error}")))?;
        Ok(AccessToken { text: Redacted::new(text), expires_in: (expires - now).to_std().unwrap_or_default() })
    }

    /// What a token says that this server signed and that has not expired by the database's clock. `digest` is the
    /// token's.
    pub(super) fn verify(&self, token: &str, digest: Digest, now: Instant) -> Option<Verified> {
        let expired = |verified: &Verified| verified.expires_at <= now;
        if let Some(verified) = self.verified.get(&digest) {
            return (!expired(&verified)).then_some(verified);
        }
        let verified = self.check(token).filter(|verified| !expired(verified))?;
        self.verified.put(digest, verified, expired);
        Some(verified)
    }

    /// What a token says that this server signed, expired or not.
    fn check(&self, token: &str) -> Option<Verified> {
        let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
        let key = self.keys.iter().find(|key| key.id == kid)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.issuer]);
        // The library would compare with this machine's clock; the caller compares with the database's.
        validation.validate_exp = false;
        let Claims { sub, sid, exp, .. } = jsonwebtoken::decode(token, &key.checking, &validation).ok()?.claims;
        Some(Verified { sub, sid, expires_at: Instant::from_timestamp(exp, 0)? })
    }
}

impl Auth {
    pub(super) fn issue_access_token(&self, user: &User, session: &Session) -> Result<AccessToken, AuthError> {
        self.0.access_tokens.issue(user, session, self.0.clock.now())
    }
}
