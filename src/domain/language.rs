//! The languages that people can ask for.

use super::user::text_enum;

text_enum! {
    /// A language that a profile or a request can name.
    Language {
        /// English.
        English = "en",
        /// German.
        German = "de",
        /// French.
        French = "fr",
        /// Spanish.
        Spanish = "es",
        /// Portuguese.
        Portuguese = "pt",
        /// Japanese.
        Japanese = "ja",
        /// Arabic, written from right to left.
        Arabic = "ar",
    }
}

impl Language {
    /// Whether it is written from right to left.
    pub fn is_rtl(self) -> bool {
        self == Self::Arabic
    }

    /// The language of a tag such as `pt-BR` (RFC 5646); `None` when Gatepost does not speak it.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.trim().split(['-', '_']).next()?.to_ascii_lowercase();
        primary.parse().ok()
    }

    /// The best language of an `Accept-Language` header (RFC 9110, 12.5.4); English when none fits.
    pub fn negotiate(header: &str) -> Self {
        let mut best = (Self::English, 0.0_f32);
        for entry in header.split(',').take(20) {
            let mut parts = entry.split(';');
            let language = parts.next().and_then(Self::from_tag);
            let quality =
                parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
            if let Some(language) = language
                && quality > best.1
            {
                best = (language, quality);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_known_language_wins() {
        assert_eq!(Language::negotiate("de-AT,de;q=0.9,en;q=0.8"), Language::German);
        assert_eq!(Language::negotiate("xx, fr;q=0.3, pt-BR;q=0.7"), Language::Portuguese);
        for header in ["", "*", "xx", "de;q=0", ";;;,,,q=", "de;q=NaN"] {
            assert_eq!(Language::negotiate(header), Language::English, "{header:?}");
        }
    }
}
