//! Many users at once: one question to Redis for those that are not in memory, one query for those that are in neither.
//!
//! The same guards and fills as for one. Only the loads are not shared: who asks for one of the same users meanwhile
//! loads it too.

use std::collections::HashMap;
use std::time::Instant as Monotonic;

use futures_util::future::join_all;

use super::shared::{Lookup, Shared, Stored, failed};
use super::statistics::Counts;
use super::tier::{Began, Entry};
use super::user::parse;
use super::{Cache, TOGETHER};
use crate::domain::UserId;
use crate::redis::{cmd, keys};
use crate::store::{StoreError, User, read};

/// Ids of one question and of one query, at most.
const BATCH: usize = 500;

impl Cache {
    /// The accounts with these ids, at most two seconds old; ids without an account are left out. For every five hundred
    /// that are not in memory it asks Redis once, and the database once for what Redis did not have. Fails only when the
    /// database had to be asked and failed.
    pub async fn users(&self, ids: &[UserId]) -> Result<HashMap<UserId, User>, StoreError> {
        let mut found = HashMap::with_capacity(ids.len());
        let mut wanted: Vec<UserId> = ids.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let mut missing = Vec::new();
        for id in wanted {
            match self.0.users.peek(&keys::user_id(id), &self.0.guards).await {
                Some(user) => {
                    self.0.user_counts.memory_hits.one();
                    found.extend(user.map(|user| (id, user)));
                }
                None => missing.push(id),
            }
        }
        self.0.user_counts.memory_misses.add(missing.len() as u64);
        for batch in missing.chunks(BATCH) {
            let began = self.0.guards.begin();
            for (id, entry) in self.load_users(batch, began).await? {
                let key = keys::user_id(id);
                self.0.users.put(key.clone(), entry).await;
                // Read back through the guard. What was invalidated under its hands is loaded on its own.
                let user = match self.0.users.peek(&key, &self.0.guards).await {
                    Some(user) => user,
                    None => self.user(id).await?,
                };
                found.extend(user.map(|user| (id, user)));
            }
        }
        Ok(found)
    }

    async fn load_users(&self, ids: &[UserId], began: Began) -> Result<Vec<(UserId, Entry<User>)>, StoreError> {
        let (mut entries, mut unknown) = (Vec::with_capacity(ids.len()), Vec::new());
        let (lookups, may_fill) = self.0.shared.read_users(ids, &self.0.user_counts).await;
        for (id, lookup) in ids.iter().zip(lookups) {
            match lookup {
                Lookup::Found(user, until) => {
                    let version = user.version;
                    entries.push((*id, Entry::new(Some(user), version, began).until(until)));
                }
                Lookup::Nothing | Lookup::Away => unknown.push(*id),
            }
        }
        if unknown.is_empty() {
            return Ok(entries);
        }
        let (asked, ask) = (Monotonic::now(), async || read!(&self.0.database, users::by_ids(&unknown)));
        let outcome = ask().await;
        let rows = self.0.user_counts.loaded(asked.elapsed(), outcome)?;
        if may_fill {
            for rows in rows.chunks(TOGETHER) {
                join_all(rows.iter().map(async |user| self.share_user(&keys::user_id(user.id), user, began).await))
                    .await;
            }
        }
        let mut rows: HashMap<UserId, User> = rows.into_iter().map(|user| (user.id, user)).collect();
        entries.extend(unknown.into_iter().map(|id| {
            let user = rows.remove(&id);
            let version = user.as_ref().map_or(0, |user| user.version);
            (id, Entry::new(user, version, began))
        }));
        Ok(entries)
    }
}

impl Shared {
    /// What Redis holds of these users, one answer for each, and whether it may be filled with the others.
    async fn read_users(&self, ids: &[UserId], counts: &Counts) -> (Vec<Lookup<User>>, bool) {
        let nothing = |away: bool| ids.iter().map(|_| if away { Lookup::Away } else { Lookup::Nothing }).collect();
        let Some(redis) = self.redis().filter(|redis| redis.available()) else { return (nothing(true), false) };
        let Some((until, ends)) = self.belief() else { return (nothing(false), true) };
        let names: Vec<String> = ids.iter().map(|id| keys::user_id(*id)).collect();
        let mut question = cmd("MGET");
        for name in &names {
            question.arg(redis.key(name));
        }
        // What is of another type counts as nothing: MGET says so. The fill replaces it.
        let values = match redis.query_promptly::<Vec<Option<Vec<u8>>>>(question).await {
            Ok(values) => values,
            Err(error) => {
                failed(&error, counts);
                return (nothing(true), false);
            }
        };
        // The answer may be that of a Redis which has been away since the question was decided upon.
        if self.belief().is_none_or(|(_, now)| now != ends) {
            return (nothing(false), false);
        }
        let mut garbage = Vec::new();
        let mut lookups = Vec::with_capacity(ids.len());
        for ((id, key), value) in ids.iter().zip(&names).zip(values) {
            lookups.push(match value.map(|bytes| parse(&bytes, *id)) {
                Some(Stored::Value(user)) => {
                    counts.redis_hits.one();
                    Lookup::Found(user, until)
                }
                other => {
                    counts.redis_misses.one();
                    if matches!(other, Some(Stored::Garbage)) {
                        counts.discarded.one();
                        garbage.extend([key.clone(), keys::stamp(key)]);
                    }
                    Lookup::Nothing
                }
            });
        }
        if !garbage.is_empty() {
            log::warn!("Removed {} values that cannot be read from the cache", garbage.len() / 2);
            if let Err(error) = redis.del(&garbage).await {
                failed(&error, counts);
            }
        }
        (lookups, true)
    }
}
