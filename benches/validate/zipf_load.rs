//! The crowd, and the judge of what it is told. Everybody's name ends in its version, `Ada Lovelace, v7`. The judge knows when
//! each version was confirmed; who is shown an older one with a request that began later has been told what is out of
//! date, by as long as the request began after the confirmation.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::LocalSet;

use crate::aim::{self, Aim, Carrier};
use crate::frame::{answer, serve};
use crate::seed;
use crate::wire::{Connection, Reply, between};

/// One operation in so many is a write.
const WRITES: usize = 100;
/// What is older is too old.
const BOUND: Duration = Duration::from_secs(2);

/// Who comes, and whereto.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Crowd {
    pub(crate) addresses: [SocketAddr; 2],
    pub(crate) people: usize,
    /// To each address.
    pub(crate) connections: usize,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) look_ups: u64,
    pub(crate) writes: u64,
    pub(crate) wrong: u64,
    /// Answers that were out of date at all,
    pub(crate) stale: u64,
    /// and by more than two seconds.
    pub(crate) too_old: u64,
    pub(crate) oldest_ms: f64,
    pub(crate) seconds: f64,
}

/// What is known of one of the people.
#[derive(Clone, Debug, Default)]
struct Person {
    /// When version 1, 2, … of the name was confirmed.
    confirmed: Vec<Instant>,
    is_writing: bool,
}

struct World {
    people: RefCell<Vec<Person>>,
    /// The looks at their sessions.
    looks: Vec<Box<[u8]>>,
    /// The sum of the frequencies of the first, the first two, ….
    frequencies: Vec<f64>,
    outcome: RefCell<Outcome>,
    left: Cell<usize>,
}

/// Plays the role.
pub(crate) fn run(arguments: &[String]) {
    let crowd: Crowd = serde_json::from_str(&arguments[0]).expect("a crowd");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let world = Rc::new(World::new(crowd.people));
    serve(|request| {
        world.left.set(serde_json::from_value(request).expect("a count"));
        answer(&json!(LocalSet::new().block_on(&runtime, operate(&crowd, &world))));
    });
}

async fn operate(crowd: &Crowd, world: &Rc<World>) -> Outcome {
    world.outcome.take();
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for address in crowd.addresses {
        for _ in 0..crowd.connections {
            let (connection, world) = (Connection::open(address).await, Rc::clone(world));
            tasks.push(tokio::task::spawn_local(take_part(connection, world)));
        }
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    Outcome { seconds: begun.elapsed().as_secs_f64(), ..world.outcome.take() }
}

async fn take_part(mut connection: Connection, world: Rc<World>) {
    while let Some(left) = world.left.get().checked_sub(1) {
        world.left.set(left);
        let number = world.somebody();
        if rand::random_range(0..WRITES) == 0 && world.may_write(number) {
            world.write(&mut connection, number).await;
        } else {
            let begun = Instant::now();
            let reply = connection.ask(&world.looks[number]).await;
            world.judge(number, begun, reply);
        }
    }
}

impl World {
    fn new(people: usize) -> Self {
        let mut sum = 0.0;
        // Zipf's law with exponent 1: the second comes half as often as the first, the third a third as often.
        let frequencies = (1..=people).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self {
            frequencies: frequencies.collect(),
            people: RefCell::new(vec![Person::default(); people]),
            looks: Aim::new(Carrier::Cookie, people, people).requests(),
            outcome: RefCell::default(),
            left: Cell::default(),
        }
    }

    fn somebody(&self) -> usize {
        let all = self.frequencies.last().copied().unwrap_or_default();
        let point = rand::random_range(0.0..all);
        self.frequencies.partition_point(|sum| *sum <= point)
    }

    /// Whether nobody else writes for this person, as from now on the caller does.
    fn may_write(&self, number: usize) -> bool {
        let person = &mut self.people.borrow_mut()[number];
        !std::mem::replace(&mut person.is_writing, true)
    }

    async fn write(&self, connection: &mut Connection, number: usize) {
        let version = self.people.borrow()[number].confirmed.len() + 1;
        let body = json!({ "name": format!("Ada Lovelace, v{version}") }).to_string();
        let status = connection.ask(&aim::write("PUT", "/api/profile", &seed::token(number), &body)).await.status;
        assert_eq!(status, 200, "a name is changed");
        let person = &mut self.people.borrow_mut()[number];
        person.confirmed.push(Instant::now());
        person.is_writing = false;
        self.outcome.borrow_mut().writes += 1;
    }

    /// Judges the answer to a look that began at `begun`.
    fn judge(&self, number: usize, begun: Instant, reply: Reply<'_>) {
        let outcome = &mut self.outcome.borrow_mut();
        outcome.look_ups += 1;
        let person = &self.people.borrow()[number];
        let begins = person.confirmed.len() + usize::from(person.is_writing);
        let version = version_of(number, reply).filter(|version| *version <= begins);
        let Some(version) = version else {
            outcome.wrong += 1;
            return;
        };
        let overtaken = person.confirmed.get(version).filter(|confirmed| **confirmed < begun);
        if let Some(confirmed) = overtaken {
            let age = begun - *confirmed;
            outcome.stale += 1;
            outcome.too_old += u64::from(age > BOUND);
            outcome.oldest_ms = outcome.oldest_ms.max(age.as_secs_f64() * 1000.0);
        }
    }
}

/// The version that an answer shows; `None` when it is not about this person.
fn version_of(number: usize, reply: Reply<'_>) -> Option<usize> {
    let is_right = reply.status == 200 && between(reply.body, "\"email\":\"", "\"")? == seed::email(number);
    let name = between(reply.body, "\"name\":\"", "\"").filter(|_| is_right)?;
    name.strip_prefix("Ada Lovelace, v")?.parse().ok()
}
