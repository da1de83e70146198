//! What admins and operators do with the cache: have it forget, for the case that they do not trust what it holds.
//! Nothing has to: what changes is forgotten by whoever changes it.

use super::{Auth, AuthError};
use crate::cache::{Cache, Scope, Swept};
use crate::domain::Origin;
use crate::store::{self, Session, User};

impl Auth {
    /// Has everything in `scope` forgotten in Redis and on every instance, and notes who wanted that. `actor` is `None`
    /// for an operator at the command line, here and below. Fails when that cannot be noted; what has been forgotten
    /// stays so.
    pub async fn invalidate_cache(
        &self,
        actor: Option<&User>,
        scope: &Scope,
        origin: &Origin,
    ) -> Result<Swept, AuthError> {
        let swept = self.0.cache.sweep(scope).await;
        self.note_invalidation(actor, None, scope.to_string(), origin).await?;
        Ok(swept)
    }

    /// Has everything about an account forgotten, its open sessions included; gives by how many keys that is. Fails as
    /// [`Self::invalidate_cache`] does, and when the sessions cannot be read.
    pub async fn invalidate_account(
        &self,
        actor: Option<&User>,
        user: &User,
        origin: &Origin,
    ) -> Result<usize, AuthError> {
        let sessions = self.sessions_of(user).await?;
        let keys = self.0.cache.sweep_account(user, &sessions).await;
        self.note_invalidation(actor, Some(user), "one account", origin).await?;
        Ok(keys)
    }

    /// The keys under which an account and its open sessions may be cached.
    pub async fn cache_keys_of(&self, user: &User) -> Result<Vec<String>, AuthError> {
        Ok(Cache::keys_of(user, &self.sessions_of(user).await?))
    }

    async fn sessions_of(&self, user: &User) -> Result<Vec<Session>, AuthError> {
        let now = self.0.clock.now();
        Ok(store::read!(&self.0.database, sessions::open_of_user(user.id, now))?)
    }

    async fn note_invalidation(
        &self,
        actor: Option<&User>,
        subject: Option<&User>,
        detail: impl Into<String>,
        origin: &Origin,
    ) -> Result<(), AuthError> {
        let (by, about) = (actor.map(|actor| actor.id), subject.map(|subject| subject.id));
        let entry = self.audit_entry("cache.invalidated", by, about, origin, detail);
        Ok(store::update!(&self.0.database, audit::insert(&entry))?)
    }
}
