//! The model's transitions: each does what a piece of `src/cache` or `src/redis` does between two of its awaits.

use super::parts::{
    Belief, Database, Entry, Guard, Handled, Instance, Look, Op, Reader, Redis, Rule, Stored, Writer, Wrong,
};

/// Nothing that is handed out is older than this, in tenths of a second, as all times here.
pub(super) const BOUND: u32 = 20;
/// The life of an entry, `tier::TTL`; no fill may begin later, `shared::FILL_WITHIN`.
pub(super) const TTL: u32 = 10;
/// How long a command may be under way, the response timeout.
pub(super) const UNDER_WAY: u32 = 1;
/// `guards::GOOD_FOR`.
pub(super) const GOOD_FOR: u32 = 20;
/// `guards::GUARD_TTL`.
pub(super) const GUARD_TTL: u32 = 100;
/// The longest life of a pair, `hold::Hold`.
const LIFE: u32 = 80;
/// `changes::MARGIN`.
const MARGIN: u32 = 200;
/// `changes::AGAIN_AFTER`.
const AGAIN_AFTER: u32 = 12;
/// `tier::ROUNDS`.
pub(super) const ROUNDS: u32 = 3;
/// When the model begins: late enough for every time before it.
const BEGIN: u32 = 1000;

/// One row, one Redis, two instances.
pub(super) struct Machine<'a> {
    without: &'a [Rule],
    pub(super) now: u32,
    pub(super) database: Database,
    pub(super) redis: Redis,
    pub(super) instances: [Instance; 2],
}

impl<'a> Machine<'a> {
    /// A world in which these rules do not hold.
    pub(super) fn without(without: &'a [Rule]) -> Self {
        Self {
            without,
            now: BEGIN,
            database: Database::default(),
            redis: Redis { up: true, life: 1, stored: None, saved: None, forgotten: 0 },
            instances: Default::default(),
        }
    }

    pub(super) fn has(&self, rule: Rule) -> bool {
        !self.without.contains(&rule)
    }

    /// Lets it happen; fails when something is handed out, or stored, that must not be.
    pub(super) fn happens(&mut self, op: Op) -> Result<(), Wrong> {
        match op {
            Op::Pass(tenths) => self.now += tenths,
            Op::Read(i, reader) => self.read(i, reader)?,
            Op::ReaderDies(i, reader) => self.instances[i].readers[reader] = Reader::Idle,
            Op::Write(i, late) => self.write(i, late),
            Op::WriterDies(i) => self.instances[i].writer = None,
            Op::Look(i) => self.look(i),
            Op::Hear(i) if !self.instances[i].messages.is_empty() => {
                let version = self.instances[i].messages.remove(0);
                self.raise(i, version);
            }
            Op::Cut(i) => self.cut(i),
            Op::Subscribe(i) => self.subscribe(i),
            Op::Attend(i) => match self.instances[i].link {
                Some(_) => {
                    self.connected(i);
                }
                None if self.redis.up => {
                    let instance = &mut self.instances[i];
                    (instance.link, instance.changes) = (Some(self.redis.life), instance.changes + 1);
                }
                None => {}
            },
            Op::Restart(i) => self.instances[i] = Instance::default(),
            Op::Flush => (self.redis.stored, self.redis.forgotten) = (None, 0),
            Op::Save => self.redis.saved = self.redis.stored,
            Op::Kill => {
                self.redis.up = false;
                (0..2).for_each(|i| self.cut(i));
            }
            Op::Start if !self.redis.up => {
                let (life, saved) = (self.redis.life + 1, self.redis.saved);
                self.redis = Redis { up: true, life, stored: saved, saved, forgotten: 0 };
            }
            Op::Hear(_) | Op::Start => {}
        }
        let returned = self.redis.stored.is_some_and(|it| !it.tombstone && it.version < self.redis.forgotten);
        if returned { Err(Wrong::Returned) } else { Ok(()) }
    }

    // --- Guards: `guards::Guards` ---

    pub(super) fn guard(&self, i: usize) -> Guard {
        let standing = self.instances[i].guard.filter(|(_, raised)| self.now <= raised + GUARD_TTL);
        standing.map(|(guard, _)| guard).unwrap_or_default()
    }

    pub(super) fn admits(&self, i: usize, entry: &Entry) -> bool {
        let guard = self.guard(i);
        let in_time = entry.generation >= guard.generation.max(self.instances[i].all);
        let new = entry.version == 0 || entry.version >= guard.version;
        (in_time || !self.has(Rule::GuardsKnowMoments)) && (new || !self.has(Rule::GuardsKnowVersions))
    }

    fn raise(&mut self, i: usize, version: u32) {
        let (now, old) = (self.now, self.guard(i));
        let instance = &mut self.instances[i];
        instance.generation += 1;
        instance.guard = Some((Guard { version: version.max(old.version), generation: instance.generation }, now));
        instance.memory = instance.memory.filter(|_| self.without.contains(&Rule::GuardsKnowMoments));
        if instance.told.is_none_or(|(told, _)| told < version) {
            instance.told = Some((version, now));
        }
    }

    // --- Redis: `shared::Shared`, `redis::link`, the scripts ---

    /// What is believed of Redis now.
    pub(super) fn believed(&self, i: usize) -> Option<Belief> {
        let fresh = |belief: &Belief| self.now < belief.looked + GOOD_FOR || !self.has(Rule::BeliefLapses);
        let unbroken =
            |belief: &Belief| belief.changes == self.instances[i].changes || !self.has(Rule::OutagesEndBelief);
        self.instances[i].belief.filter(|belief| fresh(belief) && unbroken(belief))
    }

    /// Whether a command gets through. One that does not opens the breaker.
    pub(super) fn connected(&mut self, i: usize) -> bool {
        let Some(life) = self.instances[i].link else { return false };
        let stands = self.redis.up && life == self.redis.life;
        if !stands {
            self.instances[i].link = None;
            self.instances[i].changes += 1;
        }
        stands
    }

    fn cut(&mut self, i: usize) {
        self.instances[i].subscribed = false;
        self.instances[i].messages.clear();
    }

    fn subscribe(&mut self, i: usize) {
        if !self.instances[i].subscribed && self.connected(i) {
            let instance = &mut self.instances[i];
            instance.subscribed = true;
            instance.generation += 1;
            (instance.all, instance.memory) = (instance.generation, None);
        }
    }

    fn leave_tombstone(&mut self, version: u32) {
        self.redis.stored = Some(Stored { version, tombstone: true }).filter(|_| self.has(Rule::Tombstones));
    }

    // --- Writing: a use case and `Cache::forget` ---

    fn write(&mut self, i: usize, late: u32) {
        let Some((step, version)) = self.instances[i].writer else {
            self.database.commits.push(self.now);
            self.database.changed = self.now - late;
            self.instances[i].writer = Some((Writer::Here, self.database.version()));
            return;
        };
        self.instances[i].writer = match step {
            Writer::Here => Some((Writer::InRedis, version)),
            Writer::InRedis => Some((Writer::HereAgain, version)),
            Writer::HereAgain => None,
        };
        if !matches!(step, Writer::InRedis) {
            return self.raise(i, version);
        }
        if self.connected(i) {
            if self.redis.stored.is_none_or(|stored| stored.version <= version) {
                self.leave_tombstone(version);
            }
            self.redis.forgotten = self.redis.forgotten.max(version);
            self.instances.iter_mut().filter(|it| it.subscribed).for_each(|it| it.messages.push(version));
        }
    }

    // --- Looking: `Cache::poll_changes` ---

    fn look(&mut self, i: usize) {
        let (now, overlap) = (self.now, if self.has(Rule::LooksOverlap) { MARGIN } else { 0 });
        self.instances[i].look = match self.instances[i].look {
            Look::Idle => {
                let starts_over = self.has(Rule::LooksStartOver);
                let instance = &mut self.instances[i];
                let (was_away, there) = (instance.seen != instance.changes, instance.link.is_some());
                instance.seen = instance.changes;
                instance.owes |= (was_away || !there) && starts_over;
                instance.belief = instance.belief.filter(|_| !instance.owes);
                instance.handled = instance.handled.filter(|_| !instance.owes);
                let all = instance.owes && there;
                let since = instance.looked.filter(|_| !all).map(|looked| looked - overlap);
                let changes = instance.changes;
                Look::Chosen { since, changes, there }
            }
            Look::Chosen { since, changes, there } => {
                let seen = self.has(Rule::LooksSeeOutages);
                let changes = if seen { changes } else { self.instances[i].changes };
                Look::Begun { belief: Belief { looked: now, changes }, since, there }
            }
            Look::Begun { belief, since, there } => {
                if !self.has(Rule::LooksConfirmAtTheirEnd) {
                    self.confirm(i, belief.looked);
                }
                let version = self.database.version();
                let in_range = version > 0 && since.is_none_or(|since| self.database.changed >= since);
                let is_due = self.instances[i]
                    .handled
                    .is_none_or(|known| known.version < version || known.again.is_some_and(|at| at <= now));
                Look::Read { belief, due: Some(version).filter(|_| in_range && is_due), there }
            }
            Look::Read { belief, due, there } => {
                self.deal_with(i, belief, due, there);
                Look::Idle
            }
        };
    }

    fn deal_with(&mut self, i: usize, belief: Belief, due: Option<u32>, there: bool) {
        let mut done = true;
        if let Some(version) = due {
            if self.has(Rule::LooksRepair) && there {
                done = self.connected(i);
                if done {
                    if self.redis.stored.is_none_or(|stored| stored.version < version) {
                        self.leave_tombstone(version);
                    }
                    self.redis.forgotten = self.redis.forgotten.max(version);
                }
            }
            if self.has(Rule::LooksRaiseGuards) {
                self.raise(i, version);
            }
        }
        self.confirm(i, belief.looked);
        if !done {
            return;
        }
        if let Some(version) = due {
            let first = self.instances[i].handled.is_none_or(|known| known.version != version);
            let again = (first && self.has(Rule::LooksDealTwice)).then_some(self.now + AGAIN_AFTER);
            self.instances[i].handled = Some(Handled { version, again });
        }
        self.instances[i].looked = Some(belief.looked);
        if there {
            (self.instances[i].belief, self.instances[i].owes) = (Some(belief), false);
        }
    }

    // --- Looks keep memory good: `guards::Guards`, `hold::Hold` ---

    fn confirm(&mut self, i: usize, looked: u32) {
        let confirmed = &mut self.instances[i].confirmed;
        *confirmed = (*confirmed).max(Some(looked));
    }

    /// Until when an entry stands, if the guards admit it.
    pub(super) fn end(&self, i: usize, entry: &Entry) -> u32 {
        let looked = self.instances[i].confirmed.filter(|_| entry.version > 0);
        let from = if self.has(Rule::LooksConfirmTheirBeginning) { looked } else { looked.map(|_| self.now) };
        let last = if self.has(Rule::PairsEndBeforeGuards) { entry.began + LIFE } else { u32::MAX };
        from.map_or(entry.until, |from| entry.until.max(last.min(from + GOOD_FOR)))
    }
}

impl Database {
    pub(super) fn version(&self) -> u32 {
        u32::try_from(self.commits.len()).expect("few versions")
    }
}
