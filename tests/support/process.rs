//! Child processes that end with the test that started them.
//!
//! A [`Server`] leads a process group of its own, so that what it starts (a browser's many processes) is signalled
//! with it. It ends when it is dropped: SIGTERM, then SIGKILL after a grace period, then it is reaped. When the test
//! process dies without dropping anything (a timeout's SIGKILL, an abort), a small shell that waits on a pipe from
//! it kills the group. `PR_SET_PDEATHSIG` would not do: it fires when the *thread* that spawned the child ends, and
//! a child spawned from a pool of threads would die in the middle of a test.

use std::{
    fs::File,
    os::unix::{fs::FileExt as _, process::CommandExt as _},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// How long a server may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// How much of its log a server shows when its test fails.
const LOG_TAIL: usize = 8 * 1024;

/// A running child process and its process group.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    guard: Child,
    log: File,
    exit: Option<ExitStatus>,
    grace: Duration,
}

impl Server {
    /// Starts `command` with no input; what it prints goes to [`Self::log`].
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    pub fn spawn(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        // Without a name, so that nothing is left of it however this ends.
        let log = tempfile::tempfile().expect("a file for the log");
        let output = || Stdio::from(log.try_clone().expect("another handle of the log"));
        let child = command
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} did not start: {error}"));
        let guard = Command::new("sh")
            .args(["-c", r#"read -r _; kill -s KILL -- "-$1""#, "guard"])
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh starts");
        Self { name, child, guard, log, exit: None, grace: GRACE }
    }

    /// Makes dropping this server kill it at once: for servers with nothing to finish.
    #[must_use]
    pub fn without_grace(mut self) -> Self {
        self.grace = Duration::ZERO;
        self
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed so far.
    pub fn log(&self) -> String {
        // Reading at an offset leaves the one alone that the child writes at.
        let size = self.log.metadata().expect("the log can be read").len();
        let mut text = vec![0; usize::try_from(size).expect("a log fits into memory")];
        self.log.read_exact_at(&mut text, 0).expect("the log can be read");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// How it ended, or nothing while it runs.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait().expect("a child can be waited for");
        }
        self.exit
    }

    /// Waits for it to end by itself, at most `deadline`.
    ///
    /// # Panics
    ///
    /// When it still runs after that.
    pub async fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("{} ({}) to end", self.name, self.id());
        super::eventually(&what, deadline, async || self.exited()).await
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        if self.exit.is_none() {
            self.exit = self.child.wait().ok();
        }
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn stop_signal(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT: it goes on where SIGSTOP held it.
    pub fn cont(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// SIGTERM: it may finish what it is doing. See [`Self::wait`].
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Signals the whole group; one that has gone already needs no signal.
    fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).expect("process ids fit"));
        let _ = killpg(group, signal);
    }

    fn end(&mut self) {
        if !self.grace.is_zero() && self.exited().is_none() {
            self.terminate();
            // One that was stopped takes its SIGTERM only when it goes on.
            self.cont();
            let begun = Instant::now();
            while self.exited().is_none() && begun.elapsed() < self.grace {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        // Not only for a leader that would not go: what it started may have outlived it.
        self.kill();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(LOG_TAIL);
            let tail = (tail..log.len()).find(|&at| log.is_char_boundary(at)).unwrap_or(0);
            eprintln!("--- {} printed:\n{}", self.name, &log[tail..]);
        }
    }
}
