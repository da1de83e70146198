//! What makes a password: length, and that nobody would guess it early. Nothing about which characters it has
//! (NIST SP 800-63B, 3.1.1.2).

use unicode_normalization::{UnicodeNormalization, is_nfkc};
use zeroize::Zeroizing;
use zxcvbn::zxcvbn;

use super::AuthError;
use crate::domain::Username;
use crate::store::User;

/// The longest password that is taken, in bytes: hashing is cheap in length, but not free.
pub(super) const MAX_PASSWORD_BYTES: usize = 1024;

/// A password that an attacker comes to within so many guesses, trying what people choose most first, is too common.
/// (The estimate is zxcvbn's: lists of leaked passwords, names and words, and what is usually done to them.)
const COMMON_WITHIN: u64 = 1_000_000;

/// Parts of a name or an address that are shorter than this appear in passwords by chance.
const LEAST_OWN_CHARACTERS: usize = 4;

/// The form in which a password is hashed. Keyboards and systems write the same characters in different ways.
pub(super) fn normalised(password: &str) -> Zeroizing<String> {
    Zeroizing::new(password.nfkc().collect())
}

/// Whether the password, as it was typed, is already in the form in which passwords are hashed.
pub(super) fn is_normalised(password: &str) -> bool {
    is_nfkc(password)
}

/// Refuses a password that is too short, too long, made of the person's own name or address, or too common. `password`
/// is normalised. Takes milliseconds.
pub(super) fn check(password: &str, min_length: usize, user: &User) -> Result<(), AuthError> {
    if password.chars().count() < min_length {
        return Err(AuthError::WeakPassword("the password is too short"));
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(AuthError::WeakPassword("the password is too long"));
    }
    let lower = Zeroizing::new(password.to_lowercase());
    let own = own_words(user);
    if own.iter().any(|word| word.chars().count() >= LEAST_OWN_CHARACTERS && lower.contains(word.as_str())) {
        return Err(AuthError::WeakPassword("the password has your name or address in it"));
    }
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    if zxcvbn(password, &own).guesses() < COMMON_WITHIN {
        return Err(AuthError::CommonPassword);
    }
    Ok(())
}

/// What others know of a person, in lower case.
fn own_words(user: &User) -> Vec<String> {
    let address = user.email.key();
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    let names = user.name.as_str().split_whitespace().chain(user.username.as_ref().map(Username::as_str));
    let own = [address, local].into_iter().chain(names);
    own.map(|word| word.nfkc().collect::<String>().to_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Clock, EmailAddress, Entropy, Language, Role, UserId, UserStatus};

    fn ada() -> User {
        let (clock, entropy) = (Clock::system(), Entropy::system());
        let now = clock.now();
        User {
            id: UserId::new(&clock, &entropy),
            email: EmailAddress::parse("countess@example.com").unwrap(),
            name: "Ada Lovelace".parse().unwrap(),
            username: Some("enchantress".parse().unwrap()),
            phone: None,
            avatar_url: None,
            locale: Language::English,
            role: Role::User,
            status: UserStatus::Approved,
            note: "".parse().unwrap(),
            address: String::new(),
            device: String::new(),
            version: 1,
            created_at: now,
            updated_at: now,
            last_sign_in_at: None,
        }
    }

    #[test]
    fn what_people_choose_most_is_too_common() {
        for common in [
            "password1234",
            "Password1234!",
            "iloveyou1234",
            "1q2w3e4r5t6y",
            "qwertyuiop12",
            "123456789012",
            "aaaaaaaaaaaaaaaa",
            "passwordpassword",
            "abcdefghijkl",
        ] {
            assert!(matches!(check(common, 12, &ada()), Err(AuthError::CommonPassword)), "{common}");
        }
    }

    #[test]
    fn a_password_is_not_made_of_its_owner() {
        for own in ["countess@example.com", "my name is LOVELACE", "the countess of x", "Enchantress of numbers"] {
            assert!(matches!(check(own, 12, &ada()), Err(AuthError::WeakPassword(_))), "{own}");
        }
        // Three letters are in many words.
        check("canada goose on the lawn", 12, &ada()).unwrap();
    }

    #[test]
    fn no_kind_of_character_is_asked_for() {
        for good in [
            "correct horse battery",
            "twelve chars",
            "staple the horse again",
            "лошадь батарея скрепка",
            "正しい馬の電池と\
            ホチキスの針",
        ] {
            check(good, 12, &ada()).unwrap();
        }
    }

    #[test]
    fn length_is_counted_in_characters_below_and_in_bytes_above() {
        assert!(check("elevenchars", 12, &ada()).is_err());
        assert!(check(&"long enough ".repeat(86), 12, &ada()).is_err());
    }

    #[test]
    fn keyboards_that_write_the_same_give_the_same() {
        for (one, other) in [("Amélie ﬁnds", "Ame\u{301}lie finds"), ("ｐａｓｓ", "pass"), ("①²", "12")] {
            assert_eq!(normalised(one), normalised(other));
        }
        assert!(is_normalised("Amélie finds") && !is_normalised("Ame\u{301}lie ﬁnds"));
    }
}
