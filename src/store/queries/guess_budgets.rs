//! Failed guesses per subject: a mailbox over all of its challenges, or a browser that is known to a mailbox.

use diesel::dsl::case_when;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::schema::guess_budgets;
use crate::domain::{GuessRule, Instant};
use crate::store::{GuessBudget, StoreError};

diesel::infix_operator!(DoubledBy, " << ", BigInt);

/// Spends one guess of `subject`'s budget, if `rule` lets it have one at `now`; whether it did. Commit this before
/// comparing; a right answer gives it back with [`refund`].
///
/// One conditional update decides, so of any number of parallel guesses each sees the one before it, with its pause.
pub async fn spend(conn: &mut Conn, subject: &str, rule: &GuessRule, now: Instant) -> Result<bool, StoreError> {
    let old = guess_budgets::table.find(subject).filter(guess_budgets::window_started_at.le(now - rule.window));
    diesel::delete(old).execute(conn).await?;
    let now_ms = now.timestamp_millis();
    let first = (
        guess_budgets::subject.eq(subject),
        guess_budgets::failures.eq(1),
        guess_budgets::window_started_at.eq(now),
        guess_budgets::guessed_at_ms.eq(now_ms),
    );
    let one_more = diesel::insert_into(guess_budgets::table)
        .values(first)
        .on_conflict(guess_budgets::subject)
        .do_update()
        .set((guess_budgets::failures.eq(guess_budgets::failures + 1), guess_budgets::guessed_at_ms.eq(now_ms)));
    // `GuessRule::pause_ms`, in the database's words.
    let ms = |number: i64| number.into_sql::<BigInt>();
    let doubled = DoubledBy::new(ms(GuessRule::FIRST_PAUSE_MS), guess_budgets::failures - rule.at_once);
    let pause_ms = case_when(guess_budgets::failures.lt(rule.at_once), ms(0))
        .when(guess_budgets::failures.ge(rule.at_once + GuessRule::DOUBLINGS), ms(GuessRule::LONGEST_PAUSE_MS))
        .otherwise(doubled);
    // Where there is no pause, the time is not asked: parallel guesses do not come in the order in which they looked at it.
    let no_pause = guess_budgets::failures.lt(rule.at_once);
    let pause_over = (guess_budgets::guessed_at_ms + pause_ms).le(now_ms);
    let may = guess_budgets::failures.lt(rule.allowed).and(no_pause.or(pause_over));
    let if_left = diesel::query_dsl::methods::FilterDsl::filter(one_more, may);
    Ok(if_left.execute(conn).await? == 1)
}

/// Gives one guess back. The pause before the next one becomes that of one failure fewer.
pub async fn refund(conn: &mut Conn, subject: &str) -> Result<(), StoreError> {
    let budget = guess_budgets::table.find(subject).filter(guess_budgets::failures.gt(0));
    diesel::update(budget).set(guess_budgets::failures.eq(guess_budgets::failures - 1)).execute(conn).await?;
    Ok(())
}

/// Where `subject`'s budget stands; `None` when nothing has been spent of it.
pub async fn by_subject(conn: &mut Conn, subject: &str) -> Result<Option<GuessBudget>, StoreError> {
    let columns = (guess_budgets::failures, guess_budgets::window_started_at, guess_budgets::guessed_at_ms);
    Ok(guess_budgets::table.find(subject).select(columns).first(conn).await.optional()?)
}

/// Deletes budgets whose window began before `before`; gives how many.
pub async fn prune(conn: &mut Conn, before: Instant) -> Result<usize, StoreError> {
    let old = guess_budgets::table.filter(guess_budgets::window_started_at.lt(before));
    Ok(diesel::delete(old).execute(conn).await?)
}
