//! Users, by id and by address.
//!
//! An address is mapped to an id, and the id to the whole user. The mapping is only a hint: the user it leads to must
//! have that address, so a mapping that is out of date costs a detour and cannot lead to the wrong account.

use std::time::{Duration, Instant as Monotonic};

use super::Cache;
use super::shared::{Envelope, Kind, Lookup, Mark, SCHEMA, Stored, get};
use super::tier::{Began, Entry, FROM_DATABASE};
use crate::domain::{EmailAddress, UserId};
use crate::redis::keys;
use crate::store::{StoreError, User, read};

/// How long a user may stay in Redis.
pub const USER_TTL: Duration = Duration::from_mins(5);
/// How long the id behind an address may stay in Redis.
pub const MAPPING_TTL: Duration = Duration::from_mins(30);

impl Cache {
    /// The account with this id, at most two seconds old. Fails only when the database had to be asked and failed.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        Ok(self.user_entry(id).await?.into_parts().0)
    }

    /// The account of this mailbox, at most two seconds old. Fails as [`Self::user`] does.
    pub async fn user_by_email(&self, email: &EmailAddress) -> Result<Option<User>, StoreError> {
        let mapping = Mark { key: keys::user_email(email), kind: Kind::Mapping, version: 0 };
        for _ in 0..2 {
            let load = |began, at_least| self.load_mapping(email, began, at_least);
            let Some(id) = self.0.ids.get(&mapping.key, &self.0.guards, None, load).await? else { return Ok(None) };
            if let Some(user) = self.user(id).await?.filter(|user| user.email.key() == email.key()) {
                return Ok(Some(user));
            }
            self.forget_here(&mapping).await;
            self.0.shared.forget(&mapping, true, &self.0.user_counts).await;
        }
        self.read_user_by_email(email).await
    }

    /// Makes every instance read this account anew. Call it after the commit, with the row as it was written; call
    /// [`Self::forget_users`] with the row before as well when the address has changed. Never fails: what Redis does
    /// not take in is found by the next look at the database.
    pub async fn forget_user(&self, user: &User) {
        self.forget_users(&[user]).await;
    }

    /// [`Self::forget_user`] for several rows, or for one account's rows before and after.
    pub async fn forget_users(&self, users: &[&User]) {
        let marks = users.iter().flat_map(|user| user_marks(user.id, Some(&user.email), user.version)).collect();
        self.forget(marks).await;
    }

    pub(super) async fn load_user(&self, id: UserId, began: Began, at_least: i64) -> Result<Entry<User>, StoreError> {
        let key = keys::user_id(id);
        let mut may_fill = false;
        if at_least != FROM_DATABASE {
            let parse = |bytes: Option<Vec<u8>>| bytes.map(|bytes| parse(&bytes, id));
            match self.0.shared.read(&key, get(&key), &self.0.user_counts, parse).await {
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

    async fn load_mapping(
        &self,
        email: &EmailAddress,
        began: Began,
        at_least: i64,
    ) -> Result<Entry<UserId>, StoreError> {
        let key = keys::user_email(email);
        let mut may_fill = false;
        if at_least != FROM_DATABASE {
            let parse = |bytes: Option<Vec<u8>>| bytes.map(|bytes| parse_id(&bytes));
            match self.0.shared.read(&key, get(&key), &self.0.id_counts, parse).await {
                Lookup::Found(id, _) => return Ok(Entry::new(Some(id), i64::MAX, began)),
                Lookup::Nothing => may_fill = true,
                Lookup::Away => {}
            }
        }
        let user = self.read_user_by_email(email).await?;
        let id = user.as_ref().map(|user| user.id);
        if let Some(user) = user {
            let by_id = keys::user_id(user.id);
            if may_fill {
                self.0.shared.fill_mapping(&key, &user.id.to_string(), MAPPING_TTL, &self.0.id_counts).await;
                self.share_user(&by_id, &user, began).await;
            }
            let version = user.version;
            self.0.users.put(by_id, Entry::new(Some(user), version, began)).await;
        }
        Ok(Entry::new(id, i64::MAX, began))
    }

    async fn share_user(&self, key: &str, user: &User, began: Began) {
        let envelope = Envelope { schema: SCHEMA, version: user.version, user: Some(user) };
        let Ok(value) = serde_json::to_vec(&envelope) else { return };
        let life = (user.version, self.0.shared.shortened(USER_TTL));
        self.0.shared.fill(key, life, vec![value], began, &self.0.user_counts).await;
    }

    async fn read_user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let (asked, ask) = (Monotonic::now(), async || read!(&self.0.database, users::by_id(id)));
        let outcome = ask().await;
        self.0.user_counts.loaded(asked.elapsed(), outcome)
    }

    async fn read_user_by_email(&self, email: &EmailAddress) -> Result<Option<User>, StoreError> {
        let (asked, ask) = (Monotonic::now(), async || read!(&self.0.database, users::by_email(email)));
        let outcome = ask().await;
        self.0.user_counts.loaded(asked.elapsed(), outcome)
    }
}

/// Everything under which an account is cached.
pub(super) fn user_marks(id: UserId, email: Option<&EmailAddress>, version: i64) -> Vec<Mark> {
    let mut marks = vec![Mark { key: keys::user_id(id), kind: Kind::User, version }];
    marks.extend(email.map(|email| Mark { key: keys::user_email(email), kind: Kind::Mapping, version: 0 }));
    marks
}

fn parse(bytes: &[u8], id: UserId) -> Stored<User> {
    let Some(envelope) = Envelope::<User>::parse(bytes) else { return Stored::Garbage };
    match envelope.user {
        None => Stored::Tombstone,
        Some(user) if user.id == id && user.version == envelope.version => Stored::Value(user),
        Some(_) => Stored::Garbage,
    }
}

fn parse_id(bytes: &[u8]) -> Stored<UserId> {
    match std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
        Some(id) => Stored::Value(id),
        None => Stored::Garbage,
    }
}
