//! Which strangers get no mail: those with an address in a domain that the operator refuses, or at a provider of
//! disposable mailboxes.
//!
//! They are not told. Their request takes the path of any other, up to the moment at which the mail would be handed to a
//! mail server (see [`super::Auth::request_challenge`]), so nobody learns by it who has an account. People who have one,
//! those who are invited and the admins of the settings are not screened.

use crate::domain::EmailAddress;
use crate::settings::{Abuse, DomainPattern};

/// Providers of disposable mailboxes.
const DISPOSABLE: &str = include_str!("disposable_domains.txt");

/// Decides by an address alone.
#[derive(Clone, Debug)]
pub struct Screening {
    allowed: Vec<DomainPattern>,
    denied: Vec<DomainPattern>,
    /// Sorted; empty where disposable mailboxes are as good as others.
    disposable: Vec<&'static str>,
}

impl Screening {
    /// Screens as the settings say.
    pub fn new(settings: &Abuse) -> Self {
        let disposable = if settings.refuse_disposable { disposable().collect() } else { Vec::new() };
        Self { allowed: settings.allow_domains.clone(), denied: settings.deny_domains.clone(), disposable }
    }

    /// Whether a stranger with this address gets no mail.
    pub fn refuses(&self, email: &EmailAddress) -> bool {
        let covered = |patterns: &[DomainPattern]| patterns.iter().any(|pattern| pattern.covers(email.domain()));
        !covered(&self.allowed) && (covered(&self.denied) || self.is_disposable(email.domain()))
    }

    fn is_disposable(&self, domain: &str) -> bool {
        let mut rest = Some(domain);
        while let Some(name) = rest {
            if self.disposable.binary_search(&name).is_ok() {
                return true;
            }
            rest = name.split_once('.').map(|(_, above)| above);
        }
        false
    }
}

fn disposable() -> impl Iterator<Item = &'static str> {
    DISPOSABLE.lines().filter(|line| !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(disposable: bool, allowed: &[&str], denied: &[&str], address: &str) -> bool {
        let patterns = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        let settings = Abuse {
            refuse_disposable: disposable,
            allow_domains: patterns(allowed),
            deny_domains: patterns(denied),
            captcha: None,
        };
        Screening::new(&settings).refuses(&address.parse().unwrap())
    }

    #[test]
    fn disposable_domains_and_those_below_them_are_refused_where_that_is_set() {
        for address in ["a@mailinator.com", "a@MAILINATOR.com", "a@anything.mailinator.com"] {
            assert!(refuses(true, &[], &[], address), "{address}");
            assert!(!refuses(false, &[], &[], address), "{address}");
        }
        for address in ["a@example.com", "a@mailinator.example", "a@mailinator.com.example.org", "a@gmail.com"] {
            assert!(!refuses(true, &[], &[], address), "{address}");
        }
    }

    #[test]
    fn what_is_allowed_is_taken_whatever_else_says_otherwise() {
        assert!(refuses(false, &[], &["*.top"], "a@example.top"));
        assert!(!refuses(false, &["example.top"], &["*.top"], "a@example.top"));
        assert!(!refuses(true, &["mailinator.com"], &[], "a@mailinator.com"));
        assert!(refuses(true, &["mailinator.com"], &[], "a@sub.mailinator.com"), "only what is named");
    }

    #[test]
    fn the_list_can_be_searched() {
        let list: Vec<&str> = disposable().collect();
        assert!(list.len() > 5000 && list.is_sorted(), "{}", list.len());
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        let odd = list.iter().find(|name| !name.contains('.') || !name.bytes().all(fits));
        assert_eq!(odd, None, "as addresses have them");
    }
}
