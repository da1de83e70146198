//! Machines whose clocks are wrong by ten minutes, which is as long as a code lives: time is the database's.
//!
//! The clock is set wrong for one process by libfaketime (Debian's package `libfaketime`, which `scripts/test` installs).

use std::time::Duration;

use super::ledger::Ledger;
use super::rows::Rows;
use super::unix_ms;
use crate::SOON;
use crate::setup::Setup;
use crate::support::{Fault, Stage, eventually};

/// The variables of a process whose wall clock is off by `offset`. Its monotonic clock is right: the machine that is
/// meant has been up all the time.
fn wrong_by(offset: &str) -> [(&'static str, String); 3] {
    [("LD_PRELOAD", library()), ("FAKETIME", offset.to_owned()), ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned())]
}

fn library() -> String {
    let below = std::fs::read_dir("/usr/lib").expect("/usr/lib").flatten().map(|entry| entry.path());
    let mut found = below.chain(["/usr/lib".into()]).map(|path| path.join("faketime/libfaketimeMT.so.1"));
    let library = found.find(|path| path.exists()).expect("libfaketime is missing; scripts/test installs it");
    library.display().to_string()
}

async fn a_server_whose_clock_is_wrong(setup: &Setup, offset: &str) -> crate::server::ServerProcess {
    let variables = wrong_by(offset);
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let server = setup.start_with(&variables).await;
    // The log tells the machine's time: the fault is there.
    let first = server.log();
    let logged = first
        .split_whitespace()
        .find_map(|word| chrono::DateTime::parse_from_rfc3339(word.trim_matches(['[', ']'])).ok());
    let off = (logged.expect("a time in the log").timestamp_millis() - unix_ms(Duration::ZERO)).abs() / 60_000;
    assert!(off >= 8, "the clock is off by {off} minutes\n{first}");
    server
}

#[tokio::test]
async fn instances_whose_clocks_are_ten_minutes_off_send_all_mails_and_take_all_codes() {
    let setup = super::on_servers().await;
    let ledger = Ledger::new();
    let right = setup.start().await;
    let fast = a_server_whose_clock_is_wrong(&setup, "+10m").await;
    let slow = a_server_whose_clock_is_wrong(&setup, "-10m").await;
    for (number, server) in [&right, &fast, &slow].into_iter().cycle().take(12).enumerate() {
        ledger.accept(server, &format!("p{number}@a.test")).await;
    }
    let rows = Rows::of(&setup).await.all().await.expect("the rows");
    let now = unix_ms(Duration::ZERO);
    for row in rows {
        assert!((now - row.created_at).abs() < 60_000, "accepted at the database's time: {row:?}");
        assert!((row.expires_at - row.created_at - 600_000).abs() < 60_000, "for ten minutes from then: {row:?}");
    }
    // Codes are tried on one whose clock says that they are over.
    let summary = ledger.settle(&setup, &fast).await;
    assert_eq!(summary.sent, 12, "{summary:?}");
}

/// A sweeper whose clock was believed would take every lease for run out, and every code for over.
#[tokio::test]
async fn an_instance_whose_clock_is_fast_leaves_the_mails_of_others_alone() {
    let setup = super::on_servers().await.with(&[("GATEPOST_MAIL_LEASE", "60s")]);
    let ledger = Ledger::new();
    let right = setup.start().await;
    setup.sink().script(Fault::Hold { stage: Stage::Dot }.times(1));
    ledger.accept(&right, "held@a.test").await;
    setup.sink().wait_until_held(1, SOON).await;
    let fast = a_server_whose_clock_is_wrong(&setup, "+10m").await;
    // Only a sweeper finds this one, and only the fast one's is awake. It takes leases back before it looks for mails.
    right.freeze();
    let outbox = Rows::of(&setup).await;
    let held = outbox.to("held@a.test").await.expect("a row");
    outbox.execute(&held.copy("swept", "priority", "0")).await;
    eventually("the fast one to have swept", SOON, async || {
        outbox.to("swept@copy.test").await.filter(|row| row.status == "sent")
    })
    .await;
    let row = outbox.to("held@a.test").await.expect("a row");
    assert_eq!(row, held);
    right.thaw();
    setup.sink().release().await;
    ledger.settle(&setup, &fast).await;
}
