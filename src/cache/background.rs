//! What runs beside the requests: the subscription to other instances' invalidations, the look for changed rows once
//! a second, the writing of last-seen times every ten seconds, and a line in the log now and then.
//!
//! The task holds the cache only while it does something, so it ends with the last handle on it, or at
//! [`Cache::shutdown`].

use std::future::pending;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

use super::{Cache, Inner};
use crate::redis::{Redis, RedisError, keys};

const LOOK_EVERY: Duration = Duration::from_secs(1);
const FLUSH_EVERY: Duration = Duration::from_secs(10);
/// Between two attempts to subscribe.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(250);
/// In the place of a key: that all must be forgotten.
pub(super) const EVERYTHING: &str = "*";
/// How long the task may take to end before it is aborted.
const END_WITHIN: Duration = Duration::from_secs(5);

impl Cache {
    /// Starts the upkeep on the current runtime, once: later calls give the same task. Without it memory is right to a
    /// second, and Redis is not read.
    pub fn spawn_background(&self) -> AbortHandle {
        let mut background = self.0.background.lock().unwrap_or_else(PoisonError::into_inner);
        let task = background.get_or_insert_with(|| {
            let (cache, stop) = (Arc::downgrade(&self.0), self.0.stop.subscribe());
            let (channel, report_every) = (self.0.shared.channel().cloned(), self.0.settings.report_every);
            tokio::spawn(async move {
                let changes = channel.as_ref().map(Redis::changes);
                let work = async {
                    tokio::join!(
                        looks(&cache, changes),
                        flushes(&cache),
                        subscription(&cache, channel.as_ref()),
                        reports(&cache, report_every),
                    );
                };
                tokio::select! {
                    () = stopped(stop) => {}
                    () = work => {}
                }
            })
        });
        task.abort_handle()
    }

    /// Ends the upkeep and writes the last-seen times that are due.
    pub async fn shutdown(&self) {
        self.0.stop.send_replace(true);
        let task = self.0.background.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut task) = task
            && timeout(END_WITHIN, &mut task).await.is_err()
        {
            task.abort();
        }
        if let Err(error) = self.flush_seen().await {
            log::warn!("Could not write when sessions were last used: {error}");
        }
    }
}

/// Ends when the cache is shut down or gone.
pub(super) async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, and the cache with it.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The cache, if anybody else still has it.
pub(super) fn cache_of(cache: &Weak<Inner>) -> Option<Cache> {
    cache.upgrade().map(Cache)
}

async fn looks(cache: &Weak<Inner>, mut changes: Option<watch::Receiver<bool>>) {
    let (mut ticks, mut well) = (every(LOOK_EVERY), true);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = changed(&mut changes) => {}
        }
        let Some(cache) = cache_of(cache) else { return };
        match cache.poll_changes().await {
            Ok(_) => well = true,
            Err(error) if well => {
                well = false;
                log::warn!("Could not look for changed rows, reading past Redis: {error}");
            }
            Err(_) => {}
        }
        cache.0.users.sweep().await;
        cache.0.ids.sweep().await;
        cache.0.sessions.sweep().await;
        cache.sweep_recognised();
    }
}

/// Ends when Redis comes or goes.
async fn changed(changes: &mut Option<watch::Receiver<bool>>) {
    if let Some(changes) = changes
        && changes.changed().await.is_ok()
    {
        return;
    }
    pending::<()>().await;
}

async fn flushes(cache: &Weak<Inner>) {
    let mut ticks = every(FLUSH_EVERY);
    loop {
        ticks.tick().await;
        let Some(cache) = cache_of(cache) else { return };
        if let Err(error) = cache.flush_seen().await {
            log::warn!("Could not write when sessions were last used: {error}");
        }
    }
}

/// Tells in the log how the cache has done since the last line.
async fn reports(cache: &Weak<Inner>, period: Duration) {
    if period.is_zero() {
        return;
    }
    let (mut ticks, mut before) = (every(period), None);
    loop {
        ticks.tick().await;
        let Some(cache) = cache_of(cache) else { return };
        let now = cache.stats();
        if let Some(line) = before.as_ref().and_then(|before| now.line_since(before)) {
            log::info!("{line}");
        }
        before = Some(now);
    }
}

/// Keeps a subscription up for as long as there is a Redis.
async fn subscription(cache: &Weak<Inner>, redis: Option<&Redis>) {
    let Some(redis) = redis else { return };
    let mut available = redis.changes();
    while available.wait_for(|available| *available).await.is_ok() {
        let listening = listen(cache, redis);
        let mut gone = available.clone();
        let ended = tokio::select! {
            ended = listening => ended,
            _ = gone.changed() => Ok(()),
        };
        let Some(cache) = cache_of(cache) else { return };
        if let Err(error) = ended {
            cache.0.upkeep_counts.redis_errors.one();
            log::debug!("Could not subscribe to invalidations: {error}");
        }
        drop(cache);
        sleep(RESUBSCRIBE_AFTER).await;
    }
}

/// Forgets what other instances tell it to, until the connection ends.
async fn listen(cache: &Weak<Inner>, redis: &Redis) -> Result<(), RedisError> {
    let mut invalidations = redis.subscribe(keys::INVALIDATIONS).await?;
    // What was said before, nobody here has heard.
    match cache_of(cache) {
        Some(cache) => cache.forget_everything_here(),
        None => return Ok(()),
    }
    while let Some(message) = invalidations.next().await {
        let Some(cache) = cache_of(cache) else { return Ok(()) };
        match read_message(message.get_payload_bytes()) {
            Some((_, EVERYTHING)) => cache.forget_everything_here(),
            Some((version, key)) => cache.forget_key_here(key, version).await,
            None => cache.0.upkeep_counts.redis_errors.one(),
        }
    }
    Ok(())
}

/// `{version} {key}`.
pub(super) fn read_message(payload: &[u8]) -> Option<(i64, &str)> {
    let (version, key) = std::str::from_utf8(payload).ok()?.split_once(' ')?;
    Some((version.parse().ok()?, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_a_version_and_a_key() {
        assert_eq!(read_message(b"7 user:id:x"), Some((7, "user:id:x")));
        assert_eq!(read_message(b"0 user:email:a b@c.de"), Some((0, "user:email:a b@c.de")));
        for payload in [b"".as_slice(), b"user:id:x", b"x user:id:x", b"\xff 1"] {
            assert_eq!(read_message(payload), None);
        }
    }
}
