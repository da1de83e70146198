//! Every name that the product uses in Redis. Nothing else may write a key.
//!
//! | name | type | what | lives |
//! |---|---|---|---|
//! | `{mail}:urgent`, `{mail}:high`, `{mail}:normal`, `{mail}:low` | list | ids of mails that wait for a worker | until taken |
//! | `rate:{policy}:{subject}` | string, or list where the limit is above 128 | times of the requests in the window (`sliding_window.lua`) | the policy's window, as long again up to a minute, and two seconds |
//! | `gatepost:instances` | sorted set | ids of the instances that limit, by when each counts no more | 7 s after the last heartbeat |
//! | `user:id:{id}` | string | a user, as the cache keeps it | 300 s |
//! | `user:email:{email}`, `user:username:{name}`, `user:phone:{phone}` | string | the id of that user | 1800 s |
//! | `session:{sha256 of the token}`, `session:id:{id}` | hash | a session | 300 s, never past its expiry |
//! | the key of a user by id or of a session, and `:stamp` | string | in which version that is there, for instances that keep nothing in memory | as that |
//! | `{resource}:{operation}:{parameters}:{viewer}` | string | an answer of the API, as the cache keeps it | its use's time |
//! | `generation:{resource}` | string | what the answers of that resource must be marked with | until Redis loses it |
//! | `gatepost:probe` | string | proof that the server takes writes | 1 s |
//! | `gatepost:health` | string | what an examination has written and reads back | 10 s |
//! | `gatepost:ping` | string | what `gatepost cache ping` has written | 10 s |
//! | `gatepost:invalidations` | channel | cache keys that other instances must forget | |
//! | `gatepost:limits` | channel | subjects of limiter policies that other instances must forget | |
//!
//! The braces around `mail` are part of the name. All other braces in the table are placeholders.
//!
//! In a Redis Cluster every key, and no channel, has [`TAG`](super::TAG) in front, which puts all keys into one slot: see
//! [`Redis::key`](super::Redis::key). Nothing else differs there.

use crate::domain::{Digest, EmailAddress, SessionId, UserId};

/// Mails that a person waits for right now.
pub const MAIL_URGENT: &str = "{mail}:urgent";
/// Mails that a person expects within a minute.
pub const MAIL_HIGH: &str = "{mail}:high";
/// Ordinary mails.
pub const MAIL_NORMAL: &str = "{mail}:normal";
/// Mails that may wait for all others.
pub const MAIL_LOW: &str = "{mail}:low";
/// The four lists in the order in which they are served.
pub const MAIL_LISTS: [&str; 4] = [MAIL_URGENT, MAIL_HIGH, MAIL_NORMAL, MAIL_LOW];

/// Written, with a life of one second, to see whether the server takes writes.
pub const PROBE: &str = "gatepost:probe";
/// Written and read back, with a life of ten seconds, to see how long that takes.
pub const HEALTH: &str = "gatepost:health";
/// Written, read and deleted by `gatepost cache ping`.
pub const PING: &str = "gatepost:ping";
/// The pub/sub channel on which instances tell each other what to forget.
pub const INVALIDATIONS: &str = "gatepost:invalidations";
/// The instances that share the limits.
pub const INSTANCES: &str = "gatepost:instances";
/// The pub/sub channel on which instances tell each other whose limits were reset.
pub const LIMIT_RESETS: &str = "gatepost:limits";

/// The log of a limiter policy for one subject. `subject` holds nothing personal: an address or a keyed hash.
pub fn rate(policy: &str, subject: &str) -> String {
    ["rate:", policy, ":", subject].concat()
}

/// A whole user.
pub fn user_id(id: UserId) -> String {
    format!("user:id:{id}")
}

/// The id behind an e-mail address, in the form that identifies it.
pub fn user_email(email: &EmailAddress) -> String {
    format!("user:email:{}", email.key())
}

/// The id behind a username, in the form that identifies it.
pub fn user_username(username: &str) -> String {
    format!("user:username:{username}")
}

/// The id behind a phone number, in the form that identifies it.
pub fn user_phone(phone: &str) -> String {
    format!("user:phone:{phone}")
}

/// A session, by its id: for access tokens, which name their session.
pub fn session_id(id: SessionId) -> String {
    format!("session:id:{id}")
}

/// A session, by the digest of its token.
pub fn session(token: &Digest) -> String {
    format!("session:{}", token.hex())
}

/// What tells in which version the user or session under `key` is there.
pub fn stamp(key: &str) -> String {
    [key, ":stamp"].concat()
}

/// What the names of generations begin with.
pub const GENERATIONS: &str = "generation:";

/// The generation of a resource's answers.
pub fn generation(resource: &str) -> String {
    format!("{GENERATIONS}{resource}")
}

/// An answer of the API. None of the parts may hold a colon, lest one answer is taken for another.
pub fn response(resource: &str, operation: &str, parameters: &str, viewer: &str) -> String {
    format!("{resource}:{operation}:{parameters}:{viewer}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_table_says() {
        let id: UserId = "01890000-0000-7000-8000-000000000001".parse().unwrap();
        assert_eq!(user_id(id), "user:id:01890000-0000-7000-8000-000000000001");
        assert_eq!(user_email(&EmailAddress::parse("a@example.com").unwrap()), "user:email:a@example.com");
        assert_eq!(user_username("ann"), "user:username:ann");
        assert_eq!(user_phone("+15550100"), "user:phone:+15550100");
        assert_eq!(generation("users"), "generation:users");
        assert_eq!(response("users", "list", "limit=50", "admin"), "users:list:limit=50:admin");
        assert_eq!(rate("login_email", "ab12"), "rate:login_email:ab12");
        assert!(session(&Digest::of(b"token")).starts_with("session:3c469e9d6c5875d3"));
        assert_eq!(stamp("session:id:7"), "session:id:7:stamp");
        assert_eq!(MAIL_LISTS.map(|list| list.starts_with("{mail}:")), [true; 4]);
    }
}
