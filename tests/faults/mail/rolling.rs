//! A deployment: every instance is told to stop and is replaced, one after the other, while mails flow. None is lost and
//! none is repeated.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::ledger::Ledger;
use crate::SOON;
use crate::server::{ServerProcess, program};
use crate::setup::Setup;
use crate::support::Server;

const INSTANCES: usize = 3;
const MAILS: usize = 240;

/// A `gatepost worker`, once it sends mails.
async fn worker(setup: &Setup) -> Server {
    let mut command = program();
    command.arg("worker").envs(setup.environment());
    let worker = Server::spawn(&mut command).without_grace();
    crate::support::eventually("the worker to send mails", SOON, async || {
        worker.log().contains("sending mails").then_some(())
    })
    .await;
    worker
}

/// Asks for mails at instances that are not about to end, until `until` of them were accepted.
async fn mails(ledger: &Ledger, servers: &[&ServerProcess], accepted: &AtomicUsize, until: usize) {
    let asking = |offset: usize| async move {
        for server in servers.iter().cycle().skip(offset) {
            let number = accepted.fetch_add(1, Ordering::Relaxed);
            if number >= until {
                return;
            }
            ledger.accept(server, &format!("p{number}@d{}.test", number % 7)).await;
        }
    };
    tokio::join!(asking(0), asking(1), asking(0), asking(1));
    accepted.store(until, Ordering::Relaxed);
}

#[tokio::test]
async fn instances_are_replaced_one_by_one_while_mails_flow() {
    let setup = super::on_servers().await.with(&[("GATEPOST_MAIL_LEASE", "20s")]);
    let (ledger, accepted) = (Ledger::new(), AtomicUsize::new(0));
    // The first brings the database up to date.
    let mut servers = vec![setup.start().await];
    for _ in 1..INSTANCES {
        servers.push(setup.start().await);
    }
    let mut helper = worker(&setup).await;
    for round in 0..INSTANCES {
        let mut ending = servers.remove(0);
        let staying: Vec<&ServerProcess> = servers.iter().collect();
        let until = MAILS / INSTANCES * (round + 1);
        let replaced = async {
            ledger.accept(&ending, &format!("last{round}@a.test")).await;
            ending.terminate();
            if round == 1 {
                helper.terminate();
                assert!(helper.wait(SOON).await.success(), "{}", helper.log());
                helper = worker(&setup).await;
            }
            let status = ending.wait(SOON).await;
            assert!(status.success(), "{status}\n{}", ending.log());
            setup.start_again(&ending).await
        };
        let (server, ()) = tokio::join!(replaced, mails(&ledger, &staying, &accepted, until));
        servers.push(server);
    }
    let summary = ledger.settle(&setup, &servers[0]).await;
    assert_eq!(summary.accepted, MAILS + INSTANCES, "{summary:?}");
    assert_eq!((summary.sent, summary.repeats), (summary.accepted, 0), "{summary:?}");
}

/// Workers alone, whose death is not announced: what one leaves is sent by the others.
#[tokio::test]
async fn workers_come_and_go_beside_a_server_that_stays() {
    let setup = super::on_servers().await.with(&[("GATEPOST_MAIL_LEASE", "20s")]);
    let (server, ledger) = (setup.start().await, Ledger::new());
    let mut workers = vec![worker(&setup).await, worker(&setup).await];
    for round in 0..4 {
        for number in 0..15 {
            ledger.accept(&server, &format!("p{round}.{number}@a.test")).await;
        }
        let mut ending = workers.remove(0);
        ending.terminate();
        workers.push(worker(&setup).await);
        assert!(ending.wait(SOON).await.success(), "{}", ending.log());
    }
    let summary = ledger.settle(&setup, &server).await;
    assert_eq!((summary.sent, summary.repeats), (60, 0), "{summary:?}");
}
