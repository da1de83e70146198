//! Figures about everything, for admins.

use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;

use super::{Conn, dialect};
use crate::domain::{Instant, Role, UserStatus};
use crate::store::{AccountStats, StoreError};

/// One figure: what it counts, of which sort.
#[derive(diesel::QueryableByName)]
struct Figure {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    sort: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// All figures by one statement: of the accounts made since `first_day` by day, of what has happened since `today`, and
/// of what there is at `now`. All accounts and all sessions are walked through once; everything else is counted along
/// indexes. (A busy Postgres took 0.2 s for a hundred thousand of each.)
pub async fn accounts(
    conn: &mut Conn,
    first_day: Instant,
    today: Instant,
    now: Instant,
) -> Result<AccountStats, StoreError> {
    let day = dialect::CREATED_ON;
    let statement = format!(
        "SELECT 'account' AS kind, status AS sort, count(*) AS count FROM users GROUP BY status \
         UNION ALL SELECT 'admin', status, count(*) FROM users WHERE role = 'admin' GROUP BY status \
         UNION ALL SELECT 'day', {day}, count(*) FROM users \
             WHERE status IN ('pending', 'approved', 'rejected', 'banned') AND created_at >= $1 GROUP BY {day} \
         UNION ALL SELECT 'sessions', '', count(*) FROM sessions WHERE revoked_at IS NULL AND expires_at > $2 \
         UNION ALL SELECT 'sign_ins', '', count(*) FROM audit WHERE at >= $3 AND action = 'session.started' \
         UNION ALL SELECT 'mail', 'ready', count(*) FROM outbox WHERE status = 'ready' \
         UNION ALL SELECT 'mail', 'sending', count(*) FROM outbox WHERE status = 'sending' \
         UNION ALL SELECT 'mail', 'dead', count(*) FROM outbox WHERE status = 'dead' \
         UNION ALL SELECT 'mail', status, count(*) FROM outbox \
             WHERE finished_at >= $4 AND status IN ('sent', 'expired') GROUP BY status"
    );
    let figures: Vec<Figure> = diesel::sql_query(statement)
        .bind::<super::Instant, _>(first_day)
        .bind::<super::Instant, _>(now)
        .bind::<super::Instant, _>(today)
        .bind::<super::Instant, _>(today)
        .load(conn)
        .await?;
    Ok(gathered(figures))
}

fn gathered(figures: Vec<Figure>) -> AccountStats {
    let mut stats = AccountStats::default();
    let (mut all, mut admins) = (Vec::new(), Vec::<(UserStatus, i64)>::new());
    for Figure { kind, sort, count } in figures {
        // A sort that this version does not know is not shown.
        match kind.as_str() {
            "account" => all.extend(sort.parse::<UserStatus>().ok().map(|status| (status, count))),
            "admin" => admins.extend(sort.parse().ok().map(|status| (status, count))),
            "day" => stats.registrations.push((sort, count)),
            "sessions" => stats.open_sessions = count,
            "sign_ins" => stats.sign_ins_today = count,
            _ => stats.mails.extend(sort.parse().ok().map(|status| (status, count))),
        }
    }
    stats.registrations.sort_unstable();
    for (status, count) in all {
        let of_admins = admins.iter().find(|(of, _)| *of == status).map_or(0, |(_, count)| *count);
        let by_role = [(status, Role::User, count - of_admins), (status, Role::Admin, of_admins)];
        stats.accounts.extend(by_role.into_iter().filter(|(.., count)| *count > 0));
    }
    stats
}
