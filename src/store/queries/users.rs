//! Accounts. Every write bumps `version` and `updated_at`, which caches and the once-a-second look for changes rely on.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::users;
use crate::domain::{EmailAddress, Instant, Phone, Role, UserId, UserStatus, Username};
use crate::store::{ChangedUser, NewUser, ProfileChange, StoreError, User, UserFilter};

type Columns = (
    users::id,
    users::email,
    users::name,
    users::username,
    users::phone,
    users::avatar_url,
    users::locale,
    users::role,
    users::status,
    users::note,
    users::address,
    users::device,
    users::version,
    users::created_at,
    users::updated_at,
    users::last_sign_in_at,
);

/// What a [`User`] is read from: all but the password hash.
const COLUMNS: Columns = (
    users::id,
    users::email,
    users::name,
    users::username,
    users::phone,
    users::avatar_url,
    users::locale,
    users::role,
    users::status,
    users::note,
    users::address,
    users::device,
    users::version,
    users::created_at,
    users::updated_at,
    users::last_sign_in_at,
);

diesel::define_sql_function! {
    /// Lower case, as the database understands it.
    fn lower(text: diesel::sql_types::Text) -> diesel::sql_types::Text;
}

/// The account with this id.
pub async fn by_id(conn: &mut Conn, id: UserId) -> Result<Option<User>, StoreError> {
    Ok(users::table.find(id).select(COLUMNS).first(conn).await.optional()?)
}

/// The accounts with these ids, in no order; ids without one are passed over. One statement, so at most a thousand ids.
pub async fn by_ids(conn: &mut Conn, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
    Ok(users::table.filter(users::id.eq_any(ids.to_vec())).select(COLUMNS).load(conn).await?)
}

/// The account of this mailbox.
pub async fn by_email(conn: &mut Conn, email: &EmailAddress) -> Result<Option<User>, StoreError> {
    let found = users::table.filter(users::email_key.eq(email.key())).select(COLUMNS).first(conn).await;
    Ok(found.optional()?)
}

/// The ids of the accounts with these keys of mailboxes, each with its key; keys without one are passed over. One
/// statement, so at most a thousand keys.
pub async fn ids_by_email_keys(conn: &mut Conn, keys: &[String]) -> Result<Vec<(String, UserId)>, StoreError> {
    let found = users::table.filter(users::email_key.eq_any(keys)).select((users::email_key, users::id));
    Ok(found.load(conn).await?)
}

/// The account with this username.
pub async fn by_username(conn: &mut Conn, username: &Username) -> Result<Option<User>, StoreError> {
    Ok(users::table.filter(users::username.eq(username)).select(COLUMNS).first(conn).await.optional()?)
}

/// The account with this phone number.
pub async fn by_phone(conn: &mut Conn, phone: &Phone) -> Result<Option<User>, StoreError> {
    Ok(users::table.filter(users::phone.eq(phone)).select(COLUMNS).first(conn).await.optional()?)
}

/// The account of this mailbox with its password hash, for sign-in by password and nothing else.
pub async fn with_password_hash(
    conn: &mut Conn,
    email: &EmailAddress,
) -> Result<Option<(User, Option<String>)>, StoreError> {
    let query = users::table.filter(users::email_key.eq(email.key())).select((COLUMNS, users::password_hash));
    Ok(query.first(conn).await.optional()?)
}

/// The password hash of an account, for the change of a password and nothing else.
pub async fn password_hash(conn: &mut Conn, id: UserId) -> Result<Option<String>, StoreError> {
    let found = users::table.find(id).select(users::password_hash).first::<Option<String>>(conn).await;
    Ok(found.optional()?.flatten())
}

/// Makes an account. Fails with [`StoreError::Taken`] when the mailbox has one.
pub async fn insert(conn: &mut Conn, user: &NewUser, now: Instant) -> Result<User, StoreError> {
    let row = (
        users::id.eq(user.id),
        users::email.eq(&user.email),
        users::email_key.eq(user.email.key()),
        users::abuse_key.eq(user.email.abuse_key()),
        users::name.eq(&user.name),
        users::note.eq(&user.note),
        users::locale.eq(user.locale),
        users::role.eq(user.role),
        users::status.eq(user.status),
        users::address.eq(&user.address),
        users::device.eq(&user.device),
        users::version.eq(1),
        users::created_at.eq(now),
        users::updated_at.eq(now),
    );
    Ok(diesel::insert_into(users::table).values(row).returning(COLUMNS).get_result(conn).await?)
}

/// Changes the given fields. Fails with [`StoreError::Taken`] when another account has the username or phone; `None`
/// when there is no such account.
pub async fn update_profile(
    conn: &mut Conn,
    id: UserId,
    change: &ProfileChange,
    now: Instant,
) -> Result<Option<User>, StoreError> {
    let fields = (
        change.name.as_ref().map(|name| users::name.eq(name)),
        change.username.as_ref().map(|username| users::username.eq(username)),
        change.phone.as_ref().map(|phone| users::phone.eq(phone)),
        change.locale.map(|locale| users::locale.eq(locale)),
        users::version.eq(users::version + 1),
        users::updated_at.eq(now),
    );
    let updated = diesel::update(users::table.find(id)).set(fields).returning(COLUMNS).get_result(conn).await;
    Ok(updated.optional()?)
}

/// Sets status and role; `None` when there is no such account.
pub async fn set_standing(
    conn: &mut Conn,
    id: UserId,
    status: UserStatus,
    role: Role,
    now: Instant,
) -> Result<Option<User>, StoreError> {
    let fields = (
        users::status.eq(status),
        users::role.eq(role),
        users::version.eq(users::version + 1),
        users::updated_at.eq(now),
    );
    let updated = diesel::update(users::table.find(id)).set(fields).returning(COLUMNS).get_result(conn).await;
    Ok(updated.optional()?)
}

/// Sets the password hash; `None` when there is no such account.
pub async fn set_password_hash(
    conn: &mut Conn,
    id: UserId,
    hash: &str,
    now: Instant,
) -> Result<Option<User>, StoreError> {
    let fields = (users::password_hash.eq(hash), users::version.eq(users::version + 1), users::updated_at.eq(now));
    let updated = diesel::update(users::table.find(id)).set(fields).returning(COLUMNS).get_result(conn).await;
    Ok(updated.optional()?)
}

/// Puts `hash` in the place of `seen`, another hash of the same password; nothing happens when that is no longer the
/// account's. The account has not changed by it, so its version stays.
pub async fn renew_password_hash(conn: &mut Conn, id: UserId, seen: &str, hash: &str) -> Result<(), StoreError> {
    let unchanged = users::table.find(id).filter(users::password_hash.eq(seen));
    diesel::update(unchanged).set(users::password_hash.eq(hash)).execute(conn).await?;
    Ok(())
}

/// Notes that the person signed in.
pub async fn record_sign_in(conn: &mut Conn, id: UserId, now: Instant) -> Result<User, StoreError> {
    let fields = (users::last_sign_in_at.eq(now), users::version.eq(users::version + 1), users::updated_at.eq(now));
    Ok(diesel::update(users::table.find(id)).set(fields).returning(COLUMNS).get_result(conn).await?)
}

/// The approved admins.
pub async fn admins(conn: &mut Conn) -> Result<Vec<User>, StoreError> {
    let query = users::table.filter(users::role.eq(Role::Admin)).filter(users::status.eq(UserStatus::Approved));
    Ok(query.select(COLUMNS).order(users::id).load(conn).await?)
}

/// Those who wait for approval and registered at `since` or later, the earliest first, at most `limit`.
pub async fn pending_since(conn: &mut Conn, since: Instant, limit: i64) -> Result<Vec<User>, StoreError> {
    let query = users::table.filter(users::status.eq(UserStatus::Pending)).filter(users::created_at.ge(since));
    Ok(query.select(COLUMNS).order((users::created_at, users::id)).limit(limit).load(conn).await?)
}

/// How many wait for approval and registered at `since` or later.
pub async fn count_pending_since(conn: &mut Conn, since: Instant) -> Result<i64, StoreError> {
    let query = users::table.filter(users::status.eq(UserStatus::Pending)).filter(users::created_at.ge(since));
    Ok(query.count().get_result(conn).await?)
}

/// The newest accounts first, at most `limit`.
pub async fn list(conn: &mut Conn, filter: &UserFilter, limit: i64) -> Result<Vec<User>, StoreError> {
    let mut query = users::table.select(COLUMNS).order(users::id.desc()).limit(limit).into_boxed();
    if let Some(status) = filter.status {
        query = query.filter(users::status.eq(status));
    }
    if let Some(before) = filter.before {
        query = query.filter(users::id.lt(before));
    }
    if let Some(search) = &filter.search {
        let pattern = format!("%{}%", escape_like(&search.to_lowercase()));
        query = query.filter(
            users::email_key
                .like(pattern.clone())
                .escape('\\')
                .or(lower(users::name).like(pattern.clone()).escape('\\'))
                .or(users::username.assume_not_null().like(pattern).escape('\\').and(users::username.is_not_null())),
        );
    }
    Ok(query.load(conn).await?)
}

/// The accounts that have been made or have changed from `since` on, the earliest change first, at most `limit`, with what
/// they are found by. `after` is the change and id of the last one of the page before.
pub async fn changed_since(
    conn: &mut Conn,
    since: Instant,
    after: Option<(Instant, UserId)>,
    limit: i64,
) -> Result<Vec<ChangedUser>, StoreError> {
    let mut query = users::table
        .filter(users::updated_at.ge(since))
        .select((users::id, users::email, users::username, users::phone, users::version, users::updated_at))
        .order((users::updated_at, users::id))
        .limit(limit)
        .into_boxed();
    if let Some((changed, id)) = after {
        query = query.filter(users::updated_at.gt(changed).or(users::updated_at.eq(changed).and(users::id.gt(id))));
    }
    Ok(query.load(conn).await?)
}

/// As [`changed_since`], but without the accounts whose last change was a sign-in, unless they are new themselves: the
/// accounts of which somebody else may see a difference. Their ids, versions and changes.
pub async fn shown_changed_since(
    conn: &mut Conn,
    since: Instant,
    after: Option<(Instant, UserId)>,
    limit: i64,
) -> Result<Vec<(UserId, i64, Instant)>, StoreError> {
    let more_than_a_sign_in = users::last_sign_in_at
        .is_null()
        .or(users::last_sign_in_at.assume_not_null().ne(users::updated_at))
        .or(users::created_at.ge(since));
    let mut query = users::table
        .filter(users::updated_at.ge(since))
        .filter(more_than_a_sign_in)
        .select((users::id, users::version, users::updated_at))
        .order((users::updated_at, users::id))
        .limit(limit)
        .into_boxed();
    if let Some((changed, id)) = after {
        query = query.filter(users::updated_at.gt(changed).or(users::updated_at.eq(changed).and(users::id.gt(id))));
    }
    Ok(query.load(conn).await?)
}

/// How many accounts stand where.
pub async fn counts(conn: &mut Conn) -> Result<Vec<(UserStatus, i64)>, StoreError> {
    let query = users::table.group_by(users::status).select((users::status, diesel::dsl::count_star()));
    Ok(query.load(conn).await?)
}

fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
