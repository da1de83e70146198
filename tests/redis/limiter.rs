//! The sliding window: exact, shared, together for several limits, and no bigger than it has to be.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use gatepost::limit::{Check, Decision, Limiter, PolicyCounts, PolicyName, headers};
use gatepost::redis::keys;
use gatepost::settings::{Limits, Policy};

use super::support::{self, eventually};
use super::{SOON, api, connect_patiently, limits, passes};

const LONG: Duration = Duration::from_mins(5);
const SHORT: Duration = Duration::from_millis(300);

async fn limiter(server: &support::Redis, limits: Limits) -> Limiter {
    Limiter::new(Some(connect_patiently(server).await), limits)
}

/// The log of `subject` where the limit is short: the microseconds at which its requests were allowed.
async fn log(server: &support::Redis, policy: PolicyName, subject: &str) -> Vec<u64> {
    let text: Vec<u8> = server.ask(&["GET", &keys::rate(policy.as_str(), subject)]).await;
    let Some((_until, times)) = text.split_first_chunk::<4>() else { return Vec::new() };
    let (times, rest) = times.as_chunks::<8>();
    assert_eq!(rest, [0; 0]);
    times.iter().map(|time| u64::from_be_bytes(*time)).collect()
}

/// Its length.
async fn recorded(server: &support::Redis, policy: PolicyName, subject: &str) -> usize {
    log(server, policy, subject).await.len()
}

#[tokio::test]
async fn exactly_the_limit_passes_however_many_ask_at_once_and_wherever() {
    let server = support::Redis::start().await;
    let instances = [limiter(&server, limits(7, LONG)).await, limiter(&server, limits(7, LONG)).await];
    let calls = (0..200).map(|number: usize| {
        let limiter = instances[number % 2].clone();
        tokio::spawn(async move { passes(&limiter, "a").await })
    });
    let passed = join_all(calls.collect::<Vec<_>>()).await.into_iter().filter(|call| *call.as_ref().unwrap()).count();
    assert_eq!(passed, 7);
    let counters = instances.map(|limiter| limiter.counters());
    assert_eq!(counters.iter().map(|counters| counters.decided_by_redis).sum::<u64>(), 200);
    assert_eq!(counters.iter().map(|counters| counters.allowed).sum::<u64>(), 7);
    assert_eq!(counters.iter().map(|counters| counters.denied).sum::<u64>(), 193);
}

/// How often a script was called.
async fn calls(server: &support::Redis) -> u64 {
    let stats: String = server.ask(&["INFO", "commandstats"]).await;
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or_default()
}

/// A limiter of seven, and its server, which knows the script: each call of it is counted as one.
async fn knowing_the_script() -> (support::Redis, Limiter) {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(7, LONG)).await;
    assert!(passes(&limiter, "somebody").await);
    (server, limiter)
}

#[tokio::test]
async fn what_a_thread_asks_at_the_same_moment_shares_calls_and_is_decided_one_by_one() {
    let (server, limiter) = knowing_the_script().await;
    let before = calls(&server).await;
    let both = |number: u32| [api("a"), api(&format!("b{}", number % 3))];
    let outcomes = join_all((0..300).map(|number| {
        let limiter = limiter.clone();
        async move { limiter.check(&both(number)).await.is_allowed() }
    }))
    .await;
    assert_eq!(outcomes, (0..300).map(|number| number < 7).collect::<Vec<_>>(), "the first seven, in their order");
    let calls = calls(&server).await - before;
    assert!((5..=15).contains(&calls), "sixty-four requests a call at most, and the last in parts: {calls}");
    // What was denied for one subject is recorded for none.
    for (subject, count) in [("a", 7), ("b0", 3), ("b1", 2), ("b2", 2)] {
        assert_eq!(recorded(&server, PolicyName::ApiAddress, subject).await, count, "{subject}");
    }
}

#[tokio::test]
async fn requests_about_one_subject_each_share_its_limit_where_they_share_a_call() {
    let (server, limiter) = knowing_the_script().await;
    let before = calls(&server).await;
    // Some are alone with their subject, some are not, and one asks about two.
    let checks = |number: u32| match number {
        20 => vec![api("a"), api("b19")],
        _ if number.is_multiple_of(3) => vec![api("a")],
        _ => vec![api(&format!("b{number}"))],
    };
    let outcomes = join_all((0..32).map(|number| {
        let limiter = limiter.clone();
        async move { limiter.check(&checks(number)).await }
    }))
    .await;
    // All share one where the server takes its time, eleven where it is quick.
    let calls = calls(&server).await - before;
    assert!((1..=3).contains(&calls), "{calls} calls");
    let (mut about_a, mut others) = (Vec::new(), Vec::new());
    for (number, outcome) in outcomes.iter().enumerate() {
        if number % 3 == 0 || number == 20 { &mut about_a } else { &mut others }.push(outcome.is_allowed());
    }
    assert_eq!(about_a, (0..12).map(|number| number < 7).collect::<Vec<_>>(), "the first seven, in their order");
    assert!(others.iter().all(|is_allowed| *is_allowed), "{others:?}");
    for (subject, count) in [("a", 7), ("b1", 1), ("b19", 1), ("b31", 1)] {
        assert_eq!(recorded(&server, PolicyName::ApiAddress, subject).await, count, "{subject}");
    }
}

#[tokio::test]
async fn who_leaves_before_the_decision_is_counted_all_the_same() {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(7, LONG)).await;
    let checks = [api("a")];
    let mut leaves = Box::pin(limiter.check(&checks));
    assert!(futures_util::poll!(leaves.as_mut()).is_pending());
    drop(leaves);
    eventually("the request to be recorded", SOON, async || {
        (recorded(&server, PolicyName::ApiAddress, "a").await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn denied_requests_are_not_recorded_and_do_not_make_a_log_longer() {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(5, LONG)).await;
    for _ in 0..100 {
        passes(&limiter, "a").await;
    }
    assert_eq!(recorded(&server, PolicyName::ApiAddress, "a").await, 5);
    let left: i64 = server.ask(&["PTTL", "rate:api_address:a"]).await;
    assert!(left > 350_000 && left <= 362_000, "its window, a minute more and two seconds: {left}");
}

#[tokio::test]
async fn what_is_left_and_when_there_is_more_is_told() {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(3, LONG)).await;
    for left in [2, 1, 0] {
        let Decision::Allowed(windows) = limiter.check(&[api("a")]).await else { panic!("denied") };
        assert_eq!((windows[0].remaining, windows[0].limit, windows[0].window), (left, 3, LONG));
        assert!(windows[0].reset <= LONG && windows[0].reset > LONG.checked_sub(SOON).unwrap());
    }
    let decision = limiter.check(&[api("a")]).await;
    let Decision::Denied { policy, retry_after, windows } = &decision else { panic!("allowed") };
    assert_eq!((*policy, windows[0].remaining, windows[0].reset), (PolicyName::ApiAddress, 0, *retry_after));
    assert!(*retry_after <= LONG && *retry_after > LONG.checked_sub(SOON).unwrap());
    let told: Vec<_> = headers(&decision).into_iter().map(|(name, _)| name).collect();
    assert_eq!(told, ["RateLimit-Policy", "RateLimit", "Retry-After"]);
}

#[tokio::test]
async fn the_window_slides_and_who_waits_as_told_passes() {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(2, SHORT)).await;
    assert!(passes(&limiter, "a").await);
    let mut allowed = vec![Instant::now()];
    // The moments after the answer: apart by the window or more, two by two, less the way of an answer.
    while allowed.len() < 8 {
        match limiter.check(&[api("a")]).await {
            Decision::Allowed(_) => allowed.push(Instant::now()),
            Decision::Denied { retry_after, .. } => {
                assert!(retry_after <= SHORT, "{retry_after:?}");
                tokio::time::sleep(retry_after).await;
                assert!(passes(&limiter, "a").await, "it is told the time to wait, to the microsecond");
                allowed.push(Instant::now());
            }
        }
    }
    assert!(allowed[7] - allowed[0] >= SHORT * 5 / 2);
}

#[tokio::test]
async fn no_window_of_time_sees_more_than_the_limit_by_the_servers_own_record() {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(4, SHORT)).await;
    let (begun, mut times) = (Instant::now(), std::collections::BTreeSet::new());
    while begun.elapsed() < SHORT * 5 {
        passes(&limiter, "a").await;
        let log = log(&server, PolicyName::ApiAddress, "a").await;
        assert!(log.len() <= 8, "{log:?}");
        times.extend(log);
    }
    let times: Vec<u64> = times.into_iter().collect();
    assert!(times.len() >= 8, "it let more pass as the window slid: {times:?}");
    for five in times.windows(5) {
        assert!(five[4] - five[0] >= 300_000, "{five:?}");
    }
}

#[tokio::test]
async fn a_request_that_one_limit_denies_counts_against_none() {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(5, LONG)).await;
    let both = [Check::new(PolicyName::LoginAddress, "address"), Check::new(PolicyName::LoginEmail, "mailbox")];
    assert!(limiter.check(&both).await.is_allowed());
    for _ in 0..20 {
        let Decision::Denied { policy, windows, .. } = limiter.check(&both).await else { panic!("allowed") };
        assert_eq!(policy, PolicyName::LoginEmail);
        assert_eq!([windows[0].remaining, windows[1].remaining], [4, 0]);
    }
    assert_eq!(recorded(&server, PolicyName::LoginAddress, "address").await, 1);
    assert_eq!(recorded(&server, PolicyName::LoginEmail, "mailbox").await, 1);
}

#[tokio::test]
async fn the_same_check_twice_counts_once() {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(5, LONG)).await;
    let Decision::Allowed(windows) = limiter.check(&[api("a"), api("a")]).await else { panic!("denied") };
    assert_eq!(windows.len(), 1);
    assert_eq!(recorded(&server, PolicyName::ApiAddress, "a").await, 1);
}

#[tokio::test]
async fn logs_expire_with_their_window() {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(5, SHORT)).await;
    for number in 0..50 {
        assert!(passes(&limiter, &number.to_string()).await);
    }
    eventually("all logs to expire", SOON, async || {
        let keys: Vec<String> = server.ask(&["KEYS", "rate:*"]).await;
        keys.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_log_stays_small() {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(600, LONG)).await;
    for _ in 0..700 {
        passes(&limiter, "a").await;
    }
    let bytes: u64 = server.ask(&["MEMORY", "USAGE", "rate:api_address:a", "SAMPLES", "0"]).await;
    assert!(bytes < 600 * 11 + 400, "{bytes}");
    let limiter = Limiter::new(Some(connect_patiently(&server).await), limits(5, LONG));
    for _ in 0..5 {
        assert!(passes(&limiter, "b").await);
    }
    let bytes: u64 = server.ask(&["MEMORY", "USAGE", "rate:api_address:b"]).await;
    assert!(bytes < 5 * 8 + 120, "{bytes}");
}

#[tokio::test]
async fn a_lowered_limit_counts_what_was_recorded_before() {
    let server = support::Redis::start().await;
    let generous = limiter(&server, limits(10, SHORT * 4)).await;
    for _ in 0..10 {
        assert!(passes(&generous, "a").await);
    }
    let strict = limiter(&server, limits(2, SHORT * 4)).await;
    let Decision::Denied { retry_after, .. } = strict.check(&[api("a")]).await else { panic!("allowed") };
    tokio::time::sleep(retry_after).await;
    assert!(passes(&strict, "a").await);
}

#[tokio::test]
async fn a_forgotten_script_or_log_fails_nobody() {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(2, LONG)).await;
    assert!(passes(&limiter, "a").await);
    server.ask::<()>(&["SCRIPT", "FLUSH"]).await;
    assert!(passes(&limiter, "a").await && !passes(&limiter, "a").await, "the log is still there");
    server.flush().await;
    assert!(passes(&limiter, "a").await);
    assert_eq!(limiter.counters().decided_locally, 0);
}

#[tokio::test]
async fn what_is_no_log_is_replaced_by_one() {
    let server = support::Redis::start().await;
    let (short, long) = (limiter(&server, limits(2, LONG)).await, limiter(&server, limits(500, LONG)).await);
    let spoilt: [&[&str]; 5] = [
        // Of the right length, and so late that nobody would ever be let in again.
        &["SET", "rate:api_address:a", "and nonsense"],
        &["SET", "rate:api_address:a", "of another length"],
        &["HSET", "rate:api_address:a", "field", "value"],
        &["RPUSH", "rate:api_address:a", "no time"],
        &["XADD", "rate:api_address:a", "*", "field", "value"],
    ];
    for command in spoilt {
        for (limiter, limit) in [(&short, 2), (&long, 500)] {
            server.flush().await;
            server.ask::<redis::Value>(command).await;
            // Nor is it the business of others who ask at the same moment.
            let both = join_all(["a", "b", "a"].map(|subject| passes(limiter, subject)));
            assert_eq!(both.await, [true; 3], "{command:?}");
            assert_eq!(limiter.standing(&api("a")).await.window.remaining, limit - 2, "{command:?}");
            let left: i64 = server.ask(&["PTTL", "rate:api_address:a"]).await;
            assert!(left > 350_000 && left <= 362_000, "{command:?}: {left}");
        }
    }
    assert_eq!((short.counters().decided_locally, long.counters().decided_locally), (0, 0));
}

#[tokio::test]
async fn without_memory_the_process_decides_and_nothing_is_recorded() {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(2, LONG)).await;
    assert!(passes(&limiter, "a").await);
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let asked = join_all(["a", "a", "b"].map(|subject| passes(&limiter, subject)));
    assert_eq!(asked.await, [true, false, true]);
    assert_eq!(limiter.counters().decided_locally, 3);
    assert_eq!(recorded(&server, PolicyName::ApiAddress, "a").await, 1);
    // What was let through meanwhile is told when there is room.
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert!(!passes(&limiter, "a").await && passes(&limiter, "b").await && !passes(&limiter, "b").await);
    assert_eq!(recorded(&server, PolicyName::ApiAddress, "a").await, 2);
}

#[tokio::test]
async fn a_mailbox_is_reset_with_the_browsers_that_it_knows() {
    let server = support::Redis::start().await;
    let limits = limits(1, LONG).with(PolicyName::LoginEmail, Policy { limit: 1, window: LONG });
    let (limiter, other) = (limiter(&server, limits.clone()).await, limiter(&server, limits).await);
    let check = |subject: &str| [Check::new(PolicyName::LoginEmail, subject)];
    let allowed = async |subject: &str| limiter.check(&check(subject)).await.is_allowed();
    let subjects = ["mailbox", "mailbox:1", "mailbox:2", "mailbox2", "mailbox2:1"];
    for subject in subjects {
        assert!(allowed(subject).await && !allowed(subject).await, "{subject}");
    }
    other.reset(&check("mailbox")[0]).await.unwrap();
    for subject in subjects {
        let standing = other.standing(&check(subject)[0]).await;
        assert_eq!(standing.retry_after.is_zero(), !subject.starts_with("mailbox2"), "{subject}");
    }
}

#[tokio::test]
async fn a_reset_gives_the_whole_limit_back() {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(1, LONG)).await;
    assert!(passes(&limiter, "a").await && !passes(&limiter, "a").await);
    limiter.reset(&api("a")).await.unwrap();
    assert!(passes(&limiter, "a").await);
}

#[tokio::test]
async fn looking_at_a_subject_counts_nothing() {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(2, LONG)).await;
    for left in [2, 1, 0] {
        let standing = limiter.standing(&api("a")).await;
        assert_eq!((standing.window.remaining, standing.told_by_redis), (left, true));
        assert_eq!(standing.retry_after.is_zero(), left > 0);
        assert_eq!(limiter.standing(&api("a")).await.window.remaining, left);
        passes(&limiter, "a").await;
    }
    let alone = Limiter::new(None, limits(2, LONG));
    assert!(passes(&alone, "a").await);
    let standing = alone.standing(&api("a")).await;
    assert_eq!((standing.window.remaining, standing.told_by_redis), (1, false));
}

#[tokio::test]
async fn decisions_are_counted_by_policy_outcome_and_decider() {
    let server = support::Redis::start().await;
    let limiter = limiter(&server, limits(5, LONG)).await;
    let both = [Check::new(PolicyName::LoginAddress, "address"), Check::new(PolicyName::LoginEmail, "mailbox")];
    for _ in 0..3 {
        limiter.check(&both).await;
    }
    let (address, email) = (limiter.counts_of(PolicyName::LoginAddress), limiter.counts_of(PolicyName::LoginEmail));
    assert_eq!((address.allowed_by_redis, address.denied_by_redis), (1, 0), "it did not stand against any");
    assert_eq!((email.allowed_by_redis, email.denied_by_redis), (1, 2));
    assert_eq!(email.allowed_locally + email.denied_locally, 0);
    assert_eq!(limiter.counts_of(PolicyName::ApiAddress), PolicyCounts::default());
    let alone = Limiter::new(None, limits(5, LONG));
    alone.check(&both).await;
    alone.check(&both).await;
    let email = alone.counts_of(PolicyName::LoginEmail);
    assert_eq!((email.allowed_locally, email.denied_locally, email.allowed_by_redis), (1, 1, 0));
}

#[tokio::test]
async fn without_redis_the_process_keeps_the_limit_and_switched_off_nobody_does() {
    let limiter = Limiter::new(None, limits(5, LONG));
    let calls = (0..200).map(|_| {
        let limiter = limiter.clone();
        tokio::spawn(async move { passes(&limiter, "a").await })
    });
    let passed = join_all(calls.collect::<Vec<_>>()).await.into_iter().filter(|call| *call.as_ref().unwrap()).count();
    assert_eq!(passed, 5);

    let off = Limiter::new(None, Limits { enabled: false, ..limits(1, LONG) });
    for _ in 0..10 {
        assert_eq!(off.check(&[api("a")]).await, Decision::Allowed(Vec::new()));
    }
}
