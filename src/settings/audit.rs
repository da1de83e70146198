//! How long the audit trail is kept.

use std::time::Duration;

use super::reader::{Read, Reader};

/// The audit trail's upkeep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Lines older than this are deleted. At least thirty days: the databases refuse to delete younger ones.
    pub keep: Duration,
}

impl Audit {
    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Self { keep: reader.duration("audit.keep", "30d", "3650d")? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn a_year_is_kept_and_never_less_than_thirty_days() {
        assert_eq!(load(&[]).audit.keep, Duration::from_hours(365 * 24));
        assert_eq!(load(&[("GATEPOST_AUDIT_KEEP", "30d")]).audit.keep, Duration::from_hours(30 * 24));
        let problem = &refused(&[("GATEPOST_AUDIT_KEEP", "29d")])[0];
        assert_eq!(
            (problem.key.as_str(), problem.reason.as_str()),
            ("audit.keep", "must be a duration from 30d to 3650d")
        );
    }
}
