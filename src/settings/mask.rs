//! Values as they may be shown.

/// What stands for something secret.
pub(super) const HIDDEN: &str = "[hidden]";

/// `text` with the password of a URL, and parameters that sound like one, replaced.
///
/// Everything from the colon after the user's name to the last `@` counts as the password, so that one with an
/// unescaped `/` or `@` does not show either. Hiding too much is fine here.
pub(super) fn mask(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (user, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) => match credentials.split_once(':') {
            Some((user, _)) => (format!("{user}:{HIDDEN}@"), rest),
            None => (format!("{credentials}@"), rest),
        },
        None => (String::new(), rest),
    };
    let Some((place, query)) = rest.split_once('?') else { return format!("{scheme}://{user}{rest}") };
    let parameters: Vec<String> = query.split('&').map(mask_parameter).collect();
    format!("{scheme}://{user}{place}?{}", parameters.join("&"))
}

fn mask_parameter(parameter: &str) -> String {
    let name = parameter.split('=').next().unwrap_or_default();
    let secret = ["pass", "secret", "token", "key"].iter().any(|word| name.to_ascii_lowercase().contains(word));
    if secret { format!("{name}={HIDDEN}") } else { parameter.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn passwords_are_masked_and_the_rest_stays_readable() {
        for (text, shown) in [
            (
                "postgres://gate:s3cret@db:5432/gatepost?sslmode=require",
                "postgres://gate:[hidden]@db:5432/gatepost?sslmode=require",
            ),
            ("redis://:s3cret@h", "redis://:[hidden]@h"),
            ("postgres://gate@db/x", "postgres://gate@db/x"),
            ("postgres://u:s3/cr@et@db/x", "postgres://u:[hidden]@db/x"),
            ("postgres:///x?host=/run&password=s3cret", "postgres:///x?host=/run&password=[hidden]"),
            ("postgres://u:s3cret?x@db/x", "postgres://u:[hidden]@db/x"),
            ("sqlite:data/x.db", "sqlite:data/x.db"),
        ] {
            assert_eq!(mask(text), shown);
        }
    }

    proptest! {
        #[test]
        fn no_password_survives(password in "[!-~]{1,20}") {
            // In front of and behind the password, so that a short one is not found by chance.
            let text = format!("smtp://user:<<{password}>>@host:25/?tls=none");
            let shown = mask(&text);
            prop_assert!(!shown.contains("<<") && !shown.contains(">>"), "{}", shown);
        }
    }
}
