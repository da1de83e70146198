//! The policies, by name. How much each allows is a setting.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::settings::{Limits, Policy};

/// What is limited, and per what. The text form is stable: it is in Redis keys, headers and URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyName {
    /// Codes and links asked for, per mailbox.
    OtpRequestEmail,
    /// Codes and links asked for, per client address.
    RequestAddress,
    /// Codes and links tried, per client address.
    VerifyAddress,
    /// Registrations, per client address.
    RegisterAddress,
    /// Passwords tried, per mailbox.
    LoginEmail,
    /// Passwords tried, per client address.
    LoginAddress,
    /// Everything else, per client address.
    ApiAddress,
}

impl PolicyName {
    /// Every policy.
    pub const ALL: [Self; 7] = [
        Self::OtpRequestEmail,
        Self::RequestAddress,
        Self::VerifyAddress,
        Self::RegisterAddress,
        Self::LoginEmail,
        Self::LoginAddress,
        Self::ApiAddress,
    ];

    /// The text form, snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OtpRequestEmail => "otp_request_email",
            Self::RequestAddress => "request_address",
            Self::VerifyAddress => "verify_address",
            Self::RegisterAddress => "register_address",
            Self::LoginEmail => "login_email",
            Self::LoginAddress => "login_address",
            Self::ApiAddress => "api_address",
        }
    }

    /// How many requests in which time: at least one request, and at least a millisecond.
    pub fn of(self, limits: &Limits) -> Policy {
        let policy = match self {
            Self::OtpRequestEmail => limits.otp_request_email,
            Self::RequestAddress => limits.request_address,
            Self::VerifyAddress => limits.verify_address,
            Self::RegisterAddress => limits.register_address,
            Self::LoginEmail => limits.login_email,
            Self::LoginAddress => limits.login_address,
            Self::ApiAddress => limits.api_address,
        };
        Policy { limit: policy.limit.max(1), window: policy.window.max(Duration::from_millis(1)) }
    }

    /// Whether the subject is the client's own address, so that the client may know what is left. What is left of somebody
    /// else's mailbox would tell a stranger what its owner is doing.
    pub const fn is_about_the_client(self) -> bool {
        match self {
            Self::OtpRequestEmail | Self::LoginEmail => false,
            Self::RequestAddress
            | Self::VerifyAddress
            | Self::RegisterAddress
            | Self::LoginAddress
            | Self::ApiAddress => true,
        }
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
