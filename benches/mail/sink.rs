//! The mail server that both sides send to: takes everything, as fast as threads can, or a set time after each command.
//!
//! Every connection has a thread. It answers all commands that came in one read with one write; with a delay, a second
//! thread writes each answer when its time has come, so that pipelined commands wait together, as over a long line.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::frame::{Role, answer, serve, unix_nanos};

const ANSWER: Duration = Duration::from_secs(30);

/// The sink as the bench sees it.
pub(crate) struct Sink {
    role: Role,
    pub(crate) port: u16,
}

/// What a sink has got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Got {
    pub(crate) mails: u64,
    /// Different recipients among them: as every mail has its own, those beyond are repeats.
    pub(crate) distinct: u64,
}

impl Sink {
    /// Starts one that answers `delay` after each command.
    pub(crate) fn start(delay: Duration, offers_pipelining: bool) -> Self {
        let arguments = [delay.as_millis().to_string(), offers_pipelining.to_string()];
        let mut role = Role::spawn("sink", &arguments, true);
        let port = role.hear(ANSWER)["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        Self { role, port }
    }

    pub(crate) fn got(&mut self) -> Got {
        let answer = self.role.ask(&json!("count"), ANSWER);
        let number = |name: &str| answer[name].as_u64().expect("a number");
        Got { mails: number("mails"), distinct: number("distinct") }
    }

    /// The first mail that came: its sender and its bytes.
    pub(crate) fn specimen(&mut self) -> (String, Vec<u8>) {
        let answer = self.role.ask(&json!("specimen"), ANSWER);
        let text = |name: &str| answer[name].as_str().expect("a mail has come").to_owned();
        (text("from"), text("bytes").into_bytes())
    }

    /// When mails came whose recipient begins with `prefix`: recipients and nanoseconds since 1970.
    pub(crate) fn stamps(&mut self, prefix: &str) -> Vec<(String, u64)> {
        let answer = self.role.ask(&json!({ "stamps": prefix }), ANSWER);
        serde_json::from_value(answer["stamps"].clone()).expect("pairs")
    }
}

#[derive(Default)]
struct Taken {
    mails: Vec<(String, u64)>,
    specimen: Option<(String, Vec<u8>)>,
}

/// Plays the role.
pub(crate) fn run(arguments: &[String]) {
    let delay = Duration::from_millis(arguments[0].parse().expect("milliseconds"));
    let offers_pipelining = arguments[1] == "true";
    let taken = Arc::new(Mutex::new(Taken::default()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    answer(&json!({ "port": listener.local_addr().expect("an address").port() }));
    let shared = Arc::clone(&taken);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let conversation = Conversation::new(Arc::clone(&shared), offers_pipelining);
            thread::spawn(move || conversation.hold(stream, delay));
        }
    });
    serve(|request| answer(&report(&taken.lock().expect("no panic"), &request)));
}

fn report(taken: &Taken, request: &Value) -> Value {
    if let Some(prefix) = request["stamps"].as_str() {
        let stamps: Vec<_> = taken.mails.iter().filter(|(recipient, _)| recipient.starts_with(prefix)).collect();
        return json!({ "stamps": stamps });
    }
    if request == "specimen" {
        let (from, bytes) = taken.specimen.as_ref().expect("a mail has come");
        return json!({ "from": from, "bytes": String::from_utf8_lossy(bytes) });
    }
    let distinct: HashSet<&str> = taken.mails.iter().map(|(recipient, _)| recipient.as_str()).collect();
    json!({ "mails": taken.mails.len(), "distinct": distinct.len() })
}

/// One connection's state.
struct Conversation {
    taken: Arc<Mutex<Taken>>,
    offers_pipelining: bool,
    from: String,
    recipient: String,
    in_message: bool,
    /// Where in the buffer to go on looking for the end of a message.
    looked: usize,
}

impl Conversation {
    fn new(taken: Arc<Mutex<Taken>>, offers_pipelining: bool) -> Self {
        Self { taken, offers_pipelining, from: String::new(), recipient: String::new(), in_message: false, looked: 0 }
    }

    /// Talks until the other end has enough.
    fn hold(mut self, mut stream: TcpStream, delay: Duration) {
        stream.set_nodelay(true).expect("a socket");
        let late = (!delay.is_zero()).then(|| late_writer(stream.try_clone().expect("a socket")));
        let say = |replies: &[u8], stream: &mut TcpStream| match &late {
            Some(late) => late.send((Instant::now() + delay, replies.to_vec())).is_ok(),
            None => stream.write_all(replies).is_ok(),
        };
        let (mut buffer, mut chunk, mut replies) = (Vec::new(), vec![0; 64 * 1024], Vec::new());
        if !say(b"220 sink.example ESMTP\r\n", &mut stream) {
            return;
        }
        while let Ok(count) = stream.read(&mut chunk) {
            if count == 0 {
                return;
            }
            buffer.extend_from_slice(&chunk[..count]);
            let used = self.hear(&buffer, &mut replies);
            buffer.drain(..used);
            if !replies.is_empty() && !say(&replies, &mut stream) {
                return;
            }
            replies.clear();
        }
    }

    /// Takes whole commands and messages off the front of `buffer`; gives how many bytes they were.
    fn hear(&mut self, buffer: &[u8], replies: &mut Vec<u8>) -> usize {
        let mut used = 0;
        loop {
            let rest = &buffer[used..];
            let mark: &[u8] = if self.in_message { b"\r\n.\r\n" } else { b"\r\n" };
            let Some(found) = find(&rest[self.looked..], mark).map(|at| at + self.looked) else {
                self.looked = rest.len().saturating_sub(mark.len() - 1);
                return used;
            };
            self.looked = 0;
            used += found + mark.len();
            if self.in_message {
                self.in_message = false;
                self.keep(&rest[..found + 2]);
                replies.extend_from_slice(b"250 2.0.0 taken\r\n");
            } else {
                self.obey(&rest[..found], replies);
            }
        }
    }

    fn obey(&mut self, line: &[u8], replies: &mut Vec<u8>) {
        let verb = line.get(..4).unwrap_or(line).to_ascii_uppercase();
        let reply: &[u8] = match verb.as_slice() {
            b"EHLO" if self.offers_pipelining => b"250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            b"EHLO" => b"250-sink.example\r\n250 8BITMIME\r\n",
            b"MAIL" => {
                self.from = address(line);
                b"250 2.1.0 sender ok\r\n"
            }
            b"RCPT" => {
                self.recipient = address(line);
                b"250 2.1.5 recipient ok\r\n"
            }
            b"DATA" => {
                self.in_message = true;
                b"354 go on\r\n"
            }
            b"QUIT" => b"221 2.0.0 bye\r\n",
            _ => b"250 2.0.0 ok\r\n",
        };
        replies.extend_from_slice(reply);
    }

    fn keep(&mut self, message: &[u8]) {
        let now = unix_nanos();
        let mut taken = self.taken.lock().expect("no panic");
        if taken.specimen.is_none() {
            let unstuffed = String::from_utf8_lossy(message).replace("\r\n..", "\r\n.");
            taken.specimen = Some((self.from.clone(), unstuffed.into_bytes()));
        }
        taken.mails.push((std::mem::take(&mut self.recipient), now));
    }
}

/// A thread that writes each answer at its time.
fn late_writer(mut stream: TcpStream) -> Sender<(Instant, Vec<u8>)> {
    let (sender, answers) = channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        for (due, bytes) in answers {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    sender
}

/// What is between the angle brackets.
fn address(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or_else(String::new, |(address, _)| address.to_owned())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, length) = (needle[0], needle.len());
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|&byte| byte == first).map(|at| at + from) {
        if haystack[at..].len() < length {
            return None;
        }
        if &haystack[at..at + length] == needle {
            return Some(at);
        }
        from = at + 1;
    }
    None
}
