//! Clients that leave before they have their answer.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::app::{Options, SOON};
use crate::support::eventually;

/// Sends a request and breaks the connection off, so that the server is told at once.
async fn ask_and_leave(address: SocketAddr, head: &str, body: &str) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_zero_linger().unwrap();
    let length = body.len();
    let request = format!(
        "{head}\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
}

on_both_setups! {
    async fn clients_that_leave_at_once_do_no_harm(app: TestApp = Options::without_limits()) {
        let token = app.sign_in("ada@example.com").await.session_token();
        let validate = format!("GET /api/auth/validate HTTP/1.1\r\nAuthorization: Bearer {token}");
        let sessions = format!("GET /api/sessions HTTP/1.1\r\nAuthorization: Bearer {token}");
        for round in 0..60 {
            let email = format!(r#"{{"email":"p{round}@example.com"}}"#);
            ask_and_leave(app.address, "POST /api/auth/otp/request HTTP/1.1", &email).await;
            ask_and_leave(app.address, &validate, "").await;
            ask_and_leave(app.address, &sessions, "").await;
            ask_and_leave(app.address, "POST /api/auth/otp/verify HTTP/1.1", "{").await;
        }
        // Nothing is left over but the question itself.
        eventually("all requests have ended", SOON, async || {
            let metrics = app.program().get("/metrics").await.expect(200).body;
            metrics.contains("gatepost_http_requests_in_flight 1\n").then_some(())
        })
        .await;
        app.sign_in("bob@example.com").await;
    }
}
