//! What the benchmarks share: a benchmark is one binary that starts itself again in other roles, so that each side has a
//! process, a memory and a processor account of its own; what it finds are [figures](Figure) with limits.
//!
//! ```text
//!   the bench ──spawns──▶ itself as `role sink`      takes mails and stamps them
//!             ──spawns──▶ itself as `role peer`      the yardstick
//!             ──spawns──▶ itself as `role subject`   the product
//! ```
//!
//! A role reads requests from standard input, a JSON value a line, and answers each with one; it ends when the input does, so
//! it outlives the bench in no case.
#![allow(dead_code, unused_imports, reason = "each benchmark includes all of this and uses a part of it")]

mod figures;
mod machine;
mod role;
mod samples;

pub(crate) use figures::{Figure, Report};
pub(crate) use machine::{
    ThreadTimes, cpu_of, cpu_of_thread, cpu_of_tree, cpu_own, peak_memory_kib, peak_memory_kib_of, unix_nanos,
};
pub(crate) use role::{Role, answer, serve};
pub(crate) use samples::Samples;

/// How a benchmark was asked to run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Less of everything: under a minute.
    pub(crate) quick: bool,
    /// A figure beyond its limit fails the run.
    pub(crate) check: bool,
    /// More about what the time goes to.
    pub(crate) verbose: bool,
    /// The parts that are wanted; all when there are none.
    pub(crate) only: Vec<String>,
}

impl Options {
    /// Reads the arguments; says what is wrong with them.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--check" => options.check = true,
                "--verbose" => options.verbose = true,
                part if !part.starts_with('-') => options.only.push(part.to_owned()),
                other => {
                    return Err(format!("unknown argument {other}: use [--quick] [--check] [--verbose] [PART...]"));
                }
            }
        }
        Ok(options)
    }

    /// Whether `part` is wanted.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}
