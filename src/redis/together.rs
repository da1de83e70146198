//! Questions that are asked together.
//!
//! A command on its own costs its caller a message to the task of the connection, a way back for the answer and a timer.
//! Where many requests of one thread ask at the same moment, they can share all that: what comes up in one turn of the
//! thread's runtime goes out as one pipeline, at the end of that turn. Nobody waits for company.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::oneshot;

use super::link::Link;
use super::{Cmd, Redis, RedisError, pipe};

/// The most questions of one pipeline.
const MOST: usize = 256;

thread_local! {
    /// What is being gathered on this thread, and for which link, which this does not keep up.
    static OPEN: RefCell<Option<(Weak<Link>, Arc<Batch>)>> = const { RefCell::new(None) };
}

/// What is under a key, or is not.
type Answers = Vec<Option<Vec<u8>>>;

/// What is gathered; `None` when it has been sent.
struct Batch(Mutex<Option<Vec<Waiting>>>);

struct Waiting {
    question: Arc<[Cmd]>,
    answers: oneshot::Sender<Result<Answers, Arc<RedisError>>>,
}

impl Batch {
    /// Adds a question; gives it back if it is too late for that.
    fn join(&self, waiting: Waiting) -> Option<Waiting> {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match gathered.as_mut().filter(|gathered| gathered.len() < MOST) {
            Some(gathered) => gathered.push(waiting),
            None => return Some(waiting),
        }
        None
    }

    fn take(&self) -> Vec<Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

impl Redis {
    /// Asks for strings, with one command for each, in one round trip that it shares with what else is asked in this way on
    /// this thread at this moment. Fails as [`Self::run`] does, and where the answer to any of the commands that were
    /// sent together is an error or no string.
    pub async fn ask_together(&self, question: Arc<[Cmd]>) -> Result<Answers, Arc<RedisError>> {
        let (answers, answer) = oneshot::channel();
        let waiting = Waiting { question, answers };
        OPEN.with_borrow_mut(|open| {
            let late = match open {
                Some((link, batch)) if std::ptr::eq(link.as_ptr(), Arc::as_ptr(&self.0)) => batch.join(waiting),
                _ => Some(waiting),
            };
            if let Some(waiting) = late {
                let batch = Arc::new(Batch(Mutex::new(Some(vec![waiting]))));
                tokio::spawn(send(self.clone(), batch.clone()));
                *open = Some((Arc::downgrade(&self.0), batch));
            }
        });
        // Nobody answers when the runtime ends first.
        answer.await.unwrap_or_else(|_| Err(Arc::new(RedisError::Unavailable)))
    }
}

/// Sends what has been gathered until now, and hands out the answers.
async fn send(redis: Redis, batch: Arc<Batch>) {
    let waiting = batch.take();
    let mut commands = pipe();
    for command in waiting.iter().flat_map(|one| one.question.iter()) {
        commands.add_command(command.clone());
    }
    match redis.pipeline::<Answers>(commands).await {
        Ok(answers) => {
            let mut answers = answers.into_iter();
            for Waiting { question, answers: to } in waiting {
                // Who has gone needs none.
                let _ = to.send(Ok(answers.by_ref().take(question.len()).collect()));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for one in waiting {
                let _ = one.answers.send(Err(error.clone()));
            }
        }
    }
}
