//! The small languages that values are written in: durations, sizes, lists, switches, policies.
//!
//! Every parser gives, on failure, a reason that completes the sentence "the setting …".

use std::fmt;
use std::time::Duration;

use super::mask::mask;

const UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// Reads `90s`, `5m`, `100ms`, or a plain number of seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || "must be a whole number with a unit of ms, s, m, h, d or w, such as 90s; without one, seconds".to_owned();
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()));
    let unit = if unit.is_empty() { "s" } else { unit.trim_start() };
    let (_, milliseconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    let total = count.checked_mul(*milliseconds).ok_or("is too long")?;
    Ok(Duration::from_millis(total))
}

/// `duration` in its largest whole unit up to days, as [`duration`](fn@duration) reads it.
pub(super) fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let unit = UNITS.iter().rev().find(|(name, size)| {
        *name != "w" && milliseconds >= u128::from(*size) && milliseconds.is_multiple_of(u128::from(*size))
    });
    let (name, size) = unit.copied().unwrap_or(("s", 1_000));
    format!("{}{name}", milliseconds / u128::from(size))
}

/// Reads a number of bytes, `64KiB` or `2MiB`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let (digits, unit) = match (text.strip_suffix("KiB"), text.strip_suffix("MiB")) {
        (Some(digits), _) => (digits, 1024),
        (_, Some(digits)) => (digits, 1024 * 1024),
        _ => (text, 1),
    };
    let count: Option<u64> = digits.trim().parse().ok();
    count
        .and_then(|count| count.checked_mul(unit))
        .ok_or_else(|| "must be a number of bytes, perhaps with KiB or MiB, such as 64KiB".to_owned())
}

/// Reads `on` or `off`, or the same in TOML's words.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err("must be on or off".to_owned()),
    }
}

/// The members of a comma list. Empty ones do not count.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|member| !member.is_empty())
}

/// Reads every member of a comma list; a wrong one is named in the reason.
pub(super) fn list_of<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    list(text).map(|member| parse(member).map_err(|reason| format!("{:?} {reason}", mask(member)))).collect()
}

/// How many requests pass in any window of a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Requests that pass.
    pub limit: u32,
    /// The length of the window that slides over them.
    pub window: Duration,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.limit, show_duration(self.window))
    }
}

/// Reads `5/300s`: up to a million requests in 1 s to 30 d.
pub(super) fn policy(text: &str) -> Result<Policy, String> {
    const DAY: Duration = Duration::from_hours(24);
    let (limit, window) =
        text.split_once('/').ok_or("must be a number of requests, a slash and a duration, such as 5/300s")?;
    let limit: u32 = limit
        .trim()
        .parse()
        .ok()
        .filter(|limit| (1..=1_000_000).contains(limit))
        .ok_or("must have 1 to 1000000 requests before the slash")?;
    let window = duration(window).map_err(|reason| format!("has a window after the slash that {reason}"))?;
    if (Duration::from_secs(1)..=30 * DAY).contains(&window) {
        Ok(Policy { limit, window })
    } else {
        Err("must have a window of 1s to 30d after the slash".to_owned())
    }
}

/// Undoes percent-encoding; `None` when that is not UTF-8. A percent sign that encodes nothing stays.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let digits = hex.filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if let Some(byte) = digits.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            out.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            out.push(first);
            rest = tail;
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        for (text, milliseconds) in [
            ("100ms", 100),
            ("90s", 90_000),
            ("90", 90_000),
            ("5m", 300_000),
            ("12h", 43_200_000),
            ("30d", 2_592_000_000),
            ("1w", 604_800_000),
            ("0", 0),
            (" 5 m ", 300_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text:?}");
        }
        for text in ["", "s", "-5s", "1.5h", "5 minutes", "5M", "1h30m", "+5", "٥s", "18446744073709551615d", "0x5"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn durations_are_shown_in_their_largest_unit() {
        for (text, shown) in
            [("600s", "10m"), ("90s", "90s"), ("24h", "1d"), ("1w", "7d"), ("1500ms", "1500ms"), ("0", "0s")]
        {
            assert_eq!(show_duration(duration(text).unwrap()), shown);
        }
    }

    #[test]
    fn sizes_switches_and_lists_are_read() {
        assert_eq!((bytes("100"), bytes("64KiB"), bytes("2 MiB")), (Ok(100), Ok(65_536), Ok(2_097_152)));
        for text in ["", "KiB", "64KB", "-1", "1.5MiB", "18446744073709551615KiB"] {
            assert!(bytes(text).is_err(), "{text:?}");
        }
        assert_eq!(
            (switch("on"), switch("OFF"), switch("true"), switch("false")),
            (Ok(true), Ok(false), Ok(true), Ok(false))
        );
        assert_eq!(switch("maybe"), Err("must be on or off".to_owned()));
        assert_eq!(list(" a, b,,c ,").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(list_of("1s,x", duration).unwrap_err().split(' ').next(), Some("\"x\""));
    }

    #[test]
    fn policies_are_read() {
        assert_eq!(policy("10/1d"), Ok(Policy { limit: 10, window: Duration::from_hours(24) }));
        assert_eq!(policy("30/5m").unwrap().to_string(), "30/5m");
        for text in ["", "5", "5/", "/5s", "0/5s", "5/0s", "-1/5s", "5/31d", "5/500ms", "1000001/1s", "5/1s/1s"] {
            assert!(policy(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn percent_encoding_is_undone() {
        assert_eq!(percent_decode("a%40b%2Cc").as_deref(), Some("a@b,c"));
        assert_eq!(percent_decode("50%off%").as_deref(), Some("50%off%"));
        assert_eq!(percent_decode("%+1%zz").as_deref(), Some("%+1%zz"));
        assert_eq!(percent_decode("%ff"), None);
    }

    proptest! {
        #[test]
        fn a_shown_duration_reads_back(milliseconds in 0_u64..=1_u64 << 50) {
            let given = Duration::from_millis(milliseconds);
            prop_assert_eq!(duration(&show_duration(given)), Ok(given));
        }

        #[test]
        fn a_shown_policy_reads_back(limit in 1_u32..=1_000_000, milliseconds in 1_000_u64..=2_592_000_000) {
            let given = Policy { limit, window: Duration::from_millis(milliseconds) };
            prop_assert_eq!(policy(&given.to_string()), Ok(given));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = (duration(&text), bytes(&text), policy(&text), switch(&text), percent_decode(&text));
        }

        #[test]
        fn what_was_encoded_is_decoded(text in "\\PC{0,20}") {
            let encoded = text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
            prop_assert_eq!(percent_decode(&encoded), Some(text));
        }
    }
}
