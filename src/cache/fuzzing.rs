//! The readers of what Redis holds, for the fuzz targets: whoever can write there must not be able to do worse than to be
//! ignored.

use super::shared::Stored;
use super::{background, mapping, response_shared, session, user};
use crate::cache::SessionName;
use crate::domain::UserId;
use crate::store::{Session, User};

/// The user that `stored` holds under the key of `id`, if it holds that one.
pub fn user(stored: &[u8], id: UserId) -> Option<User> {
    value(user::parse(stored, id))
}

/// `user` as it is stored.
pub fn stored_user(user: &User) -> Vec<u8> {
    user::stored(user).unwrap_or_default()
}

/// The session that a hash of these fields (schema, version, session) holds under the key of `name`, if it holds that
/// one.
pub fn session(fields: [Option<Vec<u8>>; 3], name: SessionName) -> Option<Session> {
    session::parse(fields, name).and_then(value)
}

/// The id that a mapping leads to.
pub fn mapping(stored: &[u8]) -> Option<UserId> {
    value(mapping::parse_id(stored))
}

/// The body and the tag of a stored answer.
pub fn response(stored: &[u8]) -> Option<(Vec<u8>, String)> {
    response_shared::parse(stored).map(|(response, _, _)| (response.body, response.etag))
}

/// The version and the key that a message between instances names.
pub fn message(payload: &[u8]) -> Option<(i64, &str)> {
    background::read_message(payload)
}

fn value<T>(stored: Stored<T>) -> Option<T> {
    match stored {
        Stored::Value(value) => Some(value),
        Stored::Tombstone | Stored::Garbage => None,
    }
}
