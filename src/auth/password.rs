//! Passwords, where an operator has switched them on: Argon2id (RFC 9106), a few at a time.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{Admission, Auth, AuthError, Authenticated, Mode};
use crate::domain::{EmailAddress, Origin, Redacted, SecurityEvent};
use crate::settings;
use crate::store::{self, StoreError};

/// The longest password that is taken, in bytes: hashing is cheap in length, but not free.
const MAX_PASSWORD_BYTES: usize = 1024;

/// How long a password waits for its turn before the server says that it is busy.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// Hashes and checks passwords on the blocking pool, no more at once than the settings allow: each takes tens of
/// megabytes and tens of milliseconds.
#[derive(Clone)]
pub struct PasswordHashing {
    argon2: Argon2<'static>,
    turns: Arc<Semaphore>,
    /// The hash of a password nobody has, checked where an account has none, so that the time tells nothing.
    dummy: Arc<str>,
    min_length: usize,
}

impl PasswordHashing {
    /// Prepares hashing with the parameters of `settings`. Where passwords are `enabled` it hashes once, for the dummy;
    /// elsewhere that would only hold up the start.
    pub fn new(settings: &settings::PasswordHashing, enabled: bool) -> Result<Self, AuthError> {
        let params = Params::new(settings.memory_kib, settings.iterations, settings.parallelism, None)
            .map_err(|error| AuthError::Internal(format!("the Argon2 parameters are refused: {error}")))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let dummy = if enabled { hash(&argon2, b"no account has this password")? } else { String::new() };
        Ok(Self {
            argon2,
            turns: Arc::new(Semaphore::new(settings.concurrency.max(1))),
            dummy: dummy.into(),
            min_length: settings.min_length,
        })
    }

    /// Refuses a password that is too short, too long, or the account's own address.
    fn check_strength(&self, password: &str, email: &EmailAddress) -> Result<(), AuthError> {
        if password.chars().count() < self.min_length {
            return Err(AuthError::WeakPassword("the password is too short"));
        }
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(AuthError::WeakPassword("the password is too long"));
        }
        let lower = password.to_lowercase();
        let first = lower.chars().next();
        if lower.contains(email.key()) || lower.chars().all(|character| Some(character) == first) {
            return Err(AuthError::WeakPassword("the password is too easy to guess"));
        }
        Ok(())
    }

    async fn hash(&self, password: Zeroizing<String>) -> Result<String, AuthError> {
        let argon2 = self.argon2.clone();
        self.in_turn(move || hash(&argon2, password.as_bytes())).await?
    }

    /// Whether `password` is the one behind `stored`; always false, and as slow, when there is none.
    async fn verify(&self, password: Zeroizing<String>, stored: Option<String>) -> Result<bool, AuthError> {
        let (argon2, dummy) = (self.argon2.clone(), self.dummy.clone());
        self.in_turn(move || {
            let known = stored.is_some();
            let text = stored.as_deref().unwrap_or(&dummy);
            let parsed = PasswordHash::new(text)
                .map_err(|error| AuthError::Internal(format!("a stored password hash cannot be read: {error}")))?;
            Ok(argon2.verify_password(password.as_bytes(), &parsed).is_ok() && known)
        })
        .await?
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AuthError> {
        let ended = |what: String| AuthError::Internal(format!("password hashing ended early: {what}"));
        let turn = tokio::time::timeout(TURN_WITHIN, self.turns.clone().acquire_owned())
            .await
            .map_err(|_| StoreError::Unavailable("too many passwords wait to be hashed".to_owned()))?
            .map_err(|error| ended(error.to_string()))?;
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(turn);
            outcome
        });
        done.await.map_err(|error| ended(error.to_string()))
    }
}

fn hash(argon2: &Argon2<'static>, password: &[u8]) -> Result<String, AuthError> {
    let hashed: Result<PasswordHash, _> = argon2.hash_password(password);
    hashed
        .map(|hash| hash.to_string())
        .map_err(|error| AuthError::Internal(format!("a password could not be hashed: {error}")))
}

impl Auth {
    /// Signs in with a password. The account is read from the database, never a cache; an address without account or
    /// password takes as long as any other.
    pub async fn log_in(
        &self,
        email: &EmailAddress,
        password: &Redacted<String>,
        mode: Mode,
        origin: &Origin,
    ) -> Result<Admission, AuthError> {
        if !self.0.settings.methods.password {
            return Err(AuthError::MethodDisabled);
        }
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return Err(AuthError::InvalidCredentials);
        }
        let budget = self.guess_budget("password", email);
        self.noted(self.spend_guess(&budget).await, Some(email), origin)?;
        let found = store::read!(&self.0.database, users::with_password_hash(email))?;
        let (user, stored) = found.map_or((None, None), |(user, hash)| (Some(user), hash));
        let right = self.0.passwords.verify(Zeroizing::new(password.expose().clone()), stored.clone()).await?;
        let (Some(user), Some(seen), true) = (user, stored, right) else {
            return self.noted(Err(AuthError::InvalidCredentials), Some(email), origin);
        };
        self.admit_known(user, &seen, &budget, mode, origin).await?.ok_or(AuthError::InvalidCredentials)
    }

    /// Sets the account's password, ends its other sessions and tells its owner. An account that has a password must
    /// show it.
    pub async fn change_password(
        &self,
        who: &Authenticated,
        current: Option<&Redacted<String>>,
        new: &Redacted<String>,
        origin: &Origin,
    ) -> Result<(), AuthError> {
        if !self.0.settings.methods.password {
            return Err(AuthError::MethodDisabled);
        }
        let user = &who.user;
        self.0.passwords.check_strength(new.expose(), &user.email)?;
        let stored = store::read!(&self.0.database, users::password_hash(user.id))?;
        let action = if stored.is_some() { "user.password_changed" } else { "user.password_set" };
        if stored.is_some() {
            let budget = self.guess_budget("password", &user.email);
            self.noted(self.spend_guess(&budget).await, Some(&user.email), origin)?;
            let current = current.map(|current| current.expose().clone()).unwrap_or_default();
            if !self.0.passwords.verify(Zeroizing::new(current), stored).await? {
                return self.noted(Err(AuthError::InvalidCredentials), Some(&user.email), origin);
            }
            store::update!(&self.0.database, guess_budgets::refund(&budget))?;
        }
        let hash = self.0.passwords.hash(Zeroizing::new(new.expose().clone())).await?;
        let now = self.0.clock.now();
        let notice = self.security_notice(user, SecurityEvent::PasswordChanged, origin)?;
        let entry = self.audit_entry(action, Some(user.id), Some(user.id), origin, "");
        let (user, ended) = store::transaction!(&self.0.database, async |conn, q| {
            let user = q::users::set_password_hash(conn, user.id, &hash, now).await?;
            q::audit::insert(conn, &entry).await?;
            q::outbox::insert(conn, &notice).await?;
            let ended = q::sessions::revoke_all(conn, who.user.id, Some(who.session.id), now).await?;
            if !ended.is_empty() {
                q::audit::insert(conn, &self.others_ended(who, ended.len(), origin)).await?;
            }
            Ok::<_, StoreError>((user, ended))
        })?;
        if let Some(user) = &user {
            self.0.cache.user_written(None, user).await;
        }
        self.0.cache.forget_sessions(&ended).await;
        self.0.outbox.enqueue(&[notice]).await;
        Ok(())
    }

    /// Whether the account has a password.
    pub async fn has_password(&self, who: &Authenticated) -> Result<bool, AuthError> {
        let stored: Result<_, StoreError> =
            async { store::read!(&self.0.database, users::password_hash(who.user.id)) }.await;
        Ok(stored?.is_some())
    }
}
