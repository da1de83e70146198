//! From the queue to claimed mails on the desk, a batch at a time: one pop, one statement that claims, one each that reads
//! the challenges and the suppressed mailboxes among them.
//!
//! Each lane of each source has a fetcher of its own, so that urgent mails are fetched while the desk is full of others. A
//! fetcher never drops a pop half-way, and never pops more than the desk has room for.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::job::{Job, Letter};
use super::verdict::Verdict;
use super::{Phase, Shared, dispatch};
use crate::domain::clock::span;
use crate::domain::{ChallengeId, EmailAddress, Instant, MailId};
use crate::mail::facts::{self, Facts, Need};
use crate::mail::queue::{Entry, Lane, RedisSource};
use crate::mail::render::Renderer;
use crate::mail::transport::Mailbox;
use crate::redis::RedisError;
use crate::store::{Challenge, Database, Mail, StoreError, Suppression, read, update};

/// How long the database may take to answer.
const ANSWER: Duration = Duration::from_secs(6);
/// How long a fetcher leaves a server alone that has failed.
const PAUSE: Duration = Duration::from_millis(500);
/// How long after one interrupt the next is sent.
const AGAIN: Duration = Duration::from_millis(50);
/// What instances may disagree about the time by: a row that another one has just made is due here, too.
const CLOCK_SLACK: Duration = Duration::from_millis(50);

/// Fetches from the lists of this process until the worker stops.
pub(super) async fn from_this_process(shared: Arc<Shared>, lane: Lane) {
    let queue = shared.parts.queue.clone();
    loop {
        tokio::select! {
            () = shared.reached(Phase::Stopping) => return,
            () = async {
                shared.may_take().await;
                queue.local().filled(lane).await;
            } => {}
        }
        let Some(room) = room(&shared, lane).await else { return };
        let entries = queue.local().take(room, lane);
        if !entries.is_empty() {
            begin(&shared, entries).await;
        }
    }
}

/// Fetches from Redis until the worker stops.
pub(super) async fn from_redis(shared: Arc<Shared>, lane: Lane) {
    let Some(mut source) = shared.parts.queue.redis_source(lane) else { return };
    let mut changes = source.redis().changes();
    loop {
        tokio::select! {
            () = shared.reached(Phase::Stopping) => return,
            () = shared.may_take() => {}
        }
        let Some(room) = room(&shared, lane).await else { return };
        match take(&shared, &mut source, room).await {
            Ok(entries) if entries.is_empty() => {}
            Ok(entries) => begin(&shared, entries).await,
            Err(error) => {
                log::debug!("no mail ids from Redis: {error}");
                tokio::select! {
                    () = shared.reached(Phase::Stopping) => return,
                    () = async {
                        tokio::time::sleep(PAUSE).await;
                        // Should the sender be gone, so is the way to Redis: look again now and then.
                        let _ = timeout(PAUSE * 20, changes.wait_for(|available| *available)).await;
                    } => {}
                }
            }
        }
    }
}

/// Takes up to `most` ids, and does not wait for any once the worker stops.
async fn take(shared: &Shared, source: &mut RedisSource, most: usize) -> Result<Vec<Entry>, RedisError> {
    let interrupt = source.interrupt();
    let mut taking = pin!(source.take(most));
    tokio::select! {
        taken = &mut taking => return taken,
        () = shared.reached(Phase::Stopping) => {}
    }
    loop {
        // It may not have begun to wait.
        interrupt.send().await;
        if let Ok(taken) = timeout(AGAIN, &mut taking).await {
            return taken;
        }
    }
}

/// Waits for room on the desk. `None` when the worker stops.
async fn room(shared: &Shared, lane: Lane) -> Option<usize> {
    tokio::select! {
        () = shared.reached(Phase::Stopping) => None,
        room = shared.desk.room(lane) => Some(room),
    }
}

/// Claims what was popped, and puts on the desk what can be sent.
async fn begin(shared: &Arc<Shared>, entries: Vec<Entry>) {
    shared.desk.claim(entries.len());
    // After they were counted: a shutdown that begins now waits for them.
    if shared.is_stopping() || !shared.takes() {
        return give_up(shared, &entries).await;
    }
    let ids: Vec<MailId> = entries.iter().map(|(id, _)| *id).collect();
    let now = shared.parts.clock.now() + span(CLOCK_SLACK);
    let until = now + span(shared.parts.settings.lease);
    let claiming = claim(&shared.parts.database, &ids, now, until);
    let claimed = timeout(ANSWER, claiming).await;
    let mut mails = match claimed.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned()))) {
        Ok(mails) => mails,
        Err(error) => {
            log::warn!("mails cannot be claimed, trying again: {error}");
            give_up(shared, &entries).await;
            let _ = timeout(PAUSE, shared.reached(Phase::Stopping)).await;
            return;
        }
    };
    let places: HashMap<MailId, usize> = ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    mails.sort_by_key(|mail| places.get(&mail.id));
    shared.desk.unclaim(entries.len().saturating_sub(mails.len()));
    let jobs = mails.into_iter().map(|mail| {
        let hold = shared.holds.take(&mail, until);
        let letter = read_letter(&mail);
        Job { mail, hold, letter }
    });
    prepare(shared, jobs.collect()).await;
}

/// Puts ids back into the queue.
async fn give_up(shared: &Shared, entries: &[Entry]) {
    shared.parts.queue.give_back(entries).await;
    shared.desk.unclaim(entries.len());
}

fn read_letter(mail: &Mail) -> Result<Letter, Verdict> {
    let failed = |what: String| Verdict::Failed { error: what };
    let recipient: EmailAddress =
        mail.recipient.parse().map_err(|error| failed(format!("the recipient cannot be read: {error}")))?;
    let content = Renderer::content(mail).map_err(|error| failed(error.to_string()))?;
    Ok(Letter { recipient, content, facts: Facts::None })
}

/// Looks up what the mails need. What is of no more use, or cannot be sent, ends here; the rest goes on the desk.
async fn prepare(shared: &Arc<Shared>, jobs: Vec<Job>) {
    let letters = || jobs.iter().filter_map(|job| job.letter.as_ref().ok());
    let wanted: Vec<ChallengeId> = letters().filter_map(|letter| letter.content.challenge_id()).collect();
    let keys: Vec<String> = letters().map(|letter| letter.recipient.key().to_owned()).collect();
    let now = shared.parts.clock.now();
    let looking = look_up(&shared.parts.database, &wanted, &keys, now);
    let found = timeout(ANSWER, looking).await;
    let (challenges, suppressed) = match found.unwrap_or_else(|_| Err(StoreError::Unavailable(String::new()))) {
        Ok(found) => found,
        Err(error) => {
            log::warn!("{} mails cannot be prepared, given back: {error}", jobs.len());
            let not_begun = || Verdict::NotBegun { wait: shared.parts.entropy.jitter(PAUSE), error: None };
            for job in jobs {
                shared.end(job.mail, &job.hold, not_begun());
            }
            return;
        }
    };
    let mut ready = Vec::with_capacity(jobs.len());
    for mut job in jobs {
        let letter = match job.letter {
            Ok(letter) => complete(shared, letter, &challenges, &suppressed, now).await,
            Err(verdict) => Err(verdict),
        };
        match letter {
            Ok(letter) => {
                job.letter = Ok(letter);
                ready.push(job);
            }
            Err(verdict) => shared.end(job.mail, &job.hold, verdict),
        }
    }
    shared.desk.put(ready);
    if shared.is_stopping() || *shared.paused.borrow() {
        // The dispatcher may have cleared the desk already.
        dispatch::give_back(shared);
    }
}

/// The letter with all that it needs, or how the mail ends without being begun.
async fn complete(
    shared: &Shared,
    letter: Letter,
    challenges: &HashMap<ChallengeId, Challenge>,
    suppressed: &HashMap<String, Suppression>,
    now: Instant,
) -> Result<Letter, Verdict> {
    if let Some(suppression) = suppressed.get(letter.recipient.key()) {
        let (reason, until) = (suppression.reason, suppression.until.format("%Y-%m-%d %H:%M UTC"));
        let error = format!("not sent: the mailbox is suppressed until {until} ({reason}: {})", suppression.detail);
        return Err(Verdict::Dead { error, mailbox: Mailbox::Unknown });
    }
    let facts = match Facts::needed(&letter.content) {
        Need::Nothing => Ok(Some(Facts::None)),
        Need::Challenge(id) => Ok(Facts::of_challenge(challenges.get(&id).cloned(), now)),
        // There is one for each admin at most, every few minutes.
        Need::Applicants { .. } => {
            let loading = timeout(ANSWER, facts::load(&shared.parts.database, &letter.content, now)).await;
            loading.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned())))
        }
    };
    match facts {
        Ok(Some(facts)) => Ok(Letter { facts, ..letter }),
        Ok(None) => Err(Verdict::Expired),
        Err(StoreError::Unavailable(error)) => {
            Err(Verdict::NotBegun { wait: shared.parts.entropy.jitter(PAUSE), error: Some(error) })
        }
        Err(error) => Err(Verdict::Failed { error: error.to_string() }),
    }
}

async fn claim(
    database: &Database,
    ids: &[MailId],
    now: Instant,
    lease_until: Instant,
) -> Result<Vec<Mail>, StoreError> {
    update!(database, dispatch::claim(ids, now, lease_until))
}

type Found = (HashMap<ChallengeId, Challenge>, HashMap<String, Suppression>);

async fn look_up(
    database: &Database,
    challenges: &[ChallengeId],
    keys: &[String],
    now: Instant,
) -> Result<Found, StoreError> {
    let challenges = if challenges.is_empty() { Vec::new() } else { challenges_of(database, challenges).await? };
    let suppressed = if keys.is_empty() { Vec::new() } else { suppressed(database, keys, now).await? };
    Ok((
        challenges.into_iter().map(|challenge| (challenge.id, challenge)).collect(),
        suppressed.into_iter().map(|suppression| (suppression.email_key.clone(), suppression)).collect(),
    ))
}

async fn challenges_of(database: &Database, ids: &[ChallengeId]) -> Result<Vec<Challenge>, StoreError> {
    read!(database, challenges::by_ids(ids))
}

async fn suppressed(database: &Database, keys: &[String], now: Instant) -> Result<Vec<Suppression>, StoreError> {
    read!(database, suppressions::among(keys, now))
}
