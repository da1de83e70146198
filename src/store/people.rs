//! What is asked about many accounts at once, and what is answered.

use diesel::Queryable;

use crate::domain::{Instant, MailStatus, Role, UserId, UserStatus};

/// An account that has changed, and what it is found by. Not parsed: a row that this version cannot read must not keep
/// the others from being noticed.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct ChangedUser {
    /// The account's id.
    pub id: UserId,
    /// Its address.
    pub email: String,
    /// Its handle.
    pub username: Option<String>,
    /// Its telephone number.
    pub phone: Option<String>,
    /// Counts the writes to its row.
    pub version: i64,
    /// When the last of them was.
    pub changed: Instant,
}

/// How many accounts, sessions and mails there are. Days are those of UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountStats {
    /// Accounts by where they stand and what they may do; combinations without any are left out.
    pub accounts: Vec<(UserStatus, Role, i64)>,
    /// Accounts made, by day (`2026-01-31`), the earliest first; days without any are left out.
    pub registrations: Vec<(String, i64)>,
    /// Sessions that have neither been ended nor reached their absolute expiry.
    pub open_sessions: i64,
    /// Sessions begun today.
    pub sign_ins_today: i64,
    /// Mails that are ready, being sent or dead; and those that were sent or expired today.
    pub mails: Vec<(MailStatus, i64)>,
}
