//! Challenges. Guessing and consuming are single conditional updates, so parallel requests cannot get past them.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::challenges;
use crate::domain::{ChallengeId, Instant};
use crate::store::{Challenge, StoreError};

type Columns = (
    challenges::id,
    challenges::key_id,
    challenges::email,
    challenges::name,
    challenges::note,
    challenges::locale,
    challenges::next,
    challenges::flow_digest,
    challenges::address,
    challenges::device,
    challenges::attempts,
    challenges::created_at,
    challenges::expires_at,
    challenges::consumed_at,
);

const COLUMNS: Columns = (
    challenges::id,
    challenges::key_id,
    challenges::email,
    challenges::name,
    challenges::note,
    challenges::locale,
    challenges::next,
    challenges::flow_digest,
    challenges::address,
    challenges::device,
    challenges::attempts,
    challenges::created_at,
    challenges::expires_at,
    challenges::consumed_at,
);

/// A new challenge's fields.
macro_rules! row {
    ($challenge:expr) => {{
        use $crate::store::Challenge;
        let challenge: &Challenge = $challenge;
        (
            challenges::id.eq(challenge.id),
            challenges::key_id.eq(&challenge.key_id),
            challenges::email.eq(&challenge.email),
            challenges::email_key.eq(challenge.email.key()),
            challenges::name.eq(&challenge.name),
            challenges::note.eq(&challenge.note),
            challenges::locale.eq(challenge.locale),
            challenges::next.eq(&challenge.next),
            challenges::flow_digest.eq(challenge.flow_digest),
            challenges::address.eq(&challenge.address),
            challenges::device.eq(&challenge.device),
            challenges::attempts.eq(challenge.attempts),
            challenges::created_at.eq(challenge.created_at),
            challenges::expires_at.eq(challenge.expires_at),
        )
    }};
}
pub(super) use row;

/// Stores a new challenge.
pub async fn insert(conn: &mut Conn, challenge: &Challenge) -> Result<(), StoreError> {
    diesel::insert_into(challenges::table).values(row!(challenge)).execute(conn).await?;
    Ok(())
}

/// The challenge with this id, whatever its state.
pub async fn by_id(conn: &mut Conn, id: ChallengeId) -> Result<Option<Challenge>, StoreError> {
    Ok(challenges::table.find(id).select(COLUMNS).first(conn).await.optional()?)
}

/// Those of the challenges with these ids that are there, whatever their state, in any order.
pub async fn by_ids(conn: &mut Conn, ids: &[ChallengeId]) -> Result<Vec<Challenge>, StoreError> {
    Ok(challenges::table.filter(challenges::id.eq_any(ids.to_vec())).select(COLUMNS).load(conn).await?)
}

/// Counts one guess. `None`, and nothing counted, when the challenge is unknown, answered, expired or has had
/// `allowed` guesses. Commit this before comparing the code.
pub async fn count_guess(
    conn: &mut Conn,
    id: ChallengeId,
    allowed: i32,
    now: Instant,
) -> Result<Option<Challenge>, StoreError> {
    let open = challenges::table
        .find(id)
        .filter(challenges::attempts.lt(allowed))
        .filter(challenges::consumed_at.is_null())
        .filter(challenges::expires_at.gt(now));
    let counted = diesel::update(open)
        .set(challenges::attempts.eq(challenges::attempts + 1))
        .returning(COLUMNS)
        .get_result(conn)
        .await;
    Ok(counted.optional()?)
}

/// Takes back a guess that [`count_guess`] counted, in the same transaction: the code was not looked at after all.
pub async fn uncount_guess(conn: &mut Conn, id: ChallengeId) -> Result<(), StoreError> {
    let counted = challenges::table.find(id).filter(challenges::attempts.gt(0));
    diesel::update(counted).set(challenges::attempts.eq(challenges::attempts - 1)).execute(conn).await?;
    Ok(())
}

/// Marks the challenge as answered. Only the first of any number of parallel calls gets it; all others get `None`, as
/// for an unknown or expired one.
pub async fn consume(conn: &mut Conn, id: ChallengeId, now: Instant) -> Result<Option<Challenge>, StoreError> {
    let open =
        challenges::table.find(id).filter(challenges::consumed_at.is_null()).filter(challenges::expires_at.gt(now));
    let consumed = diesel::update(open).set(challenges::consumed_at.eq(now)).returning(COLUMNS).get_result(conn).await;
    Ok(consumed.optional()?)
}

/// Deletes challenges that ended before `before`; gives how many.
pub async fn prune(conn: &mut Conn, before: Instant) -> Result<usize, StoreError> {
    Ok(diesel::delete(challenges::table.filter(challenges::expires_at.lt(before))).execute(conn).await?)
}
