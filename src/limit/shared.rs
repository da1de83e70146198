//! The limiter that all instances share: an exact sliding-window log in Redis, on its clock. All checks of a request are
//! one script, so they cost one round trip and are decided together; and what the requests of one thread ask at the same
//! moment shares calls, in each of which they are decided one after another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::debts::Owed;
use super::{Check, Inner, PolicyName, Verdict, browsers_of};
use crate::redis::{Gathering, Portions, Redis, RedisError, Script, keys};
use crate::settings::{Limits, Policy};

static SLIDING_WINDOW: Script = Script::new(include_str!("scripts/sliding_window.lua"));

/// The most requests that one call decides: while it runs, which takes some five microseconds for each check, Redis does
/// nothing else.
const MOST: usize = 64;

/// What a thread does about a decision is little beside what Redis does, so Redis is to have the next before it.
const PORTIONS: Portions = Portions { most: MOST, enough: 8, parts: 3, near: Duration::from_millis(5) };

/// The bytes in which it answers.
const TOLD: usize = 20;

/// How much longer than its window a log is kept at least, in seconds: Redis counts that time from when a call began, which
/// is before the script has read the clock, and a log that goes too early would let a request too many pass.
const SLACK: u64 = 2;

/// The most that a log is kept longer for not having to be written anew with every request, in seconds.
const MOST_AHEAD: u64 = 60;

thread_local! {
    static REQUESTS: Gathering<Inner, Request, Vec<Verdict>> = const { Gathering::new() };
}

/// What is to be decided together, and what Redis has yet to be told about it.
struct Request {
    checks: Vec<Check>,
    /// One for each check, or none at all.
    owed: Vec<Owed>,
}

/// What the script is called with: its keys and arguments, which it describes.
struct Call {
    keys: Vec<String>,
    policies: Vec<u8>,
    asked: Vec<u8>,
    /// Empty if nothing is owed.
    owed: Vec<u8>,
}

impl Call {
    /// Where another key of the same request follows.
    const MORE: u16 = 1 << 15;
    /// Where a key is all that its request asks about, and no other request does.
    const ALONE: u8 = 1 << 7;

    /// The decisions about `requests`, one after another.
    fn new(limits: &Limits, requests: &[Request], records: bool) -> Self {
        let checks = requests.iter().map(|request| request.checks.len()).sum();
        let mut call = Self {
            keys: Vec::with_capacity(checks),
            policies: Vec::new(),
            asked: Vec::with_capacity(1 + 3 * checks),
            owed: Vec::new(),
        };
        call.asked.push(u8::from(records));
        let (mut places, mut numbers) = (Vec::with_capacity(2 * checks), [None; PolicyName::COUNT]);
        let mut known: HashMap<&Check, u16> = HashMap::with_capacity(if requests.len() > 1 { checks } else { 0 });
        for Request { checks, owed } in requests {
            for (position, check) in checks.iter().enumerate() {
                let owed = owed.get(position).filter(|owed| owed.count > 0);
                let alone = if checks.len() == 1 && owed.is_none() { Self::ALONE } else { 0 };
                let place = match known.get(check) {
                    Some(place) => call.shared(*place),
                    None => call.add(limits, check, alone, &mut numbers),
                };
                // The checks of one request are not the same.
                if requests.len() > 1 {
                    known.insert(check, place);
                }
                let more = if position + 1 < checks.len() { Self::MORE } else { 0 };
                places.extend((place | more).to_be_bytes());
                if let Some(owed) = owed {
                    call.owed.extend(place.to_be_bytes());
                    call.owed.extend(owed.count.to_be_bytes());
                    call.owed.extend(micros(owed.age).to_be_bytes());
                }
            }
        }
        call.asked.extend(places);
        call
    }

    /// Adds the log of `check` and gives its place. `alone` goes with the number of its policy; `numbers` are those of the
    /// policies that have one.
    fn add(&mut self, limits: &Limits, check: &Check, alone: u8, numbers: &mut [Option<u8>; PolicyName::COUNT]) -> u16 {
        // A place that is none makes the script fail. A call has far fewer.
        let place = u16::try_from(self.keys.len()).unwrap_or(u16::MAX);
        self.keys.push(keys::rate(check.policy.as_str(), &check.subject));
        let already = numbers.iter().flatten().count();
        let number = *numbers[check.policy as usize].get_or_insert_with(|| {
            let Policy { limit, window } = limits.of(check.policy);
            let kept = (window.as_secs() + window.as_secs().min(MOST_AHEAD) + SLACK).to_string();
            self.policies.extend(limit.to_be_bytes());
            self.policies.extend(micros(window).to_be_bytes());
            self.policies.push(u8::try_from(kept.len()).unwrap_or(u8::MAX));
            self.policies.extend(kept.as_bytes());
            u8::try_from(already).unwrap_or(u8::MAX)
        });
        self.asked.push(number | alone);
        place
    }

    /// Says of the log at `place`, which it gives, that several requests ask about it.
    fn shared(&mut self, place: u16) -> u16 {
        if let Some(number) = self.asked.get_mut(1 + usize::from(place)) {
            *number &= !Self::ALONE;
        }
        place
    }

    async fn run(&self, redis: &Redis) -> Result<Vec<u8>, RedisError> {
        let all: [&[u8]; 3] = [&self.policies, &self.asked, &self.owed];
        let some = if self.owed.is_empty() { &all[..2] } else { &all };
        redis.run_script(&SLIDING_WINDOW, &self.keys, some).await
    }
}

/// Decides `checks`, no two of which are the same, and records the request if all allow it; this process follows, and Redis is
/// told what it has been owed. `None` where Redis could not decide them. What has begun is carried through, also if its
/// caller leaves.
pub(super) async fn decide(inner: &Arc<Inner>, redis: &Redis, checks: &[&Check]) -> Option<Vec<Verdict>> {
    let request = Request { owed: inner.local.owed(checks), checks: checks.iter().copied().cloned().collect() };
    let sender = || {
        let (deciding, redis) = (inner.clone(), redis.clone());
        move |requests| decide_all(deciding.clone(), redis.clone(), requests)
    };
    REQUESTS.with(|gathering| gathering.add(inner, request, PORTIONS, sender)).await.ok()
}

async fn decide_all(inner: Arc<Inner>, redis: Redis, requests: Vec<Request>) -> Result<Vec<Vec<Verdict>>, RedisError> {
    let decided = run(&redis, &inner.limits, &requests, true).await;
    match &decided {
        Ok(decided) => {
            for (Request { checks, .. }, verdicts) in requests.into_iter().zip(decided) {
                inner.local.follow(checks, verdicts);
            }
            // After the answers, and after what those who get them ask next on this thread.
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                inner.local.catch_up();
            });
        }
        Err(error) => {
            // Outages are logged once, where the breaker opens.
            if !error.is_outage() {
                log::error!("the limiter decides in process: {error}");
            }
            for Request { checks, owed } in &requests {
                inner.local.still_owed(checks, owed);
            }
        }
    }
    decided
}

/// Where `check` stands, without recording anything; `None` where Redis cannot tell.
pub(super) async fn look(redis: &Redis, limits: &Limits, check: &Check) -> Option<Verdict> {
    let request = Request { checks: vec![check.clone()], owed: Vec::new() };
    run(redis, limits, &[request], false).await.ok()?.pop()?.pop()
}

/// The verdicts on each of `requests`.
async fn run(
    redis: &Redis,
    limits: &Limits,
    requests: &[Request],
    records: bool,
) -> Result<Vec<Vec<Verdict>>, RedisError> {
    let answer = Call::new(limits, requests, records).run(redis).await?;
    if answer.len() != requests.iter().map(|request| request.checks.len()).sum::<usize>() * TOLD {
        return Err(RedisError::Reply(::redis::RedisError::from((
            ::redis::ErrorKind::UnexpectedReturnType,
            "the sliding window answered for another number of keys",
        ))));
    }
    let mut told = answer.chunks_exact(TOLD);
    let verdicts = |request: &Request| told.by_ref().take(request.checks.len()).filter_map(verdict).collect();
    Ok(requests.iter().map(verdicts).collect())
}

/// Forgets what is recorded for `check`, and for the browsers known to it ([`browsers_of`]).
pub(super) async fn forget(redis: &Redis, check: &Check) -> Result<(), RedisError> {
    let mut keys = vec![keys::rate(check.policy.as_str(), &check.subject).into_bytes()];
    if let Some(subjects) = browsers_of(check) {
        let pattern = keys::rate(check.policy.as_str(), &format!("{subjects}*"));
        let mut cursor = 0_u64;
        loop {
            let (next, found) = redis.scan(cursor, &pattern, 1000).await?;
            keys.extend(found);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    redis.del(&keys).await.map(drop)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What the script says about one key, in [`TOLD`] bytes; `None` if there are fewer.
pub(super) fn verdict(told: &[u8]) -> Option<Verdict> {
    let (remaining, times) = told.split_first_chunk()?;
    let (wait, reset) = times.split_first_chunk()?;
    let time = |micros: &[u8; 8]| Duration::from_micros(u64::from_be_bytes(*micros));
    Some(Verdict { remaining: u32::from_be_bytes(*remaining), wait: time(wait), reset: time(reset.first_chunk()?) })
}
