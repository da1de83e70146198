//! Moments, spans and devices in words, in every language.

use chrono::{Datelike, Timelike};

use crate::domain::{Instant, Language};

/// Such as `21 November 2026, 13:30 UTC`.
pub(super) fn moment(language: Language, at: Instant) -> String {
    let (year, day) = (at.year(), at.day());
    let month = month(language, at.month0());
    let time = format!("{:02}:{:02}", at.hour(), at.minute());
    match language {
        Language::English => format!("{day} {month} {year}, {time} UTC"),
        Language::German => format!("{day}. {month} {year}, {time} Uhr (UTC)"),
        Language::French if day == 1 => format!("1er {month} {year} à {time} UTC"),
        Language::French => format!("{day} {month} {year} à {time} UTC"),
        Language::Spanish | Language::Portuguese => format!("{day} de {month} de {year}, {time} UTC"),
        Language::Japanese => format!("{year}年{month}{day}日 {time} UTC"),
        Language::Arabic => format!("{day} {month} {year}، {time} UTC"),
    }
}

fn month(language: Language, index: u32) -> &'static str {
    let months = match language {
        Language::English => "January February March April May June July August September October November December",
        Language::German => "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        Language::French => "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        Language::Spanish => "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        Language::Portuguese => {
            "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro"
        }
        Language::Japanese => "1月 2月 3月 4月 5月 6月 7月 8月 9月 10月 11月 12月",
        Language::Arabic => "يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر",
    };
    usize::try_from(index).ok().and_then(|index| months.split(' ').nth(index)).unwrap_or_default()
}

/// The minutes between two moments, to the nearest and at least one.
pub(super) fn whole_minutes(from: Instant, to: Instant) -> i64 {
    (((to - from).num_seconds() + 30) / 60).max(1)
}

/// `text` on one line, without anything that could end a header's line.
pub(in crate::mail) fn one_line(text: &str) -> String {
    let parts = text.split(|character: char| character.is_whitespace() || character.is_control());
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_subject_is_one_line_whatever_is_in_it() {
        assert_eq!(one_line(" a\r\nBcc: x@y.zz\t\u{2028}b\0c\u{85} "), "a Bcc: x@y.zz b c");
        assert_eq!(one_line("\r\n"), "");
    }

    #[test]
    fn moments_are_told_in_every_language() {
        let at: Instant = "2026-11-01T03:05:59Z".parse().unwrap();
        let told = Language::ALL.iter().map(|&language| moment(language, at)).collect::<Vec<_>>();
        assert_eq!(
            told,
            [
                "1 November 2026, 03:05 UTC",
                "1. November 2026, 03:05 Uhr (UTC)",
                "1er novembre 2026 à 03:05 UTC",
                "1 de noviembre de 2026, 03:05 UTC",
                "1 de novembro de 2026, 03:05 UTC",
                "2026年11月1日 03:05 UTC",
                "1 نوفمبر 2026، 03:05 UTC",
            ]
        );
        for &language in Language::ALL {
            let names: std::collections::BTreeSet<_> = (0..12).map(|index| month(language, index)).collect();
            assert!(names.len() == 12 && !names.contains(""), "{language}");
        }
    }

    #[test]
    fn spans_are_told_in_minutes() {
        let at: Instant = "2026-11-01T03:05:59Z".parse().unwrap();
        for (seconds, minutes) in [(600, 10), (599, 10), (569, 9), (31, 1), (0, 1), (-60, 1)] {
            assert_eq!(whole_minutes(at, at + TimeDelta::seconds(seconds)), minutes, "{seconds}");
        }
    }
}
