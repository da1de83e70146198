//! Passwords, where an operator has switched them on: Argon2id (RFC 9106), a few at a time.
//!
//! A password is normalised (NFKC, as NIST SP 800-63B recommends) before it is hashed, so that it is the same on every
//! keyboard. Where the parameters have grown since a hash was made, the next sign-in replaces it.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::guesses::Guesser;
use super::password_rules::{self, MAX_PASSWORD_BYTES, is_normalised, normalised};
use super::{Admission, Auth, AuthError, Authenticated, Mode};
use crate::domain::{DeviceMarks, EmailAddress, Origin, Redacted, SecurityEvent, UserStatus};
use crate::settings;
use crate::store::{self, StoreError, User};

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

    /// Refuses a password that is too easy to guess for this account.
    async fn check_strength(&self, password: &Redacted<String>, user: &User) -> Result<(), AuthError> {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return Err(AuthError::WeakPassword("the password is too long"));
        }
        let (password, user, min_length) = (normalised(password.expose()), user.clone(), self.min_length);
        self.in_turn(move || password_rules::check(&password, min_length, &user)).await?
    }

    /// The hash to store for `password`.
    async fn hash(&self, password: &Redacted<String>) -> Result<String, AuthError> {
        let (argon2, password) = (self.argon2.clone(), normalised(password.expose()));
        self.in_turn(move || hash(&argon2, password.as_bytes())).await?
    }

    /// Whether `password` is the one behind `stored`; always false, and as slow, when there is none. One that is not
    /// normalised is also tried as it is: that is how an older version hashed it.
    async fn verify(&self, password: &Redacted<String>, stored: Option<String>) -> Result<bool, AuthError> {
        let (argon2, dummy) = (self.argon2.clone(), self.dummy.clone());
        let mut forms = vec![normalised(password.expose())];
        if !is_normalised(password.expose()) {
            forms.push(Zeroizing::new(password.expose().clone()));
        }
        self.in_turn(move || {
            let known = stored.is_some();
            let text = stored.as_deref().unwrap_or(&dummy);
            let parsed = PasswordHash::new(text)
                .map_err(|error| AuthError::Internal(format!("a stored password hash cannot be read: {error}")))?;
            Ok(forms.iter().any(|form| argon2.verify_password(form.as_bytes(), &parsed).is_ok()) && known)
        })
        .await?
    }

    /// A new hash of a right password, where `stored` was made with less than the parameters in force. One that cannot
    /// be made now is made at a later sign-in.
    async fn renewed(&self, password: &Redacted<String>, stored: &str) -> Option<String> {
        if !self.has_outgrown(stored) {
            return None;
        }
        self.hash(password).await.inspect_err(|error| log::warn!("a password hash could not be renewed: {error}")).ok()
    }

    /// Whether a parameter in force is larger than the one that `stored` was made with.
    fn has_outgrown(&self, stored: &str) -> bool {
        let made_with = PasswordHash::new(stored).ok().and_then(|hash| Params::try_from(&hash).ok());
        let now = self.argon2.params();
        made_with.is_none_or(|then| {
            then.m_cost() < now.m_cost() || then.t_cost() < now.t_cost() || then.p_cost() < now.p_cost()
        })
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

/// A password that was right.
pub(super) struct ProvedPassword {
    /// The hash that it was compared with.
    pub(super) seen: String,
    /// A better one, where that was made with less than is asked for today.
    pub(super) renewed: Option<String>,
    /// The budget that gets its guess back.
    pub(super) budget: String,
}

impl Auth {
    /// Signs in with a password. The account is read from the database, never a cache; an address without account or
    /// password takes as long as any other. `marks` are what the browser shows: they tell whose guess this is.
    pub async fn log_in(
        &self,
        email: &EmailAddress,
        password: &Redacted<String>,
        marks: &DeviceMarks,
        mode: Mode,
        origin: &Origin,
    ) -> Result<Admission, AuthError> {
        if !self.0.settings.methods.password {
            return Err(AuthError::MethodDisabled);
        }
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return Err(AuthError::InvalidCredentials);
        }
        let budget = self.guess_budget("password", email, &self.guesser(marks, email));
        self.noted(self.spend_guess(&budget).await, Some(email), origin)?;
        let found = store::read!(&self.0.database, users::with_password_hash(email))?;
        let (user, stored) = found.map_or((None, None), |(user, hash)| (Some(user), hash));
        let right = self.0.passwords.verify(password, stored.clone()).await?;
        let (Some(user), Some(seen), true) = (user, stored, right) else {
            return self.noted(Err(AuthError::InvalidCredentials), Some(email), origin);
        };
        let proved = ProvedPassword { renewed: self.0.passwords.renewed(password, &seen).await, seen, budget };
        self.admit_known(user, &proved, mode, origin).await?.ok_or(AuthError::InvalidCredentials)
    }

    /// Sets the account's password, ends its other sessions and tells its owner. An account that has a password must
    /// show it. Nothing is changed where meanwhile the session was ended, the account lost its approval or got another
    /// password: whoever did that has the last word.
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
        self.0.passwords.check_strength(new, user).await?;
        let stored = store::read!(&self.0.database, users::password_hash(user.id))?;
        let action = if stored.is_some() { "user.password_changed" } else { "user.password_set" };
        if stored.is_some() {
            let budget = self.guess_budget("password", &user.email, &Guesser::SignedIn(who.session.id));
            self.noted(self.spend_guess(&budget).await, Some(&user.email), origin)?;
            let shown = current.filter(|current| current.expose().len() <= MAX_PASSWORD_BYTES);
            if !self.0.passwords.verify(shown.unwrap_or(&Redacted::default()), stored.clone()).await? {
                return self.noted(Err(AuthError::InvalidCredentials), Some(&user.email), origin);
            }
            store::update!(&self.0.database, guess_budgets::refund(&budget))?;
        }
        let (hash, seen) = (self.0.passwords.hash(new).await?, stored);
        let now = self.0.clock.now();
        let notice = self.security_notice(user, SecurityEvent::PasswordChanged, origin)?;
        let entry = self.audit_entry(action, Some(user.id), Some(user.id), origin, "");
        let (id, session) = (user.id, who.session.id);
        let changed = store::transaction!(&self.0.database, async |conn, q| {
            q::dialect::lock_user(conn, id).await?;
            let is_approved = q::users::by_id(conn, id).await?.is_some_and(|user| user.status == UserStatus::Approved);
            let is_open = q::sessions::by_id(conn, session).await?.is_some_and(|session| session.revoked_at.is_none());
            if !is_approved || !is_open || q::users::password_hash(conn, id).await? != seen {
                return Ok(None);
            }
            let user = q::users::set_password_hash(conn, id, &hash, now).await?;
            q::audit::insert(conn, &entry).await?;
            q::outbox::insert(conn, &notice).await?;
            let ended = q::sessions::revoke_all(conn, id, Some(session), now).await?;
            if !ended.is_empty() {
                q::audit::insert(conn, &self.others_ended(who, ended.len(), origin)).await?;
            }
            Ok::<_, StoreError>(Some((user, ended)))
        })?;
        let Some((user, ended)) = changed else {
            return self.noted(Err(AuthError::InvalidCredentials), Some(&who.user.email), origin);
        };
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
