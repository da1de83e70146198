//! What was accepted, and what has to have become of it.
//!
//! A test notes every request in its ledger and settles it at its end. Settling waits until no mail is on its way any
//! more, then checks for each mail that was answered with 202:
//!
//! - its row is there and has ended as the test says: `sent`, unless told otherwise;
//! - one that is `sent` has arrived, one that is not has not;
//! - it arrived once; more often only where the test allows it, which it may only once the final dot was out, and then
//!   with the same Message-ID, code and bytes;
//! - it did not arrive after it had expired;
//! - its code signs its reader in.
//!
//! A request that failed may have left a mail or not; one that it has left is held to the same.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::rows::{Row, Rows};
use crate::server::ServerProcess;
use crate::setup::Setup;
use crate::support::{ReceivedMail, eventually};

/// How long mails may be on their way: longer than the sweeper takes an id to be in a queue that has lost it.
const PATIENCE: Duration = Duration::from_secs(45);
/// How many codes are tried: enough to see that they work.
const CODES: usize = 10;
/// Names the file that the summary lines are added to.
const SUMMARIES: &str = "GATEPOST_FAULTS_SUMMARY";

/// A request, and what is to become of its mail.
#[derive(Clone, Debug)]
struct Entry {
    address: String,
    /// Of the answer, if that was 202.
    challenge: Option<String>,
    /// How its row has to end.
    end: &'static str,
    /// How often it may arrive more than once.
    repeats: usize,
}

/// See the [module](self).
pub(crate) struct Ledger {
    name: String,
    client: reqwest::Client,
    entries: Mutex<Vec<Entry>>,
    /// Whether codes are tried: they are not where mails are meant to expire.
    codes: bool,
}

/// What a test came to.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) accepted: usize,
    pub(crate) sent: usize,
    pub(crate) expired: usize,
    pub(crate) dead: usize,
    pub(crate) repeats: usize,
    pub(crate) allowed: usize,
    pub(crate) lost: usize,
    /// The longest time from acceptance to the end, in milliseconds.
    slowest: i64,
    /// Each a reason to fail.
    problems: Vec<String>,
}

impl Ledger {
    /// An empty one, for the test that runs.
    pub(crate) fn new() -> Self {
        let name = std::thread::current().name().unwrap_or("test").to_owned();
        // A connection that is kept may be closed by the server just when it is used again.
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).pool_max_idle_per_host(0);
        let client = client.build().expect("a client");
        Self { name, client, entries: Mutex::default(), codes: true }
    }

    /// An empty one that does not try codes, which are over by then.
    pub(crate) fn without_codes() -> Self {
        Self { codes: false, ..Self::new() }
    }

    /// Asks for a mail, which has to be accepted.
    pub(crate) async fn accept(&self, server: &ServerProcess, address: &str) {
        assert!(self.offer(server, address).await, "a request was not answered with 202\n{}", server.log());
    }

    /// Asks for a mail; whether it was accepted.
    pub(crate) async fn offer(&self, server: &ServerProcess, address: &str) -> bool {
        let request = self.client.post(server.url("/api/auth/otp/request")).json(&json!({ "email": address }));
        let answer = request.send().await.ok().filter(|answer| answer.status() == 202);
        let challenge = match answer {
            // One that breaks off within was no answer.
            Some(answer) => {
                answer.json::<Value>().await.ok().and_then(|body| Some(body["challenge_id"].as_str()?.to_owned()))
            }
            None => None,
        };
        let accepted = challenge.is_some();
        self.entries().push(Entry { address: address.to_owned(), challenge, end: "sent", repeats: 0 });
        accepted
    }

    /// Says how the mail to `address` has to end.
    pub(crate) fn ends(&self, address: &str, end: &'static str) {
        self.entry(address, |entry| entry.end = end);
    }

    /// Allows one repeat of the mail to `address`, because a fault is about to come after its final dot.
    pub(crate) fn may_repeat(&self, setup: &Setup, address: &str) {
        assert!(setup.sink().dots_to(address) > 0, "the final dot of the mail to {address} is not out");
        self.may_repeat_unread(address);
    }

    /// Allows one repeat of the mail to `address`, whose dot is on the wire although the other side has not read it.
    pub(crate) fn may_repeat_unread(&self, address: &str) {
        self.entry(address, |entry| entry.repeats += 1);
    }

    /// Waits until every mail has ended, checks it, and adds up. `server` is one that still runs.
    pub(crate) async fn settle(self, setup: &Setup, server: &ServerProcess) -> Summary {
        let rows = self.ended(setup).await;
        let mails = setup.sink().messages();
        let mut copies: HashMap<String, Vec<&ReceivedMail>> = HashMap::new();
        for mail in &mails {
            copies.entry(mail.message_id().unwrap_or_default()).or_default().push(mail);
        }
        let mut summary = Summary::default();
        let mut received = Vec::new();
        for entry in self.entries().iter() {
            summary.accepted += usize::from(entry.challenge.is_some());
            summary.allowed += entry.repeats;
            let is_its = |row: &&Row| {
                row.recipient == entry.address && (entry.challenge.is_none() || row.challenge_id == entry.challenge)
            };
            match rows.iter().find(is_its) {
                Some(row) => {
                    let copies = copies.get(&row.message_id).map_or(&[][..], Vec::as_slice);
                    received.extend(summary.check(entry, row, copies));
                }
                None if entry.challenge.is_some() => summary.lost(format!("{}: no row", entry.address)),
                None => {}
            }
        }
        if self.codes {
            self.try_codes(&received, server, &mut summary).await;
        }
        self.print(&summary);
        assert!(summary.problems.is_empty(), "{:#?}\n{}", summary.problems, server.log());
        summary
    }

    /// Every row, once all have ended or patience has.
    async fn ended(&self, setup: &Setup) -> Vec<Row> {
        let outbox = Rows::of(setup).await;
        let begun = std::time::Instant::now();
        eventually("the outbox to be read", PATIENCE * 2, async || {
            let rows = outbox.all().await?;
            let over = rows.iter().all(Row::has_ended) || begun.elapsed() > PATIENCE;
            over.then_some(rows)
        })
        .await
    }

    /// Signs in with some of the codes, those first that came more than once.
    async fn try_codes(&self, received: &[(String, String, usize)], server: &ServerProcess, summary: &mut Summary) {
        let mut received: Vec<_> = received.iter().collect();
        received.sort_by_key(|(_, _, times)| std::cmp::Reverse(*times));
        for (challenge, code, _) in received.into_iter().take(CODES) {
            let body = json!({ "challenge_id": challenge, "code": code, "mode": "token" });
            let answer = self.client.post(server.url("/api/auth/otp/verify")).json(&body).send().await;
            let answer = answer.map_err(|error| error.to_string());
            match answer {
                Ok(answer) if answer.status() == 200 => {}
                other => summary.problems.push(format!("the code of challenge {challenge} does not work: {other:?}")),
            }
        }
    }

    fn print(&self, summary: &Summary) {
        let Summary { accepted, sent, expired, dead, repeats, allowed, lost, slowest, .. } = summary;
        let line = format!(
            "{}: accepted={accepted} sent={sent} expired={expired} dead={dead} repeats={repeats} allowed={allowed} \
             lost={lost} slowest_ms={slowest}\n",
            self.name
        );
        eprint!("{line}");
        if let Some(path) = std::env::var_os(SUMMARIES) {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            // One write: other tests add theirs at the same time.
            file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the summaries can be written");
        }
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, address: &str, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries();
        change(entries.iter_mut().find(|entry| entry.address == address).expect("a mail that was asked for"));
    }
}

impl Summary {
    /// Checks one mail; gives its challenge, its code and how often it came, if it did.
    fn check(&mut self, entry: &Entry, row: &Row, copies: &[&ReceivedMail]) -> Option<(String, String, usize)> {
        let address = &entry.address;
        match row.status.as_str() {
            "sent" => self.sent += 1,
            "expired" => self.expired += 1,
            "dead" => self.dead += 1,
            _ => self.lost(format!("{address}: still on its way: {row:?}")),
        }
        if row.status != entry.end {
            self.problems.push(format!("{address}: should be {}: {row:?}", entry.end));
        }
        if row.status == "sent" && copies.is_empty() {
            self.lost(format!("{address}: sent, and did not arrive: {row:?}"));
        }
        if row.status != "sent" && copies.len() > entry.repeats {
            self.problems.push(format!("{address}: arrived, and is {}: {row:?}", row.status));
        }
        self.slowest = self.slowest.max(row.finished_at.unwrap_or(row.created_at) - row.created_at);
        let repeats = copies.len().saturating_sub(1);
        self.repeats += repeats;
        if repeats > entry.repeats {
            self.problems.push(format!("{address}: repeated {repeats} times, {} allowed: {row:?}", entry.repeats));
        }
        let first = *copies.first()?;
        self.compare(address, first, copies);
        for copy in copies {
            if super::unix_ms(copy.received_at.elapsed()) > row.expires_at {
                self.problems.push(format!("{address}: arrived after it had expired: {row:?}"));
            }
            if !copy.is_to(address) || copy.to.len() != 1 {
                self.problems.push(format!("{address}: arrived at {:?}", copy.to));
            }
        }
        Some((row.challenge_id.clone()?, first.code()?, copies.len()))
    }

    /// Each copy has to be the first again.
    fn compare(&mut self, address: &str, first: &ReceivedMail, copies: &[&ReceivedMail]) {
        for copy in copies {
            if copy.code() != first.code() || copy.raw != first.raw {
                self.problems.push(format!("{address}: a repeat is another mail"));
            }
        }
        if first.code().is_none() {
            self.problems.push(format!("{address}: arrived without a code"));
        }
    }

    fn lost(&mut self, problem: String) {
        self.lost += 1;
        self.problems.push(problem);
    }
}
