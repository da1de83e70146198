//! Questions of one thread that go out together.
//!
//! A command on its own costs its caller a message to the task of the connection, a way back for the answer and a timer, and the
//! server a reading and a writing. Where many requests of one thread ask at the same moment, they can share all that.
//!
//! **The life of a question.** It waits in the thread's queue. While few are [on their way](Portions::enough), which is so unless
//! the thread is busy, what has come up in one turn of its runtime goes out at the end of that turn: nobody waits for company.
//! Otherwise it waits for an answer to come, and goes out with half of all that are there. So the server works on one half while
//! the thread works on the other; were all of them sent as they come, they would soon all be answered at once, and thread and
//! server would wait for each other by turns.
//!
//! **What ends it.** A task carries the questions. Who leaves takes nothing from the others: what was asked is sent. Where the
//! server cannot be reached, what waits is sent at once as well, so that it is waited for once more and not in turns. If the
//! runtime ends first, nobody answers, and the queue is as new.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use futures_util::future::{MaybeDone, maybe_done};
use tokio::sync::oneshot;

use super::RedisError;

/// How many questions go out.
#[derive(Clone, Copy, Debug)]
pub struct Portions {
    /// The most that are sent together.
    pub most: usize,
    /// With so many on their way, further ones wait for an answer.
    pub enough: usize,
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
    /// Carriers that will take what waits at the end of this turn.
    starting: usize,
    /// Where there is none, nothing waits.
    carriers: usize,
}

impl<Q, A> Default for Queue<Q, A> {
    fn default() -> Self {
        Self(Mutex::new(State { waiting: VecDeque::new(), on_the_way: 0, starting: 0, carriers: 0 }))
    }
}

impl<Q, A> Queue<Q, A> {
    /// Whether it needs one more carrier, which is counted then.
    fn add(&self, asked: (Q, Asker<A>), Portions { most, enough }: Portions) -> bool {
        let mut state = self.state();
        state.waiting.push_back(asked);
        let taken = state.starting.saturating_mul(most);
        if state.waiting.len() <= taken || state.on_the_way.saturating_add(taken) >= enough {
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
    /// A carrier has nothing on its way any more; gives how many it had.
    fn settle(&mut self, carries: &mut Option<usize>) -> usize {
        if let Some(count) = carries.replace(0) {
            self.on_the_way -= count;
            return count;
        }
        self.starting -= 1;
        0
    }
}

/// Carries questions to the server and answers back, some at a time.
struct Carrier<Q, A> {
    queue: Arc<Queue<Q, A>>,
    portions: Portions,
    /// How many it has on their way; `None` before it has taken any.
    carries: Option<usize>,
}

impl<Q, A> Carrier<Q, A> {
    async fn carry<F>(mut self, send: impl Fn(Vec<Q>) -> F)
    where
        F: Future<Output = Result<Vec<A>, RedisError>>,
    {
        let mut next = self.take(false).map(|asked| Sent::new(asked, &send));
        while let Some(mut sent) = next {
            let outcome = sent.outcome().await;
            let is_outage = outcome.as_ref().is_err_and(RedisError::is_outage);
            next = self.take(is_outage).map(|asked| Sent::new(asked, &send));
            if let Some(next) = &mut next {
                // Off to the server before those who have their answers go on.
                next.begin().await;
            }
            hand_out(outcome, sent.askers);
        }
    }

    /// What is to be sent now that what was sent before is answered, or all that waits; `None` if that is nothing.
    fn take(&mut self, all: bool) -> Option<Vec<(Q, Asker<A>)>> {
        let mut state = self.queue.state();
        let answered = state.settle(&mut self.carries);
        if state.waiting.is_empty() || state.on_the_way >= self.portions.enough {
            return None;
        }
        let there = state.waiting.len() + state.on_the_way + answered;
        let some = there.div_ceil(2).max(self.portions.enough).min(self.portions.most);
        let count = if all { state.waiting.len() } else { some.min(state.waiting.len()) };
        state.on_the_way += count;
        self.carries = Some(count);
        Some(state.waiting.drain(..count).collect())
    }
}

impl<Q, A> Drop for Carrier<Q, A> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.settle(&mut self.carries);
        state.carriers -= 1;
        // Something waits only where the runtime has ended before its time.
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
