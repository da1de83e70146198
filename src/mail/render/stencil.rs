//! Sign-in mails put together from pieces instead of rendered.
//!
//! Sign-in mails of one [`Shape`] differ in seven values only, and most of what a mail costs beside the network is
//! rendering. So one of each shape is rendered with marks in the places of the values, and cut at the marks; that is its
//! *stencil*, which every further mail fills with its own values. The built-in templates only show these values and decide
//! nothing by them, so the outcome is the same to the byte, which the tests compare.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Rendered, one_line};
use crate::domain::{Language, SignInForm};
use crate::templates::{escape_html, without_marks};

/// Stencils that are kept. There are as many shapes as forms, languages and minutes of a code's life.
const MOST: usize = 256;

/// What sign-in mails have in common that have a stencil in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) form: SignInForm,
    pub(super) language: Language,
    /// How long the code and the link work. A language may choose its words by it.
    pub(super) minutes: i64,
}

/// The values in which sign-in mails of one shape differ; empty where the form has none.
#[derive(Clone, Copy)]
pub(super) struct Particulars<'a> {
    pub(super) recipient: &'a str,
    pub(super) code: &'a str,
    pub(super) code_spaced: &'a str,
    pub(super) link: &'a str,
    pub(super) device: &'a str,
    pub(super) address: &'a str,
    pub(super) time: &'a str,
}

/// The first of the marks, which are characters for private use: no text of ours has them.
const FIRST_MARK: u32 = 0xE000;
const MARKS: Particulars<'_> = Particulars {
    recipient: "\u{E000}",
    code: "\u{E001}",
    code_spaced: "\u{E002}",
    link: "\u{E003}",
    device: "\u{E004}",
    address: "\u{E005}",
    time: "\u{E006}",
};

impl<'a> Particulars<'a> {
    /// In the order of the marks.
    fn in_order(&self) -> [&'a str; 7] {
        let Self { recipient, code, code_spaced, link, device, address, time } = *self;
        [recipient, code, code_spaced, link, device, address, time]
    }

    /// Whether all go into a text as they are: in some places a value loses marks of direction, line ends, or blanks that are
    /// too many.
    pub(super) fn fit_a_stencil(&self) -> bool {
        self.in_order().iter().all(|value| is_plain(value) || one_line(&without_marks(value)) == *value)
    }
}

/// Whether `value` is made of visible ASCII characters and single blanks between them, as almost every value is.
fn is_plain(value: &str) -> bool {
    let is_visible = |byte: u8| byte.is_ascii_graphic();
    let mut after_visible = false;
    let fits = value.bytes().all(|byte| {
        let fits = is_visible(byte) || (byte == b' ' && after_visible);
        after_visible = is_visible(byte);
        fits
    });
    fits && (after_visible || value.is_empty())
}

/// The stencils that have been cut.
#[derive(Default)]
pub(super) struct Stencils(Mutex<HashMap<Shape, Arc<Stencil>>>);

impl Stencils {
    /// The stencil of `shape`, cut from what `render` makes of the marks if there is none yet.
    pub(super) fn get_or_cut<E>(
        &self,
        shape: Shape,
        render: impl FnOnce(&Particulars<'_>) -> Result<Rendered, E>,
    ) -> Result<Arc<Stencil>, E> {
        // Nothing panics while it holds the lock.
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stencil) = lock().get(&shape) {
            return Ok(Arc::clone(stencil));
        }
        let stencil = Arc::new(Stencil::cut(&render(&MARKS)?));
        let mut stencils = lock();
        if stencils.len() >= MOST {
            stencils.clear();
        }
        stencils.insert(shape, Arc::clone(&stencil));
        Ok(stencil)
    }
}

/// A sign-in mail with open places for its values.
pub(super) struct Stencil {
    subject: Cut,
    text: Cut,
    html: Cut,
}

impl Stencil {
    fn cut(marked: &Rendered) -> Self {
        let Rendered { subject, text, html, .. } = marked;
        Self { subject: Cut::at_marks(subject), text: Cut::at_marks(text), html: Cut::at_marks(html) }
    }

    /// Puts the values into their places.
    pub(super) fn fill(&self, rendered: &mut Rendered, particulars: &Particulars<'_>) {
        let values = particulars.in_order();
        rendered.subject = one_line(&self.subject.fill(&values));
        rendered.text = self.text.fill(&values);
        rendered.html = self.html.fill(&values.map(escape_html).each_ref().map(Cow::as_ref));
    }
}

/// A text, and the values that belong into it: at which byte, and which.
struct Cut {
    fixed: String,
    places: Vec<(usize, usize)>,
}

impl Cut {
    fn at_marks(marked: &str) -> Self {
        let (mut fixed, mut places) = (String::with_capacity(marked.len()), Vec::new());
        for character in marked.chars() {
            let value = u32::from(character).checked_sub(FIRST_MARK).and_then(|value| usize::try_from(value).ok());
            match value.filter(|value| *value < MARKS.in_order().len()) {
                Some(value) => places.push((fixed.len(), value)),
                None => fixed.push(character),
            }
        }
        Self { fixed, places }
    }

    fn fill(&self, values: &[&str; 7]) -> String {
        let length = self.places.iter().map(|(_, value)| values[*value].len()).sum::<usize>();
        let mut filled = String::with_capacity(self.fixed.len() + length);
        let mut from = 0;
        for &(at, value) in &self.places {
            filled.push_str(&self.fixed[from..at]);
            filled.push_str(values[value]);
            from = at;
        }
        filled.push_str(&self.fixed[from..]);
        filled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::KeyRing;
    use crate::mail::Renderer;
    use crate::templates::Templates;

    static RENDERER: LazyLock<Renderer> = LazyLock::new(|| {
        let keys = KeyRing::new(b"a secret of thirty-two bytes or more", &[]).unwrap();
        let url = url::Url::parse("https://auth.example.org/").unwrap();
        Renderer::new(Templates::load(None).unwrap(), "Smith & <Sons>", &url, Arc::new(keys)).unwrap()
    });

    fn rendered(shape: Shape, particulars: &Particulars<'_>) -> Rendered {
        let mut rendered = Rendered::default();
        RENDERER.sign_in_in_full(&mut rendered, shape, particulars).unwrap();
        rendered
    }

    proptest! {
        #[test]
        fn a_filled_stencil_is_what_rendering_makes_of_the_values(
            form in prop::sample::select(vec![SignInForm::Code, SignInForm::MagicLink, SignInForm::CodeAndLink]),
            language in prop::sample::select(Language::ALL.to_vec()),
            minutes in 1_i64..120,
            // A form shows its values only where they are not empty, and they never are.
            values in prop::array::uniform7("[a-zA-Z0-9 <>&\"'=@.:{}%ü日\u{E001}]{1,30}"),
        ) {
            // Those that do not fit are rendered.
            let values = values.map(|value| format!("{}.", one_line(&value)));
            let [recipient, code, code_spaced, link, device, address, time] = values.each_ref().map(String::as_str);
            let particulars = Particulars { recipient, code, code_spaced, link, device, address, time };
            let shape = Shape { form, language, minutes };
            prop_assert!(particulars.fit_a_stencil());
            let full = rendered(shape, &particulars);
            let stencil = Stencil::cut(&rendered(shape, &MARKS));
            let mut filled = Rendered::default();
            stencil.fill(&mut filled, &particulars);
            prop_assert_eq!(full.subject, filled.subject);
            prop_assert_eq!(full.text, filled.text);
            prop_assert_eq!(full.html, filled.html);
        }
    }

    #[test]
    fn a_stencil_is_cut_once_for_each_shape() {
        let stencils = Stencils::default();
        let mut cuts = 0;
        let mut get = |minutes| {
            let shape = Shape { form: SignInForm::Code, language: Language::German, minutes };
            let cut = |marks: &Particulars<'_>| {
                cuts += 1;
                Ok::<_, std::convert::Infallible>(rendered(shape, marks))
            };
            stencils.get_or_cut(shape, cut).unwrap();
            cuts
        };
        assert_eq!((get(10), get(10), get(9), get(10)), (1, 1, 2, 2));
    }

    #[test]
    fn a_value_that_some_places_would_change_fits_no_stencil() {
        assert!(MARKS.fit_a_stencil());
        for device in ["", "a b", "ü b", "<&>"] {
            assert!(Particulars { device, ..MARKS }.fit_a_stencil(), "{device:?}");
        }
        for device in ["\u{2068}x", "a  b", " a", "a ", "ü ", "a\nb", "a\u{2028}b"] {
            assert!(!Particulars { device, ..MARKS }.fit_a_stencil(), "{device:?}");
        }
    }
}
