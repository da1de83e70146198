//! The audit trail: written with what it records, never changed. There is no query that changes a line, and triggers of
//! both databases refuse one, as they refuse to delete a line that is younger than thirty days.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::audit;
use crate::domain::{AuditId, Instant};
use crate::store::{AuditEntry, AuditFilter, StoreError};

/// Adds a line. Belongs into the transaction that it tells of.
pub async fn insert(conn: &mut Conn, entry: &AuditEntry) -> Result<(), StoreError> {
    let row = (
        audit::id.eq(entry.id),
        audit::at.eq(entry.at),
        audit::action.eq(&entry.action),
        audit::actor.eq(entry.actor),
        audit::subject.eq(entry.subject),
        audit::address.eq(&entry.address),
        audit::device.eq(&entry.device),
        audit::detail.eq(&entry.detail),
        audit::times.eq(entry.times),
    );
    diesel::insert_into(audit::table).values(row).execute(conn).await?;
    Ok(())
}

/// Up to `limit` lines that fit, newest first.
pub async fn list(conn: &mut Conn, filter: &AuditFilter, limit: i64) -> Result<Vec<AuditEntry>, StoreError> {
    let mut query = audit::table.order(audit::id.desc()).limit(limit).into_boxed();
    if let Some(actor) = filter.actor {
        query = query.filter(audit::actor.eq(actor));
    }
    if let Some(subject) = filter.subject {
        query = query.filter(audit::subject.eq(subject));
    }
    if let Some(action) = &filter.action {
        query = query.filter(audit::action.eq(action.clone()));
    }
    if let Some(since) = filter.since {
        query = query.filter(audit::at.ge(since));
    }
    if let Some(before) = filter.before {
        query = query.filter(audit::id.lt(before));
    }
    Ok(query.load(conn).await?)
}

/// Deletes up to `limit` lines from before `before`, oldest first; gives how many. Fails where one of them is younger than
/// thirty days by the database's clock.
pub async fn prune(conn: &mut Conn, before: Instant, limit: i64) -> Result<usize, StoreError> {
    let old: Vec<AuditId> = audit::table
        .filter(audit::at.lt(before))
        .order((audit::at, audit::id))
        .select(audit::id)
        .limit(limit)
        .load(conn)
        .await?;
    if old.is_empty() {
        return Ok(0);
    }
    Ok(diesel::delete(audit::table.filter(audit::id.eq_any(old))).execute(conn).await?)
}
