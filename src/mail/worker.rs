//! Takes mails out of the queue and sends them.
//!
//! ```text
//!   queue ─▶ fetchers ─▶ desk ─▶ dispatcher ─▶ a task for each mail ─▶ settler
//!            pop, claim,  waits   slots         render, SMTP           outbox, many
//!            look up      briefly               (verdict)              at once
//! ```
//!
//! Everything that touches the database is done for many mails at once, and the busier it is, for the more: a fetcher
//! claims as many as the desk has room for, the settler tells of all that ended while it told of those before, and one
//! task renews all leases. A task that panics costs its mail that attempt.
//!
//! A shutdown lets the fetchers finish the pop they are in (an abandoned pop would lose ids) and gives unclaimed ids back to
//! the queue. Mails that were claimed and not begun go back to `ready` at once, sends in flight have until the deadline;
//! then those whose final dot is not out are broken off and released, too.

mod delivery;
mod desk;
mod dispatch;
mod domains;
mod fetch;
mod hold;
mod job;
mod settle;
mod verdict;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant as Monotonic, timeout, timeout_at};

use self::desk::Desk;
use self::dispatch::Slots;
use self::domains::Domains;
use self::hold::{Hold, Holds};
use self::job::Job;
use self::settle::Ended;
use self::verdict::Verdict;
use super::queue::Lane;
use super::transport::Mailbox;
use super::{Counters, Queue, Renderer, Sweeper, Transport};
use crate::domain::{Clock, Entropy};
use crate::settings;
use crate::store::{Database, Mail};

/// The pause before a task that panicked is started again.
const BREATH: Duration = Duration::from_secs(1);
/// How long a fetcher may take to end, at least.
const LAST_POP: Duration = Duration::from_secs(4);
/// How long sends that were broken off may take to release their rows.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a worker is made of.
#[derive(Clone)]
pub struct Parts {
    /// Where the outbox is.
    pub database: Database,
    /// Where ids come from.
    pub queue: Queue,
    /// Makes the texts.
    pub renderer: Renderer,
    /// Where mails go.
    pub transport: Transport,
    /// How many at once, how often, how long.
    pub settings: settings::Mail,
    /// The time.
    pub clock: Clock,
    /// The jitter.
    pub entropy: Entropy,
    /// What is counted.
    pub counters: Counters,
}

/// Sends mails; see [`Worker::spawn`].
#[derive(Debug)]
pub struct Worker;

/// What the tasks of a worker share.
struct Shared {
    parts: Parts,
    desk: Desk,
    slots: Slots,
    domains: Arc<Domains>,
    holds: Holds,
    ended: UnboundedSender<Ended>,
    tasks: Mutex<JoinSet<()>>,
    phase: watch::Sender<Phase>,
    paused: watch::Receiver<bool>,
}

/// How far a shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// There is none.
    Working,
    /// Nothing new is begun.
    Stopping,
    /// What can be broken off is.
    Hurrying,
}

/// A running worker and its sweeper. When it is dropped, both stop taking mails; sends in flight go on. Better say
/// [`shutdown`](Self::shutdown).
pub struct WorkerHandle {
    shared: Arc<Shared>,
    sweeper: Option<Sweeper>,
    fetchers: Vec<JoinHandle<()>>,
    dispatcher: JoinHandle<()>,
    /// Renews leases, and settles. They end by themselves when nothing is left to be settled.
    clerks: [JoinHandle<()>; 2],
}

impl Worker {
    /// Starts sending mails, and a [`Sweeper`], on the current runtime.
    pub fn spawn(parts: Parts) -> WorkerHandle {
        let workers = parts.settings.workers.max(1);
        let sweeper = Sweeper::spawn(&parts);
        let (ended, to_settle) = tokio::sync::mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            desk: Desk::new(workers),
            slots: Slots::new(workers),
            domains: Domains::new(workers),
            holds: Holds::default(),
            ended,
            tasks: Mutex::default(),
            phase: watch::Sender::new(Phase::Working),
            paused: sweeper.paused(),
            parts,
        });
        let mut fetchers = Vec::new();
        for &lane in Lane::ALL {
            fetchers.push(supervised(&shared, move |shared| fetch::from_this_process(shared, lane)));
            if shared.parts.queue.redis_source(lane).is_some() {
                fetchers.push(supervised(&shared, move |shared| fetch::from_redis(shared, lane)));
            }
        }
        let dispatcher = supervised(&shared, dispatch::run);
        let to_settle = Arc::new(tokio::sync::Mutex::new(to_settle));
        let clerks = [
            supervised(&shared, hold::keep),
            supervised(&shared, move |shared| settle::run(shared, Arc::clone(&to_settle))),
        ];
        WorkerHandle { shared, sweeper: Some(sweeper), fetchers, dispatcher, clerks }
    }
}

/// Runs a task of the worker. Should it panic, which is a defect, it is started again; the rows that it had in hand come back
/// when their leases run out.
fn supervised<F>(shared: &Arc<Shared>, task: impl Fn(Arc<Shared>) -> F + Send + 'static) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send,
{
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        while AssertUnwindSafe(task(Arc::clone(&shared))).catch_unwind().await.is_err() {
            log::error!("a task of the mail worker has panicked, and is started again");
            shared.holds.forget();
            tokio::time::sleep(BREATH).await;
        }
    })
}

impl WorkerHandle {
    /// Stops: takes nothing new, gives back what was not begun, and lets sends in flight finish within `deadline`. What
    /// can still be broken off then is released; a send whose final dot is out is left to its lease.
    pub async fn shutdown(mut self, deadline: Duration) {
        let shared = Arc::clone(&self.shared);
        let begun = Monotonic::now();
        shared.phase.send_replace(Phase::Stopping);
        let sweeper = self.sweeper.take();
        let fetchers = std::mem::take(&mut self.fetchers);
        tokio::join!(
            async {
                if let Some(sweeper) = sweeper {
                    sweeper.stop().await;
                }
            },
            async {
                for mut fetcher in fetchers {
                    // A short deadline does not count here: a pop ends at once, or within some seconds where Redis does not
                    // hear of it, and ids in its answer would be lost.
                    if timeout_at(begun + deadline.max(LAST_POP), &mut fetcher).await.is_err() {
                        fetcher.abort();
                    }
                }
            }
        );
        let _ = (&mut self.dispatcher).await;
        if !shared.is_idle_within(deadline.saturating_sub(begun.elapsed())).await {
            shared.phase.send_replace(Phase::Hurrying);
            if !shared.is_idle_within(LAST_WORDS).await {
                let held = shared.desk.held();
                log::warn!("stopped with {held} mail(s) unsettled; they are repeated when their leases have run out");
                shared.tasks().abort_all();
                self.clerks.iter().for_each(JoinHandle::abort);
            }
        }
        shared.parts.transport.close().await;
    }
}

impl Shared {
    /// Ends a mail that was not begun.
    fn end(&self, mail: Mail, hold: &Arc<Hold>, verdict: Verdict) {
        self.ended(mail, hold, verdict, Duration::ZERO);
    }

    /// Hands an attempt's end to the settler.
    fn ended(&self, mail: Mail, hold: &Arc<Hold>, verdict: Verdict, took: Duration) {
        let reply = if let Verdict::Sent { reply } = &verdict { reply.clone() } else { String::new() };
        let mailbox = if let Verdict::Dead { mailbox, .. } = &verdict { *mailbox } else { Mailbox::Unknown };
        let Some(end) = verdict::decide(self, &mail, verdict) else {
            self.parts.counters.abandoned(1);
            log::warn!("gave up an attempt at mail {}: its lease had run out", mail.id);
            self.holds.let_go(hold);
            self.desk.settled(1);
            return;
        };
        // Fails only when the settler is gone, and then the lease brings the mail back.
        let _ = self.ended.send(Ended { mail, hold: Arc::clone(hold), end, reply, mailbox, took });
    }

    /// Waits until no mail is held, at most `patience`; whether that is so.
    async fn is_idle_within(&self, patience: Duration) -> bool {
        timeout(patience, self.desk.idle()).await.is_ok()
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        // Nothing panics while it holds the lock.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        *self.phase.borrow() >= Phase::Stopping
    }

    /// Waits until a shutdown has come to `phase`.
    async fn reached(&self, phase: Phase) {
        // Fails only when the sender is gone, and the sender is here.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Waits until a shutdown has begun and no mail is held.
    async fn finished(&self) {
        self.reached(Phase::Stopping).await;
        self.desk.idle().await;
    }

    /// Whether mails may be taken to be sent: nobody has paused them, and there is a relay to try.
    fn takes(&self) -> bool {
        !*self.paused.borrow() && self.parts.transport.is_ready()
    }

    /// Waits until mails may be taken.
    async fn may_take(&self) {
        while !self.takes() {
            if self.paused.clone().wait_for(|paused| !paused).await.is_err() {
                // The sweeper is gone, and the worker with it.
                std::future::pending::<()>().await;
            }
            self.parts.transport.ready().await;
        }
    }

    /// Waits until an operator has paused the mail.
    async fn is_paused(&self) {
        if self.paused.clone().wait_for(|paused| *paused).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.shared.phase.send_if_modified(|phase| {
            let working = *phase == Phase::Working;
            *phase = (*phase).max(Phase::Stopping);
            working
        });
    }
}

impl std::fmt::Debug for WorkerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerHandle")
            .field("free_slots", &self.shared.slots.free())
            .field("held", &self.shared.desk.held())
            .finish_non_exhaustive()
    }
}
