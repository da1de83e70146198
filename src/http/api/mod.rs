//! The JSON API, one file a noun.

pub mod admin_audit;
pub mod admin_cache;
pub mod admin_limits;
pub mod admin_mail;
pub mod admin_stats;
pub mod admin_suppressions;
pub mod admin_users;
pub mod fields;
pub mod magic_link;
pub mod otp;
pub mod password;
pub mod profile;
pub mod register;
pub mod session;
pub mod sign_in;
pub mod token;
pub mod users;
