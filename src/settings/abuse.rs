//! What keeps strangers from using the mail for themselves: domains that get none, and a CAPTCHA.

use std::time::Duration;

use url::Url;

use super::reader::{Read, Reader, name};
use super::values::Policy;
use super::{origin, values};
use crate::domain::{EmailAddress, Redacted};

/// Who gets mail without having an account, and what a person has to show for it.
#[derive(Clone, Debug)]
pub struct Abuse {
    /// Whether domains of the bundled list of disposable addresses are refused.
    pub refuse_disposable: bool,
    /// Domains that are taken, whatever else says otherwise.
    pub allow_domains: Vec<DomainPattern>,
    /// Domains that are refused.
    pub deny_domains: Vec<DomainPattern>,
    /// The CAPTCHA, where one is asked for.
    pub captcha: Option<Captcha>,
}

/// A CAPTCHA that another service makes and checks.
#[derive(Clone, Debug)]
pub struct Captcha {
    /// Whether one has to be solved only while more mails are asked for than this.
    pub only_above: Option<Policy>,
    /// For how long it is asked for after that was last so.
    pub attack_lasts: Duration,
    /// Whose it is.
    pub provider: CaptchaProvider,
    /// Where answers are checked.
    pub verify_url: Url,
    /// Proves this server to the provider.
    pub secret: Redacted<String>,
    /// Names this server on its pages.
    pub site_key: String,
}

/// Whose CAPTCHA it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptchaProvider {
    /// Cloudflare's.
    Turnstile,
    /// Intuition Machines'.
    Hcaptcha,
}

impl CaptchaProvider {
    fn verify_url(self) -> &'static str {
        match self {
            Self::Turnstile => "https://challenges.cloudflare.com/turnstile/v0/siteverify",
            Self::Hcaptcha => "https://api.hcaptcha.com/siteverify",
        }
    }
}

/// A domain, or every domain below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainPattern {
    /// In lower-case ASCII.
    domain: String,
    /// Whether it stands for the domains below it instead of itself.
    below: bool,
}

impl std::str::FromStr for DomainPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (domain, below) = match text.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (text.strip_prefix('@').unwrap_or(text), false),
        };
        // `*.example`: all of a top-level domain. Addresses have to have a dot, so one is lent to the check.
        let probe = if below { format!("someone@below.{domain}") } else { format!("someone@{domain}") };
        let wrong = || "is neither a domain such as example.com nor all below one, as in *.example.com".to_owned();
        let address = EmailAddress::parse(&probe).map_err(|_| wrong())?;
        let domain = address.domain();
        Ok(Self { domain: domain.strip_prefix("below.").filter(|_| below).unwrap_or(domain).to_owned(), below })
    }
}

impl DomainPattern {
    /// Whether it stands for `domain`, which is in lower-case ASCII.
    pub fn covers(&self, domain: &str) -> bool {
        if !self.below {
            return self.domain == domain;
        }
        domain.strip_suffix(self.domain.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }
}

impl Abuse {
    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        let refuse_disposable = reader.required("abuse.disposable", |text| match text {
            "allow" => Ok(false),
            "refuse" => Ok(true),
            _ => Err("must be allow or refuse".to_owned()),
        });
        let mut domains = |key: &str| {
            let example = "example.com,*.example.net";
            reader.optional(key, example, |text| values::list_of(text, str::parse))
        };
        let allow_domains = domains("abuse.allow_domains");
        let deny_domains = domains("abuse.deny_domains");
        let captcha = Captcha::read(reader);
        Ok(Self {
            refuse_disposable: refuse_disposable?,
            allow_domains: allow_domains?.unwrap_or_default(),
            deny_domains: deny_domains?.unwrap_or_default(),
            captcha: captcha?,
        })
    }
}

/// When a CAPTCHA is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Never,
    Always,
    UnderAttack,
}

impl Captcha {
    fn read(reader: &mut Reader) -> Read<Option<Self>> {
        let when = reader.required("abuse.captcha", |text| match text {
            "off" | "false" => Ok(When::Never),
            "always" => Ok(When::Always),
            "under_attack" => Ok(When::UnderAttack),
            _ => Err("must be off, always or under_attack".to_owned()),
        });
        let provider = reader.required("abuse.captcha_provider", |text| match text {
            "turnstile" => Ok(CaptchaProvider::Turnstile),
            "hcaptcha" => Ok(CaptchaProvider::Hcaptcha),
            _ => Err("must be turnstile or hcaptcha".to_owned()),
        });
        let turnstile = CaptchaProvider::Turnstile.verify_url();
        let verify_url = reader.optional("abuse.captcha_verify_url", turnstile, verify_url);
        let site_key = reader.optional("abuse.captcha_site_key", "0x4AAAAAAA-example", site_key);
        let secret = reader.text("abuse.captcha_secret");
        let attack = reader.required("abuse.attack", values::policy);
        let attack_lasts = reader.duration("abuse.attack_lasts", "1m", "1d");
        let (when, provider, verify_url, site_key) = (when?, provider?, verify_url?, site_key?);
        let (secret, attack, attack_lasts) = (secret?, attack?, attack_lasts?);
        if when == When::Never {
            return Ok(None);
        }
        let needed = format!("must be given, because {} is on", name("abuse.captcha"));
        let secret = secret.ok_or_else(|| reader.refuse("abuse.captcha_secret", &needed, "0x4AAAAAAA-example-secret"));
        let site_key = site_key.ok_or_else(|| reader.refuse("abuse.captcha_site_key", &needed, "0x4AAAAAAA-example"));
        let verify_url = match verify_url {
            Some(url) => url,
            None => self::verify_url(provider.verify_url())
                .map_err(|reason| reader.refuse("abuse.captcha_verify_url", &reason, turnstile))?,
        };
        reader.show("abuse.captcha_verify_url", verify_url.to_string());
        Ok(Some(Self {
            only_above: (when == When::UnderAttack).then_some(attack),
            attack_lasts,
            provider,
            verify_url,
            secret: Redacted::new(secret?),
            site_key: site_key?,
        }))
    }
}

/// Answers go there with the secret: encrypted, or to this machine.
fn verify_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    let safe = url.scheme() == "https" || (url.scheme() == "http" && origin::has_loopback_host(&url));
    if !safe || url.host_str().is_none() {
        return Err("must start with https://, or lead to this machine".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("must not have a user, a password or a fragment".to_owned());
    }
    Ok(url)
}

fn site_key(text: &str) -> Result<String, String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    if text.len() <= 100 && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("must be the key that the provider shows: up to 100 letters, digits, dashes, dots and underscores"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};
    use super::*;

    const ON: [(&str, &str); 3] = [
        ("GATEPOST_ABUSE_CAPTCHA", "always"),
        ("GATEPOST_ABUSE_CAPTCHA_SECRET", "hunter2"),
        ("GATEPOST_ABUSE_CAPTCHA_SITE_KEY", "0x4AAA-key"),
    ];

    #[test]
    fn nothing_is_refused_unless_somebody_says_so() {
        let abuse = load(&[]).abuse;
        assert!(!abuse.refuse_disposable && abuse.captcha.is_none());
        assert!(abuse.allow_domains.is_empty() && abuse.deny_domains.is_empty());
    }

    #[test]
    fn a_pattern_is_a_domain_or_all_below_one() {
        let covers = |pattern: &str, domain: &str| pattern.parse::<DomainPattern>().unwrap().covers(domain);
        assert!(covers("Example.com", "example.com") && covers("@example.com", "example.com"));
        assert!(!covers("example.com", "mail.example.com") && !covers("example.com", "notexample.com"));
        assert!(covers("*.example.com", "mail.example.com") && covers("*.example.com", "a.b.example.com"));
        assert!(!covers("*.example.com", "example.com") && !covers("*.example.com", "notexample.com"));
        assert!(!covers("*.example.com", ".example.com"));
        assert!(covers("*.top", "example.top") && covers("bücher.example", "xn--bcher-kva.example"));
        for wrong in ["", "*", "*.", "a b.cd", "*.*.com", "ex*mple.com", "a@b.cd", "example"] {
            assert!(wrong.parse::<DomainPattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_lists_are_read_and_a_wrong_member_is_named() {
        let abuse = load(&[
            ("GATEPOST_ABUSE_DISPOSABLE", "refuse"),
            ("GATEPOST_ABUSE_ALLOW_DOMAINS", "example.com"),
            ("GATEPOST_ABUSE_DENY_DOMAINS", "example.net, *.top"),
        ])
        .abuse;
        assert!(abuse.refuse_disposable);
        assert_eq!((abuse.allow_domains.len(), abuse.deny_domains.len()), (1, 2));
        let problem = &refused(&[("GATEPOST_ABUSE_DENY_DOMAINS", "example.net,nonsense")])[0];
        assert!(problem.reason.starts_with("\"nonsense\" is neither"), "{problem:?}");
        assert_eq!(problem.example, "GATEPOST_ABUSE_DENY_DOMAINS='example.com,*.example.net'");
    }

    #[test]
    fn a_captcha_needs_its_keys_and_they_are_not_shown() {
        let keys: Vec<_> = refused(&ON[..1]).into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["abuse.captcha_secret", "abuse.captcha_site_key"]);
        let settings = load(&ON);
        let captcha = settings.abuse.captcha.as_ref().unwrap();
        assert_eq!((captcha.provider, captcha.only_above), (CaptchaProvider::Turnstile, None));
        assert_eq!(captcha.verify_url.as_str(), "https://challenges.cloudflare.com/turnstile/v0/siteverify");
        assert!(!format!("{settings:?}{:?}", settings.effective()).contains("hunter2"));
        let mut attack = ON;
        attack[0].1 = "under_attack";
        let captcha = load(&attack).abuse.captcha.unwrap();
        assert_eq!(captcha.only_above.map(|policy| policy.to_string()).as_deref(), Some("300/1m"));
    }

    #[test]
    fn the_secret_leaves_this_machine_encrypted_only() {
        let url = |text: &str| load(&[ON[0], ON[1], ON[2], ("GATEPOST_ABUSE_CAPTCHA_VERIFY_URL", text)]).abuse.captcha;
        assert_eq!(url("http://127.0.0.1:9/verify").unwrap().verify_url.as_str(), "http://127.0.0.1:9/verify");
        for wrong in ["http://captcha.example/verify", "https://u:p@captcha.example/", "ftp://localhost/", "verify"] {
            let problems = refused(&[("GATEPOST_ABUSE_CAPTCHA_VERIFY_URL", wrong)]);
            assert_eq!(problems[0].key, "abuse.captcha_verify_url", "{wrong}");
        }
        assert_eq!(refused(&[("GATEPOST_ABUSE_CAPTCHA_SITE_KEY", "\"><script>")])[0].key, "abuse.captcha_site_key");
    }
}
