//! Lines for the audit trail.

use super::Auth;
use crate::domain::{AuditId, Origin, UserId};
use crate::store::AuditEntry;

impl Auth {
    /// A line that says that `actor` did `action` to `subject` from `origin`. `detail` must hold no secret.
    pub(super) fn audit_entry(
        &self,
        action: &str,
        actor: Option<UserId>,
        subject: Option<UserId>,
        origin: &Origin,
        detail: impl Into<String>,
    ) -> AuditEntry {
        AuditEntry {
            id: AuditId::new(&self.0.clock, &self.0.entropy),
            at: self.0.clock.now(),
            action: action.to_owned(),
            actor,
            subject,
            address: origin.address_text(),
            device: origin.device.as_str().to_owned(),
            detail: detail.into(),
        }
    }
}
