//! Where to go after signing in, without ever becoming an open redirect.

use url::{Position, Url};

/// The longest text that is taken.
const LONGEST: usize = 2048;

/// A place that a browser may be sent to: a path of this server, or a URL whose origin the operator listed. It is kept in
/// the form in which it was checked, in ASCII: what browsers, and proxies on the way, make of odd forms does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextPath(String);

impl NextPath {
    /// Accepts `text` when a browser would stay on this server (`/account?tab=1`) or go to one of `allowed_origins`
    /// (`https://app.example.com`). Everything else, protocol-relative URLs and backslash tricks included, is `None`; so
    /// is what would become one of these if somebody on the way undid its percent-encoding.
    pub fn parse(text: &str, allowed_origins: &[String]) -> Option<Self> {
        let is_odd = |c: char| c.is_control() || c == '\\';
        if text.is_empty() || text.len() > LONGEST || text != text.trim() || text.chars().any(is_odd) {
            return None;
        }
        if text.starts_with('/') {
            // Resolving as a browser would is the test: whatever leaves the base's origin is not a path of ours.
            let base = Url::parse("http://gatepost.invalid/").ok()?;
            let resolved = base.join(text).ok()?;
            let stays = resolved.origin() == base.origin() && !misleads(resolved.path());
            let kept = &resolved[Position::BeforePath..];
            return (stays && kept.len() <= LONGEST).then(|| Self(kept.to_owned()));
        }
        let url = Url::parse(text).ok()?;
        // The scheme by itself: the origin of a blob: URL is that of whoever made it.
        let plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
        let origin = url.origin();
        (plain && origin.is_tuple() && allowed_origins.contains(&origin.ascii_serialization()))
            .then(|| Self(url.into()))
    }

    /// The value for a `Location` header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `path`, which begins with a slash, would be another host's if it were decoded, or would break a line.
fn misleads(path: &str) -> bool {
    let mut decoded = path.bytes().enumerate().map(|(at, byte)| match byte {
        b'%' => path.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(byte),
        byte => byte,
    });
    path.starts_with("//")
        || path.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("/%2f"))
        || decoded.any(|byte| byte == b'\\' || byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const APP: &str = "https://app.example.com";

    fn parse(text: &str) -> Option<String> {
        let allowed = [APP.to_owned(), "https://xn--bcher-kva.example".to_owned()];
        NextPath::parse(text, &allowed).map(|next| next.as_str().to_owned())
    }

    #[test]
    fn paths_of_this_server_and_listed_origins_pass() {
        for (text, expected) in [
            ("/", "/"),
            ("/account", "/account"),
            ("/a?b=//c#d", "/a?b=//c#d"),
            ("/a%20b/%C3%A4?x=%2F%0A", "/a%20b/%C3%A4?x=%2F%0A"),
            ("/ä b", "/%C3%A4%20b"),
            ("/a/../b", "/b"),
            ("/%2e%2e/b", "/b"),
            ("https://app.example.com/x?y", "https://app.example.com/x?y"),
            ("HTTPS://App.Example.COM:443", "https://app.example.com/"),
            ("https:/app.example.com", "https://app.example.com/"),
            ("https://ａpp.example.com/", "https://app.example.com/"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn letters_that_no_header_can_hold_are_encoded() {
        let next = NextPath::parse("/\u{e4} b?\u{fc}=1#\u{1f600}", &[]).unwrap();
        assert_eq!(next.as_str(), "/%C3%A4%20b?%C3%BC=1#%F0%9F%98%80");
    }

    #[test]
    fn everything_that_leaves_is_refused() {
        for text in [
            "",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/account ",
            "/%2fevil.example",
            "/%2Fevil.example",
            "/%5cevil.example",
            "/x/%5C%5Cevil.example",
            "/%09/evil.example",
            "/%0d%0aLocation:%20https://evil.example",
            "/a/..//evil.example",
            "/%2e%2e//evil.example",
            "/.//evil.example",
            "https://evil.example",
            "https:evil.example",
            "https://app.example.com.evil.example",
            "https://app.example.com@evil.example",
            "https://app.example.com:x@evil.example",
            "https://u@app.example.com/",
            "https://app.example.com\\@evil.example",
            "https://app.example.com%2eevil.example",
            "https://evil.example/https://app.example.com",
            "https://аpp.example.com/",
            "https://app。example.com.evil.example",
            "https://bucher.example/",
            "javascript:alert(1)",
            "JavaScript://app.example.com/%0aalert(1)",
            "http://app.example.com/",
            "https://app.example.com:444/",
            "https://app.example.com./",
            "account",
            "?next=//evil.example",
            "data:text/html,x",
            "blob:https://app.example.com/x",
            "file:///etc/passwd",
            "null",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse(&format!("/{}", "x".repeat(LONGEST))), None);
    }

    proptest! {
        #[test]
        fn an_accepted_path_never_leaves_the_origin(text in "(/|)[/\\\\.a-z:@?#%25fFcC \t\nä]{0,24}") {
            if let Some(next) = NextPath::parse(&text, &[]) {
                let base = Url::parse("https://here.example/login").unwrap();
                prop_assert_eq!(base.join(next.as_str()).unwrap().origin(), base.origin());
                prop_assert!(next.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{:?}", next);
                // Nor does it for somebody on the way who decodes the path first.
                let path = next.as_str().split(['?', '#']).next().unwrap();
                let once = path.replace("%2f", "/").replace("%2F", "/").replace("%5c", "\\").replace("%5C", "\\");
                prop_assert!(!once.starts_with("//") && !once.contains('\\'), "{:?}", next);
            }
        }

        #[test]
        fn an_accepted_url_has_a_listed_origin(text in "(https?|HTTPS|ftp)?:?[/\\\\]{0,3}(app.example.com|evil.example|[a-z.:@%\\\\/0-9]{0,12}){1,3}[/?#:@.]{0,2}[a-z]{0,3}") {
            if let Some(next) = NextPath::parse(&text, &[APP.to_owned()]) {
                let base = Url::parse("https://here.example/login").unwrap();
                let origin = base.join(next.as_str()).unwrap().origin().ascii_serialization();
                prop_assert!(origin == APP || origin == "https://here.example", "{:?} leads to {}", text, origin);
            }
        }

        #[test]
        fn what_was_accepted_once_is_accepted_again_as_it_is(text in "/[ -~äß]{0,40}") {
            if let Some(next) = NextPath::parse(&text, &[]) {
                prop_assert_eq!(NextPath::parse(next.as_str(), &[]).map(|again| again.0), Some(next.0));
            }
        }
    }
}
