//! The yardstick of sending: lettre in a loop. No queue, no database, no rendering; the same bytes as the product sends, over as
//! many connections, each of which a task keeps for itself and uses for one mail after the other.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lettre::Address;
use lettre::address::Envelope;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::frame::{Role, answer, cpu_own, peak_memory_kib, serve};
use crate::{DOMAINS, Ran};

/// Sends `mails` copies of `specimen` (its sender and its bytes) to the sink at `port`.
pub(crate) fn send(
    port: u16,
    mails: usize,
    connections: usize,
    specimen: &(String, Vec<u8>),
    patience: Duration,
) -> Ran {
    let mut role = Role::spawn("peer", &[], true);
    let bytes = String::from_utf8_lossy(&specimen.1);
    let request =
        json!({ "port": port, "mails": mails, "connections": connections, "from": specimen.0, "bytes": bytes });
    Ran::read(&role.ask(&request, patience))
}

/// Plays the role.
pub(crate) fn run() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    serve(|request| {
        let number = |name: &str| usize::try_from(request[name].as_u64().expect("a number")).expect("it fits");
        let text = |name: &str| request[name].as_str().expect("a text").to_owned();
        let port = u16::try_from(number("port")).expect("a port");
        let from: Address = text("from").parse().expect("an address");
        let bytes: Arc<[u8]> = text("bytes").into_bytes().into();
        let (mails, connections) = (number("mails"), number("connections"));
        let begun = Instant::now();
        runtime.block_on(async {
            let next = Arc::new(AtomicUsize::new(0));
            let mut tasks = JoinSet::new();
            for _ in 0..connections {
                tasks.spawn(send_some(port, from.clone(), Arc::clone(&bytes), Arc::clone(&next), mails));
            }
            while let Some(ended) = tasks.join_next().await {
                ended.expect("no panic");
            }
        });
        answer(&json!({
            "seconds": begun.elapsed().as_secs_f64(),
            "cpu": cpu_own(),
            "peak_kib": peak_memory_kib(),
            "sent": mails,
        }));
    });
}

async fn send_some(port: u16, from: Address, bytes: Arc<[u8]>, next: Arc<AtomicUsize>, mails: usize) {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("the sink listens");
    stream.set_nodelay(true).expect("a socket");
    let hello = ClientId::default();
    let mut smtp = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello).await.expect("a greeting");
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= mails {
            break;
        }
        let to = format!("person-{number}@d{}.example", number % DOMAINS).parse().expect("an address");
        let envelope = Envelope::new(Some(from.clone()), vec![to]).expect("an envelope");
        smtp.send(&envelope, &bytes).await.expect("the sink takes everything");
    }
    smtp.quit().await.expect("a goodbye");
}
