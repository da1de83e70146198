//! Connections, below HTTP: whom they come from, and how long they may go on without getting anywhere.
//!
//! actix gives the head of the first request on a connection a deadline, but none to the head of a later request: who has
//! had one answer could hold the connection for ever with half a request. Nor has an answer a deadline that nobody
//! reads. Here every connection has one, which each byte of an answer sets anew. When it is over the connection reads as
//! ended by its client, and nothing more is written to it. It comes sooner while nothing has been asked since the last
//! answer, so that an idle connection is closed from here as well: actix would set a timer for each answer, and take it
//! back for each request, where here one timer is set again when it has gone off.
//!
//! Nor has a client more of them than `server.max_connections_per_client`, unless it is a trusted proxy or comes by loopback, as proxies
//! on this machine do.

use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_http::Protocol;
use actix_http::error::DispatchError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::places::{Place, Places};
use super::seldom::Seldom;
use super::{Site, proxy_protocol};

/// What actix writes, in one piece, where the client wants to hear it before it sends a body (RFC 9110, section 10.1.1).
const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection with a client.
pub(super) struct Connection {
    stream: TcpStream,
    /// How long it is kept without an answer, while nothing is asked.
    keep_alive: Duration,
    /// How long it is kept without an answer, whatever is asked.
    patience: Duration,
    /// When something was last written to it, or it began.
    answered: Instant,
    /// Whether something has come since, or nothing was ever written to it: its first request has a deadline from actix. Of
    /// requests that come in a row, an answer to one of them tells nothing about the others: the idle deadline is theirs,
    /// and one that is being answered then is still answered.
    is_asked: bool,
    alarm: Option<Alarm>,
    _place: Option<Place>,
}

/// What connections come in by. One for the process.
pub(super) struct Door {
    places: Arc<Places>,
    cut_off: Seldom,
    crowded: Seldom,
}

impl Door {
    /// With so many places for each client.
    pub(super) fn new(places: usize) -> Self {
        Self { places: Places::new(places), cut_off: Seldom::new(), crowded: Seldom::new() }
    }

    /// A place for the connection, where its client needs one; fails if it has no more.
    fn place(&self, client: Option<SocketAddr>, site: &Site) -> Result<Option<Place>> {
        let counts = |address: &IpAddr| !address.is_loopback() && !site.server.proxies.trusts(*address);
        let Some(address) = client.map(|client| client.ip().to_canonical()).filter(counts) else { return Ok(None) };
        let place = self.places.take(address);
        if place.is_none() {
            site.metrics.crowded_out.inc();
            self.crowded.warn(|| {
                format!(
                    "{address} has as many connections as one client may have, and gets no more. If it is your reverse proxy, add \
                     it to server.trusted_proxies (GATEPOST_TRUSTED_PROXIES); if many people share it, raise \
                     server.max_connections_per_client"
                )
            });
        }
        place.map(Some).ok_or_else(|| ErrorKind::ConnectionRefused.into())
    }
}

/// Wakes the task of a connection at some moment when the deadline may be over, and no later than that.
struct Alarm {
    /// Set again when it has gone off, not for each answer.
    sleep: Pin<Box<Sleep>>,
    /// The task that it wakes.
    task: Waker,
}

/// Takes a connection in. Where the settings want it, a trusted peer has to say first whom it comes from, within the
/// time that the head of a request may take; one that does not is cut off without an answer.
pub(super) async fn accept(
    mut stream: TcpStream,
    site: &Site,
    door: &Door,
) -> std::result::Result<(Connection, Protocol, Option<SocketAddr>), DispatchError> {
    // Answers are written whole: there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    let (proxies, connections) = (&site.server.proxies, site.server.connections);
    let mut client = stream.peer_addr().ok();
    if proxies.protocol && client.is_none_or(|peer| proxies.trusts(peer.ip().to_canonical())) {
        let counted = |outcome| site.metrics.proxy_headers.with_label_values(&[outcome]).inc();
        match timeout(connections.request_timeout, proxy_protocol::read(&mut stream)).await {
            Ok(Ok(announced)) => {
                counted(if announced.is_some() { "announced" } else { "own" });
                // A proxy's own loopback is not this machine's. One on this machine is there itself.
                client = announced.filter(|client| !client.ip().to_canonical().is_loopback()).or(client);
            }
            outcome => {
                counted("refused");
                door.cut_off.warn(|| {
                    let peer = client.map_or_else(|| "a peer".to_owned(), |peer| peer.ip().to_string());
                    format!("{peer} is a trusted proxy and began a connection without a PROXY header: it was cut off")
                });
                let error = outcome.map_or_else(
                    |_| ErrorKind::TimedOut.into(),
                    |read| read.err().unwrap_or_else(|| ErrorKind::InvalidData.into()),
                );
                return Err(DispatchError::Io(error));
            }
        }
    }
    let place = door.place(client, site).map_err(DispatchError::Io)?;
    let connection = Connection {
        stream,
        keep_alive: connections.keep_alive,
        patience: connections.patience(),
        answered: Instant::now(),
        is_asked: true,
        alarm: None,
        _place: place,
    };
    Ok((connection, Protocol::Http1, client))
}

impl Connection {
    /// Whether nothing has been answered for so long. If not, the task is woken when that may be.
    fn is_over(&mut self, patience: Duration, context: &mut Context<'_>) -> bool {
        let deadline = self.answered + patience;
        if self.alarm.as_ref().is_some_and(|alarm| !alarm.sleep.is_elapsed() && alarm.task.will_wake(context.waker())) {
            return false;
        }
        let alarm = self.alarm.get_or_insert_with(|| Alarm::at(deadline, context));
        alarm.task.clone_from(context.waker());
        // Outside of the task's budget: an alarm that is not set because that is used up would never go off.
        while Pin::new(&mut unconstrained(alarm.sleep.as_mut())).poll(context).is_ready() {
            if Instant::now() >= deadline {
                return true;
            }
            alarm.sleep.as_mut().reset(deadline);
        }
        false
    }

    /// What is to be said of a write; `is_answer` unless it only tells the client to go on.
    fn wrote(
        &mut self,
        polled: Poll<Result<usize>>,
        is_answer: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize>> {
        match &polled {
            Poll::Ready(Ok(_)) => self.has_written(is_answer, context),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                // It waits for its client to read.
                self.is_asked = true;
                if self.is_over(self.patience, context) {
                    return Poll::Ready(Err(Error::from(ErrorKind::TimedOut)));
                }
            }
        }
        polled
    }

    fn has_written(&mut self, is_answer: bool, context: &mut Context<'_>) {
        (self.answered, self.is_asked) = (Instant::now(), !is_answer);
        let deadline = self.answered + self.keep_alive;
        // It was set while something was asked.
        if let Some(alarm) = self.alarm.as_mut().filter(|alarm| alarm.sleep.deadline() > deadline) {
            alarm.sleep.as_mut().reset(deadline);
        }
        // The connection may not be looked at again before the alarm goes off, so it has to be set now.
        let _ = self.is_over(self.keep_alive, context);
    }
}

impl Alarm {
    fn at(deadline: Instant, context: &Context<'_>) -> Self {
        Self { sleep: Box::pin(sleep_until(deadline)), task: context.waker().clone() }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, into);
        if polled.is_ready() {
            self.is_asked = true;
            return polled;
        }
        let patience = if self.is_asked { self.patience } else { self.keep_alive };
        if self.is_over(patience, context) { Poll::Ready(Ok(())) } else { polled }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(polled, !bytes.ends_with(GO_ON), context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(polled, true, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
