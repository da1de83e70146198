//! Failed guesses per subject (a mailbox, say) over all of its challenges.

use chrono::TimeDelta;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::guess_budgets;
use crate::domain::Instant;
use crate::store::StoreError;

/// Spends one guess of `subject`'s budget of `allowed` a `window`; whether there was one left. Commit this before
/// comparing; a right answer gives it back with [`refund`].
pub async fn spend(
    conn: &mut Conn,
    subject: &str,
    allowed: i32,
    window: TimeDelta,
    now: Instant,
) -> Result<bool, StoreError> {
    let old = guess_budgets::table.find(subject).filter(guess_budgets::window_started_at.le(now - window));
    diesel::delete(old).execute(conn).await?;
    let first =
        (guess_budgets::subject.eq(subject), guess_budgets::failures.eq(1), guess_budgets::window_started_at.eq(now));
    let one_more = diesel::insert_into(guess_budgets::table)
        .values(first)
        .on_conflict(guess_budgets::subject)
        .do_update()
        .set(guess_budgets::failures.eq(guess_budgets::failures + 1));
    let if_left = diesel::query_dsl::methods::FilterDsl::filter(one_more, guess_budgets::failures.lt(allowed));
    Ok(if_left.execute(conn).await? == 1)
}

/// Gives one guess back.
pub async fn refund(conn: &mut Conn, subject: &str) -> Result<(), StoreError> {
    let budget = guess_budgets::table.find(subject).filter(guess_budgets::failures.gt(0));
    diesel::update(budget).set(guess_budgets::failures.eq(guess_budgets::failures - 1)).execute(conn).await?;
    Ok(())
}

/// When `subject`'s present window began; `None` when it has failed no guess.
pub async fn window_start(conn: &mut Conn, subject: &str) -> Result<Option<Instant>, StoreError> {
    let found = guess_budgets::table.find(subject).select(guess_budgets::window_started_at).first(conn).await;
    Ok(found.optional()?)
}

/// Deletes budgets whose window began before `before`; gives how many.
pub async fn prune(conn: &mut Conn, before: Instant) -> Result<usize, StoreError> {
    let old = guess_budgets::table.filter(guess_budgets::window_started_at.lt(before));
    Ok(diesel::delete(old).execute(conn).await?)
}
