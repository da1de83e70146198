//! What proves who asks.

use std::sync::LazyLock;

use gatepost::auth::fuzzing::TokenCheck;
use gatepost::domain::{
    ChallengeId, Clock, DeviceMarks, FlowToken, KeyRing, LinkToken, OneTimeCode, RefreshToken, SessionToken,
};

use super::stored::{session, user};

/// A text is a token of one kind at most, a token is its text, and no token or code shows itself in a log.
pub(super) fn tokens(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut kinds = 0;
    macro_rules! same_text {
        ($($kind:ident),+) => {$(
            if let Some(token) = $kind::parse(text) {
                kinds += 1;
                assert_eq!(token.expose(), text);
                assert!($kind::parse(token.expose()).unwrap().digest().matches(&token.digest()));
                assert!(!format!("{token:?}").contains(text));
            }
        )+};
    }
    same_text!(SessionToken, RefreshToken, FlowToken);
    if let Some(token) = LinkToken::parse(text) {
        kinds += 1;
        assert_eq!(token.expose(), text);
        assert!(LinkToken::parse(&token.expose()).unwrap().matches(&token));
        // The challenge's id is no secret; what comes after it is.
        assert!(!format!("{token:?}").contains(&text[22..]));
    }
    assert!(kinds <= 1, "{text:?} is {kinds} kinds of token");
    if let Some(code) = OneTimeCode::parse(text) {
        assert!(code.expose().len() == 6 && code.expose().bytes().all(|digit| digit.is_ascii_digit()), "{text:?}");
        assert!(OneTimeCode::parse(&code.spaced()).unwrap().matches(&code));
        assert!(!format!("{code:?}").contains(code.expose()));
    }
    if let Ok(id) = text.parse::<ChallengeId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}

/// The server that checks, and a token that it made.
static CHECK: LazyLock<(TokenCheck, String)> = LazyLock::new(|| {
    let check = TokenCheck::new(b"a secret that only this property has", session().created_at).expect("keys");
    let token = check.issue(&user(), &session()).expect("a token");
    assert!(check.accepts(&token), "the token is good");
    (check, token)
});

/// No text but one that the server made is taken for an access token: neither the input, nor the good token changed by it.
/// Each three bytes are a change: where (two bytes), and what is put there.
pub(super) fn access_token(input: &[u8]) {
    let (check, good) = &*CHECK;
    if let Ok(text) = std::str::from_utf8(input) {
        assert!(text == good || !check.accepts(text), "{text:?} was taken");
        // The same claims with a signature, or a header, of the input's own.
        let (claims, signature) = good.rsplit_once('.').expect("three parts");
        assert!(text == signature || !check.accepts(&format!("{claims}.{text}")), "signed by {text:?}");
        let (header, rest) = good.split_once('.').expect("three parts");
        assert!(text == header || !check.accepts(&format!("{text}.{rest}")), "a header {text:?}");
    }
    let mut changed = good.clone().into_bytes();
    for edit in input.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % changed.len();
        changed[at] = edit[2];
    }
    if let Ok(text) = std::str::from_utf8(&changed) {
        assert!(text == good || !check.accepts(text), "{text:?} was taken");
    }
}

/// Marks of a browser are written as they were read, are a bounded number, and none counts that this server did not make.
pub(super) fn device(input: &[u8]) {
    static KEYS: LazyLock<KeyRing> = LazyLock::new(|| KeyRing::new(&[7; 32], &[]).unwrap());
    let Ok(text) = std::str::from_utf8(input) else { return };
    let marks = DeviceMarks::parse(text);
    let written = marks.text();
    assert_eq!(DeviceMarks::parse(&written).text(), written);
    assert!(written.is_empty() || written.split('.').count() <= 5, "{written}");
    let now = Clock::system().now();
    assert!(marks.find(|mark| mark.is_fresh(now) && KEYS.made_mark(mark, "ann@example.com")).is_none());
}
