//! Readers, loaders and writers of one session and its user, in every order that a machine may come up with.

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::thread;

use proptest::prelude::*;

use super::super::guards::Began;
use super::*;
use crate::domain::SessionId;

/// What one step of somebody does.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A load of the row begins.
    Begin(Row),
    /// The load that began first reads its row and is done.
    Load(Row),
    /// The last loads of both rows are put together and remembered.
    Remember,
    /// A writer commits a new version of the row.
    Commit(Row),
    /// The first, second and third part of making everybody forget the last commit.
    Count(Row),
    Guard(Row),
    Complete(Row),
    /// A gap: everything is forgotten.
    ForgetAll,
    /// A reader finds the entry and counts the invalidations.
    Look,
    /// The reader that looked first decides.
    Decide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Session,
    User,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = || prop_oneof![Just(Row::Session), Just(Row::User)];
    let step = prop_oneof![
        2 => row().prop_map(Step::Begin),
        2 => row().prop_map(Step::Load),
        2 => Just(Step::Remember),
        1 => row().prop_map(Step::Commit),
        1 => row().prop_map(Step::Count),
        1 => row().prop_map(Step::Guard),
        1 => row().prop_map(Step::Complete),
        1 => Just(Step::ForgetAll),
        3 => Just(Step::Look),
        3 => Just(Step::Decide),
    ];
    proptest::collection::vec(step, 0..120)
}

/// One row: what is committed, who loads it, and who makes it forgotten.
struct Side {
    key: String,
    committed: i64,
    /// The greatest version whose invalidation is complete.
    forgotten: i64,
    loading: Vec<Began>,
    loaded: Option<(Stamp, i64)>,
    counted: Option<(u64, i64)>,
    guarded: Option<i64>,
}

impl Side {
    fn new(key: String) -> Self {
        Self { key, committed: 1, forgotten: 1, loading: vec![], loaded: None, counted: None, guarded: None }
    }
}

struct Reader {
    hold: usize,
    sight: Sight,
    /// What no reader that began then may be behind.
    least: [i64; 2],
}

struct Model {
    guards: Guards,
    name: SessionName,
    user: UserId,
    sides: [Side; 2],
    /// What is remembered, with the versions that it shows.
    holds: Vec<(Hold, [i64; 2])>,
    readers: Vec<Reader>,
}

impl Model {
    fn new() -> Self {
        let (name, user) = (SessionName::Id(SessionId(uuid::Uuid::nil())), UserId(uuid::Uuid::nil()));
        let sides = [Side::new(name.key()), Side::new(keys::user_id(user))];
        Self { guards: Guards::new(), name, user, sides, holds: vec![], readers: vec![] }
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        let guards = &self.guards;
        match step {
            Step::Begin(row) => self.sides[row as usize].loading.push(guards.begin()),
            Step::Load(row) => {
                let side = &mut self.sides[row as usize];
                if !side.loading.is_empty() {
                    let began = side.loading.remove(0);
                    side.loaded = Some((Stamp::new(Some(side.committed), began), side.committed));
                }
            }
            Step::Remember => {
                if let [Some((session, of_session)), Some((user, of_user))] =
                    [self.sides[0].loaded, self.sides[1].loaded]
                {
                    let hold = Hold::new(self.name, session, (self.user, user));
                    self.holds.push((hold, [of_session, of_user]));
                }
            }
            Step::Commit(row) => self.sides[row as usize].committed += 1,
            Step::Count(row) => {
                let side = &mut self.sides[row as usize];
                side.counted = Some((guards.next(), side.committed));
            }
            Step::Guard(row) => {
                let side = &mut self.sides[row as usize];
                if let Some((generation, version)) = side.counted.take() {
                    guards.put(&side.key, generation, version);
                    side.guarded = side.guarded.max(Some(version));
                }
            }
            Step::Complete(row) => {
                let side = &mut self.sides[row as usize];
                if let Some(version) = side.guarded.take() {
                    guards.complete();
                    side.forgotten = side.forgotten.max(version);
                }
            }
            Step::ForgetAll => {
                guards.raise_all();
                for side in &mut self.sides {
                    side.forgotten = side.committed;
                }
            }
            Step::Look => {
                let least = [self.sides[0].forgotten, self.sides[1].forgotten];
                let (newest, sight) = (self.holds.len().checked_sub(1), guards.sight());
                self.readers.extend(newest.map(|hold| Reader { hold, sight, least }));
            }
            Step::Decide if !self.readers.is_empty() => {
                let reader = self.readers.remove(0);
                let (hold, shown) = &self.holds[reader.hold];
                if hold.stands(guards, reader.sight, Monotonic::now()) {
                    prop_assert!(
                        shown[0] >= reader.least[0] && shown[1] >= reader.least[1],
                        "{shown:?} {:?}",
                        reader.least
                    );
                }
            }
            Step::Decide => {}
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn nobody_sees_what_was_forgotten_before_they_looked(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.take(step)?;
        }
    }
}

#[test]
fn nobody_sees_what_was_forgotten_while_threads_race() {
    let (guards, committed, forgotten) = (&Guards::new(), &AtomicI64::new(0), &AtomicI64::new(0));
    let (name, user) = (SessionName::Id(SessionId(uuid::Uuid::nil())), UserId(uuid::Uuid::nil()));
    let (reads, over, stale) = (&AtomicU64::new(0), &AtomicBool::new(false), &AtomicBool::new(false));
    let kept: &Mutex<Option<Arc<(Hold, i64)>>> = &Mutex::default();
    thread::scope(|scope| {
        scope.spawn(move || {
            for version in 1..=300 {
                committed.store(version, Ordering::SeqCst);
                guards.raise(&name.key(), version);
                forgotten.store(version, Ordering::SeqCst);
                // What a reader has found good in the wrong moment, somebody has to read once more.
                let enough = reads.load(Ordering::SeqCst) + 20;
                while reads.load(Ordering::SeqCst) < enough {
                    thread::yield_now();
                }
            }
            over.store(true, Ordering::SeqCst);
        });
        for _ in 0..2 {
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let began = guards.begin();
                    let version = committed.load(Ordering::SeqCst);
                    let session = Stamp::new(Some(version), began);
                    let hold = Hold::new(name, session, (user, Stamp::new(Some(1), began)));
                    *kept.lock().unwrap() = Some(Arc::new((hold, version)));
                    for _ in 0..100 {
                        let least = forgotten.load(Ordering::SeqCst);
                        let found = kept.lock().unwrap().clone().unwrap();
                        let stands = found.0.stands(guards, guards.sight(), Monotonic::now());
                        stale.fetch_or(stands && found.1 < least, Ordering::SeqCst);
                        reads.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(!stale.load(Ordering::SeqCst), "an entry was handed out after it was forgotten");
}

/// A hold of two halves that were loaded at the same moment, and what happens to it.
struct Life {
    guards: Guards,
    began: Monotonic,
    hold: Hold,
}

impl Life {
    fn new() -> Self {
        let guards = Guards::new();
        let began = guards.begin();
        let stamp = Stamp::new(Some(1), began);
        let hold = Hold::new(Self::name(), stamp, (Self::user(), stamp));
        Self { guards, began: began.at, hold }
    }

    fn name() -> SessionName {
        SessionName::Id(SessionId(uuid::Uuid::nil()))
    }

    fn user() -> UserId {
        UserId(uuid::Uuid::nil())
    }

    fn at(&self, millis: u64) -> Monotonic {
        self.began + Duration::from_millis(millis)
    }

    /// Whether it is handed out that many milliseconds after its load began.
    fn is_read(&self, millis: u64) -> bool {
        self.hold.stands(&self.guards, self.guards.sight(), self.at(millis))
    }

    /// A look began then and is complete.
    fn look(&self, millis: u64) {
        self.guards.confirm(self.at(millis));
    }

    fn is_to_be_renewed(&self, millis: u64) -> bool {
        self.hold.is_to_be_renewed(self.at(millis))
    }
}

#[test]
fn an_entry_ends_with_the_older_of_its_two_halves() {
    let guards = Guards::new();
    let began = guards.begin();
    let stamp = Stamp::new(Some(1), began);
    let short = stamp.ending(began.at + Duration::from_millis(300));
    for (session, user) in [(stamp, short), (short, stamp)] {
        let hold = Hold::new(Life::name(), session, (Life::user(), user));
        let at = |millis| began.at + Duration::from_millis(millis);
        assert!(hold.stands(&guards, guards.sight(), at(299)));
        assert!(!hold.is_to_be_renewed(at(179)) && hold.is_to_be_renewed(at(240)));
        assert!(!hold.stands(&guards, guards.sight(), at(300)) && hold.is_over(at(300)));
    }
}

#[test]
fn what_is_read_late_is_prolonged_until_two_seconds_after_the_last_look() {
    let life = Life::new();
    assert!(life.is_read(850));
    assert!(!life.is_read(1000), "no look has said anything yet");

    let life = Life::new();
    life.look(500);
    assert!(life.is_read(850));
    assert!(life.is_read(2499));
    assert!(!life.is_read(2500) && life.hold.is_over(life.at(2500)));
}

#[test]
fn what_is_not_read_late_in_its_time_ends() {
    let life = Life::new();
    life.look(500);
    assert!(life.is_read(590), "this is too early");
    assert!(!life.is_read(1000));
    assert!(!life.is_read(1001), "nothing brings it back");
}

#[test]
fn a_look_prolongs_nothing_that_it_found_to_have_changed() {
    for key in [Life::name().key(), keys::user_id(Life::user())] {
        let life = Life::new();
        assert!(life.is_read(800));
        life.guards.raise(&key, 2);
        life.look(500);
        assert!(!life.is_read(850));
        assert!(!life.is_read(2000));
    }
}

#[test]
fn a_reader_that_was_held_up_prolongs_by_what_it_knew() {
    let life = Life::new();
    let sight = life.guards.sight();
    life.look(500);
    assert!(life.hold.stands(&life.guards, sight, life.at(850)));
    assert!(!life.is_read(1000), "it knew of no look");

    let life = Life::new();
    life.look(500);
    let sight = life.guards.sight();
    life.look(1500);
    assert!(life.is_read(850));
    assert!(life.hold.stands(&life.guards, sight, life.at(2400)));
    assert!(life.is_read(3499), "nor does it take anything away");
    assert!(!life.is_read(5499), "that was late enough, but another look there was not");
}

#[test]
fn it_is_loaded_anew_where_no_look_prolongs_it_and_now_and_then() {
    let life = Life::new();
    assert!(!life.is_to_be_renewed(590));
    assert!(life.is_to_be_renewed(800) && !life.is_to_be_renewed(800), "by one reader");

    for _ in 0..20 {
        let life = Life::new();
        // Looks once a second, each done after a tenth, and a reader every fiftieth.
        let renewed = (0..2000_u64).map(|read| read * 20).find(|millis| {
            if millis % 1000 == 100 {
                life.look(millis - 100);
            }
            assert!(life.is_read(*millis), "{millis}");
            life.is_to_be_renewed(*millis)
        });
        assert!((16_000..=23_600).contains(&renewed.unwrap()), "{renewed:?}");
        let end = (0..2000_u64).map(|read| read * 20 + renewed.unwrap()).find(|millis| {
            life.look(*millis);
            !life.is_read(*millis)
        });
        assert!((18_000..=24_020).contains(&end.unwrap()), "{end:?}");
    }
}
