//! Reads that the requests of a thread share a round trip for ([`Gathering`]).

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Value, from_redis_value};

use super::gathering::{Answer, Gathering, Portions};
use super::link::Link;
use super::{Cmd, FromRedisValue, Pipeline, Redis, RedisError};

/// As many as are enough keep a thread busy for about as long as a server needs for them that is near.
const PORTIONS: Portions = Portions { most: 256, enough: 8, near: Duration::from_millis(5) };

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

impl Redis {
    /// Asks `question`, in one round trip that it may share with what else is asked in this way on this thread. The answer
    /// fails as that of [`Self::run`] does, and where that to any of the commands that were sent together is an error or
    /// no string.
    pub fn ask_together(&self, question: Arc<Question>) -> Answer<Strings> {
        let sender = || {
            let redis = self.clone();
            move |questions| ask_all(redis.clone(), questions)
        };
        QUESTIONS.with(|gathering| gathering.add(&self.0, question, PORTIONS, sender))
    }
}

async fn ask_all(redis: Redis, questions: Vec<Arc<Question>>) -> Result<Vec<Strings>, RedisError> {
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
