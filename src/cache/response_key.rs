//! What ready answers are about, and what they are kept under.

use crate::domain::Digest;
use crate::redis::keys;

/// What answers are about. All answers of a resource are invalidated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The directory of accounts.
    Users,
    /// The figures that admins see.
    Stats,
}

impl Resource {
    /// Every resource, in the order of declaration.
    pub const ALL: [Self; 2] = [Self::Users, Self::Stats];

    /// Its name in keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Stats => "stats",
        }
    }

    /// The resource with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.name() == name)
    }

    /// Whether an answer of this resource may have a key that begins with `prefix`.
    pub(super) fn has(self, prefix: &str) -> bool {
        let name = self.name();
        name.starts_with(prefix) || prefix.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'))
    }
}

/// What an answer is kept under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseKey {
    pub(super) resource: Resource,
    pub(super) text: String,
}

impl ResponseKey {
    /// The key of what `operation` answers to `viewer` for these `parameters`, which are put down in the given order.
    /// `viewer` names those who get the same answer: one person, or all of one role. Long parameters are represented
    /// by their digest.
    pub fn new(resource: Resource, operation: &str, parameters: &[(&str, &str)], viewer: &str) -> Self {
        const LONG: usize = 160;
        let mut text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        if text.len() > LONG {
            text = Digest::of(text.as_bytes()).hex();
        }
        Self { resource, text: keys::response(resource.name(), operation, &text, viewer) }
    }

    /// `{resource}:{operation}:{parameters}:{viewer}`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_parameters_apart_and_are_never_long() {
        let key = |parameters: &[(&str, &str)]| ResponseKey::new(Resource::Users, "list", parameters, "admin").text;
        assert_eq!(key(&[("limit", "50"), ("search", "a b:c")]), "users:list:limit=50&search=a+b%3Ac:admin");
        assert_ne!(key(&[("search", "a&limit=1")]), key(&[("search", "a"), ("limit", "1")]));
        let long = [key(&[("search", &"ä".repeat(200))]), key(&[("search", &"ö".repeat(200))])];
        assert!(long.iter().all(|key| key.len() < 100) && long.first() != long.last());
    }

    #[test]
    fn a_prefix_reaches_the_resources_whose_keys_may_begin_so() {
        let reached = |prefix: &str| Resource::ALL.map(|resource| resource.has(prefix));
        assert_eq!(reached(""), [true, true]);
        for prefix in ["u", "users", "users:", "users:list:limit=50"] {
            assert_eq!(reached(prefix), [true, false], "{prefix}");
        }
        for prefix in ["user:", "user:id:x", "userslist", "session:", "xstats"] {
            assert_eq!(reached(prefix), [false, false], "{prefix}");
        }
    }
}
