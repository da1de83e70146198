//! How long sessions and tokens last.

use std::time::Duration;

use super::reader::{Read, Reader, name};
use super::values::show_duration;

/// The lifetimes of sessions and of the tokens that belong to them.
#[derive(Clone, Debug)]
pub struct Sessions {
    /// How long a session lasts at most.
    pub absolute_lifetime: Duration,
    /// How long a session lasts without being used; never more than `absolute_lifetime`.
    pub idle_lifetime: Duration,
    /// How long an access token lasts.
    pub access_token_lifetime: Duration,
    /// How long a refresh token that was just used may come again before that counts as theft.
    pub refresh_grace: Duration,
    /// How exact last-seen times are.
    pub last_seen_interval: Duration,
}

impl Sessions {
    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        let absolute = reader.duration("session.absolute_lifetime", "1s", "3650d");
        let idle = reader.duration("session.idle_lifetime", "1s", "3650d");
        let access_token_lifetime = reader.duration("session.access_token_lifetime", "1s", "1d");
        let refresh_grace = reader.duration("session.refresh_grace", "0s", "5m");
        let last_seen_interval = reader.duration("session.last_seen_interval", "1s", "1d");
        let (absolute_lifetime, idle_lifetime) = (absolute?, idle?);
        if idle_lifetime > absolute_lifetime {
            let most = show_duration(absolute_lifetime);
            let reason = format!("must not be longer than {}, which is {most}", name("session.absolute_lifetime"));
            return Err(reader.refuse("session.idle_lifetime", &reason, &most));
        }
        Ok(Self {
            absolute_lifetime,
            idle_lifetime,
            access_token_lifetime: access_token_lifetime?,
            refresh_grace: refresh_grace?,
            last_seen_interval: last_seen_interval?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let session = load(&[]).session;
        assert_eq!(session.absolute_lifetime, Duration::from_hours(30 * 24));
        assert_eq!(session.idle_lifetime, Duration::from_hours(7 * 24));
        assert_eq!(session.access_token_lifetime, Duration::from_mins(15));
        assert_eq!(session.refresh_grace, Duration::from_secs(10));
        assert_eq!(session.last_seen_interval, Duration::from_mins(1));
    }

    #[test]
    fn an_idle_session_cannot_outlive_an_active_one() {
        let problems = refused(&[("GATEPOST_SESSION_ABSOLUTE_LIFETIME", "12h")]);
        assert_eq!((problems.len(), problems[0].key.as_str()), (1, "session.idle_lifetime"));
        assert!(problems[0].reason.contains("which is 12h"), "{problems:?}");
        let both = [("GATEPOST_SESSION_ABSOLUTE_LIFETIME", "12h"), ("GATEPOST_SESSION_IDLE_LIFETIME", "720m")];
        assert_eq!(load(&both).session.idle_lifetime, Duration::from_hours(12));
    }

    #[test]
    fn a_lifetime_of_nothing_is_refused_and_a_grace_of_nothing_is_not() {
        let problems =
            refused(&[("GATEPOST_SESSION_IDLE_LIFETIME", "0"), ("GATEPOST_SESSION_ACCESS_TOKEN_LIFETIME", "0ms")]);
        assert_eq!(problems.len(), 2);
        assert_eq!(load(&[("GATEPOST_SESSION_REFRESH_GRACE", "0")]).session.refresh_grace, Duration::ZERO);
    }
}
