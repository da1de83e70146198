//! A logout, a ban and a change of role at one instance are enforced by the other, whatever single thing has failed.

use std::time::Instant;

use crate::SOON;
use crate::cache_pair::{DECISIONS, Pair};
use crate::setup::Setup;
use crate::support::{Wire, eventually};

const UNLIMITED: (&str, &str) = ("GATEPOST_RATE_LIMITS", "off");

async fn pair() -> (Setup, Pair) {
    let setup = Setup::on_servers().await.with(&[UNLIMITED]);
    let pair = Pair::start(&setup, &[]).await;
    (setup, pair)
}

#[tokio::test]
async fn a_decision_is_enforced_by_the_other_instance() {
    let (setup, pair) = pair().await;
    let subjects = pair.subjects(&setup).await;
    pair.decide_and_enforce(&subjects, "all well").await;
}

#[tokio::test]
async fn a_decision_is_enforced_while_redis_is_dead() {
    let (mut setup, pair) = pair().await;
    let subjects = pair.subjects(&setup).await;
    setup.servers_mut().redis.kill();
    pair.decide_and_enforce(&subjects, "Redis is dead").await;
}

#[tokio::test]
async fn a_decision_is_enforced_while_redis_hangs() {
    let (setup, pair) = pair().await;
    let subjects = pair.subjects(&setup).await;
    setup.servers().redis.pause();
    pair.decide_and_enforce(&subjects, "Redis hangs").await;
    setup.servers().redis.resume();
}

#[tokio::test]
async fn a_decision_is_enforced_while_messages_are_cut_off() {
    let (setup, pair) = pair().await;
    let subjects = pair.subjects(&setup).await;
    let redis = &setup.servers().redis;
    let cutting = async {
        loop {
            redis.ask::<i64>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = cutting => {}
        _ = pair.decide_and_enforce(&subjects, "messages are cut off") => {}
    }
}

#[tokio::test]
async fn a_decision_is_enforced_after_redis_has_forgotten_everything() {
    let (setup, pair) = pair().await;
    let subjects = pair.subjects(&setup).await;
    let redis = &setup.servers().redis;
    let forgetting = async {
        loop {
            redis.flush().await;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = forgetting => {}
        _ = pair.decide_and_enforce(&subjects, "Redis forgets all the time") => {}
    }
}

/// The writer's way to Redis breaks at its first word of a change, which therefore follows the commit, and the writer is
/// killed there: Redis holds what was true before, and nobody was told.
#[tokio::test]
async fn a_decision_is_enforced_whose_writer_was_killed_after_its_commit() {
    for decision in DECISIONS {
        let setup = Setup::on_servers().await.with(&[UNLIMITED]);
        let wire = Wire::to_redis(&setup.servers().redis.url()).await;
        let mut pair = Pair::start(&setup, &[("REDIS_URL", &wire.redis_url())]).await;
        let subject = pair.subject(&setup, decision).await;
        subject.stay_known(&pair).await;

        wire.cut_always_at("gatepost:invalidations");
        let request = subject.begin_to_decide(&pair);
        // Its look at what has changed may be cut off before the writer is.
        subject.committed(&setup).await;
        eventually("the writer to be about to tell", SOON, async || (wire.cuts() > 0).then_some(())).await;
        pair.one.kill();
        let took = subject.enforced(&pair.two, Instant::now()).await;
        eprintln!("{decision:?}, its writer was killed: enforced by the other instance after {took:?}");
        request.await.unwrap();
        wire.spare();
        let again = setup.start_again(&pair.one).await;
        assert!(subject.is_decided(&again).await && subject.is_decided(&pair.two).await, "and it stays so");
    }
}
