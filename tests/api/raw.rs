//! Bytes on a connection, for what no decent client would send.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::app::SOON;

/// A connection, and how it ends.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("the server accepts"))
    }

    /// Sends bytes. Where the server has gone already, that is told by what it sends.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Reads until what came ends so.
    pub(crate) async fn read_until(&mut self, end: &str) -> String {
        let mut text = String::new();
        let reading = async {
            let mut bytes = [0; 4096];
            while !text.ends_with(end) {
                let count = self.0.read(&mut bytes).await.expect("an answer");
                assert_ne!(count, 0, "the server left after {text:?}");
                text.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        };
        assert!(timeout(SOON, reading).await.is_ok(), "no {end:?} came in time");
        text
    }

    /// Whether the server has closed the connection.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match timeout(Duration::from_millis(1), self.0.read(&mut bytes)).await {
            Err(_) => false,
            Ok(read) => read.unwrap_or(0) == 0,
        }
    }

    /// Whether nothing comes for as long as that.
    pub(crate) async fn says_nothing_for(&mut self, while_waiting: Duration) -> bool {
        timeout(while_waiting, self.0.readable()).await.is_err()
    }

    /// Reads until the server closes the connection.
    pub(crate) async fn read_to_end(mut self) -> String {
        let mut bytes = Vec::new();
        // A reset ends it as well as a goodbye; what came before it counts.
        let ended = timeout(SOON, self.0.read_to_end(&mut bytes)).await;
        assert!(ended.is_ok(), "the server held on to the connection after {:?}", String::from_utf8_lossy(&bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Sends bytes, and gives all that comes back until the server closes the connection.
pub(crate) async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut raw = Raw::open(address).await;
    raw.send(bytes).await;
    raw.read_to_end().await
}

/// The status of the first answer in `text`; 0 where the connection was closed without one.
pub(crate) fn status(text: &str) -> u16 {
    text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

/// The JSON body of an answer.
#[track_caller]
pub(crate) fn json(text: &str) -> Value {
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {text:?}"))
}
