//! Quoted-printable (RFC 2045, 6.7), written straight into the message.
//!
//! More is encoded than has to be, so that no line of a body can be mistaken on its way: a dot that begins a line (SMTP
//! ends a message with one), and the F of a line that begins with `From ` (mailboxes separate messages so, and programs
//! that escape it break signatures).

/// The longest line, without its end.
const LINE: usize = 76;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The longest line of a message (RFC 5322, 2.1.1), without its end.
const LONGEST: usize = 998;

/// Whether `text` can go as it is: printable ASCII, no line too long, none that could be mistaken, and no blank at the end of
/// one, which some servers cut off.
pub(super) fn is_plain(text: &str) -> bool {
    // Every byte is looked at, so that the compiler can look at many together.
    let is_printable = |plain, &byte| plain & matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    text.as_bytes().iter().fold(true, is_printable)
        && lines(text).all(|(line, _)| {
            line.len() <= LONGEST
                && !line.starts_with(b".")
                && !line.starts_with(b"From ")
                && !matches!(line.last(), Some(b' ' | b'\t'))
                && memchr::memchr(b'\r', line).is_none()
        })
}

/// Appends a text that [is plain](is_plain), with every line ended in CRLF.
pub(super) fn append_plain(message: &mut Vec<u8>, text: &str) {
    for (line, ended) in lines(text) {
        message.extend_from_slice(line);
        if ended {
            message.extend_from_slice(b"\r\n");
        }
    }
}

/// The lines of `text` without their ends, LF or CRLF, and whether they have one: the last one may not.
fn lines(text: &str) -> impl Iterator<Item = (&[u8], bool)> {
    let text = text.as_bytes();
    let mut begin = 0;
    let ends = memchr::memchr_iter(b'\n', text).map(Some).chain([None]);
    ends.map(move |end| {
        let line = &text[begin..end.unwrap_or(text.len())];
        begin = end.map_or(text.len(), |end| end + 1);
        let line = if end.is_some() { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
        (line, end.is_some())
    })
}

/// Appends `text` to `message`. Every line ends in CRLF, whatever it ended in before; a carriage return that is none of a
/// line's end is encoded. What is written is ASCII and has no other control characters.
pub(super) fn append(message: &mut Vec<u8>, text: &str) {
    for (line, ended) in lines(text) {
        append_line(message, line);
        if ended {
            message.extend_from_slice(b"\r\n");
        }
    }
}

fn append_line(message: &mut Vec<u8>, mut line: &[u8]) {
    let mut column = 0;
    while let Some(&byte) = line.first() {
        let plain = if column == 0 && (byte == b'.' || line.starts_with(b"From ")) { 0 } else { plain_bytes(line) };
        // What is not the end of the line needs room for the sign of a soft break behind it.
        let (taken, fits) = if plain > 0 {
            let fitting = if plain == line.len() && column + plain <= LINE { plain } else { LINE - 1 - column };
            message.extend_from_slice(&line[..plain.min(fitting)]);
            column += plain.min(fitting);
            (plain.min(fitting), plain <= fitting)
        } else if column + 3 <= LINE - usize::from(line.len() > 1) {
            message.extend_from_slice(&[b'=', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            column += 3;
            (1, true)
        } else {
            (0, false)
        };
        line = &line[taken..];
        if !fits {
            message.extend_from_slice(b"=\r\n");
            column = 0;
        }
    }
}

/// How many bytes at the beginning of `line` stand for themselves. A blank at its end does not: it would get lost.
fn plain_bytes(line: &[u8]) -> usize {
    let plain = line.iter().take_while(|&&byte| matches!(byte, b'\t' | b' '..=b'<' | b'>'..=b'~')).count();
    plain - usize::from(plain == line.len() && matches!(line.last(), Some(b' ' | b'\t')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quoted(text: &str) -> String {
        let mut message = Vec::new();
        append(&mut message, text);
        String::from_utf8(message).unwrap()
    }

    /// What a reader makes of it (RFC 2045, 6.7).
    fn unquoted(quoted: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let joined = quoted.replace("=\r\n", "");
        let mut rest = joined.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            if byte == b'=' {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
                rest = &after[2..];
            } else {
                bytes.push(byte);
                rest = after;
            }
        }
        bytes
    }

    #[test]
    fn lines_say_what_they_said() {
        for (text, expected) in [
            ("", ""),
            ("a = b\n", "a =3D b\r\n"),
            ("-- \r\nx\t", "--=20\r\nx=09"),
            ("a\rb\n\n", "a=0Db\r\n\r\n"),
            (".\n..\n a.b", "=2E\r\n=2E.\r\n a.b"),
            ("From here\nFromage", "=46rom here\r\nFromage"),
            ("grüße 日", "gr=C3=BC=C3=9Fe =E6=97=A5"),
            ("\0\u{7f}", "=00=7F"),
        ] {
            assert_eq!(quoted(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_line_is_broken_before_it_is_too_long() {
        assert_eq!(quoted(&"a".repeat(76)), "a".repeat(76));
        assert_eq!(quoted(&"a".repeat(77)), format!("{}=\r\naa", "a".repeat(75)));
        assert_eq!(quoted(&format!("{}ü", "a".repeat(73))), format!("{}=\r\n=C3=BC", "a".repeat(73)));
        assert_eq!(quoted(&format!("{}.b", "a".repeat(75))), format!("{}=\r\n=2Eb", "a".repeat(75)));
    }

    #[test]
    fn only_what_nobody_can_mistake_goes_as_it_is() {
        for text in ["", "a = b\n", "\r\n\tx\r\n", &"a".repeat(998)] {
            assert!(is_plain(text), "{text:?}");
            let mut message = Vec::new();
            append_plain(&mut message, text);
            assert_eq!(String::from_utf8(message).unwrap(), text.replace("\r\n", "\n").replace('\n', "\r\n"));
        }
        for text in ["ü", ".", "a\n.b", "From x", "a \n", "a\t", "a\rb", "a\r", "\0", &"a".repeat(999)] {
            assert!(!is_plain(text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_it_says_comes_back_and_no_line_is_dangerous(text in "([a-zA-Z .=\\r\\n\\t\0ü日]|From |\r\n\\.\r\n){0,200}") {
            let quoted = quoted(&text);
            let lines = text.replace("\r\n", "\n").replace('\n', "\r\n");
            prop_assert_eq!(unquoted(&quoted), lines.into_bytes());
            for line in quoted.split("\r\n") {
                prop_assert!(line.len() <= LINE && !line.contains(['\r', '\n']), "{:?}", line);
                prop_assert!(!line.starts_with('.') && !line.starts_with("From "), "{:?}", line);
                prop_assert!(!line.ends_with([' ', '\t']), "{:?}", line);
            }
        }
    }
}
