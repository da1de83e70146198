//! Mails that nobody wants, and guesses without end.

use futures_util::future::join_all;
use serde_json::json;

use crate::app::{Options, TestApp};
use crate::credentials::three;

const ADA: &str = "ada@example.com";

/// Ways to write a path that the router reads as the same.
fn spellings(path: &str) -> Vec<String> {
    let encode = |at: usize, byte: u8| format!("{}%{byte:02X}{}", &path[..at], &path[at + 1..]);
    let letters = path.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_alphabetic());
    letters.map(|(at, byte)| encode(at, byte)).collect()
}

on_both_setups! {
    async fn no_spelling_of_a_path_is_without_its_limit(
        app: TestApp = Options::default()
            .set("GATEPOST_LIMITS_PROFILE_ADDRESS", "4/300s").set("GATEPOST_LIMITS_REFRESH_ADDRESS", "4/300s")
    ) {
        let ada = app.sign_in(ADA).await;
        let mut passed = [0, 0];
        for path in spellings("/api/auth/change-password") {
            passed[0] += usize::from(ada.post(&path, json!({})).await.status != 429);
        }
        for path in spellings("/api/auth/refresh") {
            passed[1] += usize::from(ada.post(&path, json!({})).await.status != 429);
        }
        assert_eq!(passed, [4, 4]);
    }

    async fn the_shield_reads_a_path_as_the_router_does(
        app: TestApp = Options::default().set("GATEPOST_LIMITS_SHIELD_ADDRESS", "1/300s").set("GATEPOST_LIMITS_SHIELD_BURST", "5")
    ) {
        let client = app.program();
        let mut passed = 0;
        for path in spellings("/api/auth/me") {
            passed += usize::from(client.get(&path).await.status != 429);
        }
        assert!(passed <= 5, "{passed}");
    }
}

fn statuses(answers: &[crate::client::Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

on_servers! {
    async fn a_flood_of_one_mailbox_from_many_addresses_is_bounded(app: TestApp = Options::default().behind_a_proxy()) {
        let apps = three(app).await;
        let asked = join_all((0..60).map(async |number: usize| {
            let client = apps[number % 3].program().with("x-forwarded-for", &format!("198.51.100.{number}"));
            let path = ["/api/auth/otp/request", "/api/auth/magic-link/request", "/api/auth/register"][number % 3];
            // Spellings are no other mailboxes.
            let email = ["ada@example.com", "ADA@example.com", " ada@EXAMPLE.com", "\u{ff41}da@example.com"][number % 4];
            client.post(path, json!({ "email": email, "name": "Ada" })).await
        }))
        .await;
        let taken = statuses(&asked, 202);
        assert!((1..=5).contains(&taken) && taken + statuses(&asked, 429) == asked.len(), "{taken} were taken");
        // Whatever was taken arrives, so that the count is final.
        crate::support::eventually("the mails to be sent", crate::app::SOON, async || {
            (app_mails(&apps[0]).await >= taken).then_some(())
        })
        .await;
        assert_eq!(app_mails(&apps[0]).await, taken);
    }

    async fn a_flood_of_aliases_from_one_address_is_bounded(app: TestApp) {
        let apps = three(app).await;
        let asked = join_all((0..120).map(async |number: usize| {
            let body = json!({ "email": format!("ada+{number}@example.com"), "name": "Ada" });
            apps[number % 3].program().post("/api/auth/otp/request", body).await
        }))
        .await;
        let taken = statuses(&asked, 202);
        // As many as one mailbox gets in a day under all its names, which is fewer than one address may ask for.
        assert_eq!((taken, statuses(&asked, 429)), (20, 100));
        crate::support::eventually("the mails to be sent", crate::app::SOON, async || {
            (apps[0].mails().await.len() >= taken).then_some(())
        })
        .await;
        assert_eq!(apps[0].mails().await.len(), taken);
    }

    async fn resending_gives_no_guess_back(app: TestApp = Options::without_limits()) {
        let apps = three(app).await;
        let challenge = apps[0].challenge(ADA).await;
        for number in 0..5 {
            let again = json!({ "email": ADA, "challenge_id": challenge.id });
            let app = &apps[number % 3];
            let answer = app.program().post("/api/auth/otp/request", again).await.expect(202).json();
            assert_eq!(answer["challenge_id"], challenge.id.as_str(), "the same challenge is mailed again");
            let wrong = challenge.wrong_code(u32::try_from(number).unwrap());
            assert_ne!(app.verify(&challenge.id, &wrong).await.status, 200);
        }
        // The other form of the same mail is no way round it, nor is naming the challenge of somebody else.
        for path in ["/api/auth/otp/request", "/api/auth/magic-link/request"] {
            let again = json!({ "email": ADA, "challenge_id": challenge.id });
            apps[1].program().post(path, again).await.expect(202);
            let other = json!({ "email": "eve@example.com", "challenge_id": challenge.id });
            let answer = apps[1].program().post(path, other).await.expect(202).json();
            assert_ne!(answer["challenge_id"], challenge.id.as_str());
        }
        apps[0].redis().flush().await;
        for app in &apps {
            let answer = app.verify(&challenge.id, challenge.code()).await;
            assert!(matches!(answer.status, 401 | 429), "{}", answer.body);
        }
    }

    async fn guesses_at_once_at_three_instances_are_no_more_than_one_after_another(app: TestApp = Options::without_limits()) {
        let apps = three(app).await;
        let challenge = apps[0].challenge(ADA).await;
        let guesses =
            (0..60_u32).map(async |n| apps[n as usize % 3].verify(&challenge.id, &challenge.wrong_code(n)).await);
        for answer in join_all(guesses).await {
            assert!(matches!(answer.status, 401 | 429), "{}", answer.body);
        }
        let database = apps[0].database().client().await;
        let query = "SELECT max(attempts)::bigint FROM challenges";
        let counted: i64 = database.query_one(query, &[]).await.unwrap().get(0);
        assert!((1..=5).contains(&counted), "{counted} guesses were compared");
        assert_ne!(apps[1].verify(&challenge.id, challenge.code()).await.status, 200);
    }

    async fn an_account_is_guessed_at_a_bounded_number_of_times_however_many_codes_are_asked_for(
        // Without pauses between guesses: one that ends while the test runs would let the next guess in.
        app: TestApp = Options::without_limits().set("GATEPOST_AUTH_GUESSES_AT_ONCE", "20")
    ) {
        let apps = three(app).await;
        let (mut compared, mut last) = (0, None);
        for round in 0..9_usize {
            let challenge = apps[round % 3].challenge(ADA).await;
            for n in 0..4 {
                let answer = apps[n as usize % 3].verify(&challenge.id, &challenge.wrong_code(n)).await;
                assert!(matches!(answer.status, 401 | 429), "{}", answer.body);
                compared += usize::from(answer.status == 401);
            }
            last = Some(challenge);
        }
        assert_eq!(compared, 20);
        // A program that nobody has signed in with before has none left, even for the right one.
        let last = last.expect("a challenge");
        assert_eq!(apps[2].verify(&last.id, last.code()).await.status, 429);
    }

    async fn passwords_are_guessed_at_a_bounded_number_of_times_at_all_instances_together(
        app: TestApp = Options::methods("otp,password").unlimited()
    ) {
        let apps = three(app).await;
        let ada = apps[0].sign_in(ADA).await;
        ada.post("/api/auth/change-password", json!({ "new": "correct horse battery" })).await.expect(204);
        let guesses = join_all((0..45).map(async |number: usize| {
            let body = json!({ "email": ADA, "password": format!("wrong horse {number}") });
            apps[number % 3].program().post("/api/auth/login", body).await
        }))
        .await;
        let compared = statuses(&guesses, 401);
        assert!((1..=20).contains(&compared) && compared + statuses(&guesses, 429) == guesses.len(), "{compared}");
        // Who is signed in stays so.
        for app in &apps {
            assert!(ada.at(app).is_signed_in().await);
        }
    }
}

/// How many mails have come to Ada, under whatever spelling.
async fn app_mails(app: &TestApp) -> usize {
    app.mails_to(ADA).await.len()
}
