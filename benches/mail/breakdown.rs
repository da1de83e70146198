//! What the steps of sending a mail take, one at a time, each alone: a map for whoever wants to make it faster.

use std::time::{Duration, Instant, SystemTime};

use chrono::TimeDelta;
use gatepost::domain::{MailId, MailStatus, Priority};
use gatepost::mail::{Rendered, Renderer};
use gatepost::store::postgres::{challenges, outbox};
use gatepost::store::{Database, Mail};
use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use crate::frame::{Figure, Options, Report, cpu_of_thread};
use crate::peer;
use crate::rig::{Place, Rig};
use crate::seed::{self, Kind};
use crate::servers::Servers;
use crate::sink::Sink;

const MAILS: usize = 2_000;

pub(crate) async fn run(servers: &mut Servers, options: &Options, report: &mut Report) {
    eprintln!("breakdown: each step alone, one at a time");
    let place = servers.postgres(9).await;
    let ids = seed::seed(&place, Kind::SignIn, MAILS).await;
    let rig = Rig::open(&place).await;
    let calls = 5_000;
    let bytes = texts(&rig, ids[0], calls, report).await;
    statements(&rig, &ids, report).await;
    queue(&rig, &place, &ids, report).await;
    let mut sink = Sink::start(Duration::ZERO, false);
    let specimen = ("no-reply@example.com".to_owned(), bytes);
    let mails = if options.quick { 1_000 } else { 5_000 };
    let ran = peer::send(sink.port, mails, 1, &specimen, Duration::from_mins(1));
    assert_eq!(sink.got().mails, mails as u64, "the mails have come");
    let each = ran.seconds * 1e6 / mails as f64;
    let cpu = format!("lettre, one connection, instant sink; {:.0} us of processor time", ran.cpu * 1e6 / mails as f64);
    report.add(Figure::new("step_smtp", "us", each).context(cpu));
}

/// Rendering and building; gives the message.
async fn texts(rig: &Rig, id: MailId, calls: usize, report: &mut Report) -> Vec<u8> {
    let Database::Postgres { pool, .. } = &rig.parts.database else { panic!("Postgres only") };
    let mut conn = pool.get().await.expect("a connection");
    let mail = outbox::by_id(&mut conn, id).await.expect("an answer").expect("a mail");
    let challenge = mail.challenge_id.expect("a sign-in mail");
    let challenge = challenges::by_id(&mut conn, challenge).await.expect("an answer").expect("a challenge");
    let content = Renderer::content(&mail).expect("a content");
    let render = || rig.renderer.render(&mail, &content, Some(&challenge)).expect("a text");
    let rendered = render();
    report.add(step("render", calls, || drop(std::hint::black_box(render()))));
    report.add(step("content_from_json", calls, || drop(std::hint::black_box(Renderer::content(&mail)))));
    report.add(step("build_message", calls, || drop(std::hint::black_box(build(&mail, &rendered)))));
    let bytes = build(&mail, &rendered);
    report.add(Figure::new("message", "bytes", bytes.len() as f64));
    bytes
}

/// Mean processor time of a call, after some that do not count.
fn step(name: &str, calls: usize, mut call: impl FnMut()) -> Figure {
    (0..calls / 10).for_each(|_| call());
    let before = cpu_of_thread();
    (0..calls).for_each(|_| call());
    let nanos = cpu_of_thread().saturating_sub(before) as f64;
    Figure::new(format!("step_{name}"), "us", nanos / 1000.0 / calls as f64).context("processor time")
}

/// The message as `mail/message.rs` builds it, which is not public.
fn build(mail: &Mail, rendered: &Rendered) -> Vec<u8> {
    let part = |kind, text: &str| {
        let encoding = ContentTransferEncoding::QuotedPrintable;
        SinglePart::builder().header(kind).header(encoding).body(text.to_owned())
    };
    let body = MultiPart::alternative()
        .boundary(format!("=_{}", mail.id.0.simple()))
        .singlepart(part(ContentType::TEXT_PLAIN, &rendered.text))
        .singlepart(part(ContentType::TEXT_HTML, &rendered.html));
    let message = Message::builder()
        .from(Mailbox::new(Some("Gatepost".to_owned()), "no-reply@example.com".parse().expect("an address")))
        .to(Mailbox::new(None, mail.recipient.parse().expect("an address")))
        .subject(&rendered.subject)
        .date(SystemTime::from(mail.created_at))
        .message_id(Some(format!("<{}>", mail.message_id)))
        .multipart(body);
    message.expect("a message").formatted()
}

/// The statements around a mail, through a connection of the pool, with as much durability as the server is set to.
async fn statements(rig: &Rig, ids: &[MailId], report: &mut Report) {
    let Database::Postgres { pool, .. } = &rig.parts.database else { panic!("Postgres only") };
    let now = rig.clock.now() + TimeDelta::seconds(1);
    let lease = now + TimeDelta::minutes(1);
    let mut claimed = Vec::new();
    let mut rest = ids;
    for (batch, rounds) in [(1, 200), (8, 50), (64, 20)] {
        let (now_ids, later) = rest.split_at(batch * rounds);
        rest = later;
        let begun = Instant::now();
        for some in now_ids.chunks(batch) {
            let mut conn = pool.get().await.expect("a connection");
            claimed.extend(outbox::claim(&mut conn, some, now, lease).await.expect("claimed"));
        }
        let each = begun.elapsed().as_secs_f64() * 1e6 / (rounds as f64);
        let context = format!("{:.1} us a mail", each / batch as f64);
        report.add(Figure::new(format!("step_claim_{batch}"), "us", each).context(context));
    }
    let begun = Instant::now();
    for mail in claimed.iter().take(400) {
        let mut conn = pool.get().await.expect("a connection");
        let id = mail.challenge_id.expect("a challenge");
        challenges::by_id(&mut conn, id).await.expect("an answer").expect("a challenge");
    }
    report.add(Figure::new("step_read_challenge", "us", begun.elapsed().as_secs_f64() * 1e6 / 400.0));
    let begun = Instant::now();
    for mail in claimed.iter().take(400) {
        let mut conn = pool.get().await.expect("a connection");
        let ended = outbox::finish(&mut conn, mail.id, mail.fence, MailStatus::Sent, None, now).await;
        assert!(ended.expect("an answer"), "the row is ours");
    }
    report.add(Figure::new("step_finish_1", "us", begun.elapsed().as_secs_f64() * 1e6 / 400.0));
}

/// What Redis takes to queue an id and to give a batch of them.
async fn queue(rig: &Rig, place: &Place, ids: &[MailId], report: &mut Report) {
    let begun = Instant::now();
    for id in ids {
        rig.queue.push(&[(*id, Priority::Urgent)]).await;
    }
    report.add(Figure::new("step_push_1", "us", begun.elapsed().as_secs_f64() * 1e6 / ids.len() as f64));
    let url = place.redis.clone().expect("a Redis");
    let client = redis::Client::open(url).expect("a URL");
    let mut conn = client.get_multiplexed_async_connection().await.expect("a connection");
    let rounds = ids.len() / 8;
    let begun = Instant::now();
    for _ in 0..rounds {
        let mut pop = redis::cmd("BLMPOP");
        pop.arg(1).arg(1).arg(gatepost::redis::keys::MAIL_URGENT).arg("RIGHT").arg("COUNT").arg(8);
        let _: (String, Vec<String>) = pop.query_async(&mut conn).await.expect("ids");
    }
    report.add(Figure::new("step_pop_8", "us", begun.elapsed().as_secs_f64() * 1e6 / rounds as f64));
}
