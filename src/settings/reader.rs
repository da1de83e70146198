//! Reading settings as types, and collecting what is wrong instead of stopping at it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::layers::{Found, Layers, Reported};
use super::mask::{HIDDEN, mask};
use super::problem::{Effective, Problem, Source, example};
use super::{Sources, keys, values};

/// A setting that was read, or whose problem has been recorded.
pub(super) type Read<T> = Result<T, Reported>;

/// Hands out settings by key, and remembers problems, notes and what is in force.
pub(super) struct Reader<'a> {
    sources: &'a Sources,
    layers: Layers,
    notes: Vec<String>,
    effective: BTreeMap<String, Effective>,
}

/// What a reader has gathered.
pub(super) struct Outcome {
    pub(super) problems: Vec<Problem>,
    pub(super) notes: Vec<String>,
    pub(super) effective: Vec<Effective>,
}

impl<'a> Reader<'a> {
    /// Reads all sources.
    pub(super) fn new(sources: &'a Sources) -> Self {
        Self { sources, layers: Layers::gather(sources), notes: Vec::new(), effective: BTreeMap::new() }
    }

    /// Ends the reading.
    pub(super) fn finish(self) -> Outcome {
        Outcome { problems: self.layers.problems, notes: self.notes, effective: self.effective.into_values().collect() }
    }

    /// A setting that has a default, read by `parse`. The default serves as the example.
    pub(super) fn required<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Read<T> {
        let example = self.layers.defaults.get(key).cloned().unwrap_or_default();
        match self.optional(key, &example, parse)? {
            Some(value) => Ok(value),
            None => Err(self.refuse(key, "has no default in config/default.toml", &example)),
        }
    }

    /// A setting that may be unset, read by `parse`.
    pub(super) fn optional<T>(
        &mut self,
        key: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Read<Option<T>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        parse(text.trim()).map(Some).map_err(|reason| self.refuse(key, &reason, example))
    }

    /// The text of a setting as it was written, blanks included.
    pub(super) fn text(&mut self, key: &str) -> Read<Option<String>> {
        let found = match (self.layers.given.get(key), self.layers.defaults.get(key)) {
            (Some(given), _) => given.clone()?,
            (None, Some(default)) => Found { text: default.clone(), source: Source::Default },
            (None, None) => return Err(self.refuse(key, "is missing from config/default.toml", "")),
        };
        let unset = found.text.is_empty();
        let value = if keys::is_opaque(key) && !unset { HIDDEN.to_owned() } else { mask(&found.text) };
        self.effective.insert(key.to_owned(), Effective { key: key.to_owned(), value, source: found.source });
        Ok((!unset).then_some(found.text))
    }

    /// A whole number within `range`.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, key: &str, range: RangeInclusive<u64>) -> Read<T> {
        self.required(key, |text| {
            let number = text.parse().ok().filter(|number| range.contains(number));
            number
                .and_then(|number| T::try_from(number).ok())
                .ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// A duration from `least` to `most`, both written as durations.
    pub(super) fn duration(&mut self, key: &str, least: &str, most: &str) -> Read<Duration> {
        self.required(key, |text| duration_within(text, least, most))
    }

    /// Records that `key`, as it is, cannot be accepted.
    pub(super) fn refuse(&mut self, key: &str, reason: &str, example_value: &str) -> Reported {
        let found = self.layers.given.get(key).and_then(|given| given.as_ref().ok());
        let source = found.map_or(Source::Default, |found| found.source.clone());
        let text = found.map(|found| &found.text).or_else(|| self.layers.defaults.get(key));
        let value = text.filter(|text| !keys::is_secret(key) && !text.is_empty()).map(|text| {
            let shown = mask(text);
            shown.chars().take(200).collect()
        });
        let example = example(key, example_value, &source);
        self.problem(Problem { key: key.to_owned(), source, value, reason: reason.to_owned(), example })
    }

    /// Records a problem that is not one of a key.
    pub(super) fn problem(&mut self, problem: Problem) -> Reported {
        self.layers.problems.push(problem);
        Reported
    }

    /// Whether a variable that is not a setting has a value.
    pub(super) fn variable_is_set(&self, name: &str) -> bool {
        self.sources.environment.get(name).is_some_and(|value| !value.trim().is_empty())
    }

    /// Says what is in force for `key` where its text does not: a default that was computed, a list with secrets.
    pub(super) fn show(&mut self, key: &str, value: String) {
        if let Some(effective) = self.effective.get_mut(key) {
            effective.value = value;
        }
    }

    /// Adds a remark for the log.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }
}

/// Reads a duration and checks its bounds, which are written as durations too.
pub(super) fn duration_within(text: &str, least: &str, most: &str) -> Result<Duration, String> {
    let given = values::duration(text)?;
    if (values::duration(least)?..=values::duration(most)?).contains(&given) {
        Ok(given)
    } else {
        Err(format!("must be a duration from {least} to {most}"))
    }
}

/// How a person is told of a setting: its key and its variable.
pub(super) fn name(key: &str) -> String {
    format!("{key} ({})", keys::main_variable(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(variables: &[(&str, &str)]) -> Sources {
        let environment = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Sources { environment, ..Sources::default() }
    }

    #[test]
    fn a_value_out_of_range_is_recorded_with_its_bounds_and_reading_goes_on() {
        let sources =
            sources(&[("REDIS_POOL_SIZE", "0"), ("REDIS_POOL_TIMEOUT", "1d"), ("GATEPOST_MAIL_WORKERS", "9")]);
        let mut reader = Reader::new(&sources);
        assert_eq!(reader.number::<u32>("redis.pool_size", 1..=1000), Err(Reported));
        assert_eq!(reader.duration("redis.pool_timeout", "10ms", "5m"), Err(Reported));
        assert_eq!(reader.number::<usize>("mail.workers", 1..=256), Ok(9));
        let problems = reader.finish().problems;
        assert_eq!(problems[0].reason, "must be a whole number from 1 to 1000");
        assert_eq!(problems[0].value.as_deref(), Some("0"));
        assert_eq!(problems[0].example, "REDIS_POOL_SIZE=10");
        assert_eq!(problems[1].reason, "must be a duration from 10ms to 5m");
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn a_key_that_no_default_lists_is_a_problem() {
        let sources = Sources::default();
        let mut reader = Reader::new(&sources);
        assert!(reader.text("server.colour").is_err());
        assert_eq!(reader.finish().problems[0].reason, "is missing from config/default.toml");
    }

    #[test]
    fn problems_and_what_is_in_force_hide_secrets() {
        let sources = sources(&[("GATEPOST_SECRET", "hunter2"), ("DATABASE_URL", "postgres://u:hunter2@h/x")]);
        let mut reader = Reader::new(&sources);
        reader.text("secret").unwrap();
        reader.text("database.url").unwrap();
        reader.refuse("secret", "is too short", "x");
        reader.refuse("database.url", "is odd", "x");
        let outcome = reader.finish();
        assert!(!format!("{:?}{:?}", outcome.problems, outcome.effective).contains("hunter2"));
        assert_eq!(outcome.effective[0].value, "postgres://u:[hidden]@h/x");
        assert_eq!(outcome.effective[1].value, "[hidden]");
    }
}
