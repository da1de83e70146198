//! A wire between a server and its Postgres that breaks at a commit; or between a server and its Redis, that breaks at
//! certain commands.
//!
//! It passes bytes both ways and reads only as much of the protocol as it needs. A COMMIT goes out as a simple query of its
//! own; a statement that is a transaction of its own is known by something that is in its parameters. Either's answer is
//! the next thing that comes back on that connection, and is not sent before all is committed.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

/// The message of a simple query that commits: its type, its length, its text.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// As much of what went up before is looked at once more.
const LONGEST: usize = 256;

/// Where the wire breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The COMMIT does not get through: nothing is committed.
    BeforeCommit,
    /// The COMMIT gets through and its answer does not: all is committed, and the server cannot know.
    AfterCommit,
}

/// A listening wire; dropping it breaks every connection.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    database: String,
    orders: Arc<Orders>,
    passing: AbortHandle,
}

#[derive(Debug, Default)]
struct Orders {
    /// What to do, and at what bytes.
    next: Mutex<Option<(Cut, Vec<u8>)>>,
    /// Bytes that never get through.
    never: Mutex<Option<Vec<u8>>>,
    cuts: AtomicUsize,
}

impl Orders {
    /// The order for what was seen last, of which so many bytes have just come.
    fn take(&self, seen: &[u8], fresh: usize) -> Option<Cut> {
        let never = self.never.lock().unwrap_or_else(PoisonError::into_inner);
        let ends_in_fresh = |bytes: &Vec<u8>| {
            let from = seen.len().saturating_sub(fresh + bytes.len() - 1);
            seen[from..].windows(bytes.len()).any(|window| window == bytes)
        };
        if never.as_ref().is_some_and(ends_in_fresh) {
            self.cuts.fetch_add(1, Ordering::SeqCst);
            return Some(Cut::BeforeCommit);
        }
        drop(never);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let (cut, at) = next.as_ref()?;
        let cut = seen.windows(at.len()).any(|window| window == at).then_some(*cut)?;
        *next = None;
        self.cuts.fetch_add(1, Ordering::SeqCst);
        Some(cut)
    }
}

impl Wire {
    /// A wire on a free loopback port to the database at `url` (`postgres://user@host:port/name`).
    pub async fn to(url: &str) -> Self {
        let (base, database) = url.rsplit_once('/').expect("a Postgres URL has a path");
        let target: SocketAddr = base.rsplit('@').next().and_then(|host| host.parse().ok()).expect("an address");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let orders = Arc::new(Orders::default());
        let passing = tokio::spawn(serve(listener, target, Arc::clone(&orders))).abort_handle();
        Self { address, database: database.to_owned(), orders, passing }
    }

    /// A wire on a free loopback port to the Redis at `url` (`redis://host:port`).
    pub async fn to_redis(url: &str) -> Self {
        Self::to(&format!("{}/0", url.trim_start_matches("redis://"))).await
    }

    /// Redis's URL by way of this wire.
    pub fn redis_url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The database's URL by way of this wire.
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/{}", self.address, self.database)
    }

    /// Breaks the connection of the next commit.
    pub fn cut(&self, cut: Cut) {
        self.order(Some((cut, COMMIT.to_vec())));
    }

    /// Breaks the connection of the next statement that has this in its parameters, and is a transaction of its own.
    pub fn cut_at(&self, cut: Cut, parameter: &str) {
        self.order(Some((cut, parameter.as_bytes().to_vec())));
    }

    /// From now on breaks every connection on which these bytes are sent, before they get through.
    pub fn cut_always_at(&self, bytes: &str) {
        *self.orders.never.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes.as_bytes().to_vec());
    }

    /// Breaks nothing more.
    pub fn spare(&self) {
        self.order(None);
        *self.orders.never.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn order(&self, order: Option<(Cut, Vec<u8>)>) {
        *self.orders.next.lock().unwrap_or_else(PoisonError::into_inner) = order;
    }

    /// How many connections it has broken so far.
    pub fn cuts(&self) -> usize {
        self.orders.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.passing.abort();
    }
}

/// Passes connections on until aborted; that breaks them, since their set is dropped with the task.
async fn serve(listener: TcpListener, target: SocketAddr, orders: Arc<Orders>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                let orders = Arc::clone(&orders);
                connections.spawn(async move {
                    if let Ok(server) = TcpStream::connect(target).await {
                        let _ = pass(client, server, &orders).await;
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Passes bytes both ways until one side leaves or an order breaks the connection.
async fn pass(mut client: TcpStream, mut server: TcpStream, orders: &Orders) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    // The end of what went up before: a message may come in two pieces.
    let mut seen: Vec<u8> = Vec::new();
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let bytes = &up[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                seen.extend_from_slice(bytes);
                match orders.take(&seen, bytes.len()) {
                    Some(Cut::BeforeCommit) => return Ok(()),
                    Some(Cut::AfterCommit) => {
                        server.write_all(bytes).await?;
                        // However much comes of its answer, it says that it has been done; nobody else hears that.
                        let _heard = server.read(&mut down).await?;
                        return Ok(());
                    }
                    None => {}
                }
                seen.drain(..seen.len().saturating_sub(LONGEST));
                server.write_all(bytes).await?;
            }
            read = server.read(&mut down) => {
                let bytes = &down[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                client.write_all(bytes).await?;
            }
        }
    }
}
