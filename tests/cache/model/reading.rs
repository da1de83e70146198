//! How the model reads: `tier::Tier::get` around `load_user` and `load_session`.

use super::machine::{BOUND, GOOD_FOR, GUARD_TTL, Machine, ROUNDS, TTL, UNDER_WAY};
use super::parts::{Entry, Load, Reader, Rule, Stored, Wrong};

impl Machine<'_> {
    pub(super) fn read(&mut self, i: usize, reader: usize) -> Result<(), Wrong> {
        let next = match self.instances[i].readers[reader] {
            Reader::Idle => return self.arrive(i, reader, self.now, 0),
            Reader::Joined { arrived, rounds } => match self.instances[i].readers[1 - reader] {
                Reader::Idle | Reader::Joined { .. } => return self.arrive(i, reader, arrived, rounds),
                _ => return Ok(()),
            },
            Reader::Began(load) => self.begin(i, load),
            Reader::Asking(load) => self.ask(i, load),
            Reader::Missed(load) => Reader::Read(load, self.database.version()),
            Reader::Read(load, version) => self.fill(i, load, version),
            Reader::Loaded(load, entry) => return self.finish(i, reader, load, entry),
        };
        self.instances[i].readers[reader] = next;
        Ok(())
    }

    fn arrive(&mut self, i: usize, reader: usize, arrived: u32, rounds: u32) -> Result<(), Wrong> {
        let now = self.now;
        let stands = |entry: &Entry| self.end(i, entry) > now && self.admits(i, entry);
        if let Some(entry) = self.instances[i].memory.filter(stands) {
            self.instances[i].readers[reader] = Reader::Idle;
            return self.hand_out(i, entry.version, arrived, now);
        }
        let under_way = !matches!(self.instances[i].readers[1 - reader], Reader::Idle | Reader::Joined { .. });
        let (began, generation, at_least) = (now, self.instances[i].generation, self.guard(i).version);
        let load = Load { arrived, began, generation, at_least, belief: None, may_fill: false, rounds };
        let starts = if under_way { Reader::Joined { arrived, rounds } } else { Reader::Began(load) };
        self.instances[i].readers[reader] = starts;
        Ok(())
    }

    fn begin(&self, i: usize, load: Load) -> Reader {
        if load.rounds >= ROUNDS || self.instances[i].link.is_none() {
            return Reader::Missed(load);
        }
        match self.believed(i) {
            Some(belief) => Reader::Asking(Load { belief: Some(belief), ..load }),
            None => Reader::Missed(Load { may_fill: true, ..load }),
        }
    }

    fn ask(&mut self, i: usize, load: Load) -> Reader {
        let Some(belief) = load.belief.filter(|_| self.connected(i)) else { return Reader::Missed(load) };
        let missed = Reader::Missed(Load { may_fill: true, ..load });
        let stands = self.believed(i).is_some_and(|now| now.changes == belief.changes);
        let Some(stored) = self.redis.stored.filter(|stored| !stored.tombstone) else { return missed };
        if (self.has(Rule::BeliefHoldsAtTheAnswer) && !stands)
            || (self.has(Rule::GuardsKnowVersions) && stored.version < load.at_least)
        {
            return missed;
        }
        let ends = if self.has(Rule::EntriesEndWithBelief) { belief.looked + GOOD_FOR } else { u32::MAX };
        let (version, generation) = (stored.version, load.generation);
        Reader::Loaded(load, Entry { version, generation, began: load.began, until: ends.min(load.began + TTL) })
    }

    fn fill(&mut self, i: usize, load: Load, version: u32) -> Reader {
        let slow = self.has(Rule::SlowFillsAreRefused) && self.now > load.began + TTL + UNDER_WAY;
        if load.may_fill && version > 0 && !slow && self.connected(i) {
            let newer = self.redis.stored.is_some_and(|stored| stored.version > version);
            if !newer || !self.has(Rule::OlderFillsAreRefused) {
                self.redis.stored = Some(Stored { version, tombstone: false });
            }
        }
        let Load { began, generation, .. } = load;
        Reader::Loaded(load, Entry { version, generation, began, until: began + TTL })
    }

    fn finish(&mut self, i: usize, reader: usize, load: Load, mut entry: Entry) -> Result<(), Wrong> {
        if !self.has(Rule::LifeBeginsWithTheLoad) {
            entry.until = self.now + TTL;
        }
        self.instances[i].readers[reader] = Reader::Idle;
        if load.rounds >= ROUNDS {
            return self.hand_out(i, entry.version, load.arrived, load.began);
        }
        self.instances[i].memory = Some(entry);
        self.take(i, reader, (entry, load.began), load.arrived, load.rounds)?;
        if let Reader::Joined { arrived, rounds } = self.instances[i].readers[1 - reader] {
            self.instances[i].readers[1 - reader] = Reader::Idle;
            let entry = if self.has(Rule::LateJoinersLoadAgain) { entry } else { Entry { until: u32::MAX, ..entry } };
            self.take(i, 1 - reader, (entry, load.began), arrived, rounds)?;
        }
        Ok(())
    }

    /// What a load has given, if it will do for somebody who arrived then.
    fn take(
        &mut self,
        i: usize,
        reader: usize,
        (entry, began): (Entry, u32),
        arrived: u32,
        rounds: u32,
    ) -> Result<(), Wrong> {
        if self.admits(i, &entry) && entry.until > arrived {
            return self.hand_out(i, entry.version, arrived, began);
        }
        self.instances[i].memory = None;
        self.arrive(i, reader, arrived, rounds + 1)
    }

    fn hand_out(&self, i: usize, version: u32, arrived: u32, began: u32) -> Result<(), Wrong> {
        // A process that was frozen for longer than its guards stand may give a late answer to an old question.
        let frozen = self.now > began + GUARD_TTL;
        if !frozen && self.instances[i].told.is_some_and(|(told, at)| version < told && arrived > at) {
            return Err(Wrong::Revived);
        }
        let newer = &self.database.commits[version as usize..];
        if newer.iter().any(|committed| committed + BOUND <= arrived) { Err(Wrong::Stale) } else { Ok(()) }
    }
}
