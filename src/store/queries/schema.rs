//! The tables. `tests` in each query file run against both backends, so a column that is wrong here does not stay so.

#![allow(missing_docs, reason = "the columns are described where they are read: in models.rs")]

diesel::table! {
    use diesel::sql_types::{Text, Nullable, BigInt};
    use super::super::{Id, Instant};

    users (id) {
        id -> Id,
        email -> Text,
        email_key -> Text,
        abuse_key -> Text,
        name -> Text,
        username -> Nullable<Text>,
        phone -> Nullable<Text>,
        avatar_url -> Nullable<Text>,
        locale -> Text,
        role -> Text,
        status -> Text,
        note -> Text,
        address -> Text,
        device -> Text,
        version -> BigInt,
        created_at -> Instant,
        updated_at -> Instant,
        last_sign_in_at -> Nullable<Instant>,
        password_hash -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::{Text, Nullable, Binary, Integer};
    use super::super::{Id, Instant};

    challenges (id) {
        id -> Id,
        key_id -> Text,
        email -> Text,
        email_key -> Text,
        name -> Text,
        note -> Text,
        locale -> Text,
        next -> Nullable<Text>,
        flow_digest -> Nullable<Binary>,
        address -> Text,
        device -> Text,
        attempts -> Integer,
        created_at -> Instant,
        expires_at -> Instant,
        consumed_at -> Nullable<Instant>,
    }
}

diesel::table! {
    use diesel::sql_types::{Text, Integer, BigInt};
    use super::super::Instant;

    guess_budgets (subject) {
        subject -> Text,
        failures -> Integer,
        window_started_at -> Instant,
        guessed_at_ms -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{Nullable, Binary, Text, BigInt};
    use super::super::{Id, Instant};

    sessions (id) {
        id -> Id,
        user_id -> Id,
        token_digest -> Nullable<Binary>,
        method -> Text,
        address -> Text,
        device -> Text,
        version -> BigInt,
        created_at -> Instant,
        updated_at -> Instant,
        last_seen_at -> Instant,
        expires_at -> Instant,
        revoked_at -> Nullable<Instant>,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Nullable};
    use super::super::{Id, Instant};

    refresh_tokens (digest) {
        digest -> Binary,
        session_id -> Id,
        issued_at -> Instant,
        replaced_at -> Nullable<Instant>,
    }
}

diesel::table! {
    use diesel::sql_types::{Text, Nullable, SmallInt, Integer, BigInt};
    use super::super::{Id, Instant};

    outbox (id) {
        id -> Id,
        kind -> Text,
        recipient -> Text,
        locale -> Text,
        content -> Text,
        challenge_id -> Nullable<Id>,
        priority -> SmallInt,
        status -> Text,
        attempts -> Integer,
        fence -> BigInt,
        message_id -> Text,
        created_at -> Instant,
        next_attempt_at -> Instant,
        queued_until -> Instant,
        lease_until -> Nullable<Instant>,
        expires_at -> Instant,
        finished_at -> Nullable<Instant>,
        last_error -> Nullable<Text>,
        fold -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::Text;
    use super::super::Instant;

    suppressions (email_key) {
        email_key -> Text,
        email -> Text,
        reason -> Text,
        detail -> Text,
        created_at -> Instant,
        until -> Instant,
    }
}

diesel::table! {
    use diesel::sql_types::{Text, Bool, Nullable};
    use super::super::{Id, Instant};

    switches (name) {
        name -> Text,
        is_on -> Bool,
        changed_at -> Instant,
        changed_by -> Nullable<Id>,
    }
}

diesel::table! {
    use diesel::sql_types::{Text, Nullable, Integer};
    use super::super::{Id, Instant};

    audit (id) {
        id -> Id,
        at -> Instant,
        action -> Text,
        actor -> Nullable<Id>,
        subject -> Nullable<Id>,
        address -> Text,
        device -> Text,
        detail -> Text,
        times -> Integer,
    }
}

diesel::allow_tables_to_appear_in_same_query!(users, sessions, refresh_tokens);
