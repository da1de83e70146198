//! What the model is made of: the rules that can be taken away, what can happen, and what each part remembers.
//!
//! Time goes in tenths of a second.

/// What `src/cache` and `src/redis` do to keep an old version out, each to be left out on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Redis is read for two seconds after a look, and not longer.
    BeliefLapses,
    /// What came from Redis ends in memory with those two seconds.
    EntriesEndWithBelief,
    /// After an outage Redis is not read before the next look.
    OutagesEndBelief,
    /// That is seen also by an answer that is already on its way.
    BeliefHoldsAtTheAnswer,
    /// A look is worth nothing if Redis was away since the moment at which it chose how far back it reads.
    LooksSeeOutages,
    /// After an outage the look goes back as far as anything in Redis can be old.
    LooksStartOver,
    /// A look puts Redis right.
    LooksRepair,
    /// A look raises the guards of this instance.
    LooksRaiseGuards,
    /// Each change is dealt with twice.
    LooksDealTwice,
    /// A look reads further back than the last one, for commits that were late.
    LooksOverlap,
    /// A reader that was slow does not fill Redis.
    SlowFillsAreRefused,
    /// Redis refuses a fill that is older than what it holds.
    OlderFillsAreRefused,
    /// Forgetting leaves a tombstone, not nothing.
    Tombstones,
    /// What is handed out is no older than the version that this instance was told of.
    GuardsKnowVersions,
    /// What is handed out was loaded after this instance was told.
    GuardsKnowMoments,
    /// An entry's second begins with its load, not with its end.
    LifeBeginsWithTheLoad,
    /// Who joins a load that began long ago starts another.
    LateJoinersLoadAgain,
    /// A look keeps what is in memory when it is done with all that it found, not before.
    LooksConfirmAtTheirEnd,
    /// It does so for two seconds from its beginning.
    LooksConfirmTheirBeginning,
    /// However often looks find it good, what is in memory ends before a guard does that was raised after it was loaded.
    PairsEndBeforeGuards,
}

/// What can happen next. Instances are 0 and 1, and have two readers each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// So many tenths of a second pass.
    Pass(u32),
    /// A reader takes its next step: arrives, asks Redis, asks the database, fills Redis, puts in memory and hands out.
    Read(usize, usize),
    /// It is gone in the middle, its fill not sent.
    ReaderDies(usize, usize),
    /// A writer takes its next step: commits (with a time that many tenths old), forgets here, in Redis, here again.
    Write(usize, u32),
    /// It is gone in the middle, after its commit.
    WriterDies(usize),
    /// The once-a-second look takes its next step: begins, reads the changes, deals with them.
    Look(usize),
    /// A message arrives.
    Hear(usize),
    /// The subscription breaks, with all that was under way.
    Cut(usize),
    /// It is there again.
    Subscribe(usize),
    /// The link's task finds a broken connection, or makes a new one.
    Attend(usize),
    /// The process dies, and another takes its place.
    Restart(usize),
    /// Redis forgets everything.
    Flush,
    /// Redis writes down what it has.
    Save,
    /// Redis dies.
    Kill,
    /// Redis starts, with what it had written down.
    Start,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Somebody who arrived two seconds after a commit, or later, was handed something older.
    Stale,
    /// An instance that had been told of a version handed out an older one.
    Revived,
    /// Redis lost nothing, and yet holds something older than what was forgotten in it.
    Returned,
}

/// An entry in memory. Version 0 says that there is no such row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) version: u32,
    pub(super) generation: u32,
    pub(super) began: u32,
    /// Until when it stands by itself.
    pub(super) until: u32,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Guard {
    pub(super) version: u32,
    pub(super) generation: u32,
}

/// That Redis may be read, from a look that began at `looked`; `changes` is the count of the link's ups and downs then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Belief {
    pub(super) looked: u32,
    pub(super) changes: u32,
}

/// A load under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) arrived: u32,
    pub(super) began: u32,
    pub(super) generation: u32,
    pub(super) at_least: u32,
    /// What was believed when Redis was asked.
    pub(super) belief: Option<Belief>,
    pub(super) may_fill: bool,
    /// Starts again so far; after three the database is asked and nobody else.
    pub(super) rounds: u32,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Reader {
    #[default]
    Idle,
    /// Waits for the other reader's load.
    Joined {
        arrived: u32,
        rounds: u32,
    },
    Began(Load),
    /// Has read what it believes of Redis, and is about to ask it.
    Asking(Load),
    /// Has nothing from Redis.
    Missed(Load),
    /// Has this version from the database.
    Read(Load, u32),
    Loaded(Load, Entry),
}

/// What a look is doing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Look {
    #[default]
    Idle,
    /// Knows whether Redis is there, and what was last looked for.
    Chosen {
        since: Option<u32>,
        changes: u32,
        there: bool,
    },
    Begun {
        belief: Belief,
        since: Option<u32>,
        there: bool,
    },
    Read {
        belief: Belief,
        due: Option<u32>,
        there: bool,
    },
}

/// A version that a look has dealt with, and when it does so again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handled {
    pub(super) version: u32,
    pub(super) again: Option<u32>,
}

/// Where a writer forgets next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Writer {
    Here,
    InRedis,
    HereAgain,
}

/// The row.
#[derive(Clone, Debug, Default)]
pub(super) struct Database {
    /// When each version was committed.
    pub(super) commits: Vec<u32>,
    /// The time that the last one carries, which is when its transaction began.
    pub(super) changed: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) version: u32,
    pub(super) tombstone: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Redis {
    pub(super) up: bool,
    /// Connections of an earlier life are broken.
    pub(super) life: u32,
    pub(super) stored: Option<Stored>,
    pub(super) saved: Option<Stored>,
    /// The newest version that was forgotten in it and that it has not lost.
    pub(super) forgotten: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Instance {
    pub(super) memory: Option<Entry>,
    /// With the moment at which it was last raised.
    pub(super) guard: Option<(Guard, u32)>,
    pub(super) generation: u32,
    /// Of the last gap.
    pub(super) all: u32,
    /// The life of Redis that the connections belong to, while the breaker is closed.
    pub(super) link: Option<u32>,
    /// How often the link has come or gone.
    pub(super) changes: u32,
    pub(super) belief: Option<Belief>,
    pub(super) subscribed: bool,
    pub(super) messages: Vec<u32>,
    pub(super) readers: [Reader; 2],
    pub(super) writer: Option<(Writer, u32)>,
    pub(super) look: Look,
    pub(super) looked: Option<u32>,
    /// When the last look began that was done with all that it found.
    pub(super) confirmed: Option<u32>,
    /// Whether Redis may hold what no look has checked.
    pub(super) owes: bool,
    /// What the look has seen of `changes`.
    pub(super) seen: u32,
    pub(super) handled: Option<Handled>,
    /// The newest version that it was told of, and when.
    pub(super) told: Option<(u32, u32)>,
}
