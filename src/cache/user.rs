//! Users, by id. What else they are found by is in [`super::mapping`], what happens when they change in
//! [`super::write`].

use std::time::{Duration, Instant as Monotonic};

use super::Cache;
use super::shared::{Envelope, Fill, Lookup, SCHEMA, Stored, get};
use super::tier::{Began, Entry, FROM_DATABASE};
use crate::domain::UserId;
use crate::redis::keys;
use crate::store::{StoreError, User, read};

/// How long a user may stay in Redis.
pub const USER_TTL: Duration = Duration::from_mins(5);

impl Cache {
    /// The account with this id, at most two seconds old. Fails only when the database had to be asked and failed.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        Ok(self.user_entry(id).await?.into_parts().0)
    }

    pub(super) async fn load_user(&self, id: UserId, began: Began, at_least: i64) -> Result<Entry<User>, StoreError> {
        let key = keys::user_id(id);
        let mut may_fill = false;
        if at_least != FROM_DATABASE {
            let parse = |bytes: Option<Vec<u8>>| bytes.map(|bytes| parse(&bytes, id));
            match self.0.shared.read(&key, get, &self.0.user_counts, parse).await {
                Lookup::Found(user, until) if user.version >= at_least => {
                    let version = user.version;
                    return Ok(Entry::new(Some(user), version, began).until(until));
                }
                Lookup::Found(..) | Lookup::Nothing => may_fill = true,
                Lookup::Away => {}
            }
        }
        let user = self.read_user(id).await?;
        if let Some(user) = user.as_ref().filter(|_| may_fill) {
            self.share_user(&key, user, began).await;
        }
        let version = user.as_ref().map_or(0, |user| user.version);
        Ok(Entry::new(user, version, began))
    }

    /// Fills Redis with what a load that began at `began` has found.
    pub(super) async fn share_user(&self, key: &str, user: &User, began: Began) {
        let Some(value) = stored(user) else { return };
        let ttl = self.0.shared.shortened(USER_TTL);
        let stamp = self.0.shared.stamp(user.version, user.id);
        let fill = Fill { key, version: user.version, stamp, ttl, value: vec![value] };
        self.0.shared.fill(fill, began, &self.0.user_counts).await;
    }

    async fn read_user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let (asked, ask) = (Monotonic::now(), async || read!(&self.0.database, users::by_id(id)));
        let outcome = ask().await;
        self.0.user_counts.loaded(asked.elapsed(), outcome)
    }
}

/// The user as Redis holds it.
pub(super) fn stored(user: &User) -> Option<Vec<u8>> {
    serde_json::to_vec(&Envelope { schema: SCHEMA, version: user.version, user: Some(user) }).ok()
}

/// What Redis holds of the user `id`.
pub(super) fn parse(bytes: &[u8], id: UserId) -> Stored<User> {
    let Some(envelope) = Envelope::<User>::parse(bytes) else { return Stored::Garbage };
    match envelope.user {
        None => Stored::Tombstone,
        Some(user) if user.id == id && user.version == envelope.version => Stored::Value(user),
        Some(_) => Stored::Garbage,
    }
}
