//! Sessions. Ending one sets `revoked_at` and nothing ever clears it, so what was revoked cannot come back.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::sessions;
use crate::domain::{Digest, Instant, SessionId, UserId};
use crate::store::{Session, StoreError};

/// Stores a new session.
pub async fn insert(conn: &mut Conn, session: &Session) -> Result<(), StoreError> {
    let row = (
        sessions::id.eq(session.id),
        sessions::user_id.eq(session.user_id),
        sessions::token_digest.eq(session.token_digest),
        sessions::method.eq(&session.method),
        sessions::address.eq(&session.address),
        sessions::device.eq(&session.device),
        sessions::version.eq(session.version),
        sessions::created_at.eq(session.created_at),
        sessions::updated_at.eq(session.updated_at),
        sessions::last_seen_at.eq(session.last_seen_at),
        sessions::expires_at.eq(session.expires_at),
    );
    diesel::insert_into(sessions::table).values(row).execute(conn).await?;
    Ok(())
}

/// The session with this id, whatever its state.
pub async fn by_id(conn: &mut Conn, id: SessionId) -> Result<Option<Session>, StoreError> {
    Ok(sessions::table.find(id).first(conn).await.optional()?)
}

/// The session whose token has this digest, whatever its state.
pub async fn by_token(conn: &mut Conn, digest: Digest) -> Result<Option<Session>, StoreError> {
    Ok(sessions::table.filter(sessions::token_digest.eq(digest)).first(conn).await.optional()?)
}

/// The open sessions of a user, last used first.
pub async fn open_of_user(conn: &mut Conn, user_id: UserId, now: Instant) -> Result<Vec<Session>, StoreError> {
    let query = sessions::table
        .filter(sessions::user_id.eq(user_id))
        .filter(sessions::revoked_at.is_null())
        .filter(sessions::expires_at.gt(now))
        .order((sessions::last_seen_at.desc(), sessions::id));
    Ok(query.load(conn).await?)
}

/// Whether the user has ever had a session (`any`), and one on this device (`same`): `(any, same)`.
pub async fn known_device(conn: &mut Conn, user_id: UserId, device: &str) -> Result<(bool, bool), StoreError> {
    let of_user = sessions::table.filter(sessions::user_id.eq(user_id));
    let devices: Vec<String> = of_user.select(sessions::device).distinct().load(conn).await?;
    Ok((!devices.is_empty(), devices.iter().any(|known| known == device)))
}

/// Ends one session of `user_id`; `None` when it is not theirs or has ended already.
pub async fn revoke(
    conn: &mut Conn,
    user_id: UserId,
    id: SessionId,
    now: Instant,
) -> Result<Option<Session>, StoreError> {
    let open = sessions::table.find(id).filter(sessions::user_id.eq(user_id)).filter(sessions::revoked_at.is_null());
    let fields =
        (sessions::revoked_at.eq(now), sessions::updated_at.eq(now), sessions::version.eq(sessions::version + 1));
    Ok(diesel::update(open).set(fields).get_result(conn).await.optional()?)
}

/// Ends every open session of `user_id` but `keep`; gives those that were ended.
pub async fn revoke_all(
    conn: &mut Conn,
    user_id: UserId,
    keep: Option<SessionId>,
    now: Instant,
) -> Result<Vec<Session>, StoreError> {
    let fields =
        (sessions::revoked_at.eq(now), sessions::updated_at.eq(now), sessions::version.eq(sessions::version + 1));
    let open = sessions::table.filter(sessions::user_id.eq(user_id)).filter(sessions::revoked_at.is_null());
    let ended = match keep {
        Some(keep) => diesel::update(open.filter(sessions::id.ne(keep))).set(fields).get_results(conn).await,
        None => diesel::update(open).set(fields).get_results(conn).await,
    };
    Ok(ended?)
}

/// The sessions that have changed from `since` on, the earliest change first, at most `limit`: id, token digest, version,
/// and when. Those that have only been made are not among them: no older version of them can be anywhere. `after` is the
/// change and id of the last one of the page before.
pub async fn changed_since(
    conn: &mut Conn,
    since: Instant,
    after: Option<(Instant, SessionId)>,
    limit: i64,
) -> Result<Vec<(SessionId, Option<Digest>, i64, Instant)>, StoreError> {
    let mut query = sessions::table
        .filter(sessions::updated_at.ge(since))
        .filter(sessions::version.gt(1))
        .select((sessions::id, sessions::token_digest, sessions::version, sessions::updated_at))
        .order((sessions::updated_at, sessions::id))
        .limit(limit)
        .into_boxed();
    if let Some((changed, id)) = after {
        query = query
            .filter(sessions::updated_at.gt(changed).or(sessions::updated_at.eq(changed).and(sessions::id.gt(id))));
    }
    Ok(query.load(conn).await?)
}

/// The open sessions that were used last, the latest first, at most `limit`: id, token digest, and whose. Reads the whole
/// table: an index by `last_seen_at` would have to be written at every use of a session, and this is asked once a start.
pub async fn most_recently_active(
    conn: &mut Conn,
    now: Instant,
    limit: i64,
) -> Result<Vec<(SessionId, Option<Digest>, UserId)>, StoreError> {
    let query = sessions::table
        .filter(sessions::revoked_at.is_null())
        .filter(sessions::expires_at.gt(now))
        .select((sessions::id, sessions::token_digest, sessions::user_id))
        .order(sessions::last_seen_at.desc())
        .limit(limit);
    Ok(query.load(conn).await?)
}

/// Notes when and from where a session was last used. Not a change that caches must know of: no version is bumped.
pub async fn touch(conn: &mut Conn, id: SessionId, address: &str, now: Instant) -> Result<(), StoreError> {
    let later = sessions::table.find(id).filter(sessions::last_seen_at.lt(now));
    diesel::update(later).set((sessions::last_seen_at.eq(now), sessions::address.eq(address))).execute(conn).await?;
    Ok(())
}

/// Deletes sessions that ended before `before`; gives how many.
pub async fn prune(conn: &mut Conn, before: Instant) -> Result<usize, StoreError> {
    let ended = sessions::table.filter(sessions::expires_at.lt(before).or(sessions::revoked_at.lt(before)));
    Ok(diesel::delete(ended).execute(conn).await?)
}
