//! How many requests pass.

use super::reader::{Read, Reader};
use super::values::Policy;
use super::{keys, values};

macro_rules! policies {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        /// What is limited, and per what. The text form is stable: it is the name of the setting (`limits.…`), and is in
        /// Redis keys, headers and URLs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum PolicyName {
            $($(#[$doc])* $name,)+
        }

        impl PolicyName {
            /// Every policy, in the order of the enum.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$name),+];

            /// The text form, snake case.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

policies! {
    /// Mails asked for, per mailbox.
    OtpRequestEmail = "otp_request_email";
    /// The same over a long time.
    OtpRequestEmailDay = "otp_request_email_day";
    /// Mails asked for, per mailbox with its aliases.
    OtpRequestAbuseKey = "otp_request_abuse_key";
    /// Mails asked for, per domain of their recipients.
    RequestDomain = "request_domain";
    /// Mails asked for, all together.
    RequestGlobal = "request_global";
    /// Mails asked for, per client address.
    RequestAddress = "request_address";
    /// Mails asked for, per IPv6 /56.
    RequestNetwork = "request_network";
    /// Codes and links tried, per client address.
    VerifyAddress = "verify_address";
    /// Registrations, per client address.
    RegisterAddress = "register_address";
    /// Passwords tried, per mailbox.
    LoginEmail = "login_email";
    /// Passwords tried, per client address.
    LoginAddress = "login_address";
    /// Refresh tokens shown, per client address.
    RefreshAddress = "refresh_address";
    /// Looks at the directory, per client address.
    DirectoryAddress = "directory_address";
    /// Changes of one's own account, per client address.
    ProfileAddress = "profile_address";
    /// What admins ask for, per client address.
    AdminAddress = "admin_address";
    /// Everything else, per client address.
    ApiAddress = "api_address";
}

impl PolicyName {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The setting that says how much it allows.
    pub fn setting(self) -> String {
        format!("limits.{}", self.as_str())
    }

    /// The environment variable of that setting.
    pub fn variable(self) -> String {
        keys::main_variable(&self.setting())
    }
}

/// The request limits. The budgets for guessing codes are in [`Auth`](super::Auth) and cannot be switched off.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Whether requests are limited at all; off is for load tests on loopback.
    pub enabled: bool,
    /// Requests of every limited route together that one client address may make in the long run, before anything else
    /// is asked.
    pub shield_address: Policy,
    /// Requests that an address which was quiet may make at once before `shield_address` holds it.
    pub shield_burst: u32,
    /// What each policy allows, in the order of [`PolicyName::ALL`].
    pub policies: [Policy; PolicyName::COUNT],
}

impl Limits {
    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        let enabled = reader.required("limits.enabled", values::switch);
        let shield_address = reader.required("limits.shield_address", values::policy);
        let shield_burst = reader.number("limits.shield_burst", 1..=1_000_000);
        // All are read before the first wrong one ends it.
        let read = PolicyName::ALL.map(|name| reader.required(&name.setting(), values::policy));
        let shield_address = shield_address?;
        let mut policies = [shield_address; PolicyName::COUNT];
        for (place, policy) in policies.iter_mut().zip(read) {
            *place = policy?;
        }
        Ok(Self { enabled: enabled?, shield_address, shield_burst: shield_burst?, policies })
    }

    /// What `name` allows.
    pub fn of(&self, name: PolicyName) -> Policy {
        self.policies[name as usize]
    }

    /// The same limits, with another one for `name`.
    #[must_use]
    pub fn with(mut self, name: PolicyName, policy: Policy) -> Self {
        self.policies[name as usize] = policy;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn the_defaults_are_on() {
        let limits = load(&[]).limits;
        assert!(limits.enabled);
        let shown: Vec<_> = PolicyName::ALL.map(|name| format!("{} {}", name.as_str(), limits.of(name))).into();
        assert_eq!(
            shown,
            [
                "otp_request_email 5/5m",
                "otp_request_email_day 10/1d",
                "otp_request_abuse_key 20/1d",
                "request_domain 12000/1m",
                "request_global 30000/1m",
                "request_address 30/5m",
                "request_network 120/5m",
                "verify_address 60/5m",
                "register_address 20/1h",
                "login_email 10/15m",
                "login_address 30/5m",
                "refresh_address 300/1m",
                "directory_address 300/1m",
                "profile_address 60/1m",
                "admin_address 600/1m",
                "api_address 600/1m",
            ]
        );
    }

    #[test]
    fn the_shield_stands_well_above_every_limit_of_an_address() {
        let limits = load(&[]).limits;
        let rate = |policy: Policy| f64::from(policy.limit) / policy.window.as_secs_f64();
        for name in PolicyName::ALL.into_iter().filter(|name| name.as_str().ends_with("_address")) {
            assert!(limits.shield_burst >= 4 * limits.of(name).limit, "{name:?}");
            assert!(rate(limits.shield_address) >= 4.0 * rate(limits.of(name)), "{name:?}");
        }
    }

    #[test]
    fn each_policy_has_a_variable_and_its_mistakes_are_told_together() {
        let limits = load(&[("GATEPOST_LIMITS_LOGIN_EMAIL", "3/1h"), ("GATEPOST_LIMITS_SHIELD_BURST", "9")]).limits;
        assert_eq!((limits.of(PolicyName::LoginEmail).limit, limits.shield_burst), (3, 9));
        assert_eq!(PolicyName::LoginEmail.variable(), "GATEPOST_LIMITS_LOGIN_EMAIL");
        assert!(!load(&[("GATEPOST_RATE_LIMITS", "off")]).limits.enabled);
        let problems = refused(&[
            ("GATEPOST_RATE_LIMITS", "sometimes"),
            ("GATEPOST_LIMITS_SHIELD_BURST", "0"),
            ("GATEPOST_LIMITS_API_ADDRESS", "600"),
            ("GATEPOST_LIMITS_LOGIN_EMAIL", "0/1h"),
        ]);
        assert_eq!(problems.len(), 4);
        assert_eq!(problems[0].reason, "must be on or off");
        assert_eq!(problems[1].reason, "must be a whole number from 1 to 1000000");
        assert_eq!(problems[3].example, "GATEPOST_LIMITS_API_ADDRESS=600/60s");
    }
}
