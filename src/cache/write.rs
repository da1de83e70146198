//! What follows the commit of a user: every instance forgets what it held, and Redis holds the new version.
//!
//! The new version is put where a tombstone would be, by the same script: it stays out if something newer is stored, and
//! it keeps older ones out for as long as it stands, which is longer than any fill that began before it may take. Names
//! that the user had and has no longer are removed, those that it has lead to it.
//!
//! A write that was long ago leaves a tombstone instead: by then the database may hold a newer version of which Redis
//! has lost the trace, and which no look would tell it of again.

use futures_util::future::{join, join_all};

use super::Cache;
use super::mapping::{MAPPING_TTL, mappings_of};
use super::response_key::Resource;
use super::shared::{Kind, Mark, Shared, failed, millis};
use super::statistics::Counts;
use super::tier::{Entry, TTL as FILL_WITHIN};
use super::user::{USER_TTL, stored};
use crate::domain::{EmailAddress, UserId, clock};
use crate::redis::{keys, pipe};
use crate::store::{ChangedUser, User};

impl Cache {
    /// Hands every instance a user that has been made or changed: the next read of it is a hit. Call it after the commit,
    /// with the row as it was written; and with the row `before` where its address, username or telephone number may
    /// have changed. Answers that show users are made anew. Never fails: what Redis does not take in is found by the
    /// next look at the database.
    pub async fn user_written(&self, before: Option<&User>, user: &User) {
        self.write_user(before, user).await;
        self.raise(&Resource::ALL).await;
    }

    /// As [`Self::user_written`], for a change of which nobody else sees anything but its time: a sign-in. Answers that
    /// show users are kept.
    pub async fn user_signed_in(&self, user: &User) {
        self.write_user(None, user).await;
    }

    /// Makes every instance read this account anew. Call it after the commit, with the row as it was written; call
    /// [`Self::forget_users`] with the row before as well when what it is found by has changed. Never fails: what Redis
    /// does not take in is found by the next look at the database.
    pub async fn forget_user(&self, user: &User) {
        self.forget_users(&[user]).await;
    }

    /// [`Self::forget_user`] for several rows, or for one account's rows before and after.
    pub async fn forget_users(&self, users: &[&User]) {
        let marks = users.iter().flat_map(|user| marks(user.id, user.version, mappings_of(user))).collect();
        self.forget(marks).await;
        self.raise(&Resource::ALL).await;
    }

    async fn write_user(&self, before: Option<&User>, user: &User) {
        let names = mappings_of(user);
        let gone: Vec<Mark> = before
            .map(mappings_of)
            .unwrap_or_default()
            .into_iter()
            .filter(|key| !names.contains(key))
            .map(mapping)
            .collect();
        let by_id = Mark { key: keys::user_id(user.id), kind: Kind::User, version: user.version };
        let all = || [&by_id.key].into_iter().chain(&names).chain(gone.iter().map(|mark| &mark.key));
        // Here at once, so that a Redis that hangs holds nothing up; and again, for what Redis has given in between.
        for key in all() {
            self.forget_key_here(key, if *key == by_id.key { user.version } else { 0 }).await;
        }
        self.0.user_counts.invalidations.one();
        self.0.id_counts.invalidations.add((names.len() + gone.len()) as u64);
        let is_fresh = self.0.clock.now() - user.updated_at <= clock::span(FILL_WITHIN);
        if self.0.shared.channel().is_some() {
            let (id, shared, counts) = (user.id.to_string(), &self.0.shared, &self.0.id_counts);
            let value = stored(user).filter(|_| is_fresh).map(|value| (shared.stamp(user.version, user.id), value));
            let leading = join_all(names.iter().map(|key| shared.write_mapping(key, &id, counts)));
            let removing = join_all(gone.iter().map(|mark| shared.forget(mark, false, counts)));
            join(shared.write(&by_id, value, &self.0.user_counts), join(leading, removing)).await;
            for key in all() {
                self.forget_key_here(key, if *key == by_id.key { user.version } else { 0 }).await;
            }
        }
        if is_fresh {
            let entry = Entry::new(Some(user.clone()), user.version, self.0.guards.begin());
            self.0.users.put(by_id.key, entry).await;
        }
    }
}

impl Shared {
    /// Puts a stamp and a value where [`Self::forget`] puts a tombstone, which there is without these, and tells the other
    /// instances.
    async fn write(&self, mark: &Mark, value: Option<(String, Vec<u8>)>, counts: &Counts) {
        let (Some(redis), Some((stamp, value))) = (self.redis(), value) else {
            self.forget(mark, false, counts).await;
            return;
        };
        if let Err(error) = mark.put(redis, self.shortened(USER_TTL), true, &stamp, vec![value]).await {
            failed(&error, counts);
        }
    }

    /// Lets a name lead to `id`, and tells the other instances, which may hold that it leads nowhere.
    async fn write_mapping(&self, key: &str, id: &str, counts: &Counts) {
        let Some(redis) = self.redis() else {
            self.forget(&mapping(key.to_owned()), false, counts).await;
            return;
        };
        let mut commands = pipe();
        commands.cmd("SET").arg(redis.key(key)).arg(id).arg("PX").arg(millis(self.shortened(MAPPING_TTL))).ignore();
        commands.cmd("PUBLISH").arg(keys::INVALIDATIONS).arg(format!("0 {key}")).ignore();
        if let Err(error) = redis.pipeline::<()>(commands).await {
            failed(&error, counts);
        }
    }
}

/// Everything under which an account that has changed is cached.
pub(super) fn changed_marks(user: &ChangedUser) -> Vec<Mark> {
    let names = [
        EmailAddress::parse(&user.email).ok().map(|email| keys::user_email(&email)),
        user.username.as_deref().map(keys::user_username),
        user.phone.as_deref().map(keys::user_phone),
    ];
    marks(user.id, user.version, names.into_iter().flatten().collect())
}

fn marks(id: UserId, version: i64, names: Vec<String>) -> Vec<Mark> {
    let by_id = Mark { key: keys::user_id(id), kind: Kind::User, version };
    [by_id].into_iter().chain(names.into_iter().map(mapping)).collect()
}

fn mapping(key: String) -> Mark {
    Mark { key, kind: Kind::Mapping, version: 0 }
}
