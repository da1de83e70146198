//! The stream under a connection.
//!
//! A relay's answer to STARTTLS is the last thing that may be believed unencrypted. Whatever somebody on the way has put
//! behind it must not be taken for what the relay says after the handshake (CVE-2011-0411 is the classic). lettre's
//! buffer survives the upgrade, so until then the stream gives it a byte at a time: it stops at the end of the answer's
//! line, and what follows goes to the handshake, which it breaks.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The first byte of every TLS handshake (RFC 8446, 5.1), which begins no SMTP command.
const HANDSHAKE: u8 = 22;

/// A connection to a relay, encrypted or not.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    switch: Switch,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// Ends the reading of single bytes.
#[derive(Clone, Debug)]
pub(super) struct Switch(Arc<AtomicBool>);

impl Switch {
    /// From now on any number of bytes may be read at once.
    pub(super) fn read_freely(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn is_careful(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wire {
    /// An unencrypted stream, read byte by byte at first if TLS may follow.
    pub(super) fn plain(stream: TcpStream, careful: bool) -> Self {
        Self { stream: Stream::Plain(stream), switch: Switch(Arc::new(AtomicBool::new(careful))) }
    }

    /// A stream that is encrypted already.
    pub(super) fn encrypted(stream: TlsStream<TcpStream>) -> Self {
        Self { stream: Stream::Encrypted(Box::new(stream)), switch: Switch(Arc::default()) }
    }

    pub(super) fn switch(&self) -> Switch {
        self.switch.clone()
    }
}

impl Stream {
    fn read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Encrypted(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.stream {
            Stream::Plain(stream) => stream.peer_addr(),
            Stream::Encrypted(stream) => stream.get_ref().0.peer_addr(),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.switch.is_careful() || buf.remaining() == 0 {
            return self.stream.read(cx, buf);
        }
        let mut byte = [0];
        let mut single = ReadBuf::new(&mut byte);
        ready!(self.stream.read(cx, &mut single))?;
        buf.put_slice(single.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.first() == Some(&HANDSHAKE) {
            self.switch.read_freely();
        }
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Encrypted(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Encrypted(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Encrypted(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
