//! Clients that leave before they have their answer.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use crate::app::{Options, SOON};
use crate::support::eventually;

/// Sends a request and leaves at once, without a word (`SO_LINGER` aside) or in good order.
fn ask_and_leave(address: std::net::SocketAddr, head: &str, body: &str, politely: bool) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "{head}\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    if politely {
        stream.shutdown(Shutdown::Both).unwrap();
    }
}

on_both_setups! {
    async fn clients_that_leave_at_once_do_no_harm(app: TestApp = Options::without_limits()) {
        let token = app.sign_in("ada@example.com").await.session_token();
        let address = app.address;
        let leaving = tokio::task::spawn_blocking(move || {
            let validate = format!("GET /api/auth/validate HTTP/1.1\r\nAuthorization: Bearer {token}");
            let sessions = format!("GET /api/sessions HTTP/1.1\r\nAuthorization: Bearer {token}");
            for round in 0..60 {
                let politely = round % 2 == 0;
                let email = format!(r#"{{"email":"p{round}@example.com"}}"#);
                ask_and_leave(address, "POST /api/auth/otp/request HTTP/1.1", &email, politely);
                ask_and_leave(address, &validate, "", politely);
                ask_and_leave(address, &sessions, "", politely);
                ask_and_leave(address, "POST /api/auth/otp/verify HTTP/1.1", "{", politely);
            }
        });
        leaving.await.unwrap();
        // Nothing is left over but the question itself.
        eventually("all requests have ended", SOON, async || {
            let metrics = app.program().get("/metrics").await.expect(200).body;
            metrics.contains("gatepost_http_requests_in_flight 1\n").then_some(())
        })
        .await;
        app.sign_in("bob@example.com").await;
    }
}
