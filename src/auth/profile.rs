//! What people may change about their own account.

use super::{Auth, AuthError, Authenticated};
use crate::domain::{Origin, Username};
use crate::store::{self, AuditEntry, ProfileChange, StoreError, User};

impl Auth {
    /// Changes the given fields of the caller's profile; gives the account as it is now.
    pub async fn update_profile(
        &self,
        who: &Authenticated,
        change: &ProfileChange,
        origin: &Origin,
    ) -> Result<User, AuthError> {
        let (id, now) = (who.user.id, self.0.clock.now());
        let fields = changed_fields(change);
        let entry = self.audit_entry("user.profile_changed", Some(id), Some(id), origin, fields.join(", "));
        let renamed = self.username_change(&who.user, change, origin);
        let updated = store::transaction!(&self.0.database, async |conn, q| {
            let updated = q::users::update_profile(conn, id, change, now).await?;
            if !fields.is_empty() && updated.is_some() {
                q::audit::insert(conn, &entry).await?;
            }
            if let (Some(renamed), Some(_)) = (&renamed, &updated) {
                q::audit::insert(conn, renamed).await?;
            }
            Ok::<_, StoreError>(updated)
        })?;
        let user = updated.ok_or(AuthError::NotFound)?;
        self.0.cache.user_written(Some(&who.user), &user).await;
        Ok(user)
    }

    /// The line that tells of a new username, which others know the account by; `None` where it stays.
    fn username_change(&self, user: &User, change: &ProfileChange, origin: &Origin) -> Option<AuditEntry> {
        let new = change.username.as_ref().filter(|new| **new != user.username)?;
        let shown = |name: Option<&Username>| name.map_or("none", Username::as_str).to_owned();
        let detail = format!("from {} to {}", shown(user.username.as_ref()), shown(new.as_ref()));
        Some(self.audit_entry("user.username_changed", Some(user.id), Some(user.id), origin, detail))
    }
}

/// The names of the fields that a change touches: what is in them is the person's own.
fn changed_fields(change: &ProfileChange) -> Vec<&'static str> {
    let given = [
        ("name", change.name.is_some()),
        ("username", change.username.is_some()),
        ("phone", change.phone.is_some()),
        ("locale", change.locale.is_some()),
    ];
    given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
}
