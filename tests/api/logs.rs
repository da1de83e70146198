//! Everything that the process logs, for tests that look for what must not be in it.

use std::fmt::Write as _;
use std::sync::{Mutex, Once};

use log::kv::{Error, Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Keeper;

struct Fields<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        write!(self.0, " {key}={value}").map_err(Error::from)
    }
}

impl Log for Keeper {
    /// The HTTP client of the tests is not the server, and logs what it sends and keeps.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !["cookie_store", "hyper", "reqwest"].iter().any(|of_the_client| metadata.target().starts_with(of_the_client))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let mut line = format!("{}: {}", record.target(), record.args());
            let _ = record.key_values().visit(&mut Fields(&mut line));
            LINES.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

/// Keeps every line from now on, down to the finest level.
pub(crate) fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| log::set_logger(&Keeper).expect("nobody else keeps the lines"));
    log::set_max_level(LevelFilter::Trace);
}

/// The lines so far.
pub(crate) fn kept() -> Vec<String> {
    LINES.lock().unwrap().clone()
}
