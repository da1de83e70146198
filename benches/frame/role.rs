//! A process of the benchmark's own that plays one role.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// A running role. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Role {
    name: String,
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Role {
    /// Starts this binary again as `name`, with more arguments. What it logs goes nowhere, or to where ours goes.
    pub(crate) fn spawn(name: &str, arguments: &[String], shows_log: bool) -> Self {
        let program = std::env::current_exe().expect("a path to this program");
        let mut child = Command::new(program)
            .args(["role", name])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if shows_log { Stdio::inherit() } else { Stdio::null() })
            .spawn()
            .expect("this program starts again");
        let requests = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { name: name.to_owned(), child, requests, answers }
    }

    /// The process that plays it.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, request: &Value, patience: Duration) -> Value {
        self.tell(request);
        self.hear(patience)
    }

    /// Asks without waiting.
    pub(crate) fn tell(&mut self, request: &Value) {
        let pipe = self.requests.as_mut().expect("open while it lives");
        writeln!(pipe, "{request}").and_then(|()| pipe.flush()).expect("the role reads");
    }

    /// Waits for an answer.
    pub(crate) fn hear(&mut self, patience: Duration) -> Value {
        let line = match self.answers.recv_timeout(patience) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("the {} did not answer within {patience:?}", self.name),
            Err(RecvTimeoutError::Disconnected) => panic!("the {} has ended", self.name),
        };
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        assert!(answer.get("panic").is_none(), "the {} failed: {}", self.name, answer["panic"]);
        answer
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers one request.
pub(crate) fn answer(value: &Value) {
    let mut output = std::io::stdout().lock();
    // Should the bench be gone, the input ends, too.
    let _ = writeln!(output, "{value}").and_then(|()| output.flush());
}

/// Gives every request to `act` until there are no more. A panic is told to the bench and ends the role.
pub(crate) fn serve(mut act: impl FnMut(Value)) {
    std::panic::set_hook(Box::new(|info| {
        answer(&json!({ "panic": info.to_string() }));
        std::process::exit(1);
    }));
    for line in std::io::stdin().lines().map_while(Result::ok) {
        act(serde_json::from_str(&line).expect("JSON"));
    }
}
