//! Access tokens that this server did not sign, or did not sign so (RFC 8725 tells of most).

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gatepost::domain::KeyRing;
use serde_json::{Value, json};

use crate::app::{Options, PUBLIC_URL, TestApp};
use crate::credentials::{mutants, three};

const ADA: &str = "ada@example.com";
const EVE: &str = "eve@example.com";
/// The secret of all instances: see `app.rs`.
const SECRET: &[u8] = b"a secret that all instances of one test share";

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
}

/// `value` with these members changed.
fn with(value: &Value, changes: &Value) -> Value {
    let mut value = value.clone();
    for (name, change) in changes.as_object().expect("an object") {
        value[name] = change.clone();
    }
    value
}

fn signed(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let signature = sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn hs256(key: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}

fn ed25519(seed: &[u8; 32]) -> (Ed25519KeyPair, String) {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("a key");
    let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    (pair, public)
}

/// Shows what was made out of good credentials, each time just after those were taken.
async fn expect_forgeries_refused_while_the_real_are_known(app: &TestApp) {
    let (ada, eve) = (app.tokens(ADA).await, app.tokens(EVE).await);
    let (ada, eve) = (ada.access.as_str(), eve.access.as_str());
    let (signed, signature) = ada.rsplit_once('.').expect("a JWT");
    let (others, other) = eve.rsplit_once('.').expect("a JWT");
    let session = app.sign_in(ADA).await.session_token();
    let forged = [
        format!("{others}.{signature}"),
        format!("{signed}.{other}"),
        format!(".{signature}"),
        signature.to_owned(),
        format!("x.{signature}"),
        format!("x{signed}.{signature}"),
        format!("{signed}x.{signature}"),
        format!("{signed}..{signature}"),
        format!("{}.{signature}", &signed[..signed.len() - 1]),
        format!("{}.{signature}", signed.to_lowercase()),
        format!(".{session}"),
        format!("x.{session}"),
        format!("gps_x.{signature}"),
        format!("{signed}.{session}"),
    ];
    for forged in forged {
        // The second is answered by what is kept of the first.
        for good in [ada, eve, &session, ada, eve, &session] {
            app.program().bearer(good).validate().await.expect(200);
        }
        app.program().bearer(&forged).validate().await.expect_problem(401, "unauthorized");
        let cookie = format!("gatepost_session={forged}");
        app.program().with("cookie", &cookie).validate().await.expect_problem(401, "unauthorized");
    }
}

on_servers! {
    async fn a_known_signature_is_good_for_what_it_signs_alone(app: TestApp = Options::without_limits()) {
        expect_forgeries_refused_while_the_real_are_known(&app).await;
    }

    async fn a_known_signature_is_good_for_what_it_signs_alone_where_redis_alone_is_asked(
        app: TestApp = Options::without_limits().set("GATEPOST_CACHE_MEMORY", "off")
    ) {
        expect_forgeries_refused_while_the_real_are_known(&app).await;
    }

    async fn no_token_is_taken_but_one_that_this_server_signed_for_itself(app: TestApp) {
        let apps = three(app).await;
        let good = apps[0].tokens(ADA).await.access;
        let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
        let (head, body) = (decoded(header), decoded(claims));
        let admin = with(&body, &json!({ "role": "admin" }));
        let jwks = apps[0].program().get("/.well-known/jwks.json").await.expect(200);
        let public = jwks.json()["keys"][0]["x"].as_str().expect("a public key").to_owned();
        let raw = URL_SAFE_NO_PAD.decode(&public).expect("base64");

        let mut forged: Vec<(String, String)> = Vec::new();
        let mut add = |what: &str, token: String| forged.push((what.to_owned(), token));
        for none in ["none", "None", "NONE", "nOnE", ""] {
            let header = with(&head, &json!({ "alg": none }));
            add("no signature", format!("{}.{claims}.", encoded(&header)));
            add("no signature, the old one kept", format!("{}.{claims}.{signature}", encoded(&header)));
        }
        // The public key, which everybody has, as the secret of a MAC.
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&raw));
        for key in [raw.as_slice(), public.as_bytes(), pem.as_bytes(), jwks.body.as_bytes(), b""] {
            add("the public key as a secret", signed(&with(&head, &json!({ "alg": "HS256" })), &admin, hs256(key)));
            add("a MAC that says EdDSA", signed(&head, &admin, hs256(key)));
        }
        // A key of the attacker's own, brought along.
        let (own, own_public) = ed25519(&[7; 32]);
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": own_public });
        for change in [
            json!({}),
            json!({ "jwk": jwk }),
            json!({ "jku": "http://127.0.0.1:1/keys", "kid": "mine" }),
            json!({ "x5u": "http://127.0.0.1:1/keys" }),
            json!({ "kid": "../../../dev/null" }),
            json!({ "kid": "" }),
            json!({ "kid": null }),
            json!({ "kid": "' OR 1=1 --" }),
            json!({ "crit": ["b64"], "b64": false }),
        ] {
            add("another key", signed(&with(&head, &change), &admin, |message| own.sign(message).as_ref().to_vec()));
        }
        // What the right key signs for somebody else, or has signed once.
        let keys = KeyRing::new(SECRET, &[]).expect("keys");
        let (_, seed) = keys.access_token_seeds().next().expect("a key");
        let right = |header: &Value, claims: &Value| {
            let (pair, _) = ed25519(seed);
            signed(header, claims, |message| pair.sign(message).as_ref().to_vec())
        };
        let past = apps[0].now().timestamp() - 1;
        for change in [
            json!({ "aud": "https://other.example" }),
            json!({ "aud": [] }),
            json!({ "aud": null }),
            json!({ "iss": "https://other.example" }),
            json!({ "iss": format!("{PUBLIC_URL}/") }),
            json!({ "iss": null }),
            json!({ "exp": past }),
            json!({ "exp": 0 }),
            json!({ "exp": -1 }),
            json!({ "exp": "9999999999" }),
            json!({ "exp": null }),
            json!({ "sid": "01890a5d-ac96-774b-bcce-b302099a8057" }),
            json!({ "sub": "01890a5d-ac96-774b-bcce-b302099a8057" }),
            json!({ "sid": null }),
        ] {
            add(&format!("rightly signed with {change}"), right(&head, &with(&body, &change)));
        }
        for kid in [json!("00000000"), json!(null), json!(1)] {
            add("an unknown key id", right(&with(&head, &json!({ "kid": kid })), &body));
        }
        add("another algorithm", right(&with(&head, &json!({ "alg": "ES256" })), &body));
        add("other claims", format!("{header}.{}.{signature}", encoded(&admin)));
        add("four parts", format!("{good}.{signature}"));
        add("padding", format!("{good}=="));
        forged.extend(mutants(&good).into_iter().map(|mutant| ("a mutant".to_owned(), mutant)));

        for (number, (what, token)) in forged.iter().enumerate() {
            let answer = apps[number % 3].program().bearer(token).validate().await;
            assert_eq!(answer.status, 401, "{what}: {token} was answered {}", answer.body);
            answer.expect_problem(401, "unauthorized");
        }
        // The forger's tools do make good tokens where nothing is forged.
        for app in &apps {
            for token in [&good, &right(&head, &body)] {
                assert_eq!(app.program().bearer(token).validate().await.expect(200).json()["user"]["role"], "user");
            }
        }
    }

    async fn a_role_in_a_token_is_not_believed(app: TestApp) {
        // The role is told to applications; here the account's own counts, as it is now.
        let apps = three(app).await;
        apps[0].sign_in(ADA).await;
        apps[0].decide(ADA, "promote").await.expect(200);
        let token = apps[1].tokens(ADA).await.access;
        apps[2].program().bearer(&token).get("/api/admin/users").await.expect(200);
        apps[0].decide(ADA, "demote").await.expect(200);
        crate::support::eventually("no instance takes an old token for an admin's", crate::app::PROMISED, async || {
            for app in &apps {
                if app.program().bearer(&token).get("/api/admin/users").await.status != 403 {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }
}
