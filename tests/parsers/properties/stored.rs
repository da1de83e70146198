//! What is read back from Redis, where others may have written.

use std::sync::LazyLock;

use gatepost::cache::SessionName;
use gatepost::cache::fuzzing as cache;
use gatepost::domain::Digest;
use gatepost::limit::fuzzing as limit;
use gatepost::settings::{Limits, Settings, Sources};
use gatepost::store::{Session, User};
use serde_json::json;

use super::headers::is_one_line;

const ID: &str = "01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b21";
const WHEN: &str = "2026-01-05T09:30:00Z";

/// An account.
pub(super) fn user() -> User {
    serde_json::from_value(json!({
        "id": ID, "email": "ada@example.com", "name": "Ada", "username": "ada", "phone": null, "avatar_url": null,
        "locale": "en", "role": "user", "status": "approved", "note": "", "address": "192.0.2.1", "device": "curl",
        "version": 1, "created_at": WHEN, "updated_at": WHEN, "last_sign_in_at": null,
    }))
    .expect("a user")
}

/// Its session.
pub(super) fn session() -> Session {
    serde_json::from_value(json!({
        "id": ID, "user_id": ID, "token_digest": Digest::of(b"token"), "method": "otp", "address": "192.0.2.1",
        "device": "curl", "version": 1, "created_at": WHEN, "updated_at": WHEN, "last_seen_at": WHEN,
        "expires_at": "2026-02-05T09:30:00Z", "revoked_at": null,
    }))
    .expect("a session")
}

/// Whatever stands under a key, it gives what belongs there or nothing, and what it gives is stored and read the same
/// again. Fields of a hash are separated by a zero byte.
pub(super) fn stored(input: &[u8]) {
    let (id, name) = (user().id, SessionName::Token(Digest::of(b"token")));
    if let Some(found) = cache::user(input, id) {
        assert_eq!(found.id, id);
        assert_eq!(cache::user(&cache::stored_user(&found), id), Some(found));
    }
    let mut fields = input.splitn(3, |byte| *byte == 0).map(|field| Some(field.to_vec()));
    let mut next = || fields.next().flatten();
    let fields = [next(), next(), next()];
    let version = fields[1].clone();
    if let Some(found) = cache::session(fields, name) {
        assert_eq!(found.token_digest, session().token_digest);
        let version = version.expect("there is one");
        assert_eq!(std::str::from_utf8(&version).ok().and_then(|text| text.parse().ok()), Some(found.version));
    }
    if let Some(id) = cache::mapping(input) {
        assert!(cache::mapping(id.to_string().as_bytes()) == Some(id));
    }
    if let Some((body, etag)) = cache::response(input) {
        assert!(input.ends_with(&body) && is_one_line(&etag), "{etag:?}");
    }
    if let Some((_, key)) = cache::message(input) {
        assert!(input.ends_with(key.as_bytes()));
    }
}

static LIMITS: LazyLock<Limits> =
    LazyLock::new(|| Settings::load(&Sources::default()).expect("the defaults are right").limits);

/// Whatever the limiter's script answers, the headers that are made of it are headers.
pub(super) fn limiter(input: &[u8]) {
    for (name, value) in limit::told(input, &LIMITS).unwrap_or_default() {
        assert!(name.is_ascii() && value.is_ascii() && is_one_line(&value) && value.len() < 1000, "{name}: {value}");
    }
}
