//! The four lists in Redis. Ids enter on the left and leave on the right.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::{End, Entry, Lane};
use crate::domain::Priority;
use crate::mail::Counters;
use crate::redis::keys::MAIL_LISTS;
use crate::redis::{Cmd, FromRedisValue, Key, MultiplexedConnection, Redis, RedisError, cmd, pipe};

/// How long a pop waits for an id. Also how long a shutdown may wait for a pop that the server does not [interrupt](Interrupt): it
/// is never abandoned, since the ids in its answer would be lost.
const BLOCK_SECONDS: u8 = 1;
/// How long the answer to a pop may take: longer than it blocks.
const ANSWER: Duration = Duration::from_millis(2500);

pub(super) async fn put(redis: &Redis, entries: &[Entry], end: End) -> Result<(), RedisError> {
    let mut commands = pipe();
    for (list, &priority) in MAIL_LISTS.iter().zip(Priority::ALL) {
        let ids = entries.iter().filter(|entry| entry.1 == priority).map(|(id, _)| id.to_string());
        let ids: Vec<String> = match end {
            End::Back => ids.collect(),
            End::Front => ids.rev().collect(),
        };
        if !ids.is_empty() {
            let name = if matches!(end, End::Back) { "LPUSH" } else { "RPUSH" };
            commands.cmd(name).arg(redis.key(*list)).arg(ids).ignore();
        }
    }
    redis.pipeline(commands).await
}

pub(super) async fn lengths(redis: &Redis) -> Result<[usize; 4], RedisError> {
    let mut commands = pipe();
    for list in MAIL_LISTS {
        commands.cmd("LLEN").arg(redis.key(list));
    }
    redis.pipeline(commands).await
}

/// Ends the waiting of a [`RedisSource`]'s pop.
pub(crate) struct Interrupt {
    redis: Redis,
    client: Arc<AtomicI64>,
}

impl Interrupt {
    /// Has the server answer a pop that waits, as if its time were over. Where none waits yet, or the server refuses,
    /// nothing happens.
    pub(crate) async fn send(&self) {
        let client = self.client.load(Ordering::Relaxed);
        if client != UNKNOWN
            && let Err(error) = self.redis.query::<()>(cmd("CLIENT").arg("UNBLOCK").arg(client).take()).await
        {
            log::debug!("a pop of mail ids is waited for: {error}");
        }
    }
}

/// No id that a server gives to a client.
const UNKNOWN: i64 = 0;

/// Takes ids out of a lane's lists, over a connection that nothing else uses.
pub(crate) struct RedisSource {
    redis: Redis,
    lane: Lane,
    takes: u32,
    counters: Counters,
    connection: Option<MultiplexedConnection>,
    /// What the server calls the connection.
    client: Arc<AtomicI64>,
    /// Whether the server knows BLMPOP, which came with Redis 7.
    pops_batches: bool,
}

impl RedisSource {
    pub(super) fn new(redis: Redis, lane: Lane, counters: Counters) -> Self {
        let client = Arc::new(AtomicI64::new(UNKNOWN));
        Self { redis, lane, takes: 0, counters, connection: None, client, pops_batches: true }
    }

    /// The server, to wait for its return.
    pub(crate) fn redis(&self) -> &Redis {
        &self.redis
    }

    /// What ends a [`Self::take`] that waits.
    pub(crate) fn interrupt(&self) -> Interrupt {
        Interrupt { redis: self.redis.clone(), client: self.client.clone() }
    }

    /// Takes up to `most` ids out of one list that has any, waiting a second for one; nothing when none came.
    /// Let it finish: an abandoned call loses what it has taken.
    pub(crate) async fn take(&mut self, most: usize) -> Result<Vec<Entry>, RedisError> {
        let taken = self.pop(most).await;
        match &taken {
            Err(error) if error.is_outage() => {
                self.connection = None;
                // Another connection may get the number.
                self.client.store(UNKNOWN, Ordering::Relaxed);
            }
            Err(_) => self.mend().await?,
            Ok(_) => {}
        }
        taken
    }

    /// Deletes what has the name of a list and is none: it would keep every id from being taken. The rows of the ids that
    /// could not be pushed meanwhile come back through the sweeper.
    async fn mend(&mut self) -> Result<(), RedisError> {
        for list in MAIL_LISTS {
            let kind: String = self.ask(&cmd("TYPE").arg(self.redis.key(list)).take()).await?;
            if kind != "list" && kind != "none" {
                log::warn!("deleting the Redis key {list}: it should be a list and is a {kind}");
                self.counters.malformed_ids(1);
                self.ask::<()>(&cmd("DEL").arg(self.redis.key(list)).take()).await?;
            }
        }
        Ok(())
    }

    async fn pop(&mut self, most: usize) -> Result<Vec<Entry>, RedisError> {
        self.takes = self.takes.wrapping_add(1);
        let lists: Vec<&str> = self.lane.order(self.takes).into_iter().map(|place| MAIL_LISTS[place]).collect();
        if self.pops_batches {
            match self.pop_batch(&lists, most).await {
                Err(RedisError::Reply(error)) if is_unknown_command(&error) => {
                    log::info!("this Redis has no BLMPOP (it came with version 7): taking mail ids one list at a time");
                    self.pops_batches = false;
                }
                taken => return taken,
            }
        }
        self.pop_singly(&lists, most).await
    }

    async fn pop_batch(&mut self, lists: &[&str], most: usize) -> Result<Vec<Entry>, RedisError> {
        let mut command = cmd("BLMPOP");
        command.arg(BLOCK_SECONDS).arg(lists.len()).arg(self.keys(lists)).arg("RIGHT").arg("COUNT").arg(most);
        let popped: Option<(String, Vec<Vec<u8>>)> = self.ask(&command).await?;
        Ok(popped.map_or_else(Vec::new, |(key, ids)| self.read(&key, ids)))
    }

    /// For servers before version 7: waits for one id, then fetches what else waits in its list.
    async fn pop_singly(&mut self, lists: &[&str], most: usize) -> Result<Vec<Entry>, RedisError> {
        let pop = cmd("BRPOP").arg(self.keys(lists)).arg(BLOCK_SECONDS).take();
        let Some((key, first)): Option<(String, Vec<u8>)> = self.ask(&pop).await? else { return Ok(Vec::new()) };
        let mut ids = vec![first];
        while ids.len() < most {
            // What was taken so far must not get lost with an error here.
            match self.ask(cmd("RPOP").arg(&key)).await {
                Ok(Some(id)) => ids.push(id),
                Ok(None) => break,
                Err(error) => {
                    log::debug!("taking mail ids stopped half-way: {error}");
                    break;
                }
            }
        }
        Ok(self.read(&key, ids))
    }

    fn keys<'a>(&self, lists: &[&'a str]) -> Vec<Key<'a>> {
        lists.iter().map(|list| self.redis.key(*list)).collect()
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let mut connection = self.redis.dedicated(ANSWER).await?;
                let client = cmd("CLIENT").arg("ID").query_async(&mut connection).await.map_err(RedisError::from);
                match client {
                    Err(error) if error.is_outage() => return Err(error),
                    client => self.client.store(client.unwrap_or(UNKNOWN), Ordering::Relaxed),
                }
                none.insert(connection)
            }
        };
        Ok(command.query_async(connection).await?)
    }

    /// Reads ids out of the list under `key`; what is none is dropped and counted.
    fn read(&self, key: &str, ids: Vec<Vec<u8>>) -> Vec<Entry> {
        let list = self.redis.name(key);
        let priority = MAIL_LISTS.iter().zip(Priority::ALL).find(|(name, _)| **name == list);
        let priority = priority.map_or(Priority::Low, |(_, &priority)| priority);
        let found = ids.len();
        let parse = |id: Vec<u8>| Some((std::str::from_utf8(&id).ok()?.parse().ok()?, priority));
        let entries: Vec<Entry> = ids.into_iter().filter_map(parse).collect();
        let malformed = found - entries.len();
        if malformed > 0 {
            self.counters.malformed_ids(malformed);
            log::warn!("{malformed} entries of the Redis list {list} were no ids of mails; somebody else writes to it");
        }
        entries
    }
}

fn is_unknown_command(error: &impl std::fmt::Display) -> bool {
    error.to_string().to_ascii_lowercase().contains("unknown command")
}
