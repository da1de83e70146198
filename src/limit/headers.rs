//! What a client is told about its limits: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10,
//! structured fields of RFC 9651) and `Retry-After` (RFC 9110, section 10.2.3).

use std::time::Duration;

use super::{Decision, Window};

/// The headers for an answer, as names and values; `Retry-After` only on a refusal. Only limits of the client's own address
/// are told: that a mailbox's limit is used up shows in the refusal alone.
pub fn headers(decision: &Decision) -> Vec<(&'static str, String)> {
    let (windows, retry_after) = match decision {
        Decision::Allowed(windows) => (windows, None),
        Decision::Denied { windows, retry_after, .. } => (windows, Some(*retry_after)),
    };
    let told: Vec<&Window> = windows.iter().filter(|window| window.policy.is_about_the_client()).collect();
    let mut headers = Vec::new();
    if !told.is_empty() {
        headers.push((
            "RateLimit-Policy",
            list(&told, |window| {
                format!("\"{}\";q={};w={}", window.policy, window.limit, whole_seconds(window.window))
            }),
        ));
        headers.push((
            "RateLimit",
            list(&told, |window| {
                format!("\"{}\";r={};t={}", window.policy, window.remaining, whole_seconds(window.reset))
            }),
        ));
    }
    headers.extend(retry_after.map(|wait| ("Retry-After", whole_seconds(wait).to_string())));
    headers
}

fn list(windows: &[&Window], item: impl Fn(&Window) -> String) -> String {
    windows.iter().map(|window| item(window)).collect::<Vec<_>>().join(", ")
}

/// Rounded up, and at least one: who comes back then is not early.
fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limit::PolicyName;

    fn window(policy: PolicyName, remaining: u32, reset: Duration) -> Window {
        Window { policy, limit: 5, remaining, reset, window: Duration::from_mins(5) }
    }

    #[test]
    fn limits_of_the_address_are_told_and_those_of_a_mailbox_are_not() {
        let decision = Decision::Allowed(vec![
            window(PolicyName::OtpRequestEmail, 1, Duration::from_secs(7)),
            window(PolicyName::RequestAddress, 4, Duration::from_millis(119_001)),
            window(PolicyName::ApiAddress, 3, Duration::from_secs(2)),
        ]);
        assert_eq!(
            headers(&decision),
            [
                ("RateLimit-Policy", r#""request_address";q=5;w=300, "api_address";q=5;w=300"#.to_owned()),
                ("RateLimit", r#""request_address";r=4;t=120, "api_address";r=3;t=2"#.to_owned()),
            ]
        );
    }

    #[test]
    fn a_refusal_for_a_mailbox_tells_only_when_to_come_back() {
        let decision = Decision::Denied {
            policy: PolicyName::LoginEmail,
            retry_after: Duration::from_millis(1),
            windows: vec![window(PolicyName::LoginEmail, 0, Duration::from_millis(1))],
        };
        assert_eq!(headers(&decision), [("Retry-After", "1".to_owned())]);
    }

    #[test]
    fn without_limits_nothing_is_told() {
        assert_eq!(headers(&Decision::Allowed(Vec::new())), []);
    }

    proptest! {
        #[test]
        fn who_waits_the_told_seconds_is_not_early(nanos in 0_u64..10_u64.pow(15)) {
            let wait = Duration::from_nanos(nanos);
            let told = Duration::from_secs(whole_seconds(wait));
            prop_assert!(told >= wait && told >= Duration::from_secs(1));
            prop_assert!(told < wait + Duration::from_secs(1) || told == Duration::from_secs(1));
        }
    }
}
