//! Access and refresh tokens: what they prove, how long, and what becomes of forged and stolen ones.

use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};

use crate::app::{DAY, MINUTE, Options, PROMISED, PUBLIC_URL, ROOT, SOON, TestApp, Tokens};
use crate::client::Answer;
use crate::support::eventually;

const ADA: &str = "ada@example.com";

async fn refresh(app: &TestApp, token: &str) -> Answer {
    app.program().post("/api/auth/refresh", json!({ "refresh_token": token })).await
}

async fn refreshed(app: &TestApp, token: &str) -> Tokens {
    Tokens::of(&refresh(app, token).await.expect(200).json())
}

async fn works(app: &TestApp, access: &str) -> bool {
    app.program().bearer(access).is_signed_in().await
}

/// The parts of a JWT that can be read.
fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url"));
    let mut next = || serde_json::from_slice(&parts.next().expect("a part")).expect("JSON");
    (next(), next())
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

on_servers! {
    async fn an_access_token_ends_where_redis_alone_is_asked_too(
        app: TestApp = Options::default().set("GATEPOST_CACHE_MEMORY", "off")
    ) {
        let access = app.tokens(ADA).await.access;
        app.advance(14 * MINUTE + Duration::from_secs(50));
        // The long way, then what Redis says, read in full, then compared.
        for _ in 0..4 {
            assert!(works(&app, &access).await);
        }
        app.advance(Duration::from_secs(11));
        assert!(!works(&app, &access).await);
    }

    async fn an_access_token_costs_one_look_at_two_versions_where_redis_alone_is_asked(
        app: TestApp = Options::without_limits().set("GATEPOST_CACHE_MEMORY", "off")
    ) {
        let access = app.tokens(ADA).await.access;
        let looks = async || {
            let stats: String = app.redis().ask(&["INFO", "commandstats"]).await;
            let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_mget:calls="));
            line.and_then(|rest| rest.split(',').next()?.parse::<u64>().ok()).unwrap_or_default()
        };
        // The long way, then what Redis says, read in full.
        for _ in 0..2 {
            assert!(works(&app, &access).await);
        }
        // A Redis that is late on a busy machine is not asked for a moment.
        eventually("ten requests with a look each", SOON, async || {
            let before = looks().await;
            for _ in 0..10 {
                assert!(works(&app, &access).await);
            }
            (looks().await >= before + 10).then_some(())
        })
        .await;
    }
}

on_both_setups! {
    async fn an_access_token_works_for_a_quarter_of_an_hour(app: TestApp) {
        let challenge = app.challenge(ADA).await;
        let body = json!({ "challenge_id": challenge.id, "code": challenge.code(), "mode": "token" });
        let answer = app.program().post("/api/auth/otp/verify", body).await.expect(200);
        assert!(answer.set_cookie("gatepost_session").is_none(), "a program gets no cookie beside the tokens");
        let pair = answer.json();
        assert_eq!((&pair["token_type"], &pair["expires_in"]), (&json!("Bearer"), &json!(900)));
        let access = Tokens::of(&pair).access;
        app.advance(14 * MINUTE + Duration::from_secs(50));
        assert!(works(&app, &access).await);
        app.advance(Duration::from_secs(11));
        assert!(!works(&app, &access).await);
    }

    async fn an_access_token_ends_though_its_session_was_loaded_ahead(app: TestApp = Options::without_limits()) {
        let access = app.tokens(ADA).await.access;
        app.advance(14 * MINUTE + Duration::from_secs(50));
        // What is read all the time is loaded anew before each second is over.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(1200) {
            assert!(works(&app, &access).await);
        }
        app.advance(Duration::from_secs(11));
        assert!(!works(&app, &access).await);
    }

    async fn a_refresh_token_buys_the_next_pair(app: TestApp) {
        let first = app.tokens(ADA).await;
        app.advance(16 * MINUTE);
        let answer = refresh(&app, &first.refresh).await.expect(200).json();
        assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(900)));
        let second = Tokens::of(&answer);
        assert!(second.refresh != first.refresh && second.access != first.access);
        assert!(works(&app, &second.access).await);
        // Each use counts as use of the session.
        let mut last = second;
        for _ in 0..2 {
            app.advance(6 * DAY);
            last = refreshed(&app, &last.refresh).await;
        }
        assert!(works(&app, &last.access).await);
        app.advance(7 * DAY + MINUTE);
        refresh(&app, &last.refresh).await.expect_problem(401, "invalid_refresh_token");
    }

    async fn a_refresh_token_may_come_again_while_its_answer_may_have_been_lost(app: TestApp) {
        let first = app.tokens(ADA).await;
        let second = refreshed(&app, &first.refresh).await;
        app.advance(Duration::from_secs(8));
        let again = refreshed(&app, &first.refresh).await;
        for pair in [&second, &again] {
            assert!(works(&app, &pair.access).await);
        }
        assert_eq!(second.refresh, again.refresh, "a thief within the grace gets no chain of his own");
        refreshed(&app, &second.refresh).await;
    }

    async fn however_many_refresh_at_once_there_is_one_chain(app: TestApp = Options::without_limits()) {
        let first = app.tokens(ADA).await;
        let pairs = join_all((0..16).map(|_| refreshed(&app, &first.refresh))).await;
        assert!(pairs.iter().all(|pair| pair.refresh == pairs[0].refresh));
        for pair in &pairs {
            assert!(works(&app, &pair.access).await);
        }
        // Owner and thief both hold it: whoever comes second with it ends the session.
        let owners = refreshed(&app, &pairs[0].refresh).await;
        app.advance(Duration::from_secs(11));
        refresh(&app, &pairs[1].refresh).await.expect_problem(401, "invalid_refresh_token");
        refresh(&app, &owners.refresh).await.expect_problem(401, "invalid_refresh_token");
        assert!(!works(&app, &owners.access).await);
    }

    async fn a_refresh_token_that_comes_back_later_ends_the_session(app: TestApp) {
        let stolen = app.tokens(ADA).await;
        let second = refreshed(&app, &stolen.refresh).await;
        app.advance(Duration::from_secs(8));
        refreshed(&app, &stolen.refresh).await;
        app.advance(Duration::from_secs(3));
        // The grace runs from the first use, not from the last.
        refresh(&app, &stolen.refresh).await.expect_problem(401, "invalid_refresh_token");
        for pair in [&stolen, &second] {
            assert!(!works(&app, &pair.access).await);
            refresh(&app, &pair.refresh).await.expect_problem(401, "invalid_refresh_token");
        }
        let notice = app.mail_about(ADA, "We ended one of your").await;
        assert!(notice.code.is_none() && notice.link.is_none());
        // It was told once, whatever else comes back.
        app.sign_in(ADA).await;
        let told = app.mails_to(ADA).await.iter().filter(|mail| mail.subject.contains("We ended one")).count();
        assert_eq!(told, 1);
    }

    async fn nothing_is_refreshed_after_the_session_has_ended(app: TestApp) {
        let tokens = app.tokens(ADA).await;
        app.program().bearer(&tokens.access).post("/api/auth/logout", json!({})).await.expect(204);
        refresh(&app, &tokens.refresh).await.expect_problem(401, "invalid_refresh_token");
        assert!(!works(&app, &tokens.access).await);
        let tokens = app.tokens(ADA).await;
        app.decide(ADA, "ban").await.expect(200);
        refresh(&app, &tokens.refresh).await.expect_problem(401, "invalid_refresh_token");
    }

    async fn what_is_no_refresh_token_buys_nothing(app: TestApp) {
        let tokens = app.tokens(ADA).await;
        let session = app.sign_in(ADA).await.session_token();
        let unknown = format!("gpr_{}", "A".repeat(43));
        for wrong in ["nonsense", &unknown, &tokens.access, &session, &format!("{}x", tokens.refresh)] {
            refresh(&app, wrong).await.expect_problem(401, "invalid_refresh_token");
        }
        app.program().post("/api/auth/refresh", json!({})).await.expect_wrong_fields(&["refresh_token"]);
        assert!(!works(&app, &tokens.refresh).await, "a refresh token is no access token");
    }

    async fn anybody_can_verify_an_access_token_with_the_published_keys(app: TestApp) {
        let tokens = app.tokens(ADA).await;
        let answer = app.program().get("/.well-known/jwks.json").await.expect(200);
        assert!(answer.header("cache-control").is_some_and(|value| value.contains("max-age")));
        let keys = answer.json();
        assert!(keys["keys"].as_array().unwrap().iter().all(|key| key.get("d").is_none()), "a private key: {keys}");
        let keys: JwkSet = serde_json::from_value(keys).expect("a key set");
        let header = jsonwebtoken::decode_header(&tokens.access).unwrap();
        assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::EdDSA, Some("at+jwt")));
        let key = keys.find(header.kid.as_deref().expect("a token names its key")).expect("the key is published");
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[PUBLIC_URL]);
        validation.set_audience(&[PUBLIC_URL]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let key = DecodingKey::from_jwk(key).unwrap();
        let claims = jsonwebtoken::decode::<Value>(&tokens.access, &key, &validation).expect("a good token").claims;
        let who = app.program().bearer(&tokens.access).validate().await.expect(200).json();
        assert_eq!((&claims["sub"], &claims["sid"]), (&who["user"]["id"], &who["session"]["id"]));
        assert_eq!(claims["role"], "user");
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
        assert!((claims["iat"].as_i64().unwrap() - app.now().timestamp()).abs() < 60);
    }

    async fn an_access_token_ends_no_later_than_its_session(
        app: TestApp = Options::default()
            .set("GATEPOST_SESSION_ABSOLUTE_LIFETIME", "20m")
            .set("GATEPOST_SESSION_IDLE_LIFETIME", "20m")
    ) {
        let tokens = app.tokens(ADA).await;
        app.advance(10 * MINUTE);
        let answer = refresh(&app, &tokens.refresh).await.expect(200).json();
        let access = Tokens::of(&answer).access;
        let session = app.program().bearer(&access).validate().await.expect(200).json()["session"].clone();
        let ends: chrono::DateTime<chrono::Utc> = session["expires_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(parts(&access).1["exp"], ends.timestamp());
        let told = answer["expires_in"].as_i64().unwrap();
        assert!((540..=600).contains(&told), "a client is told when the token really ends: {told}");
    }

    async fn a_forged_access_token_is_refused(app: TestApp) {
        let access = app.tokens(ADA).await.access;
        let (header, claims) = parts(&access);
        let [first, second, signature] = access.split('.').collect::<Vec<_>>().try_into().expect("three parts");
        let kid = header["kid"].as_str().unwrap();
        let published = app.program().get("/.well-known/jwks.json").await.json()["keys"][0].clone();
        let public = URL_SAFE_NO_PAD.decode(published["x"].as_str().unwrap()).unwrap();
        let mut forged = Vec::new();
        for alg in ["none", "None", "NONE"] {
            let header = encoded(&json!({ "alg": alg, "typ": "at+jwt", "kid": kid }));
            forged.extend([format!("{header}.{second}."), format!("{header}.{second}.{signature}")]);
        }
        for secret in [public.as_slice(), published["x"].as_str().unwrap().as_bytes(), published.to_string().as_bytes()]
        {
            let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
            forged.push(jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap());
        }
        app.invite(ROOT).await;
        let admin = app.user_id(ROOT).await;
        for (name, value) in [("sub", json!(admin)), ("role", json!("admin")), ("exp", json!(4_000_000_000_i64))] {
            let mut claims = claims.clone();
            claims[name] = value;
            forged.push(format!("{first}.{}.{signature}", encoded(&claims)));
        }
        let own = Ed25519KeyPair::generate().unwrap();
        let key = EncodingKey::from_ed_der(own.to_pkcs8v1().unwrap().as_ref());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(own.public_key().as_ref()) });
        for kid in [Some(kid), Some("mine"), Some(""), Some("../../etc/passwd"), None] {
            let header = Header {
                kid: kid.map(str::to_owned),
                jwk: serde_json::from_value(jwk.clone()).ok(),
                ..Header::new(Algorithm::EdDSA)
            };
            forged.push(jsonwebtoken::encode(&header, &claims, &key).unwrap());
        }
        let renamed = encoded(&json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "other" }));
        forged.extend([
            format!("{renamed}.{second}.{signature}"),
            format!("{first}.{second}."),
            format!("{first}.{second}"),
            format!("{first}.{second}.{signature}.{signature}"),
            format!("{first}.{second}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
            "..".to_owned(),
        ]);
        for token in &forged {
            let answer = app.program().bearer(token).validate().await;
            assert_eq!(answer.status, 401, "{token} was accepted");
            answer.expect_problem(401, "unauthorized");
        }
        assert!(works(&app, &access).await);
    }

    async fn a_token_of_another_site_under_the_same_secret_is_refused(app: TestApp) {
        let other = app.beside_with(|options| options.set("GATEPOST_PUBLIC_URL", "http://other.localhost")).await;
        let access = app.tokens(ADA).await.access;
        assert!(works(&app, &access).await && !works(&other, &access).await);
    }
}

on_servers! {
    async fn an_access_token_of_an_ended_session_is_refused_by_every_instance(app: TestApp) {
        let other = app.beside().await;
        let tokens = app.tokens(ADA).await;
        assert!(works(&app, &tokens.access).await && works(&other, &tokens.access).await);
        app.program().bearer(&tokens.access).post("/api/auth/logout", json!({})).await.expect(204);
        assert!(!works(&app, &tokens.access).await);
        eventually("the other instance refuses it", PROMISED, async || {
            (!works(&other, &tokens.access).await).then_some(())
        })
        .await;
        refresh(&other, &tokens.refresh).await.expect_problem(401, "invalid_refresh_token");
    }

    async fn refreshing_at_once_on_two_instances_gives_one_chain(app: TestApp = Options::without_limits()) {
        let other = app.beside().await;
        let first = app.tokens(ADA).await;
        let instances = [&app, &other];
        let pairs = join_all((0..16).map(|n| refreshed(instances[n % 2], &first.refresh))).await;
        assert!(pairs.iter().all(|pair| pair.refresh == pairs[0].refresh));
        let database = app.database().client().await;
        let open = "SELECT count(*) FROM refresh_tokens WHERE replaced_at IS NULL";
        assert_eq!(database.query_one(open, &[]).await.unwrap().get::<_, i64>(0), 1);
    }

    async fn a_stolen_refresh_token_ends_the_session_on_every_instance(app: TestApp) {
        let other = app.beside().await;
        let stolen = app.tokens(ADA).await;
        let second = refreshed(&app, &stolen.refresh).await;
        assert!(works(&other, &second.access).await);
        // For both: either may be the one that sends the notice.
        for instance in [&app, &other] {
            instance.advance(Duration::from_secs(12));
        }
        refresh(&app, &stolen.refresh).await.expect_problem(401, "invalid_refresh_token");
        eventually("the other instance refuses it", PROMISED, async || {
            (!works(&other, &second.access).await).then_some(())
        })
        .await;
        eventually("its owner is told", SOON, async || {
            app.mails_to(ADA).await.iter().any(|mail| mail.subject.contains("We ended")).then_some(())
        })
        .await;
    }
}
