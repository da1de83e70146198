//! The six digits that a person types.

use std::fmt;

use zeroize::Zeroize;

/// Six decimal digits. `Debug` hides them; only [`OneTimeCode::expose`] shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct OneTimeCode([u8; 6]);

impl OneTimeCode {
    /// The code for `number`, of which the last six decimal digits count.
    pub fn from_number(number: u32) -> Self {
        let mut digits = [b'0'; 6];
        let mut rest = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        Self(digits)
    }

    /// Reads what a person typed or pasted: six digits of any script, with spaces and dashes between them or around
    /// them. `None` for anything else.
    pub fn parse(typed: &str) -> Option<Self> {
        if typed.len() > 64 {
            return None;
        }
        let mut digits = [0; 6];
        let mut count = 0;
        for character in typed.chars() {
            if character.is_whitespace() || is_dash_or_invisible(character) {
                continue;
            }
            *digits.get_mut(count)? = b'0' + digit(character)?;
            count += 1;
        }
        (count == 6).then_some(Self(digits))
    }

    /// The digits, for the mail and for the comparison.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }

    /// The digits in two groups, easier to read: `123 456`.
    pub fn spaced(&self) -> String {
        let (left, right) = self.expose().split_at(3);
        format!("{left} {right}")
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// Decimal digits of the scripts that people's keyboards write: ASCII, full width, Arabic-Indic, Persian, Devanagari.
fn digit(character: char) -> Option<u8> {
    const ZEROES: [char; 5] = ['0', '\u{ff10}', '\u{660}', '\u{6f0}', '\u{966}'];
    ZEROES.iter().find_map(|&zero| {
        let distance = u32::from(character).checked_sub(u32::from(zero))?;
        u8::try_from(distance).ok().filter(|&value| value < 10)
    })
}

fn is_dash_or_invisible(character: char) -> bool {
    matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

impl Drop for OneTimeCode {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for OneTimeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeCode([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_code_is_read_as_people_paste_it() {
        for typed in ["012345", " 012 345 ", "012-345", "0 1 2 3 4 5", "\u{feff}012345\n", "０１２３４５", "٠١٢٣٤٥"]
        {
            assert_eq!(OneTimeCode::parse(typed).unwrap().expose(), "012345", "{typed:?}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for typed in ["", "12345", "1234567", "12345a", "12.345", "⁵⁵⁵⁵⁵⁵", &"1".repeat(1000)] {
            assert!(OneTimeCode::parse(typed).is_none(), "{typed:?}");
        }
    }

    #[test]
    fn debug_hides_the_digits() {
        assert!(!format!("{:?}", OneTimeCode::from_number(123_456)).contains("123"));
    }

    proptest! {
        #[test]
        fn every_number_survives_the_round_trip(number in 0_u32..1_000_000) {
            let code = OneTimeCode::from_number(number);
            prop_assert_eq!(code.expose(), format!("{number:06}"));
            prop_assert!(OneTimeCode::parse(&code.spaced()).unwrap().matches(&code));
        }

        #[test]
        fn no_input_panics(typed in ".*") {
            let _ = OneTimeCode::parse(&typed);
        }
    }
}
