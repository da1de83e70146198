//! Users and sessions whose tokens are known: number 17 has the user `person-0000017@example.org`, and the session that is
//! proved by [`token`]`(17)`. All answers about them have the same size.

use std::path::Path;

use gatepost::domain::KeyRing;
use gatepost::store::Database;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::place::{ORIGIN, Place, SECRET};
use crate::support::TestDatabase;

/// Rows of one statement.
const BATCH: usize = 100_000;

/// As if everybody had signed in a day ago and been here just now. Number 0 is an admin.
const USERS: &str =
    "INSERT INTO users (id, email, email_key, abuse_key, name, role, status, created_at, updated_at, last_sign_in_at)
    SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, mail, mail, mail, 'Ada Lovelace, v0',
           CASE WHEN i = 0 THEN 'admin' ELSE 'user' END, 'approved', began, began, began
    FROM (SELECT i, 'person-' || lpad(i::text, 7, '0') || '@example.org' AS mail,
                 date_trunc('second', now()) - interval '1 day' AS began
          FROM generate_series($1::bigint, $2::bigint) AS i) AS people";
const SESSIONS: &str = "INSERT INTO sessions (id, user_id, token_digest, method, address, device, created_at, updated_at, last_seen_at, expires_at)
    SELECT ('00000001-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,
           ('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,
           sha256(convert_to('gps_' || lpad(i::text, 43, '0'), 'UTF8')), 'otp', '192.0.2.7', 'Firefox on Linux',
           began, began, now(), began + interval '30 days'
    FROM (SELECT i, date_trunc('second', now()) - interval '1 day' AS began
          FROM generate_series($1::bigint, $2::bigint) AS i) AS sessions";

/// Makes the tables.
pub(crate) async fn migrate(place: &Place) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let database = Database::connect(&place.settings().database).await.expect("a database");
    database.migrate().await.expect("migrations");
}

/// Makes the users and sessions from number `first` to before number `end`.
pub(crate) async fn fill(database: &TestDatabase, first: usize, end: usize) {
    let client = database.client().await;
    let number = |number: usize| i64::try_from(number).expect("it fits");
    for first in (first..end).step_by(BATCH) {
        let last = end.min(first + BATCH) - 1;
        for statement in [USERS, SESSIONS] {
            client.execute(statement, &[&number(first), &number(last)]).await.expect("rows");
        }
    }
    for statement in ["VACUUM ANALYZE users", "VACUUM ANALYZE sessions"] {
        client.batch_execute(statement).await.expect("statistics");
    }
}

/// The token of session `number`.
pub(crate) fn token(number: usize) -> String {
    format!("gps_{number:043}")
}

/// The id of user `number`.
pub(crate) fn user(number: usize) -> String {
    format!("00000000-0000-7000-8000-{number:012x}")
}

/// The address of user `number`.
pub(crate) fn email(number: usize) -> String {
    format!("person-{number:07}@example.org")
}

/// Writes access tokens (JWTs) for these sessions into a file, one a line, signed as the product signs them.
pub(crate) fn write_access_tokens(path: &Path, numbers: impl Iterator<Item = usize>) {
    let keys = KeyRing::new(SECRET.as_bytes(), &[]).expect("keys");
    let (id, seed) = keys.access_token_seeds().next().expect("a key");
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(seed).expect("a key");
    let key = EncodingKey::from_ed_der(pair.to_pkcs8v1().expect("a document").as_ref());
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(id.as_str().to_owned());
    header.typ = Some("at+jwt".to_owned());
    let now = i64::try_from(crate::frame::unix_nanos() / 1_000_000_000).expect("it fits");
    let tokens = numbers.map(|number| {
        let session = format!("00000001-0000-7000-8000-{number:012x}");
        let claims = json!({
            "iss": ORIGIN, "aud": ORIGIN, "sub": user(number), "sid": session, "role": "user",
            "iat": now, "exp": now + 24 * 3600,
        });
        jsonwebtoken::encode(&header, &claims, &key).expect("a token")
    });
    std::fs::write(path, tokens.collect::<Vec<_>>().join("\n")).expect("a file");
}
