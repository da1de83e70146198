//! Tokens: what a browser or client holds, and the digest of it that the server keeps.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::{ChallengeId, Entropy};

/// The SHA-256 of a token. Storing it gives away nothing: a token has 256 bits of entropy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Digests `bytes` (FIPS 180-4).
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
        Self(out)
    }

    /// Lower-case hexadecimal, as used in cache keys.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({}…)", &self.hex()[..8])
    }
}

/// What a credential is recognised again by: the digest of what is secret in it, and the rest as it is.
///
/// All of a session token is secret. Of a JWT (RFC 7515, section 3.1) only the signature is: what was signed is there to be
/// read, and of no use without. To compare that takes a fraction of the time in which it could be digested.
#[derive(Clone, Copy)]
pub struct Fingerprint<'a> {
    /// Of what comes after the last dot, or of everything where there is none.
    pub digest: Digest,
    /// What comes before, with the dot.
    pub open: &'a [u8],
}

impl<'a> Fingerprint<'a> {
    /// That of a credential as it was shown.
    pub fn of(credential: &'a [u8]) -> Self {
        let secret = memchr::memrchr(b'.', credential).map_or(0, |dot| dot + 1);
        let (open, secret) = credential.split_at(secret);
        Self { digest: Digest::of(secret), open }
    }
}

impl From<Digest> for Fingerprint<'_> {
    /// That of a credential which is secret as a whole.
    fn from(digest: Digest) -> Self {
        Self { digest, open: &[] }
    }
}

/// `bytes` in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

macro_rules! opaque_token {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(String);

        impl $name {
            /// What every such token starts with, so that secret scanners know it.
            pub const PREFIX: &str = $prefix;

            /// A new token of 256 random bits.
            pub fn generate(entropy: &Entropy) -> Self {
                let mut bytes = entropy.bytes::<32>();
                let token = Self::of(&bytes);
                bytes.zeroize();
                token
            }

            /// The token of these bytes, which nobody else may be able to tell.
            fn of(bytes: &[u8; 32]) -> Self {
                Self(format!("{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(bytes)))
            }

            /// Takes text that has the form of such a token; `None` for any other.
            pub fn parse(text: &str) -> Option<Self> {
                let body = text.strip_prefix(Self::PREFIX)?;
                let well_formed = body.len() == 43
                    && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
                well_formed.then(|| Self(text.to_owned()))
            }

            /// What the server stores and looks up.
            pub fn digest(&self) -> Digest {
                Digest::of(self.0.as_bytes())
            }

            /// The token itself, for the one answer that hands it out.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.0.zeroize();
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "([redacted])"))
            }
        }
    };
}

opaque_token! {
    /// Proves a session: in a cookie, or as a bearer token.
    SessionToken, "gps_"
}
opaque_token! {
    /// Buys the next access token of a session, once.
    RefreshToken, "gpr_"
}

impl RefreshToken {
    /// The token that [`super::KeyRing`] derived from the one before it.
    pub fn derived(mut mac: [u8; 32]) -> Self {
        let token = Self::of(&mac);
        mac.zeroize();
        token
    }
}

opaque_token! {
    /// Ties a browser to the challenges it asked for.
    FlowToken, "gpf_"
}

/// The token in a mailed link: the challenge's id and a MAC over it. It is derived, never stored.
#[derive(Clone)]
pub struct LinkToken {
    challenge: ChallengeId,
    mac: [u8; 32],
}

impl LinkToken {
    /// Joins a challenge with the MAC that [`super::KeyRing`] made for it.
    pub fn new(challenge: ChallengeId, mac: [u8; 32]) -> Self {
        Self { challenge, mac }
    }

    /// Reads a token from a link; `None` when it is not one. Says nothing about whether its MAC is right.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (id, mac) = bytes.split_at_checked(16)?;
        Some(Self { challenge: ChallengeId(uuid::Uuid::from_slice(id).ok()?), mac: mac.try_into().ok()? })
    }

    /// The challenge that the token claims to answer.
    pub fn challenge(&self) -> ChallengeId {
        self.challenge
    }

    /// The 64 URL-safe characters that go into the link.
    pub fn expose(&self) -> String {
        let mut bytes = [0; 48];
        bytes[..16].copy_from_slice(self.challenge.0.as_bytes());
        bytes[16..].copy_from_slice(&self.mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.challenge == other.challenge
            && aws_lc_rs::constant_time::verify_slices_are_equal(&self.mac, &other.mac).is_ok()
    }
}

impl Drop for LinkToken {
    fn drop(&mut self) {
        self.mac.zeroize();
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkToken({}, [redacted])", self.challenge)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_generated_token_parses_back_to_the_same_digest() {
        let token = SessionToken::generate(&Entropy::system());
        assert_eq!(SessionToken::parse(token.expose()).unwrap().digest(), token.digest());
        assert_eq!(token.digest().hex().len(), 64);
    }

    #[test]
    fn malformed_tokens_are_refused() {
        let good = SessionToken::generate(&Entropy::system());
        let good = good.expose();
        for bad in ["", "gps_", &good[1..], &good[..46], &format!("{good}A"), &good.replace("gps_", "gpr_"), "gps_é"] {
            assert!(SessionToken::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn of_a_jwt_the_signature_is_digested() {
        let Fingerprint { digest, open } = Fingerprint::of(b"header.claims.signature");
        assert_eq!((digest, open), (Digest::of(b"signature"), &b"header.claims."[..]));
    }

    proptest! {
        #[test]
        fn fingerprints_differ_wherever_credentials_do(one in "[a.]{0,6}", other in "[a.]{0,6}") {
            let [of_one, of_other] = [&one, &other].map(|text| Fingerprint::of(text.as_bytes()));
            let same = of_one.digest == of_other.digest && of_one.open == of_other.open;
            prop_assert_eq!(same, one == other);
            prop_assert!(of_one.open.is_empty() || of_one.open.ends_with(b"."));
        }

        #[test]
        fn a_link_token_survives_the_round_trip(id: u128, mac: [u8; 32]) {
            let token = LinkToken::new(ChallengeId(uuid::Uuid::from_u128(id)), mac);
            prop_assert!(LinkToken::parse(&token.expose()).unwrap().matches(&token));
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = (LinkToken::parse(&text), SessionToken::parse(&text));
        }
    }
}
