//! The policies, by name: what each counts by. How much each allows is a setting.

use std::fmt;
use std::str::FromStr;

pub use crate::settings::PolicyName;

/// What a policy counts by, which says how its subjects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectKind {
    /// A mailbox, as a keyed hash.
    Mailbox,
    /// A mailbox with its aliases, as a keyed hash.
    AbuseKey,
    /// The domain of a mailbox, as a keyed hash: many people have one of their own.
    Domain,
    /// A client address: IPv4, or an IPv6 /64.
    Address,
    /// An IPv6 /56.
    Network,
    /// Everybody: one subject.
    Everybody,
}

impl PolicyName {
    /// What it counts by.
    pub const fn subject(self) -> SubjectKind {
        match self {
            Self::OtpRequestEmail | Self::OtpRequestEmailDay | Self::LoginEmail => SubjectKind::Mailbox,
            Self::OtpRequestAbuseKey => SubjectKind::AbuseKey,
            Self::RequestDomain => SubjectKind::Domain,
            Self::RequestGlobal => SubjectKind::Everybody,
            Self::RequestNetwork => SubjectKind::Network,
            Self::RequestAddress
            | Self::VerifyAddress
            | Self::RegisterAddress
            | Self::LoginAddress
            | Self::RefreshAddress
            | Self::DirectoryAddress
            | Self::ProfileAddress
            | Self::AdminAddress
            | Self::ApiAddress => SubjectKind::Address,
        }
    }

    /// Whether the subject is the client's own address, so that the client may know what is left. What is left of a
    /// mailbox, a domain or everybody's share would tell a stranger what others are doing, and a /56 may be shared.
    pub const fn is_about_the_client(self) -> bool {
        matches!(self.subject(), SubjectKind::Address)
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no policy of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no limiter policy of that name")]
pub struct UnknownPolicy;

impl FromStr for PolicyName {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or(UnknownPolicy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_way_to_text_and_back() {
        for (position, policy) in PolicyName::ALL.into_iter().enumerate() {
            assert_eq!(policy as usize, position, "others index by it");
            assert_eq!(policy.to_string().parse(), Ok(policy));
            assert_eq!(policy.is_about_the_client(), policy.as_str().ends_with("_address"));
        }
        assert_eq!("nonsense".parse::<PolicyName>(), Err(UnknownPolicy));
    }
}
