//! Texts that people type.

use gatepost::domain::{DisplayName, EmailAddress, NextPath, Note, Phone, Username};
use url::Url;

use super::headers::is_one_line;

/// An address that was taken is taken again as it is shown, is one line that no header or command of SMTP could break out
/// of, and has a key that is its own key.
pub(super) fn email(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(address) = EmailAddress::parse(text) else { return };
    let shown = address.to_string();
    assert!(shown.len() <= 254 && shown.matches('@').count() == 1, "{shown:?}");
    let breaks_out = |c: char| c.is_control() || c.is_whitespace() || "<>,;:\"\\()[]".contains(c);
    assert!(!shown.contains(breaks_out), "{shown:?}");
    assert!(address.domain().is_ascii(), "{shown:?}");
    let again = EmailAddress::parse(&shown).expect("what is shown is an address");
    assert_eq!((again.as_str(), again.key()), (shown.as_str(), address.key()));
    // Lower case can take more bytes than it replaces, but not many times as many.
    assert!(address.key().len() <= 3 * shown.len(), "{shown:?}");
    if let Ok(by_key) = EmailAddress::parse(address.key()) {
        assert_eq!(by_key.key(), address.key(), "{shown:?}");
        // Who asks by another spelling is counted together with who asks by this one.
        assert_eq!(by_key.abuse_key(), address.abuse_key(), "{shown:?}");
    }
    let abuse = address.abuse_key();
    assert!(
        abuse.len() <= address.key().len() && abuse.contains('@') && !abuse.starts_with('@'),
        "{shown:?}: {abuse:?}"
    );
    if let Ok(counted) = EmailAddress::parse(&abuse) {
        assert_eq!(counted.abuse_key(), abuse, "{shown:?}");
    }
}

/// A place to go that was taken is on this site or at a listed origin, for a browser on any page of this site, and can be put
/// into a header.
pub(super) fn next(input: &[u8]) {
    const HERE: &str = "https://gatepost.example";
    const LISTED: [&str; 2] = ["https://app.example.com", "http://localhost:3000"];
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some(next) = NextPath::parse(text, &LISTED.map(str::to_owned)) else { return };
    let next = next.as_str();
    assert!(is_one_line(next) && next.is_ascii() && !next.contains('\\') && next.len() <= 3 * 2048, "{next:?}");
    for page in ["/", "/login/code?challenge=x", "/admin/users/1/ban"] {
        let gone = Url::parse(HERE).unwrap().join(page).unwrap().join(next).unwrap();
        let origin = gone.origin().ascii_serialization();
        assert!(origin == HERE || LISTED.contains(&origin.as_str()), "{text:?} leads to {gone}");
    }
    let again = NextPath::parse(next, &LISTED.map(str::to_owned)).expect("what was taken is taken again");
    assert_eq!(again.as_str(), next);
}

/// What was taken into a profile is taken again unchanged, and shows nothing that deceives.
pub(super) fn profile(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let deceives = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if let Ok(name) = DisplayName::parse(text) {
        assert!(name.as_str().chars().count() <= 100 && !name.as_str().contains(deceives), "{name:?}");
        assert_eq!(DisplayName::parse(name.as_str()).unwrap(), name);
    }
    if let Ok(note) = Note::parse(text) {
        let deceives = |c: char| c != '\n' && deceives(c);
        assert!(note.as_str().chars().count() <= 500 && !note.as_str().contains(deceives), "{note:?}");
        assert_eq!(Note::parse(note.as_str()).unwrap(), note);
    }
    if let Ok(username) = Username::parse(text) {
        let shown = username.as_str();
        assert!((2..=32).contains(&shown.len()) && shown.is_ascii() && !shown.contains('@'), "{shown:?}");
        assert_eq!(Username::parse(shown).unwrap(), username);
    }
    if let Ok(phone) = Phone::parse(text) {
        let digits = phone.as_str().strip_prefix('+').expect("a plus");
        assert!((7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()), "{phone:?}");
        assert_eq!(Phone::parse(phone.as_str()).unwrap(), phone);
    }
}
