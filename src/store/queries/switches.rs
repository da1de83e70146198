//! What an operator has switched, for every instance. A switch without a row is off.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::switches;
use crate::domain::{Instant, UserId};
use crate::store::StoreError;

/// Whether a switch is on.
pub async fn is_on(conn: &mut Conn, name: &str) -> Result<bool, StoreError> {
    let found = switches::table.find(name).select(switches::is_on).first(conn).await.optional()?;
    Ok(found.unwrap_or(false))
}

/// Sets a switch; whether that changed it, which it does not where one without a row is switched off. `by` is the admin who did, `None` for the command line.
pub async fn set(conn: &mut Conn, name: &str, on: bool, by: Option<UserId>, now: Instant) -> Result<bool, StoreError> {
    if is_on(conn, name).await? == on {
        return Ok(false);
    }
    let fields = (switches::is_on.eq(on), switches::changed_at.eq(now), switches::changed_by.eq(by));
    // Of two that switch it at once one changes it.
    let set = diesel::insert_into(switches::table)
        .values((switches::name.eq(name), fields))
        .on_conflict(switches::name)
        .do_update()
        .set(fields);
    let if_changed = diesel::query_dsl::methods::FilterDsl::filter(set, switches::is_on.ne(on));
    Ok(if_changed.execute(conn).await? == 1)
}
