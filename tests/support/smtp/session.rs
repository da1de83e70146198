//! One connection to the sink: the server's side of RFC 5321, as much of it as a submission client uses.
//!
//! One command is read, answered and only then the next one. Where PIPELINING is switched on, commands that came together
//! are answered together. Lines end in CRLF and only
//! there, so that a bare line feed before a dot neither ends a message nor loses the dot.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::hold::hold;
use super::{Fault, ReceivedMail, Shared, Stage};

/// Serves a connection until either side ends it. A broken one is the client's business: tests break them.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let number = shared.change(|state| {
        state.connections += 1;
        state.open += 1;
        state.connections
    });
    let _open = Open(Arc::clone(&shared));
    let _ = stream.set_nodelay(true);
    let mut session = Session {
        stream: BufReader::new(stream),
        shared,
        number,
        greeted: false,
        from: None,
        recipients: Vec::new(),
        unsent: Vec::new(),
        pause: None,
    };
    let _ = session.talk().await;
}

/// Counts a connection as open for as long as it lives.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.change(|state| state.open -= 1);
    }
}

struct Session {
    stream: BufReader<TcpStream>,
    shared: Arc<Shared>,
    number: usize,
    greeted: bool,
    from: Option<String>,
    recipients: Vec<String>,
    /// Answers to commands that more commands came with.
    unsent: Vec<u8>,
    /// Between the bytes of the next answer.
    pause: Option<Duration>,
}

/// How a stage went.
#[derive(PartialEq, Eq)]
enum Outcome {
    Accepted,
    Refused,
    /// The connection is to be closed without another word.
    Over,
}

impl Session {
    async fn talk(&mut self) -> io::Result<()> {
        if self.stage(Stage::Connect, "220 sink.test ESMTP").await? != Outcome::Accepted {
            return Ok(());
        }
        let mut line = Vec::new();
        loop {
            line.clear();
            let waits = self.stream.buffer().is_empty();
            if self.stream.read_until(b'\n', &mut line).await? == 0 {
                return Ok(());
            }
            let latency = self.shared.state().latency;
            if waits && !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
            if !self.command(&verb.to_ascii_uppercase(), rest).await? {
                return Ok(());
            }
        }
    }

    /// Obeys one command; false ends the session.
    async fn command(&mut self, verb: &str, rest: &str) -> io::Result<bool> {
        let outcome = match verb {
            "EHLO" | "HELO" => self.hello(verb == "EHLO").await?,
            "MAIL" => self.mail(rest).await?,
            "RCPT" => self.rcpt(rest).await?,
            "DATA" => self.data().await?,
            "AUTH" => self.auth(rest).await?,
            "RSET" => {
                self.reset();
                self.say("250 forgotten").await?
            }
            "NOOP" => self.say("250 ok").await?,
            "QUIT" => {
                self.say("221 bye").await?;
                self.flush().await?;
                Outcome::Over
            }
            _ => self.say("500 unknown command").await?,
        };
        Ok(outcome != Outcome::Over)
    }

    async fn hello(&mut self, extended: bool) -> io::Result<Outcome> {
        self.reset();
        let pipelining = if self.shared.state().pipelining { "250-PIPELINING\r\n" } else { "" };
        let answer = if extended {
            format!("250-sink.test\r\n{pipelining}250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN")
        } else {
            "250 sink.test".to_owned()
        };
        let outcome = self.stage(Stage::Ehlo, &answer).await?;
        self.greeted |= outcome == Outcome::Accepted;
        Ok(outcome)
    }

    async fn auth(&mut self, rest: &str) -> io::Result<Outcome> {
        let (mechanism, response) = rest.split_once(' ').unwrap_or((rest, ""));
        if !mechanism.eq_ignore_ascii_case("PLAIN") {
            return self.say("504 only PLAIN").await;
        }
        if response.is_empty() {
            self.say("334 ").await?;
            self.stream.read_until(b'\n', &mut Vec::new()).await?;
        }
        self.say("235 welcome").await
    }

    async fn mail(&mut self, rest: &str) -> io::Result<Outcome> {
        let Some(from) = address(rest, "FROM:") else {
            return self.say("501 MAIL FROM:<address>").await;
        };
        if !self.greeted || self.from.is_some() {
            return self.say("503 out of order").await;
        }
        let outcome = self.stage(Stage::Mail, "250 ok").await?;
        if outcome == Outcome::Accepted {
            self.from = Some(from);
        }
        Ok(outcome)
    }

    async fn rcpt(&mut self, rest: &str) -> io::Result<Outcome> {
        let Some(to) = address(rest, "TO:").filter(|to| !to.is_empty()) else {
            return self.say("501 RCPT TO:<address>").await;
        };
        if self.from.is_none() {
            return self.say("503 out of order").await;
        }
        // A fault of a domain looks at this recipient, not at those before.
        let earlier = std::mem::replace(&mut self.recipients, vec![to]);
        let outcome = self.stage(Stage::Rcpt, "250 ok").await;
        let this = std::mem::replace(&mut self.recipients, earlier);
        if matches!(outcome, Ok(Outcome::Accepted)) {
            self.recipients.extend(this);
        }
        outcome
    }

    async fn data(&mut self) -> io::Result<Outcome> {
        if self.recipients.is_empty() {
            return self.say("503 out of order").await;
        }
        let outcome = self.stage(Stage::Data, "354 go on").await?;
        if outcome != Outcome::Accepted {
            return Ok(outcome);
        }
        let Some(raw) = self.message().await? else {
            return Ok(Outcome::Over);
        };
        let mail = ReceivedMail {
            from: self.from.take().unwrap_or_default(),
            to: self.recipients.clone(),
            raw,
            received_at: Instant::now(),
            connection: self.number,
        };
        self.shared.change(|state| state.dots.extend(self.recipients.iter().cloned()));
        match self.fault(Stage::Dot) {
            fault @ (None | Some(Fault::Hold { .. })) => {
                // Kept before it is answered: whoever has the answer finds the mail.
                self.keep(mail);
                let outcome =
                    if fault.is_some() { self.say_late("250 kept").await } else { self.say("250 kept").await };
                self.reset();
                outcome
            }
            Some(Fault::DropAfter { .. }) => {
                self.keep(mail);
                Ok(Outcome::Over)
            }
            Some(fault) => {
                let accepted = matches!(fault, Fault::Reply { code: 200..400, .. });
                if accepted {
                    self.keep(mail);
                }
                self.reset();
                self.fail(fault).await
            }
        }
    }

    /// Reads a message to its dot; nothing when the client went away within.
    async fn message(&mut self) -> io::Result<Option<Vec<u8>>> {
        let slow = self.take_fault(|fault| matches!(fault, Fault::Slow { .. }));
        let mut raw = Vec::new();
        loop {
            let begin = raw.len();
            let starts_line = begin == 0 || raw.ends_with(b"\r\n");
            let bytes = self.stream.read_until(b'\n', &mut raw).await?;
            if bytes == 0 {
                return Ok(None);
            }
            if let Some(pause) = slow.as_ref().and_then(|fault| fault.pause(bytes)) {
                tokio::time::sleep(pause).await;
            }
            if begin == 0 && self.take_fault(|fault| matches!(fault, Fault::Stall)).is_some() {
                let _held = hold(&self.shared).await;
                return Ok(None);
            }
            if starts_line && raw[begin] == b'.' {
                if &raw[begin..] == b".\r\n" {
                    raw.truncate(begin);
                    return Ok(Some(raw));
                }
                raw.remove(begin);
            }
        }
    }

    /// Comes to a stage: answers as usual or as scripted.
    async fn stage(&mut self, stage: Stage, answer: &str) -> io::Result<Outcome> {
        match self.fault(stage) {
            None => self.say(answer).await,
            Some(Fault::DropAfter { stage: Stage::Data }) => {
                self.say(answer).await?;
                // Something of the message must be on its way when the connection breaks.
                self.stream.read_u8().await?;
                Ok(Outcome::Over)
            }
            Some(Fault::Hold { .. }) => self.say_late(answer).await,
            Some(fault) => self.fail(fault).await,
        }
    }

    async fn fail(&mut self, fault: Fault) -> io::Result<Outcome> {
        if !matches!(fault, Fault::Reply { .. }) {
            self.flush().await?;
        }
        match fault {
            Fault::Reply { code, text, .. } => {
                let outcome = self.say(&format!("{code} {text}")).await?;
                if code == 421 {
                    self.flush().await?;
                }
                Ok(if code == 421 { Outcome::Over } else { outcome })
            }
            Fault::Hang { .. } => {
                // Until the client leaves; what it says meanwhile is not heard.
                tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await?;
                Ok(Outcome::Over)
            }
            Fault::DropAfter { .. }
            | Fault::Hold { .. }
            | Fault::Stall
            | Fault::Slow { .. }
            | Fault::Trickle { .. } => Ok(Outcome::Over),
        }
    }

    /// Answers after the sink's release.
    async fn say_late(&mut self, answer: &str) -> io::Result<Outcome> {
        self.flush().await?;
        let _held = hold(&self.shared).await;
        self.say(answer).await
    }

    fn fault(&mut self, stage: Stage) -> Option<Fault> {
        self.pause = self.shared.change(|state| {
            state.reached[stage as usize] += 1;
            state.trickle.filter(|(at, _)| *at == stage).map(|(_, pause)| pause)
        });
        self.take_fault(|fault| fault.is_at(stage))
    }

    fn take_fault(&self, fits: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut state = self.shared.state();
        state.scripts.iter_mut().find_map(|script| script.take(&self.recipients, &fits))
    }

    fn keep(&self, mail: ReceivedMail) {
        self.shared.change(|state| {
            state.mails.push(mail);
            state.taken.push(false);
        });
    }

    fn reset(&mut self) {
        self.from = None;
        self.recipients.clear();
    }

    /// Answers: in one packet, with the answers to all commands that came together, unless it is to trickle.
    async fn say(&mut self, answer: &str) -> io::Result<Outcome> {
        self.unsent.extend_from_slice(format!("{answer}\r\n").as_bytes());
        let scripted = self.take_fault(|fault| matches!(fault, Fault::Trickle { .. })).and_then(|fault| fault.pause(1));
        if let Some(pause) = self.pause.take().or(scripted) {
            for byte in std::mem::take(&mut self.unsent) {
                self.stream.write_u8(byte).await?;
                tokio::time::sleep(pause).await;
            }
        }
        let together = self.shared.state().pipelining && self.stream.buffer().contains(&b'\n');
        if !together {
            self.flush().await?;
        }
        Ok(if answer.starts_with(['2', '3']) { Outcome::Accepted } else { Outcome::Refused })
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&std::mem::take(&mut self.unsent)).await
    }
}

/// The address of `FROM:<a@b.c> PARAMETERS`.
fn address(rest: &str, keyword: &str) -> Option<String> {
    let (known, path) = rest.trim_start().split_at_checked(keyword.len())?;
    let path = known.eq_ignore_ascii_case(keyword).then_some(path)?.trim_start();
    let (address, _parameters) = path.strip_prefix('<')?.split_once('>')?;
    Some(address.to_owned())
}
