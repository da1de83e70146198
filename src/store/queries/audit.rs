//! The audit trail: written with what it records, never changed.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::audit;
use crate::store::{AuditEntry, StoreError};

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
    );
    diesel::insert_into(audit::table).values(row).execute(conn).await?;
    Ok(())
}
