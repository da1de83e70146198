//! SIGTERM: what is under way is finished, or left so that another instance can finish it.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::SOON;
use crate::person::Person;
use crate::server::ServerProcess;
use crate::setup::Setup;
use crate::support::{Fault, Stage, eventually};

/// A request whose body has not come yet; the server is reading it.
async fn half_a_request(server: &ServerProcess, body: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    let mut stream = BufReader::new(stream);
    let head = format!(
        "POST /api/auth/otp/request HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut line = String::new();
    tokio::time::timeout(SOON, stream.read_line(&mut line)).await.expect("an answer").unwrap();
    assert!(line.starts_with("HTTP/1.1 100"), "{line}");
    stream
}

#[tokio::test]
async fn a_request_in_flight_is_answered_and_its_mail_is_not_lost() {
    for setup in Setup::both().await {
        let mut server = setup.start().await;
        let body = r#"{"email":"ann@example.com"}"#;
        let mut request = half_a_request(&server, body).await;
        server.terminate();
        eventually("the server to take no new connections, or to say that it is not ready", SOON, async || {
            match reqwest::get(server.url("/health/ready")).await {
                Ok(answer) => (answer.status() == 503).then_some(()),
                Err(_) => Some(()),
            }
        })
        .await;
        request.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(SOON, request.read_to_string(&mut answer)).await;
        assert!(answer.contains("HTTP/1.1 202"), "{read:?} {answer}\n{}", server.log());
        let status = server.wait(SOON).await;
        assert!(status.success(), "{status}\n{}", server.log());
        assert!(server.log().contains("stopped"), "{}", server.log());
        if setup.servers.is_some() {
            // By the one that ended, or by the next.
            let next = setup.start_again(&server).await;
            setup.next_code_to(&next, "ann@example.com").await;
        }
    }
}

#[tokio::test]
async fn a_server_with_nothing_to_do_ends_at_once() {
    for setup in Setup::both().await {
        let mut server = setup.start().await;
        // With a connection that is kept alive, as browsers do.
        let person = Person::signed_in(&setup, &server, "ann@example.com").await;
        assert!(person.is_known(&server).await);
        server.terminate();
        let begun = std::time::Instant::now();
        let status = server.wait(SOON).await;
        assert!(status.success(), "{status}\n{}", server.log());
        let took = begun.elapsed();
        eprintln!("ended {took:?} after SIGTERM");
        assert!(took < Duration::from_secs(8), "{took:?}\n{}", server.log());
    }
}

#[tokio::test]
async fn a_mail_that_is_being_sent_is_finished() {
    let setup = Setup::on_servers().await;
    let mut server = setup.start().await;
    let sink = &setup.servers().sink;
    sink.script(Fault::Slow { bytes_per_second: 8000 });
    let person = Person::new("ann@example.com");
    person.ask(&server).await;
    sink.wait_until_reached(Stage::Data, 1, SOON).await;
    server.terminate();
    let status = server.wait(SOON).await;
    assert!(status.success(), "{status}\n{}", server.log());
    assert_eq!(sink.count(), 1, "sent before the end, and once:\n{}", server.log());
}

#[tokio::test]
async fn a_mail_that_cannot_be_finished_in_time_is_sent_by_another_instance() {
    let setup = Setup::on_servers().await;
    let mut server = setup.start_with(&[("GATEPOST_SERVER_SHUTDOWN_TIMEOUT", "1s")]).await;
    let sink = &setup.servers().sink;
    sink.script(Fault::Hang { stage: Stage::Data }.times(1));
    let person = Person::new("ann@example.com");
    let challenge = person.ask(&server).await;
    sink.wait_until_reached(Stage::Data, 1, SOON).await;
    server.terminate();
    let status = server.wait(Duration::from_secs(10)).await;
    assert!(status.success(), "{status}\n{}", server.log());
    assert_eq!(sink.count(), 0);

    let other = setup.start().await;
    let code = setup.next_code_to(&other, &person.email).await.code().unwrap();
    person.answer(&other, &challenge, &code, "cookie").await;
    assert_eq!(sink.count(), 1);
}
