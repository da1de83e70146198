//! Ready answers of the API: the bytes as they are sent, kept under `{resource}:{operation}:{parameters}:{viewer}`.
//!
//! **The life of an answer.** The first who asks makes it, and all who ask meanwhile wait for that. It is kept in this
//! process and in Redis for its use's time, and is handed out for that long unless its *resource* is raised: every
//! resource has a generation, and an answer is good only under the one that stood before anything was read for it. In
//! Redis the generation is a random text under `generation:{resource}`, and an answer is stored with the text that it
//! was made under; in this process it is a number. Raising a resource gives it a generation that it has never had, so
//! all of its answers are gone at once, however many they are; none is looked for, they are overwritten or run out. A
//! slow reader that stores an answer afterwards stores it under the old generation, where nobody takes it.
//!
//! **Who raises.** Whoever writes, after the commit; every instance that is told so; and every instance by itself, when
//! its [look](super::response_look) at the database, once a second, finds an account that has changed. After a gap in
//! what it was told, an instance drops all answers, and after an outage of Redis the first look raises everything there.
//!
//! | resource | at most as old as | raised by |
//! |---|---|---|
//! | `users` | two seconds, whatever has failed | every change of an account but a sign-in, which changes nothing that others see but `updated_at` |
//! | `stats` | two seconds for accounts; the answer's time, 300 s, for all other figures | the same |
//!
//! There is a crack of which nothing worse comes than an answer as old as its time allows: a writer dies between its
//! commit and its message, and the very account it changed signs in before the next look, which then sees a sign-in.
//!
//! Without a look in the last two seconds no answer is kept or handed out: each is made anew.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Monotonic};

use moka::future::Cache as Entries;
use moka::ops::compute::Op;
use serde::Serialize;
use tokio::sync::watch;

use super::Cache;
use super::guards::GOOD_FOR;
use super::response_key::{Resource, ResponseKey};
use super::response_look::ResponseLook;
use super::response_shared::Found;
use super::shared::Belief;
use super::statistics::{Counts, KindStats};
use super::tier::own;
use crate::domain::{Digest, Entropy};
use crate::store::StoreError;

/// No longer body is kept, in bytes.
pub(super) const LONGEST: usize = 512 * 1024;
/// What an entry weighs beside its key and body, about.
const OVERHEAD: usize = 400;
/// No answer is kept for longer.
const LONGEST_TTL: Duration = Duration::from_hours(1);
/// How often a read starts again when its resource is raised under its hands, before it makes the answer for itself.
const ROUNDS: usize = 3;

/// A ready answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The body.
    pub body: Vec<u8>,
    /// The body's type.
    pub content_type: String,
    /// A strong entity tag (RFC 9110) in its quotes, made of the body: equal for equal bodies.
    pub etag: String,
}

impl Response {
    /// `value` as JSON.
    pub fn json(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        let body = serde_json::to_vec(value)?;
        let etag = Self::etag_of(&body);
        Ok(Self { body, content_type: "application/json".to_owned(), etag })
    }

    pub(super) fn etag_of(body: &[u8]) -> String {
        let digest = Digest::of(body).hex();
        format!("\"{}\"", digest.get(..32).unwrap_or(&digest))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("etag", &self.etag).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// What an invalidation has reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidated {
    /// The resources whose answers are all gone.
    pub resources: Vec<&'static str>,
    /// Whether Redis has taken it in, and the other instances with it; true where there is no Redis. They learn of changes
    /// in the database by themselves, but not of this.
    pub shared: bool,
}

/// An answer in this process.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) response: Arc<Response>,
    /// The generation that stood before anything was read for it.
    pub(super) generation: u64,
    pub(super) until: Monotonic,
}

/// The answers of this process, and what is known of Redis's.
pub(super) struct Responses {
    entries: Entries<String, Kept>,
    generations: [AtomicU64; Resource::ALL.len()],
    pub(super) counts: Counts,
    pub(super) entropy: Entropy,
    believed: Mutex<(Option<Monotonic>, Option<Belief>)>,
    pub(super) look: tokio::sync::Mutex<ResponseLook>,
}

impl Responses {
    /// Answers that take at most `room` bytes together in this process, about; with zero, none is kept there.
    pub(super) fn new(room: u64, available: Option<watch::Receiver<bool>>) -> Self {
        let weigh = |key: &String, kept: &Kept| {
            u32::try_from(key.len() + kept.response.body.len() + OVERHEAD).unwrap_or(u32::MAX)
        };
        Self {
            entries: Entries::builder().max_capacity(room).weigher(weigh).time_to_live(LONGEST_TTL).build(),
            generations: Default::default(),
            counts: Counts::default(),
            entropy: Entropy::system(),
            believed: Mutex::default(),
            look: tokio::sync::Mutex::new(ResponseLook::new(available)),
        }
    }

    pub(super) fn generation(&self, resource: Resource) -> u64 {
        self.generations.get(resource as usize).map_or(0, |generation| generation.load(Ordering::SeqCst))
    }

    /// From now on every answer of these resources has to be made anew on this instance.
    pub(super) fn raise_here(&self, resources: &[Resource]) {
        for generation in resources.iter().filter_map(|resource| self.generations.get(*resource as usize)) {
            generation.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// For after a gap in which messages may have been missed.
    pub(super) fn raise_all_here(&self) {
        self.raise_here(&Resource::ALL);
        self.entries.invalidate_all();
    }

    /// Takes over what a look that began at `looked` has made sure of, here and in Redis.
    pub(super) fn believe(&self, looked: Monotonic, redis: Option<Belief>) {
        *self.believed.lock().unwrap_or_else(PoisonError::into_inner) = (Some(looked), redis);
    }

    fn are_believed(&self) -> bool {
        let looked = self.believed.lock().unwrap_or_else(PoisonError::into_inner).0;
        looked.is_some_and(|looked| looked.elapsed() < GOOD_FOR)
    }

    pub(super) fn redis_is_believed(&self) -> bool {
        let believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        believed.1.as_ref().is_some_and(|belief| belief.until().is_some())
    }

    fn admits(&self, resource: Resource, kept: &Kept) -> bool {
        kept.generation == self.generation(resource) && kept.until > Monotonic::now() && self.are_believed()
    }

    async fn remove_unless_admitted(&self, key: &ResponseKey) {
        let decide = |entry: Option<moka::Entry<String, Kept>>| match entry {
            Some(entry) if !self.admits(key.resource, entry.value()) => std::future::ready(Op::Remove),
            _ => std::future::ready(Op::Nop),
        };
        self.entries.entry_by_ref(&key.text).and_compute_with(decide).await;
    }

    /// Lets go of what has run out.
    pub(super) async fn sweep(&self) {
        self.entries.run_pending_tasks().await;
    }

    /// How many answers are here, about.
    pub(super) fn len(&self) -> u64 {
        self.entries.entry_count()
    }

    /// What has been counted since the start of this instance.
    pub(super) fn stats(&self) -> KindStats {
        self.counts.read().taking(self.len(), self.entries.weighted_size())
    }
}

impl Cache {
    /// The answer under `key`, at most `ttl` old; made by `load`, as JSON of what that gives, where there is none. See
    /// the module for what else bounds its age. Fails only as `load` does.
    pub async fn response<T, F>(
        &self,
        key: &ResponseKey,
        ttl: Duration,
        load: impl Fn() -> F,
    ) -> Result<Arc<Response>, StoreError>
    where
        T: Serialize,
        F: Future<Output = Result<T, StoreError>>,
    {
        let (responses, made) = (&self.0.responses, AtomicBool::new(false));
        for _ in 0..ROUNDS {
            if !responses.are_believed() {
                break;
            }
            let loading = async {
                made.store(true, Ordering::Relaxed);
                self.load_response(key, ttl.min(LONGEST_TTL), &load).await
            };
            let kept = responses.entries.try_get_with_by_ref(&key.text, loading).await.map_err(own)?;
            // Who joins a load that was under way is handed what it read, perhaps long before: not good enough then.
            if responses.admits(key.resource, &kept) {
                let counts = &responses.counts;
                if made.into_inner() { &counts.memory_misses } else { &counts.memory_hits }.one();
                if kept.response.body.len() > LONGEST {
                    responses.entries.invalidate(&key.text).await;
                }
                return Ok(kept.response);
            }
            responses.remove_unless_admitted(key).await;
        }
        responses.counts.memory_misses.one();
        self.make_response(&load).await
    }

    async fn load_response<T, F>(
        &self,
        key: &ResponseKey,
        ttl: Duration,
        load: &impl Fn() -> F,
    ) -> Result<Kept, StoreError>
    where
        T: Serialize,
        F: Future<Output = Result<T, StoreError>>,
    {
        // Before anything is read.
        let generation = self.0.responses.generation(key.resource);
        let (began, now) = (Monotonic::now(), self.0.clock.now());
        let token = match self.shared_response(key).await {
            Found::Response(response, left) => {
                return Ok(Kept { response, generation, until: Monotonic::now() + left.min(ttl) });
            }
            Found::Nothing(token) => Some(token),
            Found::Away => None,
        };
        let response = self.make_response(load).await?;
        if let Some(token) = token {
            self.share_response(key, &token, &response, (now, ttl)).await;
        }
        Ok(Kept { response, generation, until: began + ttl })
    }

    async fn make_response<T, F>(&self, load: &impl Fn() -> F) -> Result<Arc<Response>, StoreError>
    where
        T: Serialize,
        F: Future<Output = Result<T, StoreError>>,
    {
        let asked = Monotonic::now();
        let outcome = load().await;
        let value = self.0.responses.counts.loaded(asked.elapsed(), outcome)?;
        let response = Response::json(&value).map_err(|error| StoreError::Setup(format!("an answer: {error}")))?;
        Ok(Arc::new(response))
    }

    /// Drops, on every instance, all answers whose key begins with `prefix`: `users:list:`, say, or nothing for all. Costs
    /// the same however many they are, because it drops all of their resource with them. Concerns ready answers only:
    /// users and sessions (`user:…`, `session:…`) have ways of their own, and a prefix of theirs reaches nothing here.
    pub async fn invalidate_prefix(&self, prefix: &str) -> Invalidated {
        let reached: Vec<Resource> = Resource::ALL.into_iter().filter(|resource| resource.has(prefix)).collect();
        let shared = reached.is_empty() || self.raise(&reached).await;
        Invalidated { resources: reached.into_iter().map(Resource::name).collect(), shared }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bodies_have_equal_tags() {
        let [one, same, other] = ["a", "a", "b"].map(|text| Response::json(&text).unwrap());
        assert_eq!(one, same);
        assert_ne!(one.etag, other.etag);
        assert_eq!((one.body.as_slice(), one.etag.len()), (br#""a""#.as_slice(), 34));
    }
}
