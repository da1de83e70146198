//! Refresh tokens: each may be used once; what a second use means is decided by the use case.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::refresh_tokens;
use crate::domain::{Digest, Instant, SessionId};
use crate::store::{StoreError, StoredRefreshToken};

/// Stores a token that is being handed out. One that is there already stays as it is.
pub async fn insert(conn: &mut Conn, digest: Digest, session_id: SessionId, now: Instant) -> Result<(), StoreError> {
    let row = (
        refresh_tokens::digest.eq(digest),
        refresh_tokens::session_id.eq(session_id),
        refresh_tokens::issued_at.eq(now),
    );
    diesel::insert_into(refresh_tokens::table).values(row).on_conflict_do_nothing().execute(conn).await?;
    Ok(())
}

/// Marks the token as used. Gives the row as it was before: its `replaced_at` tells whether this is the first use.
/// `None` for an unknown token. Run it in a transaction.
pub async fn replace(conn: &mut Conn, digest: Digest, now: Instant) -> Result<Option<StoredRefreshToken>, StoreError> {
    let unused = refresh_tokens::table.find(digest).filter(refresh_tokens::replaced_at.is_null());
    let first_use: Option<StoredRefreshToken> =
        diesel::update(unused).set(refresh_tokens::replaced_at.eq(now)).get_result(conn).await.optional()?;
    match first_use {
        Some(row) => Ok(Some(StoredRefreshToken { replaced_at: None, ..row })),
        None => Ok(refresh_tokens::table.find(digest).first(conn).await.optional()?),
    }
}

/// Those of `digests` that are there, in any order.
pub async fn known(conn: &mut Conn, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
    let found = refresh_tokens::table.filter(refresh_tokens::digest.eq_any(digests.to_vec()));
    Ok(found.select(refresh_tokens::digest).load(conn).await?)
}

/// Deletes tokens that were replaced before `before`, beyond which a reuse no longer has to be told apart from an
/// unknown token; gives how many.
pub async fn prune(conn: &mut Conn, before: Instant) -> Result<usize, StoreError> {
    let old = refresh_tokens::table.filter(refresh_tokens::replaced_at.lt(before));
    Ok(diesel::delete(old).execute(conn).await?)
}
