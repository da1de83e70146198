//! Readers, loaders and writers of one session and its user, in every order that a machine may come up with.

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

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
    /// A reader finds the entry and takes its sight.
    Find,
    /// The reader that found its first decides.
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
        3 => Just(Step::Find),
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
                    let hold = Hold::new(guards, self.name, session, (self.user, user));
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
            Step::Find => {
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
                let looked = Monotonic::now();
                guards.raise(&name.key(), version);
                guards.confirm(looked);
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
                    let hold = Hold::new(guards, name, session, (user, Stamp::new(Some(1), began)));
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
        Self::after(0)
    }

    /// That of a pair that was loaded after so many others.
    fn after(loads: usize) -> Self {
        let guards = Guards::new();
        let began = (0..=loads).map(|_| guards.begin()).last().unwrap();
        let stamp = Stamp::new(Some(1), began);
        let hold = Hold::new(&guards, Self::name(), stamp, (Self::user(), stamp));
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

    /// A look began then and is complete.
    fn look(&self, millis: u64) {
        self.guards.confirm(self.at(millis));
    }

    /// Whether it is handed out that many milliseconds after its load began.
    fn stands(&self, millis: u64) -> bool {
        self.hold.stands(&self.guards, self.guards.sight(), self.at(millis))
    }

    fn is_over(&self, millis: u64) -> bool {
        self.hold.is_over(&self.guards, self.guards.sight(), self.at(millis))
    }

    fn is_to_be_renewed(&self, millis: u64) -> bool {
        self.hold.is_to_be_renewed(&self.guards, self.guards.sight(), self.at(millis))
    }
}

#[test]
fn by_itself_it_ends_with_the_half_that_ends_first() {
    let guards = Guards::new();
    let began = guards.begin();
    let stamp = Stamp::new(Some(1), began);
    let short = stamp.ending(began.at + Duration::from_millis(300));
    for (session, user) in [(stamp, short), (short, stamp)] {
        let hold = Hold::new(&guards, Life::name(), session, (Life::user(), user));
        let at = |millis| began.at + Duration::from_millis(millis);
        let due = |millis| hold.is_to_be_renewed(&guards, guards.sight(), at(millis));
        assert!(hold.stands(&guards, guards.sight(), at(299)));
        assert!(!due(179) && due(240));
        assert!(!hold.stands(&guards, guards.sight(), at(300)) && hold.is_over(&guards, guards.sight(), at(300)));
    }
}

#[test]
fn it_stands_for_two_seconds_after_the_beginning_of_the_last_look() {
    let life = Life::new();
    life.look(500);
    assert!(life.stands(999) && life.stands(2499));
    assert!(!life.stands(2500) && life.is_over(2500));
    life.look(3000);
    assert!(life.stands(4999), "what nobody has asked for in between is as good");
    life.look(2000);
    assert!(life.stands(4999), "whatever look comes late");
}

#[test]
fn a_look_does_nothing_for_what_had_changed_when_it_began() {
    for key in [Life::name().key(), keys::user_id(Life::user())] {
        let life = Life::new();
        assert!(life.stands(800));
        life.guards.raise(&key, 2);
        life.look(500);
        assert!(!life.stands(850) && !life.stands(1500));
        assert!(!life.is_over(1500), "it would stand otherwise");
    }
}

#[test]
fn a_reader_goes_by_the_look_that_it_knew_of_before_it_met_the_guards() {
    let life = Life::new();
    let sight = life.guards.sight();
    life.look(500);
    assert!(!life.hold.stands(&life.guards, sight, life.at(1000)));
    assert!(life.stands(1000));
}

#[test]
fn it_is_to_be_loaded_anew_where_looks_are_late_by_one_reader() {
    let life = Life::new();
    assert!(!life.is_to_be_renewed(590));
    assert!(life.is_to_be_renewed(800) && !life.is_to_be_renewed(800));

    let life = Life::new();
    life.look(500);
    assert!(!life.is_to_be_renewed(2090), "another look may still come");
    assert!(life.is_to_be_renewed(2300) && !life.is_to_be_renewed(2300));
}

#[test]
fn it_ends_before_the_guards_do_however_often_looks_find_it_good_another_moment_for_each() {
    let mut ends = Vec::new();
    for loads in 0..20 {
        let life = Life::after(loads);
        let end = (0..2000).map(|read| read * 10).find(|millis| {
            life.look(*millis);
            !life.stands(*millis)
        });
        let end = end.unwrap();
        assert!((6000..=8000).contains(&end), "{end}");
        assert!(!life.is_to_be_renewed(end - 410) && life.is_to_be_renewed(end - 190), "ahead of its end");
        ends.push(end);
    }
    ends.sort_unstable();
    assert!(ends[19] - ends[0] > 1500, "{ends:?}");
}

#[test]
fn a_reader_that_was_held_up_until_the_guards_were_gone_is_not_handed_it() {
    for (age, stands) in [(9, true), (10, false)] {
        let (guards, began) = Guards::after_a_load(Duration::from_secs(age));
        let stamp = Stamp::new(Some(1), began);
        let hold = Hold::new(&guards, Life::name(), stamp, (Life::user(), stamp));
        assert_eq!(hold.stands(&guards, guards.sight(), began.at), stands, "{age}");
    }
}

#[test]
fn it_is_wanted_when_somebody_was_handed_it_since_that_was_last_asked() {
    let life = Life::new();
    assert!(!life.hold.was_wanted());
    assert!(!life.stands(1000) && !life.hold.was_wanted());
    assert!(life.stands(900) && life.hold.was_wanted() && !life.hold.was_wanted());
}
