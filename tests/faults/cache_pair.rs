//! Two instances and an admin: what is decided at one of them, and how long the other takes to act on it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::SOON;
use crate::person::Person;
use crate::server::{ServerProcess, program};
use crate::setup::Setup;
use crate::support::{Server, eventually};

/// Within this a revocation is enforced everywhere, whatever single thing has failed.
const PROMISED: Duration = Duration::from_secs(2);
/// What a request takes on a busy machine: the answer that still lets somebody in was on its way by then.
const ON_ITS_WAY: Duration = Duration::from_millis(500);
const ADMIN: &str = "root@example.com";

/// Something that was decided about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    LogOut,
    Ban,
    Promote,
}

pub(crate) const DECISIONS: [Decision; 3] = [Decision::LogOut, Decision::Ban, Decision::Promote];

/// Somebody whose sessions both instances know, held by somebody who never lets go of them.
pub(crate) struct Subject {
    owner: Person,
    thief: Person,
    id: String,
    decision: Decision,
}

/// Decisions are made at `one`; `two` has to act on them.
pub(crate) struct Pair {
    pub(crate) one: ServerProcess,
    pub(crate) two: ServerProcess,
    pub(crate) admin: Person,
}

impl Pair {
    /// Two instances on these servers; the first one with these variables besides.
    pub(crate) async fn start(setup: &Setup, more: &[(&str, &str)]) -> Self {
        let (one, two) = (setup.start_with(more).await, setup.start().await);
        let mut promote = program();
        promote.args(["user", "promote", ADMIN]).envs(setup.environment());
        let mut promote = Server::spawn(&mut promote);
        assert!(promote.wait(SOON).await.success(), "{}", promote.log());
        let admin = Person::signed_in(setup, &one, ADMIN).await;
        Self { one, two, admin }
    }

    /// Somebody about whom this will be decided, known to both instances.
    pub(crate) async fn subject(&self, setup: &Setup, decision: Decision) -> Subject {
        let email = format!("{decision:?}@example.com").to_lowercase();
        let (owner, cookie) = Person::signed_in_with_cookie(setup, &self.one, &email).await;
        let answer: Value = owner.validate(&self.one).await.json().await.unwrap();
        let id = answer["user"]["id"].as_str().expect("an id").to_owned();
        let subject = Subject { thief: Person::holding(&email, &cookie), owner, id, decision };
        subject.stay_known(self).await;
        subject
    }

    /// One for each decision.
    pub(crate) async fn subjects(&self, setup: &Setup) -> Vec<Subject> {
        let mut subjects = Vec::new();
        for decision in DECISIONS {
            subjects.push(self.subject(setup, decision).await);
        }
        subjects
    }

    /// Decides about all of them, and demands that both instances act on it in time; the longest that took.
    pub(crate) async fn decide_and_enforce(&self, subjects: &[Subject], what: &str) -> Duration {
        for subject in subjects {
            subject.stay_known(self).await;
        }
        let mut longest = Duration::ZERO;
        for subject in subjects {
            subject.decide(self).await;
            assert!(subject.is_decided(&self.one).await, "{:?}, {what}: at once where it was made", subject.decision);
            let took = subject.enforced(&self.two, Instant::now()).await;
            eprintln!("{:?}, {what}: enforced by the other instance after {took:?}", subject.decision);
            longest = longest.max(took);
        }
        for subject in subjects {
            assert!(subject.is_decided(&self.one).await && subject.is_decided(&self.two).await, "and it stays so");
        }
        longest
    }
}

impl Subject {
    /// Both instances have the person in memory, as before.
    pub(crate) async fn stay_known(&self, pair: &Pair) {
        assert!(!self.is_decided(&pair.one).await && !self.is_decided(&pair.two).await, "{:?}", self.decision);
    }

    /// The request that makes the decision.
    pub(crate) async fn decide(&self, pair: &Pair) {
        let (who, path) = self.request(pair);
        let answer = who.post(&pair.one, &path, &serde_json::json!({})).await;
        assert!(answer.status().is_success(), "{:?}: {}", self.decision, answer.text().await.unwrap());
    }

    /// The same, by whoever cannot wait for the answer.
    pub(crate) fn begin_to_decide(&self, pair: &Pair) -> tokio::task::JoinHandle<()> {
        let (who, path) = self.request(pair);
        let request = who.request_to_post(&pair.one, &path, &serde_json::json!({}));
        tokio::spawn(async move {
            let _ = request.send().await;
        })
    }

    fn request<'a>(&'a self, pair: &'a Pair) -> (&'a Person, String) {
        match self.decision {
            Decision::LogOut => (&self.owner, "/api/auth/logout".to_owned()),
            Decision::Ban => (&pair.admin, format!("/api/admin/users/{}/ban", self.id)),
            Decision::Promote => (&pair.admin, format!("/api/admin/users/{}/promote", self.id)),
        }
    }

    /// Waits until the database knows of it.
    pub(crate) async fn committed(&self, setup: &Setup) {
        let query = match self.decision {
            Decision::LogOut => "SELECT 1 FROM sessions WHERE user_id::text = $1 AND revoked_at IS NOT NULL",
            Decision::Ban => "SELECT 1 FROM users WHERE id::text = $1 AND status = 'banned'",
            Decision::Promote => "SELECT 1 FROM users WHERE id::text = $1 AND role = 'admin'",
        };
        let database = setup.servers().database.client().await;
        let what = format!("{:?} to be committed", self.decision);
        eventually(&what, SOON, async || database.query_opt(query, &[&self.id]).await.unwrap()).await;
    }

    /// Whether this instance acts on the decision.
    pub(crate) async fn is_decided(&self, server: &ServerProcess) -> bool {
        if self.decision != Decision::Promote {
            return !self.thief.is_known(server).await;
        }
        let answer: Value = self.thief.validate(server).await.json().await.unwrap();
        answer["user"]["role"] == "admin"
    }

    /// Waits until this instance acts on it, which must be in time after `decided`.
    pub(crate) async fn enforced(&self, server: &ServerProcess, decided: Instant) -> Duration {
        let what = format!("{:?} to be enforced", self.decision);
        eventually(&what, SOON, async || self.is_decided(server).await.then_some(())).await;
        let took = decided.elapsed();
        assert!(took < PROMISED + ON_ITS_WAY, "{:?} was enforced after {took:?}", self.decision);
        took
    }
}
