//! Running a command to its end.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::program;
use crate::setup::{Setup, joined};
use crate::support::eventually;

/// No command that is meant to end takes longer.
const LONGEST: Duration = Duration::from_secs(30);

/// Makes the database, as a server's first start would.
pub(crate) async fn prepared(setup: &Setup) {
    on(setup, &["migrate"]).await.done();
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Outcome {
    /// What it printed; it has to have done what it was asked.
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// The one line that says why it failed, without the name of the program.
    pub(crate) fn failed_with(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stdout, "", "results go to standard output, and this is none");
        let mut lines = self.stderr.lines().filter(|line| !line.is_empty());
        let (line, more) = (lines.next().unwrap_or_default(), lines.next());
        assert!(more.is_none(), "one line is enough: {self:?}");
        line.strip_prefix("gatepost: ").unwrap_or_else(|| panic!("whose line is it? {self:?}"))
    }

    /// The message about settings, which may have many lines, each setting with its own few.
    pub(crate) fn refused(&self) -> &str {
        assert_eq!(self.code, 2, "{self:?}");
        assert_eq!(self.stdout, "", "results go to standard output, and this is none");
        assert!(self.stderr.contains("setting is wrong:") || self.stderr.contains("settings are wrong:"), "{self:?}");
        assert_eq!(self.stderr.matches("gatepost: ").count(), 1, "one message: {self:?}");
        &self.stderr
    }

    /// Standard output as lines of JSON.
    pub(crate) fn json(self) -> Vec<Value> {
        self.done().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

/// Runs `gatepost` with these arguments and variables, in an empty directory.
pub(crate) async fn gatepost(arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let directory = tempfile::tempdir().expect("a directory");
    gatepost_in(directory.path(), arguments, environment).await
}

/// Runs a command on `setup`.
pub(crate) async fn on(setup: &Setup, arguments: &[&str]) -> Outcome {
    gatepost(arguments, &joined(&setup.environment(), &[])).await
}

/// Runs `gatepost` in this directory.
pub(crate) async fn gatepost_in(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let mut command = program();
    command.args(arguments).envs(environment.iter().copied()).current_dir(directory);
    // Into files, so that nothing it prints can make it wait for a reader.
    let [mut stdout, mut stderr] = [0, 1].map(|_| tempfile::NamedTempFile::new().expect("a file"));
    let handle = |file: &tempfile::NamedTempFile| Stdio::from(file.reopen().expect("another handle"));
    command.stdin(Stdio::null()).stdout(handle(&stdout)).stderr(handle(&stderr));
    let begun = Instant::now();
    let mut child = Killed(command.spawn().expect("gatepost starts"));
    let status = eventually(&format!("gatepost {arguments:?} to end"), LONGEST, async || {
        child.0.try_wait().expect("a child can be waited for")
    })
    .await;
    let took = begun.elapsed();
    let read = |file: &mut tempfile::NamedTempFile| {
        let mut text = String::new();
        file.read_to_string(&mut text).expect("text");
        text
    };
    let outcome =
        Outcome { code: status.code().unwrap_or(-1), stdout: read(&mut stdout), stderr: read(&mut stderr), took };
    assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
    outcome
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
