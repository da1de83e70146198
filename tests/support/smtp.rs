//! An SMTP server that keeps every mail in memory and fails on demand.
//!
//! A mail is kept when its final dot has been read and is answered with success, or when the connection is dropped
//! right there ([`Fault::DropAfter`] at [`Stage::Dot`]): the server has it and the client cannot know. It is kept
//! once for each time it was sent, so that a test sees repeats. Sessions end with the sink.

mod fault;
mod hold;
mod mail;
mod session;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::{AbortHandle, JoinSet},
};

pub use fault::{Fault, Script, Stage};
pub use mail::ReceivedMail;

/// How long [`SmtpSink::next_to`] waits.
const NEXT: Duration = Duration::from_secs(10);

/// A listening SMTP server for one test.
#[derive(Debug)]
pub struct SmtpSink {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

/// What the sink and its sessions share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Bumped whenever the state has changed.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    mails: Vec<ReceivedMail>,
    /// For each mail, whether `next_to` has given it out.
    taken: Vec<bool>,
    scripts: Vec<Script>,
    connections: usize,
    open: usize,
    reached: [usize; Stage::COUNT],
    pipelining: bool,
    /// How long a command is on its way, or several that come together.
    latency: Duration,
    /// The stage whose answers come byte by byte, and the pause between two bytes.
    trickle: Option<(Stage, Duration)>,
    /// The recipients of every message whose final dot was read, kept or not.
    dots: Vec<String>,
    /// Sessions that are held, and how often such were released.
    held: usize,
    releases: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.send_replace(());
        result
    }
}

impl SmtpSink {
    /// Listens on a free loopback port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { state: Mutex::default(), changed: watch::Sender::new(()) });
        let accepting = accept(listener, Arc::clone(&shared));
        Self { address, shared, accepting }
    }

    /// `smtp://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Makes sessions fail from now on, those that are open too, until [`Self::clear`]; the oldest script that fits wins.
    ///
    /// A [`Fault`] alone applies to everybody; `fault.times(2)` and `fault.for_domain("slow.test")` narrow it.
    pub fn script(&self, script: impl Into<Script>) {
        self.shared.change(|state| state.scripts.push(script.into()));
    }

    /// Ends all faults. Sessions that hang go on hanging: clients have to leave them.
    pub fn clear(&self) {
        self.shared.change(|state| state.scripts.clear());
    }

    /// Offers PIPELINING (RFC 2920) from the next EHLO on.
    pub fn pipeline(&self) {
        self.shared.change(|state| state.pipelining = true);
    }

    /// Lets each command, or group of commands, take so long to arrive.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.change(|state| state.latency = latency);
    }

    /// Answers at `stage` byte by byte from now on, with a pause after each.
    pub fn trickle(&self, stage: Stage, pause: Duration) {
        self.shared.change(|state| state.trickle = Some((stage, pause)));
    }

    /// Lets every session go on that is held ([`Fault::Hold`], [`Fault::Stall`]), and waits until each has answered, so
    /// end the faults before.
    pub async fn release(&self) {
        self.shared.change(|state| state.releases += 1);
        let what = || format!("{} sessions to go on", self.held());
        self.watch(NEXT, what, |state| (state.held == 0).then_some(())).await;
    }

    /// The number of sessions that are held now.
    pub fn held(&self) -> usize {
        self.shared.state().held
    }

    /// Waits until this many sessions are held.
    pub async fn wait_until_held(&self, count: usize, deadline: Duration) {
        let what = || format!("{count} held sessions, {} are", self.held());
        self.watch(deadline, what, |state| (state.held >= count).then_some(())).await;
    }

    /// How often the final dot of a message to `address` has been read, whatever was answered.
    pub fn dots_to(&self, address: &str) -> usize {
        self.shared.state().dots.iter().filter(|to| to.eq_ignore_ascii_case(address)).count()
    }

    /// Stops listening and breaks every session: the machine is gone, its port refuses connections.
    pub async fn go_down(&self) {
        self.accepting.abort();
        super::eventually("the mail server to be down", NEXT, async || {
            tokio::net::TcpStream::connect(self.address).await.is_err().then_some(())
        })
        .await;
    }

    /// Listens again on the same port.
    pub async fn come_back(&mut self) {
        let address = self.address;
        let listener = super::eventually("the mail server's port to be free again", NEXT, async || {
            TcpListener::bind(address).await.ok()
        });
        self.accepting = accept(listener.await, Arc::clone(&self.shared));
    }

    /// Every mail kept so far, oldest first.
    pub fn messages(&self) -> Vec<ReceivedMail> {
        self.shared.state().mails.clone()
    }

    /// The number of mails kept so far.
    pub fn count(&self) -> usize {
        self.shared.state().mails.len()
    }

    /// The number of connections opened so far.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// The number of connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.shared.state().open
    }

    /// How often clients have come to `stage` so far, whatever they were told there.
    pub fn reached(&self, stage: Stage) -> usize {
        self.shared.state().reached[stage as usize]
    }

    /// Waits until clients have come to `stage` this often.
    pub async fn wait_until_reached(&self, stage: Stage, times: usize, deadline: Duration) {
        let what = || format!("clients to come to {stage:?} {times} times, came {}", self.reached(stage));
        self.watch(deadline, what, |state| (state.reached[stage as usize] >= times).then_some(())).await;
    }

    /// Waits for a mail that is `wanted`, among those already here too.
    pub async fn wait_for(&self, wanted: impl Fn(&ReceivedMail) -> bool, deadline: Duration) -> ReceivedMail {
        let what = || format!("a mail that fits; {}", self.summary());
        self.watch(deadline, what, |state| state.mails.iter().find(|mail| wanted(mail)).cloned()).await
    }

    /// Waits until there are this many mails, and gives them.
    pub async fn wait_for_count(&self, count: usize, deadline: Duration) -> Vec<ReceivedMail> {
        let what = || format!("{count} mails; {}", self.summary());
        self.watch(deadline, what, |state| (state.mails.len() >= count).then(|| state.mails.clone())).await
    }

    /// Waits 10 s for the oldest mail to `address` that this has not given before.
    pub async fn next_to(&self, address: &str) -> ReceivedMail {
        let what = || format!("another mail to {address}; {}", self.summary());
        self.watch(NEXT, what, |state| {
            let next = state.mails.iter().zip(&state.taken).position(|(mail, taken)| !taken && mail.is_to(address))?;
            state.taken[next] = true;
            Some(state.mails[next].clone())
        })
        .await
    }

    async fn watch<T>(
        &self,
        deadline: Duration,
        what: impl Fn() -> String,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> T {
        let mut changes = self.shared.changed.subscribe();
        let watching = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = look(&mut self.shared.state()) {
                    return found;
                }
                changes.changed().await.expect("the sink outlives those who watch it");
            }
        };
        let found = tokio::time::timeout(deadline, watching).await;
        found.unwrap_or_else(|_| panic!("waited {deadline:?} in vain for {}", what()))
    }

    fn summary(&self) -> String {
        let state = self.shared.state();
        let mails: Vec<_> = state.mails.iter().map(|mail| format!("{:?} {:?}", mail.to, mail.subject())).collect();
        format!("{} connections brought {} mails: {mails:#?}", state.connections, mails.len())
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves every connection until aborted; that ends the sessions too, whose set is dropped with the task.
fn accept(listener: TcpListener, shared: Arc<Shared>) -> AbortHandle {
    let accepting = async move {
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => {
                    sessions.spawn(session::serve(stream, Arc::clone(&shared)));
                }
                Some(_) = sessions.join_next() => {}
            }
        }
    };
    tokio::spawn(accepting).abort_handle()
}
