//! How many requests pass.

use super::reader::{Read, Reader};
use super::values;
use super::values::Policy;

/// The request limits. The budgets for guessing codes are in [`Auth`](super::Auth) and cannot be switched off.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Whether requests are limited at all; off is for load tests on loopback.
    pub enabled: bool,
    /// Codes and links asked for, for one e-mail address.
    pub otp_request_email: Policy,
    /// Codes and links asked for from one client address.
    pub request_address: Policy,
    /// Codes and links tried from one client address.
    pub verify_address: Policy,
    /// Registrations from one client address.
    pub register_address: Policy,
    /// Password sign-ins tried for one e-mail address.
    pub login_email: Policy,
    /// Password sign-ins tried from one client address.
    pub login_address: Policy,
    /// Any API requests from one client address.
    pub api_address: Policy,
}

impl Limits {
    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        let enabled = reader.required("limits.enabled", values::switch);
        let mut policy = |name: &str| reader.required(&format!("limits.{name}"), values::policy);
        let otp_request_email = policy("otp_request_email");
        let request_address = policy("request_address");
        let verify_address = policy("verify_address");
        let register_address = policy("register_address");
        let login_email = policy("login_email");
        let login_address = policy("login_address");
        let api_address = policy("api_address");
        Ok(Self {
            enabled: enabled?,
            otp_request_email: otp_request_email?,
            request_address: request_address?,
            verify_address: verify_address?,
            register_address: register_address?,
            login_email: login_email?,
            login_address: login_address?,
            api_address: api_address?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};

    #[test]
    fn the_defaults_are_on() {
        let limits = load(&[]).limits;
        assert!(limits.enabled);
        let shown = [
            limits.otp_request_email,
            limits.request_address,
            limits.verify_address,
            limits.register_address,
            limits.login_email,
            limits.login_address,
            limits.api_address,
        ]
        .map(|policy| policy.to_string());
        assert_eq!(shown, ["5/5m", "30/5m", "60/5m", "20/1h", "10/15m", "30/5m", "600/1m"]);
    }

    #[test]
    fn each_policy_has_a_variable_and_its_mistakes_are_told_together() {
        assert_eq!(load(&[("GATEPOST_LIMITS_LOGIN_EMAIL", "3/1h")]).limits.login_email.limit, 3);
        assert!(!load(&[("GATEPOST_RATE_LIMITS", "off")]).limits.enabled);
        let problems = refused(&[
            ("GATEPOST_RATE_LIMITS", "sometimes"),
            ("GATEPOST_LIMITS_API_ADDRESS", "600"),
            ("GATEPOST_LIMITS_LOGIN_EMAIL", "0/1h"),
        ]);
        assert_eq!(problems.len(), 3);
        assert_eq!(problems[0].reason, "must be on or off");
        assert_eq!(problems[2].example, "GATEPOST_LIMITS_API_ADDRESS=600/60s");
    }
}
