//! Mail under every fault that `docs/faults.md` lists: real processes, real signals, real servers, and one
//! [`Ledger`](ledger::Ledger) that checks at the end of each test what became of every mail that was accepted.

mod clock;
mod databases;
mod expiry;
mod frozen;
mod killed;
mod ledger;
mod poison;
mod queue;
mod relay;
mod replies;
mod rolling;
mod rows;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::setup::Setup;

/// What all of these tests run with. Leases are long enough for a busy machine not to lose one in the middle of a mail.
const SETTINGS: [(&str, &str); 6] = [
    ("GATEPOST_RATE_LIMITS", "off"),
    ("GATEPOST_MAIL_BACKOFF", "100ms,200ms,400ms"),
    ("GATEPOST_MAIL_MAX_ATTEMPTS", "50"),
    ("GATEPOST_MAIL_COMMAND_TIMEOUT", "10s"),
    ("GATEPOST_MAIL_LEASE", "2s"),
    // The same for every instance: it is in the mails.
    ("GATEPOST_PUBLIC_URL", "http://localhost:8080"),
];

/// A mail that nothing is wrong with arrives within this time, whatever happens to others: far less than their faults last.
const PROMPT: Duration = Duration::from_secs(5);

/// Postgres, Redis and an SMTP server.
async fn on_servers() -> Setup {
    Setup::on_servers().await.with(&SETTINGS)
}

/// A directory and an SMTP server.
async fn embedded() -> Setup {
    Setup::embedded_with_relay().await.with(&SETTINGS)
}

/// Some time ago, in milliseconds since the Unix epoch, by the clock that the databases go by here.
#[allow(clippy::disallowed_methods, reason = "what the program takes for the time is to be compared with it")]
fn unix_ms(ago: Duration) -> i64 {
    let since = (SystemTime::now() - ago).duration_since(UNIX_EPOCH).expect("the clock is set");
    i64::try_from(since.as_millis()).expect("the time fits")
}

/// One test of the same story on each setup.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn on_servers() {
                super::$name(super::super::on_servers().await).await;
            }

            #[tokio::test]
            async fn embedded() {
                super::$name(super::super::embedded().await).await;
            }
        }
    )+};
}
pub(crate) use on_both;
