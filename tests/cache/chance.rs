//! The cache itself, under traffic and under faults that come by chance: three instances on a real database and a real
//! Redis, one of which keeps nothing in memory, with their upkeep running, readers that check every answer, and a writer that dies now and then.
//!
//! The checks are those of the [model](crate::model): nobody who arrives two seconds after a commit is handed something
//! older; and where somebody was told of a change, what was before does not come back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gatepost::cache::{Cache, Freshness, Recognised, SessionName};
use gatepost::settings;

use crate::by_redis::by_redis;
use crate::model::Dice;
use crate::world::{Backend, PROMISED, Person, World};

const PEOPLE: usize = 24;
const PERIOD: Duration = Duration::from_secs(12);

/// What is known of somebody's account and session.
struct Truth {
    person: Person,
    /// Versions of the account after its first, and when each was certainly committed.
    versions: Mutex<Vec<(i64, Instant)>>,
    /// When the session was certainly revoked.
    revoked: Mutex<Option<Instant>>,
    /// From when on each instance knows that, because the invalidation has returned there.
    told: [Mutex<Option<Instant>>; 3],
}

struct Trial {
    world: World,
    instances: [Cache; 3],
    truths: Vec<Truth>,
    over: AtomicBool,
    reads: AtomicU64,
    /// Milliseconds by which the worst answer was out of date.
    worst: AtomicU64,
}

impl Trial {
    async fn begin() -> Self {
        let world = World::new(Backend::Postgres).await;
        let redis_alone = settings::Cache { memory: false, ..settings::Cache::default() };
        let third = world.instance_with(&redis_alone).await;
        third.spawn_background();
        let instances = [world.instance().await, world.instance().await, third];
        let mut truths = Vec::new();
        for number in 0..PEOPLE {
            let person = world.sign_in(&format!("p{number}@example.com")).await;
            let (versions, revoked) = (Mutex::default(), Mutex::default());
            truths.push(Truth { person, versions, revoked, told: Default::default() });
        }
        let (over, reads, worst) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        Self { world, instances, truths, over, reads, worst }
    }

    fn any(&self, dice: &mut Dice) -> &Truth {
        &self.truths[dice.below(u32::try_from(PEOPLE).unwrap()) as usize]
    }

    /// Reads at one instance and checks what it is handed.
    async fn reads(&self, at: usize, mut dice: Dice) {
        while !self.over.load(Ordering::Relaxed) {
            let (truth, cache) = (self.any(&mut dice), &self.instances[at]);
            let (revoked, told) = (*truth.revoked.lock().unwrap(), *truth.told[at].lock().unwrap());
            let known = truth.versions.lock().unwrap().clone();
            let arrived = Instant::now();
            let (open, version) = look(cache, &truth.person, dice.below(3)).await;
            assert!(told.is_none() || !open, "a session that this instance has refused was revived");
            self.is_not_stale(revoked.filter(|_| open), arrived);
            let missed = version.and_then(|version| known.iter().find(|(newer, _)| *newer > version));
            self.is_not_stale(missed.map(|(_, committed)| *committed), arrived);
            self.reads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    }

    /// Checks an answer that does not know of something committed at `missed`.
    fn is_not_stale(&self, missed: Option<Instant>, arrived: Instant) {
        let Some(behind) = missed.map(|committed| arrived.saturating_duration_since(committed)) else { return };
        self.worst.fetch_max(u64::try_from(behind.as_millis()).unwrap(), Ordering::Relaxed);
        assert!(behind < PROMISED, "an answer was {behind:?} out of date");
    }

    /// Changes accounts and ends sessions, and tells of it most of the time.
    async fn writes(&self, mut dice: Dice) -> u32 {
        let mut writes = 0;
        while !self.over.load(Ordering::Relaxed) {
            let (truth, at) = (self.any(&mut dice), dice.below(3) as usize);
            let dies = dice.below(3) == 0;
            if dice.below(6) == 0 && truth.revoked.lock().unwrap().is_none() {
                let revoked = self.world.revoke(&truth.person).await;
                *truth.revoked.lock().unwrap() = Some(Instant::now());
                if !dies {
                    self.instances[at].forget_session(&revoked).await;
                    *truth.told[at].lock().unwrap() = Some(Instant::now());
                }
            } else {
                let changed = self.world.ban(&truth.person.user).await;
                truth.versions.lock().unwrap().push((changed.version, Instant::now()));
                if !dies {
                    self.instances[at].forget_user(&changed).await;
                }
            }
            writes += 1;
            tokio::time::sleep(Duration::from_millis(u64::from(dice.below(40)))).await;
        }
        writes
    }

    /// Breaks Redis in every way that leaves it running.
    async fn faults(&self, mut dice: Dice) -> [u32; 6] {
        let (begun, mut happened) = (Instant::now(), [0; 6]);
        let redis = &self.world.redis;
        while begun.elapsed() < PERIOD {
            let fault = dice.below(6);
            happened[fault as usize] += 1;
            match fault {
                0 => redis.flush().await,
                1 => drop(redis.ask::<i64>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await),
                // The breakers open.
                2 => drop(redis.ask::<i64>(&["CLIENT", "KILL", "TYPE", "normal"]).await),
                3 => {
                    redis.pause();
                    tokio::time::sleep(Duration::from_millis(u64::from(dice.below(400)))).await;
                    redis.resume();
                }
                4 => {
                    let key = self.any(&mut dice).person.key();
                    redis.ask::<i64>(&["DEL", &key]).await;
                }
                _ => self.late_fill(&mut dice).await,
            }
            tokio::time::sleep(Duration::from_millis(u64::from(dice.below(250)))).await;
        }
        self.over.store(true, Ordering::Relaxed);
        happened
    }

    /// A tombstone is lost, and what somebody had read before comes in.
    async fn late_fill(&self, dice: &mut Dice) {
        let key = self.any(dice).person.key();
        let redis = &self.world.redis;
        let old: Vec<String> = redis.ask(&["HGETALL", &key]).await;
        if old.iter().any(|field| field == "session") {
            tokio::time::sleep(Duration::from_millis(u64::from(dice.below(900)))).await;
            let put = ["HSET", &key].into_iter().chain(old.iter().map(String::as_str));
            redis.ask::<i64>(&["DEL", &key]).await;
            redis.ask::<i64>(&put.collect::<Vec<_>>()).await;
            redis.ask::<i64>(&["PEXPIRE", &key, "300000"]).await;
        }
    }
}

/// Looks in one of three ways: whether the session is open, and the version of the account, as far as that way tells.
async fn look(cache: &Cache, person: &Person, way: u32) -> (bool, Option<i64>) {
    match way {
        0 => (cache.session_by_token(person.digest()).await.unwrap().is_some(), None),
        1 => (false, Some(cache.user(person.user.id).await.unwrap().expect("an account").version)),
        _ => {
            let who = recognise(cache, person).await;
            (who.is_some(), who.map(|who| who.user.version))
        }
    }
}

/// As a request does: the short way, and then the long one.
async fn recognise(cache: &Cache, person: &Person) -> Option<Arc<Recognised>> {
    let digest = person.digest();
    let known = if cache.asks_redis_alone() {
        by_redis(cache, person).await
    } else {
        cache.recognised(&digest.into(), Instant::now())
    };
    if known.is_some() {
        return known;
    }
    let (name, owner) = (SessionName::Token(digest), cache.owner(&digest));
    let who = Arc::new(cache.recognise(name, owner, Freshness::Kept, |_| true).await.unwrap()?);
    cache.remember(digest, who.clone());
    Some(who)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_redis_no_answer_is_two_seconds_out_of_date() {
    let seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let trial = Trial::begin().await;
    let mut dice = Dice(seed);
    let mut next = || Dice(dice.roll());
    let readers = [0, 1, 2, 0, 1, 2].map(|at| trial.reads(at, next()));
    let (_, writes, happened) =
        tokio::join!(futures_util::future::join_all(readers), trial.writes(next()), trial.faults(next()),);
    let (reads, worst) = (trial.reads.into_inner(), trial.worst.into_inner());
    eprintln!("{reads} reads, {writes} writes; faults {happened:?}; the worst answer was {worst} ms out of date");
    assert!(writes > 0 && reads > u64::from(writes), "there was something to check");
    let caches = trial.instances.map(|cache| cache.stats());
    assert!(caches.iter().all(|stats| stats.sessions.redis.hits + stats.users.redis.hits > 0), "Redis was read");
}
