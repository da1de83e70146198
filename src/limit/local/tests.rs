use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

use super::*;
use crate::limit::table::CELLS;

fn limits(limit: u32, window: Duration) -> Limits {
    let policy = Policy { limit, window };
    let all = Limits { enabled: true, shield_address: policy, shield_burst: 1, policies: [policy; PolicyName::COUNT] };
    all.with(PolicyName::LoginEmail, Policy { limit: 1, window })
}

fn local(limit: u32, window: Duration) -> (Local<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    // governor takes the time zero for "never used".
    clock.advance(Duration::from_secs(1));
    (Local::new(&limits(limit, window), clock.clone()), clock)
}

fn check(subject: &str) -> Check {
    Check::new(PolicyName::ApiAddress, subject)
}

fn passes(local: &Local<FakeRelativeClock>, subject: &str) -> bool {
    local.decide(&[&check(subject)])[0].allows()
}

#[test]
fn an_idle_subject_gets_the_limit_at_once_and_then_one_each_refill() {
    let (local, clock) = local(5, Duration::from_mins(5));
    assert_eq!((0..50).filter(|_| passes(&local, "a")).count(), 5);
    let denied = local.decide(&[&check("a")])[0];
    assert_eq!((denied.remaining, denied.wait), (0, Duration::from_mins(1)));
    assert!(passes(&local, "b"), "another subject has a bucket of its own");
    clock.advance(Duration::from_secs(59));
    assert!(!passes(&local, "a"));
    clock.advance(Duration::from_secs(1));
    assert!(passes(&local, "a") && !passes(&local, "a"));
}

#[test]
fn what_is_left_is_counted_down() {
    let (local, _) = local(3, Duration::from_mins(1));
    let left: Vec<_> = (0..4).map(|_| local.decide(&[&check("a")])[0].remaining).collect();
    assert_eq!(left, [2, 1, 0, 0]);
}

#[test]
fn a_check_that_denies_keeps_the_others_from_being_counted() {
    let (local, _) = local(5, Duration::from_mins(5));
    let (once, often) = (Check::new(PolicyName::LoginEmail, "mailbox"), check("a"));
    assert!(local.decide(&[&often, &once]).iter().all(Verdict::allows));
    for _ in 0..20 {
        let verdicts = local.decide(&[&often, &once]);
        assert!(verdicts[0].allows() && !verdicts[1].allows());
        assert_eq!(verdicts[0].remaining, 4);
    }
    assert_eq!((0..20).filter(|_| passes(&local, "a")).count(), 4);
}

#[test]
fn instances_share_the_limit_and_each_lets_at_least_one_pass() {
    for (instances, expected) in [(0, 6), (1, 6), (2, 3), (4, 1), (100, 1)] {
        let (local, _) = local(6, Duration::from_mins(1));
        local.set_instances(instances);
        assert_eq!((0..20).filter(|_| passes(&local, "a")).count(), expected, "{instances} instances");
    }
}

#[test]
fn a_new_number_of_instances_gives_nobody_a_fresh_start() {
    let (local, _) = local(6, Duration::from_mins(1));
    assert_eq!((0..20).filter(|_| passes(&local, "a")).count(), 6);
    local.set_instances(2);
    assert!(!passes(&local, "a"));
    local.set_instances(1);
    assert!(!passes(&local, "a"));
}

#[test]
fn sweeping_forgets_only_full_buckets() {
    let (local, clock) = local(2, Duration::from_mins(1));
    assert!(passes(&local, "early"));
    clock.advance(Duration::from_mins(2));
    assert!(passes(&local, "late") && passes(&local, "late"));
    assert_eq!(local.subjects(), 2);
    local.sweep();
    assert_eq!(local.subjects(), 1);
    assert!(!passes(&local, "late"), "who is still limited is remembered");
}

#[test]
fn looking_remembers_nobody() {
    let (local, _) = local(5, Duration::from_mins(1));
    let once = Check::new(PolicyName::LoginEmail, "mailbox");
    assert!(local.decide(&[&once])[0].allows());
    assert!(!local.decide(&[&once, &check("a")])[0].allows());
    assert_eq!(local.subjects(), 1);
}

#[test]
fn a_forgotten_subject_starts_again() {
    let (local, _) = local(1, Duration::from_mins(1));
    assert!(passes(&local, "a") && !passes(&local, "a"));
    local.forget(&check("a"));
    assert!(passes(&local, "a"));
}

#[test]
fn a_flood_of_subjects_shares_buckets_and_never_opens_the_gate() {
    let (local, _) = local(1, Duration::from_mins(1));
    for number in 0..MOST_SUBJECTS {
        assert!(passes(&local, &number.to_string()));
    }
    let newcomers = (0..3 * CELLS).filter(|number| passes(&local, &format!("new {number}"))).count();
    assert!(newcomers <= CELLS, "{newcomers}");
    assert_eq!(local.subjects(), MOST_SUBJECTS);
    assert!(!passes(&local, "0"), "who was there before is still limited");
}

#[test]
fn no_flood_of_strangers_uses_up_what_known_browsers_have() {
    let (local, _) = local(1, Duration::from_mins(1));
    let passes = |subject: String| local.decide(&[&Check::new(PolicyName::LoginEmail, subject)])[0].allows();
    for number in 0..MOST_SUBJECTS + 2 * CELLS {
        passes(number.to_string());
    }
    let strangers = (0..100).filter(|number| passes(format!("new {number}"))).count();
    assert!(strangers < 50, "{strangers}");
    let known = (0..100).filter(|number| passes(format!("mailbox:{number}"))).count();
    assert!(known >= 98, "two of a hundred may share a cell: {known}");
    assert!(!passes("mailbox:0".to_owned()), "each has its own limit");
}

#[test]
fn a_mailbox_is_forgotten_with_the_browsers_that_it_knows() {
    let (local, _) = local(1, Duration::from_mins(1));
    let check = |subject: &str| Check::new(PolicyName::LoginEmail, subject);
    let asked = ["mailbox", "mailbox:1", "mailbox:2", "mailbox2", "mailbox2:1"].map(check);
    for asked in &asked {
        assert!(local.decide(&[asked])[0].allows());
        local.owe(&[asked]);
    }
    local.forget(&check("mailbox"));
    let forgotten = asked.each_ref().map(|asked| local.look(asked).allows());
    assert_eq!(forgotten, [true, true, true, false, false]);
    let asked: Vec<&Check> = asked.iter().collect();
    let owed: Vec<u32> = local.owed(&asked).iter().map(|owed| owed.count).collect();
    assert_eq!(owed, [0, 0, 0, 1, 1]);
}

proptest! {
    #[test]
    fn no_window_sees_more_than_twice_the_limit(
        limit in 1_u32..20,
        instances in 1_u32..5,
        gaps in proptest::collection::vec(0_u64..4_000, 1..300),
    ) {
        let window = Duration::from_secs(10);
        let (local, clock) = local(limit, window);
        local.set_instances(instances);
        let (mut now, mut passed) = (Duration::ZERO, Vec::new());
        for gap in gaps {
            clock.advance(Duration::from_millis(gap));
            now += Duration::from_millis(gap);
            if passes(&local, "a") {
                passed.push(now);
            }
        }
        let share = (limit / instances).max(1) as usize;
        for (first, start) in passed.iter().enumerate() {
            let within = passed[first..].iter().take_while(|at| **at < *start + window).count();
            // A share that is not a whole number is rounded down for the burst, not for the refill.
            prop_assert!(within <= 2 * share + 1, "{} in a window of a limit of {}", within, share);
            prop_assert!(instances > 1 || within <= 2 * limit as usize);
        }
    }

    #[test]
    fn who_waits_as_long_as_told_is_let_through(limit in 1_u32..20, instances in 1_u32..30, early in 0_u64..5_000) {
        let (local, clock) = local(limit, Duration::from_secs(10));
        local.set_instances(instances);
        while passes(&local, "a") {}
        clock.advance(Duration::from_millis(early));
        let verdict = local.decide(&[&check("a")])[0];
        if !verdict.allows() {
            clock.advance(verdict.wait);
            prop_assert!(passes(&local, "a"));
        }
    }
}

/// What the buckets should do, with nothing but numbers: the time at which each is full again.
#[derive(Default)]
struct Model(std::collections::HashMap<(PolicyName, usize), u128>);

impl Model {
    /// Whether a request at `now` passes all of `asked`, given as policy, subject, limit and refill.
    fn decide(&mut self, now: u128, asked: &[(PolicyName, usize, u32, u128)], instances: u32) -> bool {
        let after = asked.iter().map(|&(policy, subject, limit, refill)| {
            let cost = u128::from(instances.clamp(1, limit));
            let full = self.0.get(&(policy, subject)).copied().unwrap_or(0).max(now) + cost * refill;
            ((policy, subject), full, full <= now + u128::from(limit) * refill)
        });
        let after: Vec<_> = after.collect();
        let passes = after.iter().all(|(_, _, fits)| *fits);
        if passes {
            self.0.extend(after.into_iter().map(|(bucket, full, _)| (bucket, full)));
        }
        passes
    }

    /// Redis says that `left` are left.
    fn follow(&mut self, now: u128, (policy, subject, limit, refill): (PolicyName, usize, u32, u128), left: u32) {
        let full = self.0.get(&(policy, subject)).copied().unwrap_or(0).max(now);
        let free = (now + u128::from(limit) * refill - full) / refill;
        let more = free.saturating_sub(u128::from(left));
        self.0.insert((policy, subject), full + more * refill);
    }
}

proptest! {
    #[test]
    fn it_decides_as_the_model_does_whatever_the_clock_the_limits_and_the_subjects(
        limit in 1_u32..20,
        window in 1_u64..20_000,
        steps in proptest::collection::vec((0_u64..3_000, 0_usize..3, 1_u32..5, 0_u32..40, any::<bool>()), 1..200),
    ) {
        let window = Duration::from_millis(window);
        let (local, clock) = local(limit, window);
        let (mut model, mut now) = (Model::default(), Duration::from_secs(1));
        for (gap, subject, instances, left, both) in steps {
            clock.advance(Duration::from_millis(gap));
            now += Duration::from_millis(gap);
            local.set_instances(instances);
            let policies = [(PolicyName::ApiAddress, limit), (PolicyName::LoginEmail, 1)];
            let policies = &policies[..if both { 2 } else { 1 }];
            let asked: Vec<_> =
                policies.iter().map(|&(policy, limit)| (policy, subject, limit, (window / limit).as_nanos())).collect();
            let checks: Vec<_> = asked.iter().map(|(policy, ..)| Check::new(*policy, subject.to_string())).collect();
            if left < 20 {
                let told = Verdict { remaining: left, wait: Duration::ZERO, reset: Duration::ZERO };
                local.follow(vec![checks[0].clone()], &[told]);
                model.follow(now.as_nanos(), asked[0], left);
            }
            let checks: Vec<&Check> = checks.iter().collect();
            let passes = local.decide(&checks).iter().all(Verdict::allows);
            prop_assert_eq!(passes, model.decide(now.as_nanos(), &asked, instances), "at {:?}", now);
        }
    }
}

#[test]
fn what_redis_says_is_left_is_left_here() {
    let (local, _) = local(10, Duration::from_mins(5));
    let told = |remaining| Verdict { remaining, wait: Duration::ZERO, reset: Duration::ZERO };
    local.follow(vec![check("a")], &[told(3)]);
    assert_eq!(local.look(&check("a")).remaining, 3);
    local.follow(vec![check("a")], &[told(7)]);
    assert_eq!(local.look(&check("a")).remaining, 3, "what was taken here is not given back");
    assert_eq!((0..20).filter(|_| passes(&local, "a")).count(), 3);
    local.follow(vec![check("b")], &[told(10)]);
    assert_eq!(local.subjects(), 1, "who has used nothing takes no memory");
}
