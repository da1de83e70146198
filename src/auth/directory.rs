//! The directory: what signed-in people may see of each other, and the figures that admins see of all.
//!
//! Everybody who is in sees those who are in, and admins see everybody. Who waits, was turned down or is banned does not
//! exist for other people.

use super::Auth;
use super::approval::{UserPage, UserQuery};
use crate::domain::{EmailAddress, Instant, Role, UserId, UserStatus, Username};
use crate::store::{self, AccountStats, StoreError, User, UserFilter};

/// Days of which registrations are counted, today's among them.
const DAYS: i64 = 30;

/// What an account is looked for by.
enum Name {
    Id(UserId),
    Email(EmailAddress),
    Username(Username),
}

impl Name {
    /// Reads `text`: an id, an address or a username; `None` for what can be none of them.
    fn parse(text: &str) -> Option<Self> {
        if text.contains('@') {
            return EmailAddress::parse(text).ok().map(Self::Email);
        }
        // An id in its usual form, with its dashes: without them it could be a username.
        if text.len() == 36
            && let Ok(id) = text.parse()
        {
            return Some(Self::Id(id));
        }
        Username::parse(text).ok().map(Self::Username)
    }
}

/// Counts of accounts and what belongs to them, and when they were counted.
#[derive(Clone, Debug)]
pub struct CountedStats {
    /// The figures.
    pub stats: AccountStats,
    /// The days whose registrations are counted, the earliest first: `2026-01-31`.
    pub days: Vec<String>,
    /// When they were counted.
    pub counted_at: Instant,
}

impl Auth {
    /// The account that `name` names (an id, an address or a username), if `viewer` may know of it; at most two seconds
    /// old. Fails as the database does.
    pub async fn find_user(&self, name: &str, viewer: &User) -> Result<Option<User>, StoreError> {
        let cache = &self.0.cache;
        let user = match Name::parse(name) {
            Some(Name::Id(id)) => cache.user(id).await?,
            Some(Name::Email(email)) => cache.user_by_email(&email).await?,
            Some(Name::Username(username)) => cache.user_by_username(&username).await?,
            None => None,
        };
        Ok(user.filter(|user| may_know_of(viewer, user)))
    }

    /// The accounts with these ids that `viewer` may know of, in the order of the ids; at most two seconds old. For every
    /// five hundred it usually asks the database once at most. Fails as that does.
    pub async fn find_users(&self, ids: &[UserId], viewer: &User) -> Result<Vec<User>, StoreError> {
        let mut found = self.0.cache.users(ids).await?;
        let known = |id| found.remove(id).filter(|user| may_know_of(viewer, user));
        Ok(ids.iter().filter_map(known).collect())
    }

    /// A page of accounts, newest first, from the database. Fails as that does.
    pub async fn user_page(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        let limit = i64::from(query.limit.max(1));
        let filter = UserFilter { status: query.status, search: query.search.clone(), before: query.cursor };
        let mut users = store::read!(&self.0.database, users::list(&filter, limit + 1))?;
        let more = users.len() > usize::from(query.limit.max(1));
        users.truncate(usize::from(query.limit.max(1)));
        let next = users.last().filter(|_| more).map(|user| user.id);
        Ok(UserPage { users, next })
    }

    /// Counts everything anew. Fails as the database does.
    pub async fn count_accounts(&self) -> Result<CountedStats, StoreError> {
        let now = self.0.clock.now();
        let today = now.date_naive();
        let days: Vec<_> = (0..DAYS).rev().map(|ago| today - chrono::TimeDelta::days(ago)).collect();
        let midnight = |day: chrono::NaiveDate| day.and_time(chrono::NaiveTime::MIN).and_utc();
        let (first_day, midnight_today) = (midnight(days.first().copied().unwrap_or(today)), midnight(today));
        let stats = store::read!(&self.0.database, statistics::accounts(first_day, midnight_today, now))?;
        Ok(CountedStats { stats, days: days.iter().map(ToString::to_string).collect(), counted_at: now })
    }
}

fn may_know_of(viewer: &User, user: &User) -> bool {
    viewer.role == Role::Admin || user.status == UserStatus::Approved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_an_id_an_address_or_a_username() {
        assert!(matches!(Name::parse("01934f5e-7a10-7c3e-9d2b-5f0c8a6e4b21"), Some(Name::Id(_))));
        assert!(matches!(Name::parse("a1934f5e7a107c3e9d2b5f0c8a6e4b21"), Some(Name::Username(_))));
        assert!(matches!(Name::parse("Ada"), Some(Name::Username(name)) if name.as_str() == "ada"));
        assert!(matches!(Name::parse("Ada@Example.com"), Some(Name::Email(_))));
        for nothing in ["", "@", "a@", "1", "x y", &"a".repeat(40)] {
            assert!(Name::parse(nothing).is_none(), "{nothing}");
        }
    }
}
