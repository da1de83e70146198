//! What runs beside the requests: this instance's heartbeats, by which all know how many share the limits, and the
//! subscription by which a reset reaches every instance.
//!
//! **The life of an instance.** Every [`BEAT_EVERY`] it marks itself in Redis, for [`COUNTS_FOR`] on Redis's clock, and is told
//! in the same answer how many are marked. One that ends takes its mark away; the mark of one that was killed runs out.
//! While Redis is away the last count stays. Redis may come back empty: until every instance has had the time to mark
//! itself again, the count may rise but not fall, so that nobody takes a share that belongs to others.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{Check, Inner, Limiter};
use crate::domain::Entropy;
use crate::redis::{Redis, RedisError, Script, keys};

static HEARTBEAT: Script = Script::new(include_str!("scripts/heartbeat.lua"));

/// Between two heartbeats.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// How long an instance counts after its last heartbeat: two may be lost.
const COUNTS_FOR: Duration = Duration::from_secs(7);
/// Between two attempts to subscribe.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(250);
/// How long the task may take to end before it is aborted.
const END_WITHIN: Duration = Duration::from_secs(1);

/// The upkeep of one instance that limits. Dropping it ends it too, but leaves the mark to run out.
#[derive(Debug)]
pub struct Upkeep {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Limiter {
    /// Starts the upkeep on the current runtime. Only for processes that answer requests: each is counted as one that
    /// shares the limits. Without Redis there is nothing to do, and this instance is the only one.
    pub fn spawn_upkeep(&self) -> Upkeep {
        let (stop, stopped) = watch::channel(false);
        let (limiter, redis) = (Arc::downgrade(&self.0), self.0.redis.clone());
        let task = tokio::spawn(async move {
            let Some(redis) = redis else { return };
            tokio::join!(beats(&limiter, &redis, stopped.clone()), subscription(&limiter, &redis, stopped));
        });
        Upkeep { stop, task }
    }

    /// Has every other instance forget what it remembers for `check`. Fails when Redis is away.
    pub(super) async fn announce_reset(redis: &Redis, check: &Check) -> Result<(), RedisError> {
        let message = format!("{} {}", check.policy, check.subject);
        let mut publish = crate::redis::cmd("PUBLISH");
        publish.arg(keys::LIMIT_RESETS).arg(message);
        redis.query::<u64>(publish).await.map(drop)
    }
}

impl Upkeep {
    /// Takes this instance off the list and ends.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if timeout(END_WITHIN, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// Ends when the upkeep is stopped or dropped.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn beats(limiter: &Weak<Inner>, redis: &Redis, mut stop: watch::Receiver<bool>) {
    let id = u128::from_be_bytes(Entropy::system().bytes());
    let id = format!("{id:032x}");
    let mut ticks = interval(BEAT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unsure_until = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stopped(&mut stop) => break,
        }
        let beat = beat(redis, &id, COUNTS_FOR).await;
        let Some(limiter) = limiter.upgrade() else { return };
        match beat {
            Ok(count) if unsure_until.is_some_and(|until| Instant::now() < until) => {
                limiter.local.set_instances(count.max(limiter.local.instances()));
            }
            Ok(count) => limiter.local.set_instances(count),
            Err(error) => {
                unsure_until = Some(Instant::now() + COUNTS_FOR);
                if !error.is_outage() {
                    log::warn!("could not count the instances: {error}");
                }
            }
        }
    }
    if let Err(error) = beat(redis, &id, Duration::ZERO).await {
        log::debug!("could not take this instance off the list: {error}");
    }
}

async fn beat(redis: &Redis, id: &str, life: Duration) -> Result<u32, RedisError> {
    let life = life.as_millis().to_string();
    redis.run_script(&HEARTBEAT, &[keys::INSTANCES], &[id, &life]).await
}

/// Keeps a subscription up for as long as there is a Redis.
async fn subscription(limiter: &Weak<Inner>, redis: &Redis, mut stop: watch::Receiver<bool>) {
    let mut available = redis.changes();
    let listening = async {
        while available.wait_for(|available| *available).await.is_ok() {
            let mut gone = available.clone();
            let ended = tokio::select! {
                ended = listen(limiter, redis) => ended,
                _ = gone.changed() => Ok(()),
            };
            if let Err(error) = ended {
                log::debug!("could not subscribe to resets of limits: {error}");
            }
            sleep(RESUBSCRIBE_AFTER).await;
        }
    };
    tokio::select! {
        () = listening => {}
        () = stopped(&mut stop) => {}
    }
}

/// Forgets what other instances tell it to, until the connection ends. What was said while nobody listened is lost: a
/// reset by an admin is asked for again by whoever sees that it did not help.
async fn listen(limiter: &Weak<Inner>, redis: &Redis) -> Result<(), RedisError> {
    let mut resets = redis.subscribe(keys::LIMIT_RESETS).await?;
    while let Some(message) = resets.next().await {
        let Some(limiter) = limiter.upgrade() else { return Ok(()) };
        match read_message(message.get_payload_bytes()) {
            Some(check) => limiter.local.forget(&check),
            None => log::warn!("a message about limits could not be read"),
        }
    }
    Ok(())
}

/// `{policy} {subject}`.
fn read_message(payload: &[u8]) -> Option<Check> {
    let (policy, subject) = std::str::from_utf8(payload).ok()?.split_once(' ')?;
    Some(Check::new(policy.parse().ok()?, subject))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::PolicyName;

    #[test]
    fn a_message_names_a_policy_and_a_subject() {
        let check = Check::new(PolicyName::RequestAddress, "2001:db8::/64");
        assert_eq!(read_message(b"request_address 2001:db8::/64"), Some(check));
        for payload in [b"".as_slice(), b"request_address", b"nonsense a", b"\xff a"] {
            assert_eq!(read_message(payload), None);
        }
    }
}
