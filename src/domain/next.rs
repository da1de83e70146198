//! Where to go after signing in, without ever becoming an open redirect.

use url::{Position, Url};

/// A place that a browser may be sent to: a path of this server, or a URL whose origin the operator listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextPath(String);

impl NextPath {
    /// Accepts `text` when a browser would stay on this server (`/account?tab=1`) or go to one of `allowed_origins`
    /// (`https://app.example.com`). Everything else, protocol-relative URLs and backslash tricks included, is `None`. Letters
    /// that no header can hold are percent-encoded, as a browser would do.
    pub fn parse(text: &str, allowed_origins: &[String]) -> Option<Self> {
        if text.is_empty() || text.len() > 2048 || text.chars().any(|c| c.is_control() || c == '\\') {
            return None;
        }
        if text.starts_with('/') {
            // Resolving as a browser would is the test: whatever leaves the base's origin is not a path of ours.
            let base = Url::parse("http://gatepost.invalid/").ok()?;
            let resolved = base.join(text).ok()?;
            let stays = resolved.origin() == base.origin() && !resolved.path().starts_with("//");
            let sent = if text.is_ascii() { text } else { &resolved[Position::BeforePath..] };
            return stays.then(|| Self(sent.to_owned()));
        }
        let url = Url::parse(text).ok()?;
        let plain = url.username().is_empty() && url.password().is_none();
        let origin = url.origin();
        (plain && origin.is_tuple() && allowed_origins.contains(&origin.ascii_serialization()))
            .then(|| Self(url.into()))
    }

    /// The value for a `Location` header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_of_this_server_and_listed_origins_pass() {
        let allowed = ["https://app.example.com".to_owned()];
        for text in ["/", "/account", "/a?b=//c#d", "https://app.example.com/x?y"] {
            assert!(NextPath::parse(text, &allowed).is_some(), "{text:?}");
        }
    }

    #[test]
    fn letters_that_no_header_can_hold_are_encoded() {
        let next = NextPath::parse("/\u{e4} b?\u{fc}=1#\u{1f600}", &[]).unwrap();
        assert_eq!(next.as_str(), "/%C3%A4%20b?%C3%BC=1#%F0%9F%98%80");
    }

    #[test]
    fn everything_that_leaves_is_refused() {
        let allowed = ["https://app.example.com".to_owned()];
        for text in [
            "",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "https://evil.example",
            "https://app.example.com.evil.example",
            "https://app.example.com@evil.example",
            "javascript:alert(1)",
            "http://app.example.com/",
            "https://app.example.com:444/",
            "account",
            "/.//evil.example",
            "data:text/html,x",
        ] {
            assert!(NextPath::parse(text, &allowed).is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_path_never_leaves_the_origin(text in "[/\\\\.a-z:@?#%\t]{0,24}") {
            if let Some(next) = NextPath::parse(&text, &[]) {
                let base = Url::parse("https://here.example/login").unwrap();
                prop_assert_eq!(base.join(next.as_str()).unwrap().origin(), base.origin());
            }
        }
    }
}
