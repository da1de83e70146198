//! Questions of one thread that go out together.
//!
//! A command on its own costs its caller a message to the task of the connection, a way back for the answer and a timer, and the
//! server a reading and a writing. Where many requests of one thread ask at the same moment, they can share all that.
//!
//! **The life of a question.** It waits in the thread's queue. What has come up in one turn of the thread's runtime goes out at
//! the end of that turn, unless the thread is busy: once there are [enough](Portions::enough), all that are there go in
//! [parts](Portions::parts), and while all parts but one are on their way, the last waits for an answer to come. So the server works
//! on some while the thread works on the others; were all of them sent as they come, they would soon all be answered at once, and
//! thread and server would wait for each other by turns.
//!
//! That is worth its while only where the server is [near](Portions::near). Where it has taken longer to answer, or has not
//! answered for longer, nobody waits for another's answer, and what waits goes out with what comes up next.
//!
//! **What ends it.** A task, the carrier, sends the questions of a thread and hands out the answers, for as long as there are
//! any, in the runtime of the first. Who leaves takes nothing from the others: what was asked is sent. If the runtime ends
//! first, nobody answers, and the queue is as new.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::RedisError;

/// How many questions go out. None of these is zero.
#[derive(Clone, Copy, Debug)]
pub struct Portions {
    /// The most that are sent together.
    pub most: usize,
    /// With so many on their way, further ones may have to wait for an answer; of more than so many, so many are sent together at
    /// least.
    pub enough: usize,
    /// Into how many parts all are divided, of which one waits. Two where the thread has more to do for them than the server:
    /// then it never waits. Three where it has less: then the server always has the next before it.
    pub parts: usize,
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
        S: Fn(Vec<Q>) -> F + Send + Unpin + 'static,
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
            let carrier =
                Carrier { queue: queue.clone(), portions, send: sender(), sent: VecDeque::new(), is_done: false };
            tokio::spawn(carrier);
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
    waiting: VecDeque<Asked<Q, A>>,
    /// Questions that were sent and are not answered.
    on_the_way: usize,
    /// When those were sent that have not been answered for longest, and how long those took that were answered last.
    oldest: Option<Instant>,
    took: Duration,
    carrier: Presence,
}

/// A question, and who asks it.
type Asked<Q, A> = (Q, Asker<A>);

/// Where the carrier is.
#[derive(Default)]
enum Presence {
    /// There is none, and nothing waits.
    #[default]
    Gone,
    /// It will look at the queue.
    Awake,
    /// It will when this is woken.
    Asleep(Waker),
}

impl<Q, A> Default for State<Q, A> {
    fn default() -> Self {
        let (waiting, carrier) = (VecDeque::new(), Presence::Gone);
        Self { waiting, on_the_way: 0, oldest: None, took: Duration::ZERO, carrier }
    }
}

impl<Q, A> Default for Queue<Q, A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q, A> Queue<Q, A> {
    /// Whether it needs a carrier, which is counted on then.
    fn add(&self, asked: Asked<Q, A>, portions: Portions) -> bool {
        let mut state = self.state();
        state.waiting.push_back(asked);
        match &state.carrier {
            Presence::Gone => {
                state.carrier = Presence::Awake;
                true
            }
            Presence::Asleep(_) if state.may_go(portions, 0, Instant::now()) => {
                let carrier = mem::replace(&mut state.carrier, Presence::Awake);
                drop(state);
                if let Presence::Asleep(waker) = carrier {
                    waker.wake();
                }
                false
            }
            Presence::Awake | Presence::Asleep(_) => false,
        }
    }

    /// What is to be sent together at `now`, when so many are `answered` that are about to ask again; `None` if that is nothing.
    fn take(&self, portions: Portions, answered: usize, now: Instant) -> Option<Vec<Asked<Q, A>>> {
        let mut state = self.state();
        if !state.may_go(portions, answered, now) {
            return None;
        }
        let portion = if state.is_slow(portions, now) { portions.most } else { state.portion(portions, answered) };
        let count = portion.min(state.waiting.len());
        state.on_the_way += count;
        state.oldest.get_or_insert(now);
        Some(state.waiting.drain(..count).collect())
    }

    /// How it ended for so many that were sent at `since`; the next were sent at `oldest`.
    fn settle(&self, outcome: &Result<Vec<A>, RedisError>, count: usize, since: Instant, oldest: Option<Instant>) {
        let mut state = self.state();
        state.on_the_way -= count;
        state.oldest = oldest;
        // What was not sent says nothing about the server.
        if !matches!(outcome, Err(RedisError::Unavailable)) {
            state.took = since.elapsed();
        }
    }

    fn state(&self) -> MutexGuard<'_, State<Q, A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q, A> State<Q, A> {
    /// How many are sent together.
    fn portion(&self, portions: Portions, answered: usize) -> usize {
        let there = self.waiting.len() + self.on_the_way + answered;
        there.div_ceil(portions.parts).max(portions.enough).min(portions.most)
    }

    /// Whether something waits that need not wait longer.
    fn may_go(&self, portions: Portions, answered: usize, now: Instant) -> bool {
        let room = || {
            let but_one = self.portion(portions, answered).saturating_mul(portions.parts.saturating_sub(2));
            self.on_the_way < portions.enough || self.on_the_way <= but_one
        };
        !self.waiting.is_empty() && (room() || self.is_slow(portions, now))
    }

    /// Whether the server is so slow that nobody is to wait for another's answer.
    fn is_slow(&self, portions: Portions, now: Instant) -> bool {
        let silent = |sent| now.saturating_duration_since(sent) > portions.near;
        self.took > portions.near || self.oldest.is_some_and(silent)
    }
}

/// Carries questions to the server and answers back, some at a time.
struct Carrier<Q, A, S, F> {
    queue: Arc<Queue<Q, A>>,
    portions: Portions,
    send: S,
    /// Answered in this order, which is that of a connection: the others are not looked at before the first.
    sent: VecDeque<Sent<F, A>>,
    is_done: bool,
}

impl<Q, A, S, F> Future for Carrier<Q, A, S, F>
where
    S: Fn(Vec<Q>) -> F + Unpin,
    F: Future<Output = Result<Vec<A>, RedisError>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { queue, portions, send, sent, is_done } = self.get_mut();
        loop {
            let mut answered = Vec::new();
            while let Some(Poll::Ready(outcome)) = sent.front_mut().map(|first| first.sending.as_mut().poll(cx)) {
                let Some(Sent { askers, since, .. }) = sent.pop_front() else { break };
                queue.settle(&outcome, askers.len(), since, sent.front().map(|next| next.since));
                answered.push((outcome, askers));
            }
            let (count, now) = (answered.iter().map(|(_, askers)| askers.len()).sum(), Instant::now());
            // Off to the server before those who have their answers go on.
            while let Some(asked) = queue.take(*portions, count, now) {
                let mut next = Sent::new(asked, send, now);
                match next.sending.as_mut().poll(cx) {
                    Poll::Pending => sent.push_back(next),
                    Poll::Ready(outcome) => {
                        queue.settle(&outcome, next.askers.len(), now, sent.front().map(|first| first.since));
                        answered.push((outcome, next.askers));
                    }
                }
            }
            for (outcome, askers) in answered {
                hand_out(outcome, askers);
            }
            let mut state = queue.state();
            // On another thread than this, somebody may have asked meanwhile.
            if state.may_go(*portions, 0, now) {
                continue;
            }
            if !sent.is_empty() {
                state.carrier = Presence::Asleep(cx.waker().clone());
                return Poll::Pending;
            }
            state.carrier = Presence::Gone;
            *is_done = true;
            return Poll::Ready(());
        }
    }
}

impl<Q, A, S, F> Drop for Carrier<Q, A, S, F> {
    fn drop(&mut self) {
        if !self.is_done {
            // The runtime has ended before its time, or what sends has panicked.
            let mut state = self.queue.state();
            let left = mem::take(&mut *state);
            drop(state);
            drop(left);
        }
    }
}

/// What was sent together.
struct Sent<F, A> {
    /// On the heap: otherwise all that sending needs is moved about.
    sending: Pin<Box<F>>,
    askers: Vec<Asker<A>>,
    since: Instant,
}

impl<F, A> Sent<F, A>
where
    F: Future<Output = Result<Vec<A>, RedisError>>,
{
    fn new<Q>(asked: Vec<Asked<Q, A>>, send: &impl Fn(Vec<Q>) -> F, since: Instant) -> Self {
        let (questions, askers) = asked.into_iter().unzip();
        Self { sending: Box::pin(send(questions)), askers, since }
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
