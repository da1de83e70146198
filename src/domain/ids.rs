//! Ids: `UUIDv7` text on the wire, one type a noun so that they cannot be mixed up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Clock, Entropy};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id for this moment.
            pub fn new(clock: &Clock, entropy: &Entropy) -> Self {
                Self(entropy.uuid_v7(clock.now()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    };
}

id! {
    /// A person's account.
    UserId
}
id! {
    /// One request to prove a mailbox.
    ChallengeId
}
id! {
    /// One signed-in device.
    SessionId
}
id! {
    /// One mail in the outbox.
    MailId
}
id! {
    /// One line of the audit trail.
    AuditId
}
