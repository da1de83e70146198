//! Asks and takes the time, over a connection of its own and without anything in between that could have moods.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::place::Endpoint;

/// One kept connection.
pub(super) struct Probe {
    stream: TcpStream,
    address: SocketAddr,
}

impl Probe {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
        Self { stream, address }
    }

    /// Asks about `email`; gives the nanoseconds from the request's first byte to the answer's last.
    pub(super) fn ask(&mut self, endpoint: Endpoint, email: &str) -> u64 {
        let body = endpoint.body(email).to_string();
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            endpoint.path(),
            self.address,
            body.len()
        );
        let mut answer = Vec::with_capacity(4096);
        let begun = Instant::now();
        self.stream.write_all(request.as_bytes()).expect("the server reads");
        let mut piece = [0; 4096];
        while !is_whole(&answer) {
            let read = match self.stream.read(&mut piece) {
                // Somebody has stopped this process for a while.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.expect("the server answers in time"),
            };
            assert!(read > 0, "the server closed the connection: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&piece[..read]);
        }
        let took = begun.elapsed();
        let status = String::from_utf8_lossy(answer.get(9..12).unwrap_or_default()).into_owned();
        assert_eq!(
            status,
            endpoint.status(),
            "{} about {email}: {}",
            endpoint.path(),
            String::from_utf8_lossy(&answer)
        );
        u64::try_from(took.as_nanos()).expect("no request takes centuries")
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.trim().parse().ok());
    answer.len() >= end + 4 + length.unwrap_or(0_usize)
}
