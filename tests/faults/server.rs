//! The binary as a process of its own, on a free port, with no environment but the one it is given.

use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::support::{Server, eventually, free_port};

/// Long enough for a start on a busy machine.
const START: Duration = Duration::from_secs(30);

/// The program, with no environment but PATH.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// A running `gatepost`; dropping it kills it.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    process: Server,
    port: u16,
    spawned: Instant,
}

impl ServerProcess {
    /// Starts the server on a free port with these variables, and waits until it is ready.
    pub(crate) async fn start(environment: &[(&str, &str)]) -> Self {
        for _ in 0..5 {
            let mut server = Self::spawn(environment);
            if server.becomes_ready().await {
                return server;
            }
            // The port may have been taken meanwhile; anything else is what the test is about.
            assert!(server.log().contains("cannot listen"), "gatepost ended:\n{}", server.log());
        }
        panic!("no port stays free for gatepost");
    }

    /// Starts the server on a free port; it may not be ready for a while.
    pub(crate) fn spawn(environment: &[(&str, &str)]) -> Self {
        Self::spawn_on(free_port(), environment)
    }

    /// Starts the server on this port; it may not be ready for a while.
    pub(crate) fn spawn_on(port: u16, environment: &[(&str, &str)]) -> Self {
        let mut command = program();
        command.env("GATEPOST_BIND", format!("127.0.0.1:{port}")).envs(environment.iter().copied());
        Self { process: Server::spawn(&mut command).without_grace(), port, spawned: Instant::now() }
    }

    /// Waits until the server is ready, and gives how long that took since it was spawned.
    pub(crate) async fn wait_ready(&mut self) -> Duration {
        assert!(self.becomes_ready().await, "gatepost ended:\n{}", self.log());
        self.spawned.elapsed()
    }

    async fn becomes_ready(&mut self) -> bool {
        let ready = self.url("/health/ready");
        let process = &mut self.process;
        eventually("gatepost to be ready", START, async || {
            if process.exited().is_some() {
                return Some(false);
            }
            reqwest::get(&ready).await.is_ok_and(|answer| answer.status() == 200).then_some(true)
        })
        .await
    }

    /// The port on 127.0.0.1 that it was told to listen on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address that its pages are at.
    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The URL of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has printed so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGSTOP.
    pub(crate) fn freeze(&self) {
        self.process.stop_signal();
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.process.cont();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.process.terminate();
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn wait(&mut self, deadline: Duration) -> ExitStatus {
        self.process.wait(deadline).await
    }
}
