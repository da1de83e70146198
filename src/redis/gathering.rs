//! Questions of one thread that go out together.
//!
//! A command on its own costs its caller a message to the task of the connection, a way back for the answer and a timer, and the
//! server a reading and a writing. Where many requests of one thread ask at the same moment, they can share all that.
//!
//! **The life of a question.** It waits in the thread's queue. What has come up in one turn of the thread's runtime goes out at
//! the end of that turn, unless the thread is busy: once there are [enough](Portions::enough), no more than half of all that are
//! there goes out, and the others wait for an answer to come. So the server works on one half while the thread works on the
//! other; were all of them sent as they come, they would soon all be answered at once, and thread and server would wait for each
//! other by turns.
//!
//! That is worth its while only where the server is [near](Portions::near). Where it has taken longer to answer, or has not
//! answered for longer, nobody waits for another's answer, and what waits goes out with what comes up next.
//!
//! **What ends it.** A task carries the questions. Who leaves takes nothing from the others: what was asked is sent. If the
//! runtime ends first, nobody answers, and the queue is as new.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::future::{MaybeDone, maybe_done};
use tokio::sync::oneshot;

use super::RedisError;

/// How many questions go out. None of these is zero.
#[derive(Clone, Copy, Debug)]
pub struct Portions {
    /// The most that come up in one turn and are sent together. What has waited for a slow server goes out as one.
    pub most: usize,
    /// With so many on their way, further ones wait for an answer.
    pub enough: usize,
    /// A server that takes longer for an answer is waited for by nobody but those it is to answer.
    pub near: Duration,
}

/// How it ended for one question.
type Outcome<A> = Result<A, Arc<RedisError>>;

/// Where the answer to a question goes.
type Asker<A> = oneshot::Sender<Outcome<A>>;

/// What is being gathered on one thread: questions `Q` of one `T`, which have answers `A`. For a `thread_local!`.
pub struct Gathering<T, Q, A>(RefCell<Option<Open<T, Q, A>>>);

/// Whose questions, and the questions.
type Open<T, Q, A> = (Weak<T>, Arc<Queue<Q, A>>);

impl<T, Q, A> Default for Gathering<T, Q, A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, Q, A> Gathering<T, Q, A> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }
}

impl<T, Q: Send + 'static, A: Send + 'static> Gathering<T, Q, A> {
    /// Adds a question of `owner`, which is not kept for that. What `sender` makes sends some of them, and gives one answer for
    /// each of them in their order.
    pub fn add<S, F>(&self, owner: &Arc<T>, question: Q, portions: Portions, sender: impl FnOnce() -> S) -> Answer<A>
    where
        S: Fn(Vec<Q>) -> F + Send + 'static,
        F: Future<Output = Result<Vec<A>, RedisError>> + Send + 'static,
    {
        let mut open = self.0.borrow_mut();
        if open.as_ref().is_none_or(|(whose, _)| !std::ptr::eq(whose.as_ptr(), Arc::as_ptr(owner))) {
            *open = Some((Arc::downgrade(owner), Arc::default()));
        }
        let (to, answer) = oneshot::channel();
        if let Some((_, queue)) = open.as_ref()
            && queue.add((question, to), portions)
        {
            tokio::spawn(Carrier { queue: queue.clone(), portions, carries: None }.carry(sender()));
        }
        Answer(answer)
    }
}

/// The answer to a question that was [added](Gathering::add), once it is there.
#[derive(Debug)]
pub struct Answer<A>(oneshot::Receiver<Outcome<A>>);

impl<A> Future for Answer<A> {
    type Output = Outcome<A>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<A>> {
        // Nobody answers when the runtime ends first.
        let unanswered = |_| Err(Arc::new(RedisError::Unavailable));
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(cx)).unwrap_or_else(unanswered))
    }
}

/// The questions of one thread to one owner.
struct Queue<Q, A>(Mutex<State<Q, A>>);

struct State<Q, A> {
    waiting: VecDeque<(Q, Asker<A>)>,
    /// Questions that were sent and are not answered.
    on_the_way: usize,
    /// Carriers that take what waits at the end of this turn, the most that are sent together each.
    starting: usize,
    /// When the last ones were sent, and how long those took that were answered last.
    sent: Option<Instant>,
    took: Duration,
    /// Where there is none, nothing waits.
    carriers: usize,
}

impl<Q, A> Default for Queue<Q, A> {
    fn default() -> Self {
        Self(Mutex::new(State {
            waiting: VecDeque::new(),
            on_the_way: 0,
            starting: 0,
            sent: None,
            took: Duration::ZERO,
            carriers: 0,
        }))
    }
}

impl<Q, A> Queue<Q, A> {
    /// Whether it needs one more carrier, which is counted then.
    fn add(&self, asked: (Q, Asker<A>), portions: Portions) -> bool {
        let mut state = self.state();
        state.waiting.push_back(asked);
        let taken = state.taken(portions);
        if state.waiting.len() <= taken {
            return false;
        }
        if state.on_the_way.saturating_add(taken) >= portions.enough && !state.is_slow(portions, Instant::now()) {
            return false;
        }
        state.starting += 1;
        state.carriers += 1;
        true
    }

    fn state(&self) -> MutexGuard<'_, State<Q, A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q, A> State<Q, A> {
    /// How many of those that wait are taken at the end of this turn.
    fn taken(&self, portions: Portions) -> usize {
        self.starting.saturating_mul(portions.most)
    }

    /// Whether the server is so slow that nobody is to wait for another's answer.
    fn is_slow(&self, portions: Portions, now: Instant) -> bool {
        let silent = |sent| self.on_the_way > 0 && now.saturating_duration_since(sent) > portions.near;
        self.took > portions.near || self.sent.is_some_and(silent)
    }

    /// A carrier has nothing on its way any more; gives how many it had.
    fn settle(&mut self, carries: &mut Option<Carried>) -> usize {
        let Some(Carried { count, .. }) = carries.replace(Carried::default()) else {
            self.starting -= 1;
            return 0;
        };
        self.on_the_way -= count;
        count
    }
}

/// What a carrier has on its way: nothing by default.
#[derive(Clone, Copy, Default)]
struct Carried {
    count: usize,
    since: Option<Instant>,
}

/// Carries questions to the server and answers back, some at a time.
struct Carrier<Q, A> {
    queue: Arc<Queue<Q, A>>,
    portions: Portions,
    /// `None` before it has taken any.
    carries: Option<Carried>,
}

impl<Q, A> Carrier<Q, A> {
    async fn carry<F>(mut self, send: impl Fn(Vec<Q>) -> F)
    where
        F: Future<Output = Result<Vec<A>, RedisError>>,
    {
        let mut next = self.take().map(|asked| Sent::new(asked, &send));
        while let Some(mut sent) = next {
            let outcome = sent.outcome().await;
            next = self.take().map(|asked| Sent::new(asked, &send));
            if let Some(next) = &mut next {
                // Off to the server before those who have their answers go on.
                next.begin().await;
            }
            hand_out(outcome, sent.askers);
        }
    }

    /// What is to be sent now that what was sent before is answered; `None` if that is nothing.
    fn take(&mut self) -> Option<Vec<(Q, Asker<A>)>> {
        let (mut state, now, portions) = (self.queue.state(), Instant::now(), self.portions);
        if let Some(since) = self.carries.and_then(|carried| carried.since) {
            state.took = now.saturating_duration_since(since);
        }
        let answered = state.settle(&mut self.carries);
        let is_slow = state.is_slow(portions, now);
        let free = state.waiting.len().saturating_sub(state.taken(portions));
        if free == 0 || (state.on_the_way >= portions.enough && !is_slow) {
            return None;
        }
        let there = state.waiting.len() + state.on_the_way + answered;
        let half = there.div_ceil(2).max(portions.enough).min(portions.most);
        let count = if is_slow { free } else { half.min(free) };
        state.on_the_way += count;
        state.sent = Some(now);
        self.carries = Some(Carried { count, since: Some(now) });
        Some(state.waiting.drain(..count).collect())
    }
}

impl<Q, A> Drop for Carrier<Q, A> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.settle(&mut self.carries);
        state.carriers -= 1;
        // Something waits only where the runtime has ended before its time, or what sends has panicked.
        let left = if state.carriers == 0 { mem::take(&mut state.waiting) } else { VecDeque::new() };
        drop(state);
        drop(left);
    }
}

/// What was sent together.
struct Sent<F: Future, A> {
    /// On the heap: otherwise all that sending needs is moved about with the task before it begins.
    sending: Pin<Box<MaybeDone<F>>>,
    askers: Vec<Asker<A>>,
}

impl<F: Future, A> Sent<F, A>
where
    F: Future<Output = Result<Vec<A>, RedisError>>,
{
    fn new<Q>(asked: Vec<(Q, Asker<A>)>, send: &impl Fn(Vec<Q>) -> F) -> Self {
        let (questions, askers) = asked.into_iter().unzip();
        Self { sending: Box::pin(maybe_done(send(questions))), askers }
    }

    /// Does what can be done without waiting.
    async fn begin(&mut self) {
        poll_fn(|cx| Poll::Ready(self.sending.as_mut().poll(cx).is_ready())).await;
    }

    async fn outcome(&mut self) -> Result<Vec<A>, RedisError> {
        self.sending.as_mut().await;
        // It is asked for once.
        self.sending.as_mut().take_output().unwrap_or(Err(RedisError::Unavailable))
    }
}

/// Who has gone needs no answer.
fn hand_out<A>(outcome: Result<Vec<A>, RedisError>, askers: Vec<Asker<A>>) {
    match outcome {
        Ok(answers) => {
            for (to, answer) in askers.into_iter().zip(answers) {
                let _ = to.send(Ok(answer));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for to in askers {
                let _ = to.send(Err(error.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
