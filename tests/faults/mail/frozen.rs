//! SIGSTOP past the lease: another instance takes the mail over, and the first finds, when it goes on, that it may not
//! undo anything.

use super::ledger::{Ledger, Summary};
use super::rows::{Row, Rows};
use crate::SOON;
use crate::server::ServerProcess;
use crate::setup::Setup;
use crate::support::{Fault, Stage, eventually};

const ADDRESS: &str = "frozen@a.test";

/// An instance that was frozen with a mail on the wire, another that has sent it meanwhile, and the row as that left it.
struct Frozen {
    setup: Setup,
    ledger: Ledger,
    first: ServerProcess,
    second: ServerProcess,
    row: Row,
}

impl Frozen {
    /// Freezes an instance when its mail has run into `fault`, and waits until another has sent it.
    async fn at(fault: Fault) -> Self {
        let setup = super::on_servers().await.with(&[("GATEPOST_MAIL_LEASE", "1s")]);
        let ledger = Ledger::new();
        let first = setup.start().await;
        let (sink, at_dot) = (setup.sink(), matches!(fault, Fault::Hold { stage: Stage::Dot }));
        sink.script(fault.times(1));
        ledger.accept(&first, ADDRESS).await;
        sink.wait_until_held(1, SOON).await;
        if at_dot {
            ledger.may_repeat(&setup, ADDRESS);
        }
        first.freeze();
        // Its lease is renewed no more, and a minute's worth of pauses is over by the time it goes on.
        let second = setup.start_with(&[("GATEPOST_MAIL_LEASE", "10s")]).await;
        let outbox = Rows::of(&setup).await;
        let row = eventually("the second instance to have sent the mail", SOON, async || {
            outbox.to(ADDRESS).await.filter(|row| row.status == "sent")
        })
        .await;
        Self { setup, ledger, first, second, row }
    }

    /// Lets the first go on until it is done with the mail; the row has to be as the second left it.
    async fn goes_on(self) -> Summary {
        let Self { setup, ledger, first, second, row } = self;
        // The answer is there when it goes on: the worst that can be.
        setup.sink().release().await;
        first.thaw();
        // It names the mail when it is done with it, and has not before.
        eventually("the first instance to be done with the mail", SOON, async || {
            first.log().contains(&row.id).then_some(())
        })
        .await;
        let now = Rows::of(&setup).await.to(ADDRESS).await.expect("a row");
        assert_eq!(now, row, "the first instance changed what the second had done\n{}", first.log());
        ledger.settle(&setup, &second).await
    }
}

#[tokio::test]
async fn an_instance_that_was_frozen_before_the_dot_does_not_send_what_another_has_sent() {
    let summary = Frozen::at(Fault::Hold { stage: Stage::Rcpt }).await.goes_on().await;
    assert_eq!(summary.repeats, 0, "{summary:?}");
}

#[tokio::test]
async fn an_instance_that_was_frozen_before_the_message_does_not_send_what_another_has_sent() {
    let summary = Frozen::at(Fault::Hold { stage: Stage::Data }).await.goes_on().await;
    assert_eq!(summary.repeats, 0, "{summary:?}");
}

#[tokio::test]
async fn an_instance_that_was_frozen_before_the_greeting_does_not_send_what_another_has_sent() {
    let summary = Frozen::at(Fault::Hold { stage: Stage::Connect }).await.goes_on().await;
    assert_eq!(summary.repeats, 0, "{summary:?}");
}

#[tokio::test]
async fn a_mail_whose_sender_froze_after_the_dot_is_repeated_and_stays_sent() {
    let summary = Frozen::at(Fault::Hold { stage: Stage::Dot }).await.goes_on().await;
    assert_eq!(summary.repeats, 1, "{summary:?}");
}

/// The wire of the first breaks, which would make it try again, had it a say.
#[tokio::test]
async fn an_instance_that_was_frozen_and_fails_afterwards_takes_nothing_back() {
    let summary = Frozen::at(Fault::Stall).await.goes_on().await;
    assert_eq!(summary.repeats, 0, "{summary:?}");
}
