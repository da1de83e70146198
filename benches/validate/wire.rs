//! The client's end of a kept-alive HTTP/1.1 connection, as cheap as it can be: requests are bytes that were made before,
//! and of an answer no more is read than where it ends.

use std::net::SocketAddr;
use std::ops::Range;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Where the head and the body of the last answer ended: most have the size of the one before.
    last: (usize, usize),
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, buffer: vec![0; 64 * 1024], last: (0, 0) }
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Reply<'_> {
        self.stream.write_all(request).await.expect("the server reads");
        let mut filled = 0;
        let (head, total) = loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await.expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            filled += read;
            if let Some(ends) = self.ends(filled) {
                break ends;
            }
        };
        self.last = (head, total);
        let status = std::str::from_utf8(&self.buffer[9..12]).ok().and_then(|digits| digits.parse().ok());
        Reply { status: status.expect("a status"), head: &self.buffer[..head], body: &self.buffer[head..total] }
    }

    /// Where head and body end, once they are there.
    fn ends(&self, filled: usize) -> Option<(usize, usize)> {
        let (head, total) = self.last;
        // Of the same size with its head of the same size: then its body is, too.
        if filled == total && &self.buffer[head - HEAD_END.len()..head] == HEAD_END {
            return Some(self.last);
        }
        let head = find(&self.buffer[..filled], HEAD_END)?.end;
        let text = std::str::from_utf8(&self.buffer[..head]).expect("a head is text").to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let total = head + length.unwrap_or(0);
        assert!(total <= self.buffer.len(), "an answer of {total} bytes");
        (filled >= total).then_some((head, total))
    }
}

/// Where `part` first is in `whole`.
pub(crate) fn find(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = whole.windows(part.len()).position(|window| window == part)?;
    Some(start..start + part.len())
}

/// The text between `before` and `after`.
pub(crate) fn between<'a>(whole: &'a [u8], before: &str, after: &str) -> Option<&'a str> {
    let rest = &whole[find(whole, before.as_bytes())?.end..];
    std::str::from_utf8(&rest[..find(rest, after.as_bytes())?.start]).ok()
}
