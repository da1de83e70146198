//! Reads that the requests of a thread share a round trip for ([`Gathering`]).

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use super::gathering::{Answer, Gathering, Portions};
use super::link::Link;
use super::{Cmd, Redis, RedisError};

/// As many as are enough keep a thread busy for about as long as a server needs for them that is near.
const PORTIONS: Portions = Portions { most: 256, enough: 8, parts: 2, near: Duration::from_millis(5) };

const READ_ALL: &str = "MGET";

thread_local! {
    /// Questions, and for which link, which this does not keep up.
    static QUESTIONS: Gathering<Link, Arc<Question>, Strings> = const { Gathering::new() };
}

/// The names of two strings, which are read together with what others ask for: one command for all of them costs the server
/// far less than one for each. They go through [`Redis::key`] on their way.
#[derive(Debug)]
pub struct Question(pub [String; 2]);

/// What is under the two names. What is not there, and what is no string, is `None`.
pub type Strings = [Option<Vec<u8>>; 2];

impl Redis {
    /// Asks `question`, in one round trip that it may share with what else is asked in this way on this thread. The answer
    /// fails as that of [`Self::run_promptly`] does.
    pub fn ask_together(&self, question: Arc<Question>) -> Answer<Strings> {
        let sender = || {
            let redis = self.clone();
            move |questions| ask_all(redis.clone(), questions)
        };
        QUESTIONS.with(|gathering| gathering.add(&self.0, question, PORTIONS, sender))
    }
}

async fn ask_all(redis: Redis, questions: Vec<Arc<Question>>) -> Result<Vec<Strings>, RedisError> {
    let names = || questions.iter().flat_map(|question| &question.0);
    let bytes = names().map(|name| redis.tag().len() + name.len()).sum::<usize>();
    let mut command = Cmd::with_capacity(1 + 2 * questions.len(), READ_ALL.len() + bytes);
    command.arg(READ_ALL);
    for name in names() {
        command.arg(redis.key(name));
    }
    let strings: Vec<Option<Vec<u8>>> = redis.query_promptly(command).await?;
    let mut strings = strings.into_iter();
    Ok(iter::from_fn(|| Some([strings.next()?, strings.next()?])).collect())
}
