//! Clients that are slow, that never end, that send too much or what is ambiguous. Each is refused or cut off, never with
//! a fault of the server, and everybody else is served.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::app::{Options, SOON, Setup, TestApp};
use crate::raw::{Raw, exchange, status};

/// A server that has little patience.
fn impatient() -> Options {
    Options::default().set("GATEPOST_SERVER_REQUEST_TIMEOUT", "1s").set("GATEPOST_SERVER_KEEP_ALIVE", "1s")
}

const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: x\r\n";

/// `head` without its end, with an end that closes the connection.
fn closing(head: &str) -> String {
    format!("{head}Connection: close\r\n\r\n")
}

async fn expect_refusal(app: &TestApp, request: &str, statuses: &[u16]) {
    let answer = exchange(app.address, request).await;
    let shown: String = request.chars().take(200).collect();
    assert!(statuses.contains(&status(&answer)), "{shown:?}: {answer}");
    assert!(!answer.contains("HTTP/1.1 2"), "{shown:?}: {answer}");
}

async fn expect_still_serving(app: &TestApp) {
    let metrics = app.program().get("/metrics").await.expect(200).body;
    assert!(!metrics.contains(r#"status="5"#), "{metrics}");
}

on_both_setups! {
    async fn half_a_request_is_cut_off(app: TestApp = impatient()) {
        let mut slow = JoinSet::new();
        for start in ["", "G", "GET /health HTTP/1.1\r\n", HEALTH, "\r\n"] {
            let mut raw = Raw::open(app.address).await;
            slow.spawn(async move {
                raw.send(start).await;
                (start, raw.read_to_end().await)
            });
        }
        for (start, answer) in slow.join_all().await {
            assert!(matches!(status(&answer), 0 | 408), "{start:?}: {answer}");
        }
        expect_still_serving(&app).await;
    }

    async fn half_a_later_request_is_cut_off_too(app: TestApp = impatient()) {
        let mut raw = Raw::open(app.address).await;
        raw.send(format!("{HEALTH}\r\n")).await;
        raw.read_until("}").await;
        // All of one and half of another at once, so that half a head waits behind an answer.
        raw.send(format!("{HEALTH}\r\nGET /health HTTP/1.1\r\nHo")).await;
        let begun = Instant::now();
        let answer = raw.read_to_end().await;
        assert_eq!((status(&answer), answer.matches("HTTP/1.1").count()), (200, 1), "{answer}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        expect_still_serving(&app).await;
    }

    async fn a_head_that_trickles_in_wins_no_time(app: TestApp = impatient()) {
        let mut trickling = Raw::open(app.address).await;
        trickling.send(format!("{HEALTH}\r\n")).await;
        trickling.read_until("}").await;
        trickling.send(HEALTH).await;
        let begun = Instant::now();
        // It sends a little now and then, until it is told that nobody listens.
        let mut pause = tokio::time::interval(Duration::from_millis(200));
        while begun.elapsed() < SOON && !trickling.is_closed().await {
            pause.tick().await;
            trickling.send("X-Slow: a\r\n").await;
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        expect_still_serving(&app).await;
    }

    async fn a_body_that_does_not_come_is_refused(app: TestApp = impatient()) {
        let head = "POST /api/auth/otp/request HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        for body in ["Content-Length: 100\r\n\r\n{\"email\":", "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"ema"] {
            let answer = exchange(app.address, format!("{head}{body}")).await;
            assert_eq!(status(&answer), 400, "{answer}");
            assert!(answer.contains("took too long"), "{answer}");
        }
        expect_still_serving(&app).await;
    }

    async fn a_body_that_waits_to_be_asked_for_has_the_time_of_a_body(app: TestApp =
        impatient().set("GATEPOST_SERVER_REQUEST_TIMEOUT", "2s")) {
        let mut raw = Raw::open(app.address).await;
        let head = "POST /api/auth/otp/request HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        raw.send(format!("{head}Expect: 100-continue\r\nContent-Length: 100\r\n\r\n")).await;
        raw.read_until("HTTP/1.1 100 Continue\r\n\r\n").await;
        let answer = raw.read_to_end().await;
        assert_eq!(status(&answer), 400, "{answer}");
        assert!(answer.contains("took too long"), "{answer}");
    }

    // Long before one that asks for something would be.
    async fn a_connection_that_asks_for_nothing_more_is_closed(app: TestApp =
        impatient().set("GATEPOST_SERVER_REQUEST_TIMEOUT", "10s")) {
        let mut raw = Raw::open(app.address).await;
        raw.send(format!("{HEALTH}\r\n")).await;
        assert_eq!(status(&raw.read_to_end().await), 200);
    }

    // Where the server leaves before all is sent, its answer may be lost on the way: that is 0 here.
    async fn too_much_of_anything_is_refused(app: TestApp = impatient()) {
        let many = (0..200).map(|n| format!("X-{n}: a\r\n")).collect::<Vec<_>>().concat();
        let (long, longer) = ("a".repeat(100_000), "a".repeat(300_000));
        for (request, statuses) in [
            (closing(&format!("{HEALTH}{many}")), &[400, 431][..]),
            (closing(&format!("{HEALTH}X: {longer}\r\n")), &[0, 431]),
            (closing(&format!("{HEALTH}{longer}: a\r\n")), &[0, 400, 431]),
            (closing(&format!("GET /{long} HTTP/1.1\r\nHost: x\r\n")), &[400, 404, 414]),
            (closing(&format!("GET /{longer} HTTP/1.1\r\nHost: x\r\n")), &[0, 400, 414, 431]),
            (closing(&format!("GET /login?next={longer} HTTP/1.1\r\nHost: x\r\n")), &[0, 400, 414, 431]),
        ] {
            expect_refusal(&app, &request, statuses).await;
        }
        // A large header that is read is no reason for anything.
        let cookies = closing(&format!("{HEALTH}Cookie: a={}\r\n", "b".repeat(60_000)));
        assert_eq!(status(&exchange(app.address, cookies).await), 200);
        expect_still_serving(&app).await;
    }

    async fn a_request_that_can_be_read_in_two_ways_is_read_in_none(app: TestApp = impatient()) {
        let inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
        let post = "POST /api/auth/otp/request HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        for lines in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 0\r\n",
            "Content-Length: 0\r\nContent-Length: 5\r\n",
            "Content-Length: 0, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding : chunked\r\n",
            " Transfer-Encoding: chunked\r\n",
            "X: a\r\n Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding:\x0bchunked\r\n",
        ] {
            expect_refusal(&app, &format!("{post}{lines}\r\n0\r\n\r\n{inner}"), &[400]).await;
        }
        for chunk in ["5;\n", "-1\r\n", "0x5\r\n", "ffffffffffffffffff\r\n", "zz\r\n"] {
            let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunk}");
            let answer = exchange(app.address, format!("{chunked}{inner}")).await;
            assert!(!answer.contains("HTTP/1.1 2") && !answer.contains("HTTP/1.1 5"), "{chunk:?}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 404").count(), 0, "{chunk:?}: {answer}");
        }
        let metrics = app.program().get("/metrics").await.expect(200).body;
        assert!(!metrics.contains("smuggled") && !metrics.contains(r#"route="unmatched""#), "{metrics}");
    }

    async fn a_request_names_one_host_and_one_place(app: TestApp = impatient()) {
        for head in [
            "GET /health HTTP/1.1\r\nHost: x\r\nHost: evil.example\r\n",
            "GET /health HTTP/1.1\r\nHost: x\r\nHost: x\r\n",
            "GET /health HTTP/1.1\r\n",
            "GET  /health HTTP/1.1\r\nHost: x\r\n",
            "GET /health HTTP/9.9\r\nHost: x\r\n",
            "GET /hea\0lth HTTP/1.1\r\nHost: x\r\n",
            "GET health HTTP/1.1\r\nHost: x\r\n",
        ] {
            expect_refusal(&app, &closing(head), &[0, 400, 404]).await;
        }
        // The absolute form names a host too, and it makes no difference.
        let absolute = closing("GET http://evil.example/login HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n");
        let answer = exchange(app.address, absolute).await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(!answer.contains("evil.example"), "{answer}");
        for head in [
            "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n",
            "TRACE /login HTTP/1.1\r\nHost: x\r\nX-Secret: echo\r\n",
            "TRACE /health HTTP/1.1\r\nHost: x\r\nX-Secret: echo\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n",
        ] {
            let answer = exchange(app.address, closing(head)).await;
            assert!(matches!(status(&answer), 400..=405), "{head}: {answer}");
            assert!(!answer.to_lowercase().contains("x-secret"), "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_holds_all_connections() {
    let options = Options::default()
        .set("GATEPOST_TRUSTED_PROXIES", "127.0.0.1,192.0.2.1")
        .set("GATEPOST_SERVER_PROXY_PROTOCOL", "required")
        .set("GATEPOST_SERVER_MAX_CONNECTIONS", "80");
    let app = TestApp::start(Setup::Embedded, options).await;
    let announced = |client: &str| {
        let family = if client.contains(':') { "TCP6" } else { "TCP4" };
        let here = if client.contains(':') { "::1" } else { "127.0.0.1" };
        format!("PROXY {family} {client} {here} 4711 80\r\n{HEALTH}\r\n")
    };
    let come = async |client: &str| {
        let mut raw = Raw::open(app.address).await;
        raw.send(announced(client)).await;
        raw
    };
    let mut held = Vec::new();
    for n in 0..8 {
        for client in ["203.0.113.9".to_owned(), format!("2001:db8:1:{n}::9")] {
            let mut raw = come(&client).await;
            raw.read_until("}").await;
            held.push(raw);
        }
    }
    for client in ["203.0.113.9", "2001:db8:1:9::9"] {
        assert_eq!(come(client).await.read_to_end().await, "", "{client} has its eight");
    }
    // Others have places of their own, and proxies, and who comes by loopback, as many as they want.
    let proxies = ["192.0.2.1"; 9].into_iter().chain(["127.0.0.1"; 9]);
    for client in ["203.0.113.10", "2001:db8:1:100::1"].into_iter().chain(proxies) {
        let mut raw = come(client).await;
        raw.read_until("}").await;
        held.push(raw);
    }
    drop(held);
    crate::support::eventually("a place to be free again", SOON, async || {
        let mut raw = come("203.0.113.9").await;
        raw.send("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        (status(&raw.read_to_end().await) == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_when_all_connections_are_taken_waits_for_one() {
    let options = Options::default().set("GATEPOST_SERVER_MAX_CONNECTIONS", "16");
    let app = TestApp::start(Setup::Embedded, options.set("GATEPOST_SERVER_REQUEST_TIMEOUT", "2m")).await;
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut raw = Raw::open(app.address).await;
        raw.send(format!("{HEALTH}\r\n")).await;
        raw.read_until("}").await;
        held.push(raw);
    }
    let mut late = Raw::open(app.address).await;
    late.send(closing(HEALTH)).await;
    assert!(late.says_nothing_for(Duration::from_millis(500)).await, "there are only sixteen");
    drop(held);
    assert_eq!(status(&late.read_to_end().await), 200);
}
