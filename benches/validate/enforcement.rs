//! Something is decided at one instance; how long the other goes on as before. It is polled all the time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::aim;
use crate::frame::{Figure, Options, Report, Samples};
use crate::hot::seeded;
use crate::servers::Servers;
use crate::wire::{Connection, Reply, find};
use crate::{seed, subject};

/// How often in this time, in milliseconds, is usual.
const USUALLY: f64 = 50.0;
/// The longest it may take, in milliseconds, whatever has died.
const AT_MOST: f64 = 2000.0;
/// What is not enforced by then counts as so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Looks after the first that shows the decision, none of which may show what was before.
const LOOKS_AFTER: usize = 20;

/// What is decided.
#[derive(Clone, Copy, Debug)]
enum Decision {
    Logout,
    Ban,
    RoleChange,
}

/// The two instances.
#[derive(Clone, Copy, Debug)]
struct Instances {
    decides: SocketAddr,
    polled: SocketAddr,
}

/// A person about whom something will be decided, and whom both instances know.
struct Trial {
    decision: Decision,
    number: usize,
    decides: Connection,
    polls: Connection,
    /// Between two looks.
    pause: Duration,
}

/// How long it took, in milliseconds.
struct Enforced {
    since_asked: f64,
    since_answered: f64,
    revived: u64,
}

pub(crate) async fn run(servers: &mut Servers, options: &Options, report: &mut Report) {
    let (count, at_once) = if options.quick { (30, 6) } else { (200, 20) };
    eprintln!("enforcement: {count} decisions of each kind, then {} with Redis killed", 2 * at_once);
    let place = seeded(servers, 10_000).await;
    let servers_of_it = [subject::start(&place, options.verbose), subject::start(&place, options.verbose)];
    let instances = Instances { decides: servers_of_it[0].address, polled: servers_of_it[1].address };
    let mut revived = 0;
    // Number 0 is the admin who decides.
    let mut numbers = 1..;
    for decision in Decision::ALL {
        let mut found = Vec::new();
        for number in numbers.by_ref().take(count) {
            found.push(Trial::begin(decision, number, instances, Duration::ZERO).await.enforce().await);
        }
        revived += found.iter().map(|enforced| enforced.revived).sum::<u64>();
        tell(&format!("enforced_{}", decision.name()), &found, true, report);
    }
    let mut found = Decision::ALL.map(|_| Vec::new());
    for is_killed_now in [true, false] {
        let mut trials = Vec::new();
        for decision in Decision::ALL {
            for number in numbers.by_ref().take(at_once) {
                trials.push(Trial::begin(decision, number, instances, Duration::from_millis(10)).await);
            }
        }
        if is_killed_now {
            servers.redis.kill();
        }
        let tasks: Vec<_> = trials.into_iter().map(|trial| (trial.decision, tokio::spawn(trial.enforce()))).collect();
        for (decision, task) in tasks {
            let enforced = task.await.expect("no panic");
            revived += enforced.revived;
            found[decision as usize].push(enforced);
        }
    }
    for (decision, found) in Decision::ALL.iter().zip(&found) {
        tell(&format!("enforced_{}_redis_killed", decision.name()), found, false, report);
    }
    let context = "answers as before, after one that had shown the decision";
    report.add(Figure::new("enforced_revived", "answers", revived as f64).at_most(0.0).context(context));
    servers.redis.restart().await;
}

/// Tells the distribution: the middle is what is usual, the end what is possible.
fn tell(name: &str, found: &[Enforced], is_usual: bool, report: &mut Report) {
    let answered: Samples = found.iter().map(|enforced| enforced.since_answered).collect();
    let asked: Samples = found.iter().map(|enforced| enforced.since_asked).collect();
    let distribution = |samples: &Samples| {
        let [p50, p90, p99] = [50.0, 90.0, 99.0].map(|percent| samples.percentile(percent));
        format!("p50 {p50:.1}, p90 {p90:.1}, p99 {p99:.1}, max {:.1}", samples.max())
    };
    let context = format!(
        "{} of them, after the answer: {}; after the request: {}",
        answered.len(),
        distribution(&answered),
        distribution(&asked)
    );
    let figure = if is_usual {
        Figure::new(format!("{name}_p50"), "ms", answered.median()).at_most(USUALLY)
    } else {
        Figure::new(format!("{name}_max"), "ms", answered.max()).at_most(AT_MOST)
    };
    report.add(figure.context(context));
}

impl Decision {
    const ALL: [Self; 3] = [Self::Logout, Self::Ban, Self::RoleChange];

    fn name(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Ban => "ban",
            Self::RoleChange => "role_change",
        }
    }

    /// The request that decides it about person `number`.
    fn request(self, number: usize) -> Box<[u8]> {
        let of_admin = |action| {
            let path = format!("/api/admin/users/{}/{action}", seed::user(number));
            aim::write("POST", &path, &seed::token(0), "{}")
        };
        match self {
            Self::Logout => aim::write("POST", "/api/auth/logout", &seed::token(number), ""),
            Self::Ban => of_admin("ban"),
            Self::RoleChange => of_admin("promote"),
        }
    }

    /// Whether an answer shows that it has been decided.
    fn is_shown_by(self, reply: Reply<'_>) -> bool {
        match self {
            Self::Logout | Self::Ban => reply.status == 401,
            Self::RoleChange => {
                assert_eq!(reply.status, 200, "a new role ends no session");
                find(reply.body, br#""role":"admin""#).is_some()
            }
        }
    }
}

impl Trial {
    /// Makes sure that both instances know the person.
    async fn begin(decision: Decision, number: usize, instances: Instances, pause: Duration) -> Self {
        let mut decides = Connection::open(instances.decides).await;
        let mut polls = Connection::open(instances.polled).await;
        let look = aim::by_bearer(&seed::token(number));
        for connection in [&mut decides, &mut polls] {
            let reply = connection.ask(&look).await;
            assert!(reply.status == 200 && !decision.is_shown_by(reply), "number {number} is nothing special yet");
        }
        Self { decision, number, decides, polls, pause }
    }

    /// Decides, and polls until it shows.
    async fn enforce(self) -> Enforced {
        let Self { decision, number, mut decides, mut polls, pause } = self;
        let deciding = tokio::spawn(async move {
            let asked = Instant::now();
            let reply = decides.ask(&decision.request(number)).await;
            let is_done = (200..300).contains(&reply.status);
            assert!(is_done, "{decision:?}: {} {}", reply.status, String::from_utf8_lossy(reply.body));
            (asked, Instant::now())
        });
        let (look, began) = (aim::by_bearer(&seed::token(number)), Instant::now());
        while !decision.is_shown_by(polls.ask(&look).await) && began.elapsed() < PATIENCE {
            tokio::time::sleep(pause).await;
        }
        let shown = Instant::now();
        let mut revived = 0;
        for _ in 0..LOOKS_AFTER {
            revived += u64::from(!decision.is_shown_by(polls.ask(&look).await));
            tokio::time::sleep(pause).await;
        }
        let (asked, answered) = deciding.await.expect("no panic");
        let since = |begun| shown.saturating_duration_since(begun).as_secs_f64() * 1000.0;
        Enforced { since_asked: since(asked), since_answered: since(answered), revived }
    }
}
