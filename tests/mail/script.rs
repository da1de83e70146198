//! A relay that answers by the book it is given, and keeps every byte that it hears.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// What is said to what; where the text is empty, nothing any more.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    pub(crate) greeting: &'static str,
    pub(crate) ehlo: &'static str,
    pub(crate) starttls: &'static str,
    pub(crate) auth: &'static str,
    pub(crate) mail: &'static str,
    pub(crate) rcpt: &'static str,
    pub(crate) data: &'static str,
    pub(crate) dot: &'static str,
}

/// A relay that takes everything, and several commands at once.
pub(crate) const PIPELINING: Script = Script {
    greeting: "220 relay.test",
    ehlo: "250-relay.test\r\n250 PIPELINING",
    starttls: "220 go ahead",
    auth: "235 welcome",
    mail: "250 ok",
    rcpt: "250 ok",
    data: "354 go ahead",
    dot: "250 kept",
};

/// Starts such a relay; gives its port, and what it hears: the number of the connection, and the bytes of one read.
pub(crate) async fn start(script: Script) -> (u16, UnboundedReceiver<(usize, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, reads) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for number in 1.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            tokio::spawn(serve(stream, script, number, heard.clone()));
        }
    });
    (port, reads)
}

async fn serve(mut stream: TcpStream, script: Script, number: usize, heard: UnboundedSender<(usize, Vec<u8>)>) {
    let (mut text, mut in_message) = (Vec::new(), false);
    if say(&mut stream, script.greeting).await.is_err() {
        return;
    }
    loop {
        let end: &[u8] = if in_message { b"\r\n.\r\n" } else { b"\r\n" };
        let Some(at) = text.windows(end.len()).position(|bytes| bytes == end) else {
            let mut read = vec![0; 1 << 17];
            let Ok(count @ 1..) = stream.read(&mut read).await else { return };
            read.truncate(count);
            text.extend_from_slice(&read);
            let _ = heard.send((number, read));
            continue;
        };
        let line: Vec<u8> = text.drain(..at + end.len()).collect();
        let answer = match line.get(..4) {
            _ if in_message => script.dot,
            Some(b"EHLO") => script.ehlo,
            Some(b"STAR") => script.starttls,
            Some(b"AUTH") => script.auth,
            Some(b"MAIL") => script.mail,
            Some(b"RCPT") => script.rcpt,
            Some(b"DATA") => script.data,
            _ => "250 ok",
        };
        in_message = !in_message && answer.starts_with("354");
        if say(&mut stream, answer).await.is_err() {
            return;
        }
    }
}

async fn say(stream: &mut TcpStream, answer: &str) -> std::io::Result<()> {
    if answer.is_empty() {
        // The connection stays open.
        return std::future::pending().await;
    }
    stream.write_all(format!("{answer}\r\n").as_bytes()).await
}

/// Everything heard so far.
pub(crate) fn all(reads: &mut UnboundedReceiver<(usize, Vec<u8>)>) -> Vec<(usize, Vec<u8>)> {
    std::iter::from_fn(|| reads.try_recv().ok()).collect()
}
