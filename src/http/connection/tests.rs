//! Deadlines, each so far from the other that a slow machine cannot mix them up.

use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::*;

const SHORT: Duration = Duration::from_millis(200);
/// Longer than any test runs.
const LONG: Duration = Duration::from_hours(1);
/// Until when what has to happen at some time has happened.
const SOON: Duration = Duration::from_secs(20);

async fn connected(keep_alive: Duration, patience: Duration) -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let answered = Instant::now();
    (Connection { stream, keep_alive, patience, answered, is_asked: true, alarm: None, _place: None }, client)
}

async fn ask(connection: &mut Connection, client: &mut TcpStream) {
    client.write_all(b"a question").await.unwrap();
    // Not told that there is nothing yet, which would be the end where the deadline is over.
    connection.stream.readable().await.unwrap();
    assert_ne!(connection.read(&mut [0; 64]).await.unwrap(), 0);
}

/// Waits until the connection is cut off; gives how long ago it was last answered.
async fn cut_off(connection: &mut Connection) -> Duration {
    assert_eq!(timeout(SOON, connection.read(&mut [0; 64])).await.expect("it is cut off").unwrap(), 0);
    connection.answered.elapsed()
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_a_while() {
    let (mut connection, mut client) = connected(SHORT, LONG).await;
    for _ in 0..3 {
        ask(&mut connection, &mut client).await;
        connection.write_all(b"an answer").await.unwrap();
    }
    assert!(cut_off(&mut connection).await >= SHORT);
}

#[tokio::test]
async fn one_that_nobody_looks_at_after_its_answer_is_cut_off_in_time_too() {
    for needed in [Duration::ZERO, 2 * SHORT] {
        let (mut connection, mut client) = connected(SHORT, LONG).await;
        ask(&mut connection, &mut client).await;
        let mut handler = Some(Box::pin(sleep(needed)));
        // As actix does: it reads, then it writes what is ready, and then it waits to be woken.
        let read = poll_fn(|context| {
            let read = Pin::new(&mut connection).poll_read(context, &mut ReadBuf::new(&mut [0; 64]));
            if handler.as_mut().is_some_and(|handler| handler.as_mut().poll(context).is_ready()) {
                handler = None;
                assert!(Pin::new(&mut connection).poll_write(context, b"an answer").is_ready());
            }
            read
        });
        timeout(SOON, read).await.expect("it is cut off").unwrap();
        assert!(connection.answered.elapsed() >= SHORT, "{needed:?}");
    }
}

#[tokio::test]
async fn what_was_asked_has_more_time() {
    let (mut connection, mut client) = connected(SHORT, 5 * SHORT).await;
    assert!(cut_off(&mut connection).await >= 5 * SHORT, "it was never asked, and has the time of a first request");
    for _ in 0..2 {
        connection.write_all(b"an answer").await.unwrap();
        ask(&mut connection, &mut client).await;
        assert!(cut_off(&mut connection).await >= 5 * SHORT, "since the answer");
    }
}

#[tokio::test]
async fn an_answer_that_nobody_reads_ends_the_connection() {
    let (mut connection, _client) = connected(SHORT, 2 * SHORT).await;
    let sending = async {
        loop {
            match connection.write(&[0; 1 << 14]).await {
                Ok(_) => {}
                Err(error) => break error.kind(),
            }
        }
    };
    assert_eq!(timeout(SOON, sending).await, Ok(ErrorKind::TimedOut));
    assert!(connection.answered.elapsed() >= 2 * SHORT);
}

#[tokio::test]
async fn a_client_that_was_told_to_go_on_is_not_idle() {
    let (mut connection, mut client) = connected(SHORT, 5 * SHORT).await;
    ask(&mut connection, &mut client).await;
    connection.write_all(GO_ON).await.unwrap();
    assert!(cut_off(&mut connection).await >= 5 * SHORT);
    connection.write_all(b"an answer").await.unwrap();
    assert!(cut_off(&mut connection).await >= SHORT);
}

#[tokio::test]
async fn while_an_answer_waits_to_be_read_its_client_is_not_idle() {
    let (mut connection, mut client) = connected(SHORT, LONG).await;
    ask(&mut connection, &mut client).await;
    let mut fill = async || while futures_util::poll!(Box::pin(connection.write(&[0; 1 << 14]))).is_ready() {};
    fill().await;
    assert!(timeout(2 * SHORT, connection.read(&mut [0; 64])).await.is_err(), "it is not cut off");
}

#[tokio::test]
async fn an_alarm_that_went_off_is_set_again_by_an_answer() {
    let (mut connection, _client) = connected(SHORT, SHORT).await;
    cut_off(&mut connection).await;
    let mut answered = false;
    let woken = poll_fn(|context| {
        if std::mem::replace(&mut answered, true) {
            return Poll::Ready(());
        }
        assert!(Pin::new(&mut connection).poll_write(context, b"an answer").is_ready());
        Poll::Pending
    });
    timeout(SOON, woken).await.expect("it is woken");
    assert!(connection.answered.elapsed() < SOON / 2, "and not by the end of the test's patience");
}
