//! Users by what people know them by: an address, a username, a telephone number.
//!
//! Each of these names is mapped to an id, and the id to the whole user. The mapping is only a hint: the user it leads to
//! must have that name, so a mapping that is out of date costs a detour and cannot lead to the wrong account. A name
//! that nobody has is remembered too, in memory and for as long as everything there; the room that such names take
//! is that of the tier.

use std::time::{Duration, Instant as Monotonic};

use super::Cache;
use super::shared::{Kind, Lookup, Mark, Stored, get};
use super::tier::{Began, Entry, FROM_DATABASE};
use crate::domain::{EmailAddress, Phone, UserId, Username};
use crate::redis::keys;
use crate::store::{StoreError, User, read};

/// How long the id behind a name may stay in Redis.
pub const MAPPING_TTL: Duration = Duration::from_mins(30);

/// What a user is asked for by.
enum Name {
    Email(EmailAddress),
    Username(Username),
    Phone(Phone),
}

impl Name {
    fn key(&self) -> String {
        match self {
            Self::Email(email) => keys::user_email(email),
            Self::Username(username) => keys::user_username(username.as_str()),
            Self::Phone(phone) => keys::user_phone(phone.as_str()),
        }
    }

    /// Whether this names `user`.
    fn names(&self, user: &User) -> bool {
        match self {
            Self::Email(email) => user.email.key() == email.key(),
            Self::Username(username) => user.username.as_ref() == Some(username),
            Self::Phone(phone) => user.phone.as_ref() == Some(phone),
        }
    }
}

impl Cache {
    /// The account of this mailbox, at most two seconds old. Fails as [`Self::user`] does.
    pub async fn user_by_email(&self, email: &EmailAddress) -> Result<Option<User>, StoreError> {
        self.user_by(Name::Email(email.clone())).await
    }

    /// The account with this username, at most two seconds old. Fails as [`Self::user`] does.
    pub async fn user_by_username(&self, username: &Username) -> Result<Option<User>, StoreError> {
        self.user_by(Name::Username(username.clone())).await
    }

    /// The account with this telephone number, at most two seconds old. Fails as [`Self::user`] does.
    pub async fn user_by_phone(&self, phone: &Phone) -> Result<Option<User>, StoreError> {
        self.user_by(Name::Phone(phone.clone())).await
    }

    async fn user_by(&self, name: Name) -> Result<Option<User>, StoreError> {
        let mapping = Mark { key: name.key(), kind: Kind::Mapping, version: 0 };
        for _ in 0..2 {
            let load = |began, at_least| self.load_mapping(&name, began, at_least);
            let entry = self.0.ids.entry(&mapping.key, &self.0.guards, None, load).await?;
            let Some(id) = entry.value().copied() else { return Ok(None) };
            if let Some(user) = self.user(id).await?.filter(|user| name.names(user)) {
                if entry.is_to_be_renewed() {
                    self.renew_mapping(name, mapping.key);
                }
                return Ok(Some(user));
            }
            self.forget_here(&mapping).await;
            self.0.shared.forget(&mapping, true, &self.0.user_counts).await;
        }
        self.read_user_by(&name).await
    }

    /// Loads it anew beside the caller.
    fn renew_mapping(&self, name: Name, key: String) {
        let cache = self.clone();
        self.in_background(async move {
            let load = |began, at_least| cache.load_mapping(&name, began, at_least);
            cache.0.ids.renew(&key, &cache.0.guards, load).await.map(drop)
        });
    }

    async fn load_mapping(&self, name: &Name, began: Began, at_least: i64) -> Result<Entry<UserId>, StoreError> {
        let key = name.key();
        let mut may_fill = false;
        if at_least != FROM_DATABASE {
            let parse = |bytes: Option<Vec<u8>>| bytes.map(|bytes| parse_id(&bytes));
            match self.0.shared.read(&key, get, &self.0.id_counts, parse).await {
                Lookup::Found(id, _) => return Ok(Entry::new(Some(id), i64::MAX, began)),
                Lookup::Nothing => may_fill = true,
                Lookup::Away => {}
            }
        }
        let user = self.read_user_by(name).await?;
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

    async fn read_user_by(&self, name: &Name) -> Result<Option<User>, StoreError> {
        let (asked, database) = (Monotonic::now(), &self.0.database);
        let ask = async || match name {
            Name::Email(email) => read!(database, users::by_email(email)),
            Name::Username(username) => read!(database, users::by_username(username)),
            Name::Phone(phone) => read!(database, users::by_phone(phone)),
        };
        let outcome = ask().await;
        self.0.user_counts.loaded(asked.elapsed(), outcome)
    }
}

/// The keys of everything that a user is found by.
pub(super) fn mappings_of(user: &User) -> Vec<String> {
    let names = [
        Some(Name::Email(user.email.clone())),
        user.username.clone().map(Name::Username),
        user.phone.clone().map(Name::Phone),
    ];
    names.iter().flatten().map(Name::key).collect()
}

pub(super) fn parse_id(bytes: &[u8]) -> Stored<UserId> {
    match std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
        Some(id) => Stored::Value(id),
        None => Stored::Garbage,
    }
}
