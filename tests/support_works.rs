//! The test support does as it says: what a test believes about a fault has to be true of the support first.
#![allow(clippy::unwrap_used, reason = "clippy's exceptions for tests cover only #[test] functions")]

mod support;

use std::time::{Duration, Instant};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::MultiPart,
    transport::smtp::{Error as SmtpError, response::Response},
};
use support::{
    Browser, Cut, Fault, Options, Postgres, PrivatePostgres, ReceivedMail, Redis, Server, SmtpSink, Stage, Wire,
    eventually,
};

const SOON: Duration = Duration::from_secs(5);

fn letter(to: &str) -> Message {
    Message::builder()
        .from("Gatepost <no-reply@gatepost.test>".parse().unwrap())
        .to(to.parse().unwrap())
        .subject("Grüße: 1 code")
        .message_id(Some("<one@gatepost.test>".to_owned()))
        .multipart(MultiPart::alternative_plain_html(
            "Your code: 042 777\r\n..dots\r\n.\r\nhttp://x.test/login/link?t=ab_-1.\r\nend".to_owned(),
            "<p>Your code</p>".to_owned(),
        ))
        .unwrap()
}

/// Whether a process is there and no zombie.
fn running(id: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Sends over a connection of its own.
async fn send(sink: &SmtpSink, to: &str) -> Result<Response, SmtpError> {
    let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&sink.url()).unwrap();
    transport.timeout(Some(SOON)).build().send(letter(to)).await
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_sent() {
    let sink = SmtpSink::start().await;
    send(&sink, "ann@a.test").await.unwrap();
    send(&sink, "bob@b.test").await.unwrap();

    let mail = sink.next_to("Ann@a.test").await;
    assert_eq!(mail.from, "no-reply@gatepost.test");
    assert_eq!(mail.to, ["ann@a.test"]);
    assert_eq!(mail.subject(), "Grüße: 1 code");
    assert_eq!(mail.code().as_deref(), Some("042777"));
    assert_eq!(mail.link().as_deref(), Some("http://x.test/login/link?t=ab_-1"));
    assert_eq!(mail.message_id().as_deref(), Some("one@gatepost.test"));
    assert_eq!(mail.header("to").as_deref(), Some("ann@a.test"));
    assert!(mail.text().unwrap().contains("\r\n..dots\r\n.\r\n"), "{:?}", mail.text());
    assert_eq!(mail.html().unwrap().trim(), "<p>Your code</p>");
    assert_eq!((sink.count(), sink.connections(), sink.reached(Stage::Dot)), (2, 2, 2));
    assert_eq!(sink.wait_for(|mail| mail.is_to("bob@b.test"), SOON).await.connection, 2);

    send(&sink, "ann@a.test").await.unwrap();
    assert_eq!(sink.next_to("ann@a.test").await.connection, 3, "the first was taken");
}

#[test]
fn a_code_is_six_digits_alone() {
    let found = |text: &str| {
        let raw = format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{text}").into_bytes();
        ReceivedMail { from: String::new(), to: Vec::new(), raw, received_at: Instant::now(), connection: 1 }.code()
    };
    assert_eq!(found("Your code: 123456.").as_deref(), Some("123456"));
    assert_eq!(found("Your code is\r\n\r\n  123 456\r\n\r\nfor 10 minutes").as_deref(), Some("123456"));
    assert_eq!(found("within 600 seconds: 12\u{a0}34 or 042\u{a0}777").as_deref(), Some("042777"));
    assert_eq!(found("http://x/login/link?t=123456 order 1234567, a1b2c3 12345"), None);
}

#[tokio::test]
async fn a_scripted_answer_is_given_to_whom_it_is_meant_for_and_as_often() {
    let sink = SmtpSink::start().await;
    sink.script(Fault::Reply { stage: Stage::Rcpt, code: 450, text: "later" }.for_domain("slow.test").times(1));
    send(&sink, "ann@a.test").await.unwrap();
    let refused = send(&sink, "ann@slow.test").await.unwrap_err();
    assert!(refused.is_transient(), "{refused:?}");
    send(&sink, "ann@slow.test").await.unwrap();
    for stage in [Stage::Connect, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Dot] {
        sink.script(Fault::Reply { stage, code: 550, text: "never" });
        let refused = send(&sink, "ann@a.test").await.unwrap_err();
        assert!(refused.is_permanent(), "{stage:?}: {refused:?}");
        sink.clear();
    }
    assert_eq!(sink.count(), 2);
}

#[tokio::test]
async fn a_connection_drops_where_it_is_told_to() {
    let sink = SmtpSink::start().await;
    for stage in [Stage::Connect, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data] {
        sink.script(Fault::DropAfter { stage }.times(1));
        let broken = send(&sink, "ann@a.test").await.unwrap_err();
        assert_eq!(broken.status(), None, "{stage:?}: {broken:?}");
        assert_eq!(sink.count(), 0, "{stage:?}");
    }
    sink.script(Fault::DropAfter { stage: Stage::Dot }.times(1));
    send(&sink, "ann@a.test").await.unwrap_err();
    assert_eq!(sink.count(), 1, "the server had the mail");
}

#[tokio::test]
async fn a_hanging_server_keeps_the_client_waiting_and_not_the_mail() {
    let sink = SmtpSink::start().await;
    for stage in [Stage::Connect, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Dot] {
        sink.script(Fault::Hang { stage });
        let sending = tokio::time::timeout(Duration::from_millis(300), send(&sink, "ann@a.test"));
        assert!(sending.await.is_err(), "{stage:?} was answered");
        assert_eq!(sink.reached(stage), 1, "{stage:?}");
        sink.clear();
        eventually("the client's connection to be gone", SOON, async || (sink.open_connections() == 0).then_some(()))
            .await;
    }
    assert_eq!(sink.count(), 0);
}

#[tokio::test]
async fn a_slow_server_takes_its_time_with_a_message() {
    let sink = SmtpSink::start().await;
    let size = u32::try_from(letter("ann@a.test").formatted().len()).unwrap();
    sink.script(Fault::Slow { bytes_per_second: size * 4 });
    let begun = Instant::now();
    send(&sink, "ann@a.test").await.unwrap();
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(245), "took {took:?}");
}

#[tokio::test]
async fn a_held_answer_comes_when_it_is_released() {
    let sink = SmtpSink::start().await;
    for stage in [Stage::Connect, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Dot] {
        sink.script(Fault::Hold { stage }.times(1));
        let before = sink.count();
        let released = async {
            sink.wait_until_held(1, SOON).await;
            assert_eq!(sink.reached(stage), sink.reached(Stage::Connect), "{stage:?}");
            assert_eq!(sink.count() - before, usize::from(stage == Stage::Dot), "kept at the dot, and only there");
            sink.release().await;
        };
        let (sent, ()) = tokio::join!(send(&sink, "ann@a.test"), released);
        sent.unwrap();
        assert_eq!((sink.held(), sink.count()), (0, before + 1), "{stage:?}");
    }
    assert_eq!(sink.dots_to("Ann@a.test"), 6);
}

#[tokio::test]
async fn a_stalled_message_is_not_kept_and_its_connection_breaks() {
    let sink = SmtpSink::start().await;
    sink.script(Fault::Stall.times(1));
    let released = async {
        sink.wait_until_held(1, SOON).await;
        sink.release().await;
    };
    let (sent, ()) = tokio::join!(send(&sink, "ann@a.test"), released);
    sent.unwrap_err();
    assert_eq!((sink.count(), sink.dots_to("ann@a.test")), (0, 0));
}

#[tokio::test]
async fn a_trickling_answer_takes_its_time() {
    let sink = SmtpSink::start().await;
    // `250 ok` and the end of its line, of which there are four from RCPT on, if not all as short.
    sink.script(Fault::Trickle { bytes_per_second: 80 }.for_domain("a.test").times(1));
    let begun = Instant::now();
    send(&sink, "ann@a.test").await.unwrap();
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(87), "took {took:?}");
}

#[tokio::test]
async fn a_wire_breaks_before_or_after_a_commit() {
    let database = Postgres::database().await;
    let client = database.client().await;
    client.batch_execute("CREATE TABLE t (n integer)").await.unwrap();
    let wire = Wire::to(&database.url).await;
    for (cut, kept) in [(Cut::BeforeCommit, 0), (Cut::AfterCommit, 1)] {
        let (cut_off, connection) = tokio_postgres::connect(&wire.url(), tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        cut_off.batch_execute("BEGIN").await.unwrap();
        cut_off.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
        wire.cut(cut);
        cut_off.batch_execute("COMMIT").await.unwrap_err();
        let _ = connection.await;
        eventually(&format!("{kept} rows after {cut:?}"), SOON, async || {
            let count: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.ok()?.get(0);
            (count == kept).then_some(())
        })
        .await;
    }
    assert_eq!(wire.cuts(), 2);
}

#[tokio::test]
async fn a_mail_server_goes_down_and_comes_back() {
    let mut sink = SmtpSink::start().await;
    sink.go_down().await;
    send(&sink, "ann@a.test").await.unwrap_err();
    sink.come_back().await;
    send(&sink, "ann@a.test").await.unwrap();
    sink.next_to("ann@a.test").await;
}

#[tokio::test]
async fn a_redis_shows_all_it_holds() {
    let redis = Redis::start().await;
    redis.ask::<()>(&["SET", "a-string", "in-string"]).await;
    redis.ask::<()>(&["RPUSH", "a-list", "in-list"]).await;
    redis.ask::<()>(&["HSET", "a-hash", "field", "in-hash"]).await;
    redis.ask::<()>(&["SADD", "a-set", "in-set"]).await;
    redis.ask::<()>(&["ZADD", "a-zset", "7", "in-zset"]).await;
    redis.ask::<()>(&["XADD", "a-stream", "*", "field", "in-stream"]).await;
    let dump = redis.dump().await;
    for kind in ["string", "list", "hash", "set", "zset", "stream"] {
        assert!(dump.contains(&format!("a-{kind}")), "no key a-{kind} in {dump:?}");
        assert!(dump.contains(&format!("in-{kind}")), "no value in-{kind} in {dump:?}");
    }
    redis.flush().await;
    assert_eq!(redis.dump().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_redis_freezes_dies_and_comes_back_empty_on_the_same_port() {
    let mut redis = Redis::start().await;
    let url = redis.url();
    let mut connection = redis.connection().await;
    connection.set_response_timeout(Duration::from_millis(200));

    redis.pause();
    let silent = redis::cmd("SET").arg("key").arg("value").exec_async(&mut connection).await;
    assert!(silent.unwrap_err().is_timeout());
    redis.resume();
    assert_eq!(redis.ask::<String>(&["GET", "key"]).await, "value", "what it was told while frozen counts");

    redis.kill();
    assert!(redis::Client::open(url.as_str()).unwrap().get_multiplexed_async_connection().await.is_err());
    redis.restart().await;
    assert_eq!(redis.url(), url);
    assert_eq!(redis.ask::<Option<String>>(&["GET", "key"]).await, None);
}

#[tokio::test]
async fn a_database_is_fresh_and_goes_with_its_test() {
    let (one, other) = tokio::join!(Postgres::database(), Postgres::database());
    let client = one.client().await;
    client.batch_execute("CREATE TABLE t (v TEXT); INSERT INTO t VALUES ('in-table')").await.unwrap();
    assert_eq!(one.dump().await, ["public.t (in-table)"]);
    assert!(other.dump().await.is_empty());

    let name = one.url.rsplit_once('/').unwrap().1.to_owned();
    drop(one);
    let left = other.client().await.query("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await;
    assert!(left.unwrap().is_empty(), "{name} was not dropped");
}

#[tokio::test]
async fn a_postgres_stops_crashes_freezes_and_keeps_what_was_committed() {
    let postgres = PrivatePostgres::start().await;
    let database = postgres.database().await;
    database.client().await.batch_execute("CREATE TABLE t (v TEXT)").await.unwrap();

    let client = database.client().await;
    postgres.stop().await;
    assert!(client.simple_query("SELECT 1").await.is_err());
    assert!(tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.is_err());
    postgres.start_again().await;
    let client = database.client().await;
    postgres.pause().await;
    let frozen = tokio::time::timeout(Duration::from_millis(200), client.simple_query("SELECT 1"));
    assert!(frozen.await.is_err(), "a frozen server answered");
    postgres.resume().await;
    postgres.crash().await;
    postgres.start_again().await;
    assert_eq!(database.client().await.query("SELECT v FROM t", &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_server_ends_with_its_group_when_it_is_dropped() {
    let script = "trap 'echo asked; exit 3' TERM; echo ready; (exec sleep 300) & echo \"child $!\"; wait";
    let mut server = Server::spawn(std::process::Command::new("sh").args(["-c", script]));
    let child = eventually("the child's id", SOON, async || {
        let log = server.log();
        log.lines().find_map(|line| line.strip_prefix("child ")).map(str::to_owned)
    })
    .await;
    assert!(server.exited().is_none());
    assert!(running(&child));

    server.terminate();
    assert_eq!(server.wait(SOON).await.code(), Some(3));
    assert!(server.log().contains("asked"));
    let id = server.id().to_string();
    drop(server);
    eventually("its child to be gone too", SOON, async || (!running(&child) && !running(&id)).then_some(())).await;
}

#[tokio::test]
async fn a_server_ends_when_its_owner_is_killed() {
    let this = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(this);
    let mut owner = Server::spawn(command.args(["owns_a_server", "--exact", "--ignored", "--nocapture"]));
    let server_id = eventually("the owned server's id", SOON, async || {
        let log = owner.log();
        log.lines().find_map(|line| line.strip_prefix("owned ")).map(str::to_owned)
    })
    .await;
    assert!(running(&server_id));
    owner.kill();
    eventually("the owned server to be gone", SOON, async || (!running(&server_id)).then_some(())).await;
}

#[test]
#[ignore = "a_server_ends_when_its_owner_is_killed runs it, as the owner"]
fn owns_a_server() {
    let server = Server::spawn(std::process::Command::new("sleep").arg("300"));
    eprintln!("\nowned {}", server.id());
    std::thread::sleep(SOON);
}

#[tokio::test]
#[should_panic(expected = "in vain for: pigs to fly")]
async fn waiting_says_what_it_waited_for() {
    eventually("pigs to fly", Duration::from_millis(30), async || None::<()>).await;
}

#[tokio::test]
async fn a_browser_shows_a_page_in_the_size_asked_for() {
    let page = "data:text/html,<title>no scripts</title><body><script>document.title='scripts'</script><p id=p>Hi";
    for (options, title) in [(Options::DESKTOP, "scripts"), (Options::PHONE.without_javascript(), "no scripts")] {
        let browser = Browser::start_with(options).await;
        browser.goto(page).await.unwrap();
        assert_eq!(browser.title().await.unwrap(), title);
        assert_eq!(browser.find(fantoccini::Locator::Css("#p")).await.unwrap().text().await.unwrap(), "Hi");
        let png = std::fs::read(browser.screenshot("support_works").await).unwrap();
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        assert_eq!((number(16), number(20)), options.size, "a PNG's header has its size");
        browser.close().await;
    }
    // Dropped without a word, it is gone as well.
    drop(Browser::start().await);
}
