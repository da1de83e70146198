//! Who may sign in, and how.

use std::time::Duration;

use super::reader::{Read, Reader};
use super::server::Server;
use super::values;
use crate::domain::{DisplayName, EmailAddress};

/// The rules of signing in and registering.
#[derive(Clone, Debug)]
pub struct Auth {
    /// The ways to sign in; at least one is on.
    pub methods: LoginMethods,
    /// Admins, and approved, from their first sign-in on.
    pub admins: Vec<EmailAddress>,
    /// Who becomes a user.
    pub registration: Registration,
    /// How long a code or link works.
    pub challenge_lifetime: Duration,
    /// When a client is told to offer another mail.
    pub resend_after: Duration,
    /// Wrong codes that burn a challenge.
    pub guesses_per_challenge: u32,
    /// Wrong codes for one account in one `guess_window`, whatever the challenge; wrong passwords likewise. A browser that
    /// has signed the account in has as many to itself.
    pub guesses_per_account: u32,
    /// Of these, how many without a pause; after each further one the next guess waits, twice as long every time.
    pub guesses_at_once: u32,
    /// The window of `guesses_per_account`.
    pub guess_window: Duration,
    /// How passwords are hashed.
    pub password: PasswordHashing,
    /// What pages and mails call the product.
    pub product_name: String,
    /// Whether the first person to sign in becomes admin: no admin is configured and only this machine can open the
    /// public URL.
    pub first_person_is_admin: bool,
}

/// The ways to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginMethods {
    /// By a mailed code.
    pub otp: bool,
    /// By a mailed link.
    pub magic_link: bool,
    /// By a password.
    pub password: bool,
}

impl LoginMethods {
    /// Whether mails carry a code and codes are taken: to sign in with, or, where neither code nor link signs in, to
    /// prove a mailbox when registering.
    pub fn takes_codes(self) -> bool {
        self.otp || !self.magic_link
    }
}

/// Who becomes a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Whom an admin approves.
    Approval,
    /// Everybody who proves a mailbox.
    Open,
    /// Nobody new.
    Closed,
    /// Whoever proves a mailbox in one of these domains (lower-case ASCII), and whom an admin approves.
    Domains(Vec<String>),
}

/// Argon2id's parameters and the rule for new passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordHashing {
    /// Memory for one password, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// The shortest new password, in characters.
    pub min_length: usize,
    /// Passwords hashed at once.
    pub concurrency: usize,
}

impl Auth {
    pub(super) fn read(reader: &mut Reader, server: Option<&Server>) -> Read<Self> {
        let methods = reader.required("auth.methods", methods);
        let admins = reader.optional("auth.admins", "ops@example.com,security@example.com", |text| {
            values::list_of(text, |member| EmailAddress::parse(member).map_err(|error| format!("is wrong: {error}")))
        });
        let registration = reader.required("auth.registration", registration);
        let challenge_lifetime = reader.duration("auth.challenge_lifetime", "1s", "1h");
        let resend_after = reader.duration("auth.resend_after", "0s", "1h");
        // More than this, and six digits stop being hard to guess.
        let guesses_per_challenge = reader.number("auth.guesses_per_challenge", 1..=10);
        let guesses_per_account = reader.number("auth.guesses_per_account", 1..=100);
        let guesses_at_once = reader.number("auth.guesses_at_once", 1..=100);
        let guess_window = reader.duration("auth.guess_window", "1m", "7d");
        let password = PasswordHashing::read(reader);
        let product_name = reader.required("auth.product_name", |text| {
            DisplayName::parse(text)
                .map(String::from)
                .map_err(|error| format!("must be 1 to 100 characters on one line: {error}"))
        });
        let admins = admins?.unwrap_or_default();
        Ok(Self {
            methods: methods?,
            registration: registration?,
            challenge_lifetime: challenge_lifetime?,
            resend_after: resend_after?,
            guesses_per_challenge: guesses_per_challenge?,
            guesses_per_account: guesses_per_account?,
            guesses_at_once: guesses_at_once?,
            guess_window: guess_window?,
            password: password?,
            product_name: product_name?,
            first_person_is_admin: admins.is_empty() && server.is_some_and(Server::is_loopback_public),
            admins,
        })
    }
}

impl PasswordHashing {
    fn read(reader: &mut Reader) -> Read<Self> {
        // The least that OWASP's table of equivalents allows for Argon2id lies between 7 and 46 MiB, by passes.
        let memory_kib = reader.number("auth.password_memory_kib", 8192..=1_048_576);
        let iterations = reader.number("auth.password_iterations", 1..=64);
        let parallelism = reader.number("auth.password_parallelism", 1..=16);
        let min_length = reader.number("auth.password_min_length", 8..=128);
        let concurrency = reader.number("auth.password_concurrency", 1..=256);
        Ok(Self {
            memory_kib: memory_kib?,
            iterations: iterations?,
            parallelism: parallelism?,
            min_length: min_length?,
            concurrency: concurrency?,
        })
    }
}

fn methods(text: &str) -> Result<LoginMethods, String> {
    const ALLOWED: &str = "must be a list of one or more of otp, magic_link and password";
    let mut methods = LoginMethods { otp: false, magic_link: false, password: false };
    for member in values::list(text) {
        match member {
            "otp" => methods.otp = true,
            "magic_link" => methods.magic_link = true,
            "password" => methods.password = true,
            other => return Err(format!("{ALLOWED}; {other:?} is none of them")),
        }
    }
    let any = methods.otp || methods.magic_link || methods.password;
    if any { Ok(methods) } else { Err(ALLOWED.to_owned()) }
}

fn registration(text: &str) -> Result<Registration, String> {
    const ALLOWED: &str = "must be approval, open or closed, or a list of e-mail domains such as example.com";
    match text {
        "approval" => return Ok(Registration::Approval),
        "open" => return Ok(Registration::Open),
        "closed" => return Ok(Registration::Closed),
        _ => {}
    }
    let mut domains = Vec::new();
    for member in values::list(text) {
        let domain = member.strip_prefix('@').unwrap_or(member);
        // A domain is right when an address in it is; that also brings it into the form that addresses have.
        match EmailAddress::parse(&format!("someone@{domain}")) {
            Ok(address) => domains.push(address.domain().to_owned()),
            Err(_) => return Err(format!("{ALLOWED}; {member:?} is none of them")),
        }
    }
    if domains.is_empty() { Err(ALLOWED.to_owned()) } else { Ok(Registration::Domains(domains)) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let auth = load(&[]).auth;
        assert_eq!(auth.methods, LoginMethods { otp: true, magic_link: true, password: false });
        assert_eq!(auth.registration, Registration::Approval);
        assert_eq!((auth.challenge_lifetime, auth.resend_after), (Duration::from_mins(10), Duration::from_secs(30)));
        assert_eq!((auth.guesses_per_challenge, auth.guesses_per_account, auth.guesses_at_once), (5, 20, 10));
        assert_eq!((auth.guess_window, auth.product_name.as_str()), (Duration::from_hours(1), "Gatepost"));
        let hashing =
            PasswordHashing { memory_kib: 19456, iterations: 2, parallelism: 1, min_length: 12, concurrency: 2 };
        assert_eq!(auth.password, hashing);
    }

    #[test]
    fn methods_are_a_list() {
        let all = LoginMethods { otp: true, magic_link: true, password: true };
        assert_eq!(load(&[("LOGIN_METHOD", "password, otp,magic_link,otp")]).auth.methods, all);
        let reason = &refused(&[("LOGIN_METHOD", "otp,passkey")])[0].reason;
        assert_eq!(
            reason,
            "must be a list of one or more of otp, magic_link and password; \"passkey\" is none of them"
        );
        assert_eq!(refused(&[("LOGIN_METHOD", ",")]).len(), 1);
    }

    #[test]
    fn registration_is_a_word_or_domains() {
        let registration = |text: &str| load(&[("GATEPOST_REGISTRATION", text)]).auth.registration;
        assert_eq!(registration("open"), Registration::Open);
        assert_eq!(registration("closed"), Registration::Closed);
        let domains = ["example.com", "xn--bcher-kva.example"].map(str::to_owned).to_vec();
        assert_eq!(registration("@Example.com, bücher.example"), Registration::Domains(domains));
        for wrong in ["opne", "open,example.com", "example.com,a b.cd", ",", "a@b.cd"] {
            let problems = refused(&[("GATEPOST_REGISTRATION", wrong)]);
            assert!(problems[0].reason.starts_with("must be approval, open or closed"), "{wrong}: {problems:?}");
        }
    }

    #[test]
    fn the_first_person_is_admin_only_where_nobody_else_can_be_first() {
        assert!(load(&[]).auth.first_person_is_admin);
        let admins = load(&[("GATEPOST_ADMINS", "Ops@example.com, b@example.com")]).auth;
        assert_eq!((admins.admins.len(), admins.admins[0].key()), (2, "ops@example.com"));
        assert!(!admins.first_person_is_admin);
        let public = [("GATEPOST_PUBLIC_URL", "https://example.com"), ("SMTP_URL", "smtp://localhost")];
        assert!(!load(&public).auth.first_person_is_admin);
        assert!(refused(&[("GATEPOST_ADMINS", "ops@example.com,root")])[0].reason.starts_with("\"root\" is wrong"));
    }

    #[test]
    fn what_would_weaken_signing_in_is_refused() {
        for (variable, value) in [
            ("GATEPOST_AUTH_CHALLENGE_LIFETIME", "61m"),
            ("GATEPOST_AUTH_CHALLENGE_LIFETIME", "0"),
            ("GATEPOST_AUTH_GUESSES_PER_CHALLENGE", "11"),
            ("GATEPOST_AUTH_GUESSES_PER_CHALLENGE", "0"),
            ("GATEPOST_AUTH_GUESSES_PER_ACCOUNT", "1000"),
            ("GATEPOST_AUTH_GUESSES_AT_ONCE", "0"),
            ("GATEPOST_AUTH_GUESS_WINDOW", "1s"),
            ("GATEPOST_AUTH_PASSWORD_MEMORY_KIB", "8191"),
            ("GATEPOST_AUTH_PASSWORD_ITERATIONS", "0"),
            ("GATEPOST_AUTH_PASSWORD_PARALLELISM", "0"),
            ("GATEPOST_AUTH_PASSWORD_MIN_LENGTH", "7"),
            ("GATEPOST_AUTH_PASSWORD_CONCURRENCY", "0"),
            ("GATEPOST_AUTH_PRODUCT_NAME", "a\nb"),
        ] {
            assert_eq!(refused(&[(variable, value)]).len(), 1, "{variable}={value}");
        }
    }
}
