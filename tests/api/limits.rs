//! How often one mailbox and one client may ask and try.
//!
//! Windows slide by Redis's clock and the process's, which a test cannot move: that is tested with the limiter itself.

use futures_util::future::join_all;
use serde_json::json;

use crate::app::{Options, Setup, TestApp};
use crate::client::{Answer, Client};

const ADA: &str = "ada@example.com";
const EVE: &str = "eve@example.com";

async fn ask(client: &Client, email: &str) -> Answer {
    client.post("/api/auth/otp/request", json!({ "email": email })).await
}

/// A client that a proxy forwards for.
fn behind(app: &TestApp, address: &str) -> Client {
    app.program().with("x-forwarded-for", address)
}

/// Fails unless this is the limiter's refusal; gives the seconds to wait.
fn assert_limited(answer: &Answer) -> u64 {
    let problem = answer.expect_problem(429, "rate_limited");
    let wait: u64 = answer.header("retry-after").expect("when to come back").parse().expect("whole seconds");
    assert!(wait >= 1);
    assert_eq!(problem["detail"], format!("Try again in {wait} seconds."));
    wait
}

/// Fails unless the page says, as its header does, when to come back.
fn assert_page_limited(page: &Answer) {
    let wait = page.header("retry-after").expect("when to come back");
    assert!(page.body.contains(&format!("Try again in {wait} seconds.")), "{}", page.body);
}

fn statuses(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

/// The policies that a header names.
fn policies(answer: &Answer, header: &str) -> Vec<String> {
    let items = answer.header(header).unwrap_or_default().split(", ");
    items.filter_map(|item| item.strip_prefix('"')?.split_once('"')).map(|(name, _)| name.to_owned()).collect()
}

on_both_setups! {
    async fn a_mailbox_is_mailed_five_times_in_five_minutes(app: TestApp) {
        for _ in 0..5 {
            ask(&app.program(), ADA).await.expect(202);
        }
        for _ in 0..3 {
            let wait = assert_limited(&ask(&app.program(), ADA).await);
            // Without Redis one comes back each minute.
            let longest = if app.setup == Setup::Servers { 300 } else { 60 };
            assert!((longest - 30..=longest).contains(&wait), "{wait}");
        }
        ask(&app.program(), EVE).await.expect(202);
        app.challenge("later@example.com").await;
        assert_eq!(app.mails_to(ADA).await.len(), 5);
    }

    async fn strangers_use_up_nothing_that_a_known_browser_needs(app: TestApp) {
        let known = app.sign_in(ADA).await;
        let mut asked = 0;
        while ask(&app.program(), ADA).await.status == 202 {
            asked += 1;
            assert!(asked <= 5, "strangers have a limit");
        }
        assert_limited(&ask(&app.program(), ADA).await);
        for _ in 0..5 {
            ask(&known, ADA).await.expect(202);
        }
        assert_limited(&ask(&known, ADA).await);
        // Known to one account is a stranger to another.
        for _ in 0..5 {
            ask(&app.program(), EVE).await.expect(202);
        }
        assert_limited(&ask(&known, EVE).await);
    }

    async fn all_ways_to_ask_and_all_spellings_count_together(app: TestApp) {
        let program = app.program();
        ask(&program, "Ada@Example.COM").await.expect(202);
        ask(&program, " \u{ff41}\u{ff44}\u{ff41}@example.com\n").await.expect(202);
        let body = json!({ "email": "ADA@example.com", "name": "Ada" });
        program.post("/api/auth/magic-link/request", body.clone()).await.expect(202);
        program.post("/api/auth/register", body.clone()).await.expect(202);
        app.browser().form("/login", &[("email", ADA)]).await.expect(303);
        assert_limited(&ask(&program, ADA).await);
        assert_limited(&program.post("/api/auth/magic-link/request", body.clone()).await);
        assert_limited(&program.post("/api/auth/register", body).await);
        for path in ["/login", "/register"] {
            assert_page_limited(&app.browser().form(path, &[("email", ADA), ("name", "Ada")]).await.expect_page(429));
        }
    }

    async fn a_resend_counts_as_a_request(app: TestApp) {
        let id = app.request_code(ADA).await;
        let again = json!({ "email": ADA, "challenge_id": id });
        for _ in 0..4 {
            app.program().post("/api/auth/otp/request", again.clone()).await.expect(202);
        }
        assert_limited(&app.program().post("/api/auth/otp/request", again).await);
    }

    async fn a_client_asks_thirty_times_in_five_minutes(app: TestApp = Options::default().behind_a_proxy()) {
        let client = behind(&app, "203.0.113.7");
        for n in 0..30 {
            ask(&client, &format!("reader{n}@example.com")).await.expect(202);
        }
        assert_limited(&ask(&client, ADA).await);
        ask(&behind(&app, "203.0.113.8"), ADA).await.expect(202);
        // The refused request did not count for the mailbox.
        for _ in 0..4 {
            ask(&behind(&app, "203.0.113.9"), ADA).await.expect(202);
        }
        // What stands further left anybody may have written.
        assert_limited(&ask(&behind(&app, "198.51.100.1, 203.0.113.7"), EVE).await);
    }

    async fn a_client_cannot_choose_its_address(
        app: TestApp = Options::default().set("GATEPOST_LIMITS_REQUEST_ADDRESS", "3/300s")
    ) {
        for n in 0..3 {
            ask(&behind(&app, &format!("203.0.113.{n}")), &format!("reader{n}@example.com")).await.expect(202);
        }
        assert_limited(&ask(&behind(&app, "203.0.113.9"), ADA).await);
    }

    async fn an_ipv6_network_is_one_client(
        app: TestApp = Options::default().behind_a_proxy().set("GATEPOST_LIMITS_REQUEST_ADDRESS", "3/300s")
    ) {
        for address in ["2001:db8:1:2::1", "[2001:db8:1:2:ffff::9]:4711", "2001:db8:1:2:3:4:5:6"] {
            ask(&behind(&app, address), &format!("reader{}@example.com", address.len())).await.expect(202);
        }
        assert_limited(&ask(&behind(&app, "2001:db8:1:2:aaaa::1"), ADA).await);
        ask(&behind(&app, "2001:db8:1:3::1"), ADA).await.expect(202);
        // An IPv4 address is itself, however it is written.
        for _ in 0..3 {
            ask(&behind(&app, "::ffff:203.0.113.7"), EVE).await.expect(202);
        }
        assert_limited(&ask(&behind(&app, "203.0.113.7"), ADA).await);
    }

    async fn headers_tell_about_the_client_and_never_about_a_mailbox(app: TestApp) {
        for n in (25..30).rev() {
            let answer = ask(&app.program(), ADA).await.expect(202);
            assert_eq!(answer.header("ratelimit-policy"), Some(r#""request_address";q=30;w=300"#));
            let left = answer.header("ratelimit").unwrap();
            assert!(left.starts_with(&format!(r#""request_address";r={n};t="#)), "{left}");
        }
        let refused = ask(&app.program(), ADA).await;
        assert_limited(&refused);
        assert_eq!(policies(&refused, "ratelimit-policy"), ["request_address"]);
        assert_eq!(policies(&refused, "ratelimit"), ["request_address"]);
        assert!(refused.header("ratelimit").unwrap().contains(";r=25;"), "{:?}", refused.headers);
        let body = json!({ "email": EVE, "name": "Eve" });
        let registered = app.program().post("/api/auth/register", body).await.expect(202);
        assert_eq!(policies(&registered, "ratelimit"), ["request_address", "register_address"]);
    }

    async fn a_mailbox_is_mailed_ten_times_a_day(
        app: TestApp = Options::default().set("GATEPOST_LIMITS_OTP_REQUEST_EMAIL", "50/1s")
    ) {
        for _ in 0..10 {
            ask(&app.program(), ADA).await.expect(202);
        }
        let wait = assert_limited(&ask(&app.program(), ADA).await);
        // Without Redis one comes back each tenth of a day.
        let longest = if app.setup == Setup::Servers { 86_400 } else { 8_640 };
        assert!((longest - 60..=longest).contains(&wait), "{wait}");
        ask(&app.program(), EVE).await.expect(202);
    }

    async fn aliases_of_a_mailbox_count_together(
        app: TestApp = Options::default().set("GATEPOST_LIMITS_OTP_REQUEST_ABUSE_KEY", "4/1d")
    ) {
        for alias in ["ada@example.com", "ada+shop@example.com", "Ada+news@example.com", "ada+@example.com"] {
            ask(&app.program(), alias).await.expect(202);
        }
        let refused = ask(&app.program(), "ada+more@example.com").await;
        assert_limited(&refused);
        assert_eq!(policies(&refused, "ratelimit"), ["request_address"], "whose mailbox it is stays unsaid");
        ask(&app.program(), EVE).await.expect(202);
    }

    async fn a_domain_and_everybody_have_limits_that_nobody_is_told_of(
        app: TestApp = Options::default()
            .set("GATEPOST_LIMITS_REQUEST_DOMAIN", "3/3600s")
            .set("GATEPOST_LIMITS_REQUEST_GLOBAL", "5/3600s")
    ) {
        for n in 0..3 {
            let answer = ask(&app.program(), &format!("reader{n}@example.com")).await.expect(202);
            assert_eq!(policies(&answer, "ratelimit-policy"), ["request_address"]);
        }
        let refused = ask(&app.program(), ADA).await;
        assert_limited(&refused);
        assert_eq!(policies(&refused, "ratelimit"), ["request_address"]);
        ask(&app.program(), "ada@example.org").await.expect(202);
        ask(&app.program(), "ada@example.net").await.expect(202);
        let refused = ask(&app.program(), "ada@example.edu").await;
        assert_limited(&refused);
        assert_eq!(policies(&refused, "ratelimit"), ["request_address"]);
    }

    async fn an_ipv6_customer_with_many_networks_is_limited_as_one(
        app: TestApp = Options::default().behind_a_proxy().set("GATEPOST_LIMITS_REQUEST_NETWORK", "4/300s")
    ) {
        for n in 0..4 {
            let client = behind(&app, &format!("2001:db8:1:20{n}::1"));
            let answer = ask(&client, &format!("reader{n}@example.com")).await.expect(202);
            assert_eq!(policies(&answer, "ratelimit"), ["request_address"], "a /56 may be shared");
        }
        assert_limited(&ask(&behind(&app, "2001:db8:1:2ff::1"), ADA).await);
        ask(&behind(&app, "2001:db8:1:300::1"), ADA).await.expect(202);
        // IPv4 addresses have no such neighbours.
        for n in 0..6 {
            ask(&behind(&app, &format!("203.0.113.{n}")), &format!("guest{n}@example.com")).await.expect(202);
        }
    }

    async fn every_other_route_has_a_limit_by_its_kind(
        app: TestApp = Options::default()
            .behind_a_proxy()
            .set("GATEPOST_LIMITS_API_ADDRESS", "2/3600s")
            .set("GATEPOST_LIMITS_REFRESH_ADDRESS", "3/3600s")
            .set("GATEPOST_LIMITS_ADMIN_ADDRESS", "4/3600s")
    ) {
        let client = behind(&app, "203.0.113.7");
        for (path, policy, limit) in [
            ("/api/auth/me", "api_address", 2),
            ("/api/admin/users", "admin_address", 4),
        ] {
            for _ in 0..limit {
                client.get(path).await.expect_problem(401, "unauthorized");
            }
            let refused = client.get(path).await;
            assert_limited(&refused);
            assert_eq!(policies(&refused, "ratelimit"), [policy]);
        }
        for _ in 0..3 {
            let body = json!({ "refresh_token": "nonsense" });
            client.post("/api/auth/refresh", body).await.expect_problem(401, "invalid_refresh_token");
        }
        assert_limited(&client.post("/api/auth/refresh", json!({ "refresh_token": "nonsense" })).await);
        assert_page_limited(&client.with_origin(crate::app::PUBLIC_URL).form("/admin/invite", &[]).await.expect_page(429));
        // What is asked all the time is not limited, nor is anybody else.
        for _ in 0..10 {
            client.get("/api/auth/validate").await.expect(401);
            client.get("/health").await.expect(200);
        }
        behind(&app, "203.0.113.8").get("/api/auth/me").await.expect(401);
    }

    async fn a_flood_is_refused_at_the_door_in_the_same_words(
        app: TestApp = Options::default()
            .behind_a_proxy()
            .set("GATEPOST_LIMITS_SHIELD_ADDRESS", "20/3600s")
            .set("GATEPOST_LIMITS_SHIELD_BURST", "20")
    ) {
        let client = behind(&app, "203.0.113.7");
        let nonsense = json!({ "refresh_token": "nonsense" });
        for _ in 0..20 {
            client.post("/api/auth/refresh", nonsense.clone()).await.expect_problem(401, "invalid_refresh_token");
        }
        let refused = client.post("/api/auth/refresh", nonsense).await;
        assert!(assert_limited(&refused) <= 180, "{:?}", refused.headers);
        let problem = refused.expect_problem(429, "rate_limited");
        assert_eq!(problem["request_id"], refused.header("x-request-id").expect("an id"));
        assert_eq!(problem["type"], "urn:gatepost:problem:rate_limited");
        assert_limited(&ask(&client, ADA).await);
        assert_limited(&client.get("/api/auth/me").await);
        // Neither what is asked all the time nor the pages are behind it.
        client.get("/api/auth/validate").await.expect(401);
        client.get("/forward-auth").await;
        client.get("/health/ready").await.expect(200);
        client.page("/login").await.expect_page(200);
        ask(&behind(&app, "203.0.113.8"), ADA).await.expect(202);
        let text = app.program().get("/metrics").await.expect(200).body;
        assert!(text.contains("\ngatepost_shield_denied_total 3\n"), "{text}");
        assert!(text.contains("gatepost_http_requests_total{method=\"other\",route=\"shield\",status=\"429\"} 3"), "{text}");
    }

    async fn registrations_have_a_limit_of_their_own(
        app: TestApp = Options::default().set("GATEPOST_LIMITS_REGISTER_ADDRESS", "2/3600s")
    ) {
        for (n, status) in [(0, 202), (1, 202), (2, 429)] {
            let body = json!({ "email": format!("reader{n}@example.com"), "name": "Reader" });
            assert_eq!(app.program().post("/api/auth/register", body).await.status, status);
        }
        ask(&app.program(), ADA).await.expect(202);
    }

    async fn switched_off_nothing_is_limited_but_guessing(app: TestApp = Options::without_limits()) {
        for _ in 0..40 {
            let answer = ask(&app.program(), EVE).await.expect(202);
            assert!(answer.header("ratelimit").is_none() && answer.header("ratelimit-policy").is_none());
        }
        let challenge = app.challenge(ADA).await;
        for n in 0..5 {
            app.verify(&challenge.id, &challenge.wrong_code(n)).await.expect_problem(401, "invalid_code");
        }
        app.verify(&challenge.id, challenge.code()).await.expect_problem(401, "invalid_code");
    }

    async fn tries_of_codes_and_links_are_limited_together(
        app: TestApp = Options::default().behind_a_proxy().set("GATEPOST_LIMITS_VERIFY_ADDRESS", "4/300s")
    ) {
        let challenge = app.challenge(ADA).await;
        let client = behind(&app, "203.0.113.7");
        let code = json!({ "challenge_id": challenge.id, "code": challenge.wrong_code(1) });
        let link = json!({ "token": "A".repeat(64) });
        client.post("/api/auth/otp/verify", code.clone()).await.expect_problem(401, "invalid_code");
        client.post("/api/auth/magic-link/verify", link.clone()).await.expect_problem(401, "invalid_link");
        client.page(challenge.mail.link_path()).await.expect_page(200);
        client.post("/api/auth/otp/verify", json!({})).await.expect_problem(400, "invalid_input");
        let refused = client.post("/api/auth/otp/verify", code).await;
        assert_limited(&refused);
        assert_eq!(policies(&refused, "ratelimit"), ["verify_address"]);
        assert_limited(&client.post("/api/auth/magic-link/verify", link).await);
        client.page(challenge.mail.link_path()).await.expect_page(429);
        let browser = app.browser().with("x-forwarded-for", "203.0.113.7");
        let fields = [("challenge_id", challenge.id.as_str()), ("code", challenge.code())];
        assert_page_limited(&browser.form("/login/code", &fields).await.expect_page(429));
        // A refused try is no guess, and nobody else is stopped.
        app.verify(&challenge.id, challenge.code()).await.expect(200);
    }

    async fn passwords_are_limited_by_mailbox_and_by_client(
        app: TestApp = Options::methods("otp,password")
            .behind_a_proxy()
            .set("GATEPOST_LIMITS_LOGIN_EMAIL", "3/900s")
            .set("GATEPOST_LIMITS_LOGIN_ADDRESS", "4/300s")
    ) {
        let attempt = async |client: &Client, email: &str| {
            client.post("/api/auth/login", json!({ "email": email, "password": "guess" })).await
        };
        let client = behind(&app, "203.0.113.7");
        for spelling in [ADA, "Ada@example.com", "ADA@EXAMPLE.COM"] {
            let answer = attempt(&client, spelling).await;
            answer.expect_problem(401, "invalid_credentials");
        }
        let refused = attempt(&client, ADA).await;
        assert_limited(&refused);
        assert_eq!(policies(&refused, "ratelimit"), ["login_address"]);
        assert_limited(&attempt(&behind(&app, "203.0.113.8"), ADA).await);
        attempt(&client, EVE).await.expect_problem(401, "invalid_credentials");
        assert_limited(&attempt(&client, EVE).await);
        app.browser().with("x-forwarded-for", "203.0.113.9")
            .form("/login/password", &[("email", ADA), ("password", "guess")]).await.expect_page(429);
        // Who cannot type a password any more can still ask for a code.
        app.sign_in(ADA).await;
    }

    async fn parallel_requests_get_no_more_than_the_limit(
        app: TestApp = Options::default().set("GATEPOST_LIMITS_REQUEST_ADDRESS", "1000/300s")
    ) {
        let program = app.program();
        let answers = join_all((0..40).map(|_| ask(&program, ADA))).await;
        assert_eq!((statuses(&answers, 202), statuses(&answers, 429)), (5, 35));
        answers.iter().filter(|answer| answer.status == 429).for_each(|answer| {
            assert_limited(answer);
        });
    }
}

on_servers! {
    async fn two_instances_share_one_limit(
        app: TestApp = Options::default().set("GATEPOST_LIMITS_REQUEST_ADDRESS", "1000/300s")
    ) {
        let other = app.beside().await;
        let clients = [app.program(), other.program()];
        let answers = join_all((0..60).map(|n| ask(&clients[n % 2], ADA))).await;
        assert_eq!((statuses(&answers, 202), statuses(&answers, 429)), (5, 55));
        assert_limited(&ask(&app.program(), ADA).await);
        assert_limited(&ask(&other.program(), ADA).await);
    }

    async fn a_thousand_at_once_over_three_instances_get_exactly_the_limit(
        app: TestApp = Options::default().set("GATEPOST_LIMITS_REQUEST_ADDRESS", "2000/300s")
    ) {
        let others = [app.beside().await, app.beside().await];
        let clients = [app.program(), others[0].program(), others[1].program()];
        let answers = join_all((0..1000).map(|n| ask(&clients[n % 3], ADA))).await;
        assert_eq!((statuses(&answers, 202), statuses(&answers, 429)), (5, 995));
        let figures = app.admin().await.get("/api/admin/limits").await.expect(200).json();
        assert_eq!(figures["decided_by"], "redis");
    }

    async fn a_thousand_at_once_over_three_instances_get_no_more_than_the_bound_when_redis_dies_meanwhile(
        app: TestApp = Options::default().set("GATEPOST_LIMITS_REQUEST_ADDRESS", "2000/300s")
    ) {
        let others = [app.beside().await, app.beside().await];
        let admin = app.admin().await;
        crate::support::eventually("the instances to be counted", 2 * crate::app::SOON, async || {
            let figures = admin.get("/api/admin/limits").await.expect(200).json();
            (figures["instances"] == 3).then_some(())
        })
        .await;
        let clients = [app.program(), others[0].program(), others[1].program()];
        let answered = tokio::sync::Semaphore::new(0);
        let asked = join_all((0..1000).map(async |n| {
            let answer = ask(&clients[n % 3], ADA).await;
            answered.add_permits(1);
            answer
        }));
        let death = async {
            let _ = answered.acquire_many(300).await.expect("as many are answered");
            // It ends without an answer.
            let _ = redis::cmd("SHUTDOWN").arg("NOSAVE").exec_async(&mut app.redis().connection().await).await;
        };
        let (answers, ()) = futures_util::future::join(asked, death).await;
        let (allowed, refused) = (statuses(&answers, 202), statuses(&answers, 429));
        // Redis allowed the limit; without it each of the three gives the third of it that it does not know to be used up.
        assert!((5..=10).contains(&allowed) && allowed + refused == 1000, "{allowed} and {refused}");
        for client in &clients {
            assert_limited(&ask(client, ADA).await);
        }
        let figures = admin.get("/api/admin/limits").await.expect(200).json();
        assert_eq!((&figures["decided_by"], &figures["instances"]), (&json!("local"), &json!(3)));
    }

    async fn what_one_instance_resets_the_others_forget(app: TestApp) {
        let other = app.beside().await;
        for _ in 0..5 {
            ask(&app.program(), ADA).await.expect(202);
        }
        assert_limited(&ask(&other.program(), ADA).await);
        let admin = app.admin().await;
        admin.delete("/api/admin/limits/otp_request_email/ada@example.com").await.expect(200);
        ask(&other.program(), ADA).await.expect(202);
    }

    async fn instances_are_counted(app: TestApp) {
        let admin = app.admin().await;
        let count = async |expected: u64| {
            crate::support::eventually("the instances to be counted", 2 * crate::app::SOON, async || {
                let figures = admin.get("/api/admin/limits").await.expect(200).json();
                (figures["instances"] == expected).then_some(())
            })
            .await;
        };
        count(1).await;
        let other = app.beside().await;
        count(2).await;
        let text = app.program().get("/metrics").await.expect(200).body;
        assert!(text.lines().any(|line| line == "gatepost_instances 2"), "{text}");
        other.stop().await;
        count(1).await;
    }

    async fn a_flood_never_reaches_redis(
        app: TestApp = Options::default()
            .set("GATEPOST_LIMITS_SHIELD_ADDRESS", "1/1d")
            .set("GATEPOST_LIMITS_SHIELD_BURST", "1")
    ) {
        app.program().get("/api/auth/me").await.expect(401);
        let commands = async || {
            let info: String = app.redis().ask(&["INFO", "stats"]).await;
            let line = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:")).expect("a count");
            line.trim().parse::<u64>().expect("a number")
        };
        let before = commands().await;
        let program = app.program();
        let answers = join_all((0..600).map(|_| ask(&program, ADA))).await;
        assert_eq!(statuses(&answers, 429), 600);
        // Heartbeats, the mail worker and the cache go on.
        let during = commands().await - before;
        assert!(during < 200, "{during} commands for a flood of 600");
        assert!(app.mails_to(ADA).await.is_empty());
    }

    async fn limits_hold_when_redis_dies(app: TestApp) {
        for _ in 0..3 {
            ask(&app.program(), ADA).await.expect(202);
        }
        let mut redis = app.redis().connection().await;
        // It ends without an answer.
        let _ = redis::cmd("SHUTDOWN").arg("NOSAVE").exec_async(&mut redis).await;
        let mut allowed = 3;
        for _ in 0..20 {
            let answer = ask(&app.program(), ADA).await;
            match answer.status {
                202 => allowed += 1,
                _ => drop(assert_limited(&answer)),
            }
        }
        // The process knows of the three; one comes back each minute.
        assert!((5..=6).contains(&allowed), "{allowed}");
        assert_limited(&ask(&app.program(), ADA).await);
        // All the rest works on.
        app.sign_in(EVE).await;
    }

    async fn limits_hold_when_redis_forgets(app: TestApp) {
        for _ in 0..5 {
            ask(&app.program(), ADA).await.expect(202);
        }
        assert_limited(&ask(&app.program(), ADA).await);
        app.redis().flush().await;
        let mut answers = Vec::new();
        for _ in 0..8 {
            answers.push(ask(&app.program(), ADA).await);
        }
        assert_eq!((statuses(&answers, 202), statuses(&answers, 429)), (5, 3));
    }
}
