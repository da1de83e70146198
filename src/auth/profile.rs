//! What people may change about their own account.

use super::{Auth, AuthError, Authenticated};
use crate::domain::Origin;
use crate::store::{self, ProfileChange, StoreError, User};

impl Auth {
    /// Changes the given fields of the caller's profile; gives the account as it is now.
    pub async fn update_profile(
        &self,
        who: &Authenticated,
        change: &ProfileChange,
        origin: &Origin,
    ) -> Result<User, AuthError> {
        let (id, now) = (who.user.id, self.0.clock.now());
        let entry = self.audit_entry("user.profile_changed", Some(id), Some(id), origin, "");
        let updated = store::transaction!(&self.0.database, async |conn, q| {
            let updated = q::users::update_profile(conn, id, change, now).await?;
            q::audit::insert(conn, &entry).await?;
            Ok::<_, StoreError>(updated)
        })?;
        let user = updated.ok_or(AuthError::NotFound)?;
        self.0.cache.user_written(Some(&who.user), &user).await;
        Ok(user)
    }
}
