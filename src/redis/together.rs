//! Questions that are asked together.
//!
//! A command on its own costs its caller a message to the task of the connection, a way back for the answer and a timer.
//! Where many requests of one thread ask at the same moment, they can share all that: what comes up in one turn of the
//! thread's runtime goes out as one, at the end of that turn. Nobody waits for company.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use ::redis::{Value, from_redis_value};
use tokio::sync::oneshot;

use super::link::Link;
use super::{Cmd, FromRedisValue, Pipeline, Redis, RedisError};

/// The most questions that go out together.
const MOST: usize = 256;

/// Reads the strings of all questions.
const READ_ALL: &str = "MGET";

thread_local! {
    /// Questions, and for which link, which this does not keep up.
    static QUESTIONS: Gathering<Link, Arc<Question>, Strings> = const { Gathering::new() };
}

/// What is asked of the server together with what others ask: one command that is answered with a string, and the string
/// under one name. The latter are read with one command for all that ask, which costs the server far less than one for each.
#[derive(Debug)]
pub struct Question {
    /// Names in it have gone through [`Redis::key`].
    pub command: Cmd,
    /// Goes through it on its way.
    pub name: String,
}

/// The answers to the two: what is not there, and what is under the name and no string, is `None`.
pub type Strings = [Option<Vec<u8>>; 2];

/// How a batch ended for one of its questions.
type Outcome<A> = Result<A, Arc<RedisError>>;

/// What is being gathered on one thread: questions `Q` of one `T`, which have answers `A`. For a `thread_local!`.
pub struct Gathering<T, Q, A>(RefCell<Option<Open<T, Q, A>>>);

/// Whose questions, and the questions, which end with the task that is to send them.
type Open<T, Q, A> = (Weak<T>, Weak<Batch<Q, A>>);

/// A question, and where its answer goes.
type Waiting<Q, A> = (Q, oneshot::Sender<Outcome<A>>);

/// What is gathered; `None` when it has been sent.
struct Batch<Q, A>(Mutex<Option<Vec<Waiting<Q, A>>>>);

impl<Q, A> Batch<Q, A> {
    /// Adds a question; gives it back if it is too late for that.
    fn join(&self, waiting: Waiting<Q, A>, most: usize) -> Option<Waiting<Q, A>> {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match gathered.as_mut().filter(|gathered| gathered.len() < most) {
            Some(gathered) => gathered.push(waiting),
            None => return Some(waiting),
        }
        None
    }

    fn take(&self) -> Vec<Waiting<Q, A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

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
    /// Adds a question of `owner` to what is gathered, at most `most` in all. The first has them all sent by what `sender` makes,
    /// with one answer for each, in a task of the current runtime: who leaves takes nothing from the others.
    pub fn add<S, F>(&self, owner: &Arc<T>, question: Q, most: usize, sender: impl FnOnce() -> S) -> Answer<A>
    where
        S: FnOnce(Vec<Q>) -> F + Send + 'static,
        F: Future<Output = Result<Vec<A>, RedisError>> + Send + 'static,
    {
        let (to, answer) = oneshot::channel();
        let mut open = self.0.borrow_mut();
        let late = match open.as_ref() {
            Some((whose, batch)) if std::ptr::eq(whose.as_ptr(), Arc::as_ptr(owner)) => match batch.upgrade() {
                Some(batch) => batch.join((question, to), most),
                None => Some((question, to)),
            },
            _ => Some((question, to)),
        };
        if let Some(first) = late {
            let batch = Arc::new(Batch(Mutex::new(Some(vec![first]))));
            *open = Some((Arc::downgrade(owner), Arc::downgrade(&batch)));
            tokio::spawn(carry(batch, sender()));
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

/// Sends what has been gathered until now, and hands out the answers.
async fn carry<Q, A, F>(batch: Arc<Batch<Q, A>>, send: impl FnOnce(Vec<Q>) -> F)
where
    F: Future<Output = Result<Vec<A>, RedisError>>,
{
    let (questions, waiting): (Vec<Q>, Vec<_>) = batch.take().into_iter().unzip();
    // On the heap: otherwise all that sending needs is moved about with the task before it begins. Who has gone needs no
    // answer.
    match Box::pin(send(questions)).await {
        Ok(answers) => {
            for (to, answer) in waiting.into_iter().zip(answers) {
                let _ = to.send(Ok(answer));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for to in waiting {
                let _ = to.send(Err(error.clone()));
            }
        }
    }
}

impl Redis {
    /// Asks `question`, in one round trip that it shares with what else is asked in this way on this thread at this moment. The
    /// answer fails as that of [`Self::run`] does, and where that to any of the commands that were sent together is an error or
    /// no string.
    pub fn ask_together(&self, question: Arc<Question>) -> Answer<Strings> {
        let sender = || {
            let redis = self.clone();
            move |questions| async move { ask_all(&redis, questions).await }
        };
        QUESTIONS.with(|gathering| gathering.add(&self.0, question, MOST, sender))
    }
}

async fn ask_all(redis: &Redis, questions: Vec<Arc<Question>>) -> Result<Vec<Strings>, RedisError> {
    let names = questions.iter().map(|question| redis.tag().len() + question.name.len()).sum::<usize>();
    let mut commands = Pipeline::with_capacity(questions.len() + 1);
    let mut strings = Cmd::with_capacity(questions.len() + 1, names + READ_ALL.len());
    strings.arg(READ_ALL);
    for question in &questions {
        commands.add_command(question.command.clone());
        strings.arg(redis.key(&question.name));
    }
    commands.add_command(strings);
    let mut answers: Vec<Value> = redis.pipeline(commands).await?;
    let strings: Vec<Option<Vec<u8>>> = read(answers.pop().unwrap_or_default())?;
    answers.into_iter().zip(strings).map(|(answer, string)| Ok([read(answer)?, string])).collect()
}

fn read<T: FromRedisValue>(answer: Value) -> Result<T, RedisError> {
    from_redis_value(answer).map_err(|error| RedisError::Reply(error.into()))
}
