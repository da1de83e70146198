//! What it takes to accept a mail, beside one plain row committed over the same kind of pool.

use std::time::{Duration, Instant};

use diesel::ExpressionMethods as _;
use diesel_async::RunQueryDsl as _;
use gatepost::domain::EmailAddress;
use gatepost::store::Database;
use serde_json::json;

use crate::frame::{Role, Samples, answer, serve};
use crate::rig::{Place, Rig};
use crate::seed;

diesel::table! {
    plain (id) {
        id -> Uuid,
        kind -> Text,
        recipient -> Text,
        locale -> Text,
        content -> Text,
        priority -> SmallInt,
        status -> Text,
        attempts -> Integer,
        fence -> BigInt,
        message_id -> Text,
        created_at -> Timestamptz,
        next_attempt_at -> Timestamptz,
        queued_until -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

/// About as wide as the outbox, and with no index but its key.
const PLAIN: &str = "CREATE TABLE plain (
    id uuid PRIMARY KEY, kind text NOT NULL, recipient text NOT NULL, locale text NOT NULL, content text NOT NULL,
    priority smallint NOT NULL, status text NOT NULL, attempts integer NOT NULL, fence bigint NOT NULL,
    message_id text NOT NULL, created_at timestamptz NOT NULL, next_attempt_at timestamptz NOT NULL,
    queued_until timestamptz NOT NULL, expires_at timestamptz NOT NULL)";

/// Microseconds: of each plain row, and of each accepted mail.
pub(crate) fn measure(place: &Place, count: usize) -> (Samples, Samples) {
    let place = serde_json::to_string(place).expect("JSON");
    let mut role = Role::spawn("accept", &[place], false);
    let answer = role.ask(&json!(count), Duration::from_mins(2));
    let samples = |name: &str| -> Samples {
        let values: Vec<f64> = serde_json::from_value(answer[name].clone()).expect("numbers");
        values.into_iter().collect()
    };
    (samples("plain"), samples("accepted"))
}

/// Plays the role.
pub(crate) fn run(arguments: &[String]) {
    let place: Place = serde_json::from_str(&arguments[0]).expect("a place");
    crate::rig::start_log(&place);
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let rig = runtime.block_on(Rig::open(&place));
    runtime.block_on(async { seed::open(&place).await.run(PLAIN).await });
    serve(|request| {
        let count = request.as_u64().expect("a count");
        let (mut plain, mut accepted) = (Vec::new(), Vec::new());
        runtime.block_on(async {
            for number in 0..count + 50 {
                let email = format!("person-{number}@d{}.example", number % 50);
                let begun = Instant::now();
                insert_plain(&rig, &email).await;
                let between = Instant::now();
                rig.accept(&email).await;
                // The first ones open connections and prepare statements.
                if number >= 50 {
                    plain.push((between - begun).as_secs_f64() * 1e6);
                    accepted.push(between.elapsed().as_secs_f64() * 1e6);
                }
            }
        });
        answer(&json!({ "plain": plain, "accepted": accepted }));
    });
}

/// Makes a mail's row and commits it where nothing depends on it.
async fn insert_plain(rig: &Rig, email: &str) {
    let recipient: EmailAddress = email.parse().expect("an address");
    let mail = rig.notice(&recipient);
    let Database::Postgres { pool, .. } = &rig.parts.database else { panic!("Postgres only") };
    let mut conn = pool.get().await.expect("a connection");
    let row = (
        plain::id.eq(mail.id.0),
        plain::kind.eq(mail.kind.as_str()),
        plain::recipient.eq(mail.recipient.as_str()),
        plain::locale.eq(mail.locale.as_str()),
        plain::content.eq(&mail.content),
        plain::priority.eq(mail.priority),
        plain::status.eq("ready"),
        plain::attempts.eq(0),
        plain::fence.eq(0_i64),
        plain::message_id.eq(&mail.message_id),
        plain::created_at.eq(mail.created_at),
        plain::next_attempt_at.eq(mail.next_attempt_at),
        plain::queued_until.eq(mail.queued_until),
        plain::expires_at.eq(mail.expires_at),
    );
    diesel::insert_into(plain::table).values(row).execute(&mut conn).await.expect("a row");
}
