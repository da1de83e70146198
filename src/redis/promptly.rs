//! Questions that the database can answer as well.
//!
//! Whoever asks one had better not wait for as long as Redis is given. If it has not been answered after half of the
//! response timeout it is *overdue*: its asker is told to take the other way, and until it is answered or has failed, no
//! other such question is sent. The question itself goes on beside, and how it ends is reported as of any other command,
//! so a pause that is shorter than the response timeout opens no breaker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, FromRedisValue, Pipeline, RedisResult};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use super::generation::Generation;
use super::{Redis, RedisError, own};

/// This part of the time that Redis has for an answer is waited for.
const PROMPT: u32 = 2;

/// What is overdue over the connections of a generation.
#[derive(Debug, Default)]
pub(super) struct Overdue {
    questions: AtomicUsize,
    /// Whether one was answered late, which has been told.
    was_late: AtomicBool,
}

impl Overdue {
    fn is_any(&self) -> bool {
        self.questions.load(Ordering::Relaxed) > 0
    }

    /// One was answered after all. A server that is always so slow opens no breaker, and yet hardly anything is read from it.
    fn was_answered(&self, prompt: Duration) {
        if !self.was_late.swap(true, Ordering::Relaxed) {
            log::warn!(
                "Redis took longer than {prompt:?} for an answer, which the cache does not wait for; if it often does, \
                 raise redis.response_timeout to more than twice what it takes"
            );
        }
    }
}

/// A question that is overdue, until this is dropped.
struct OneOverdue(Arc<Generation>);

impl OneOverdue {
    fn new(generation: Arc<Generation>) -> Self {
        generation.overdue().questions.fetch_add(1, Ordering::Relaxed);
        Self(generation)
    }
}

impl Drop for OneOverdue {
    fn drop(&mut self) {
        self.0.overdue().questions.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Redis {
    /// [`Self::run`] for what the database can tell as well: fails with [`RedisError::Timeout`] after half of the time, and
    /// `work` goes on beside; fails with [`RedisError::Unavailable`] at once while other such work is overdue.
    pub async fn run_promptly<T, F, W>(&self, work: W) -> Result<T, RedisError>
    where
        T: Send + 'static,
        F: Future<Output = RedisResult<T>> + Send + 'static,
        W: FnOnce(MultiplexedConnection) -> F,
    {
        let (generation, patience) = self.0.for_a_command()?;
        if generation.overdue().is_any() {
            return Err(RedisError::Unavailable);
        }
        let (asked, prompt) = (Instant::now(), patience / PROMPT);
        let mut work = Box::pin(work(own::lane(&self.0, &generation)));
        let answer = timeout_at(asked + prompt, &mut work).await;
        if answer.is_ok() {
            return self.0.report(&generation, outcome(answer));
        }
        let (link, overdue) = (self.0.clone(), OneOverdue::new(generation));
        tokio::spawn(async move {
            let answer = timeout_at(asked + patience, work).await;
            let OneOverdue(generation) = &overdue;
            if link.report(generation, outcome(answer)).is_ok() {
                generation.overdue().was_answered(prompt);
            }
        });
        Err(RedisError::Timeout)
    }

    /// [`Self::query`], as [`Self::run_promptly`] waits for it.
    pub async fn query_promptly<T>(&self, command: Cmd) -> Result<T, RedisError>
    where
        T: FromRedisValue + Send + 'static,
    {
        self.run_promptly(async move |mut conn| command.query_async(&mut conn).await).await
    }

    /// [`Self::pipeline`], as [`Self::run_promptly`] waits for it.
    pub async fn pipeline_promptly<T>(&self, commands: Pipeline) -> Result<T, RedisError>
    where
        T: FromRedisValue + Send + 'static,
    {
        self.run_promptly(async move |mut conn| commands.query_async(&mut conn).await).await
    }
}

/// What came of work that had its time.
pub(super) fn outcome<T>(answer: Result<RedisResult<T>, Elapsed>) -> Result<T, RedisError> {
    answer.map_or(Err(RedisError::Timeout), |answer| answer.map_err(RedisError::from))
}
