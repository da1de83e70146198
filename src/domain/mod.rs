//! The words of the product: values that can only be made valid, and the clock, randomness and keys they are made
//! with. Nothing here does I/O; everything above builds on it.

pub mod clock;
pub mod code;
pub mod device;
pub mod device_mark;
pub mod email;
pub mod entropy;
pub mod guesses;
pub mod ids;
pub mod keyring;
pub mod language;
pub mod mail;
pub mod next;
pub mod profile;
pub mod redacted;
pub mod tokens;
pub mod user;

pub use clock::{Clock, Instant};
pub use code::OneTimeCode;
pub use device::{Device, Origin};
pub use device_mark::{DeviceId, DeviceMark, DeviceMarks};
pub use email::{EmailAddress, EmailAddressError};
pub use entropy::Entropy;
pub use guesses::GuessRule;
pub use ids::{AuditId, ChallengeId, MailId, SessionId, UserId};
pub use keyring::{KeyId, KeyRing, KeyRole};
pub use language::Language;
pub use mail::{MailContent, MailKind, MailStatus, Priority, Requested, SecurityEvent, SignInForm, SuppressionReason};
pub use next::NextPath;
pub use profile::{DisplayName, InvalidText, Note, Phone, Username};
pub use redacted::Redacted;
pub use tokens::{Digest, Fingerprint, FlowToken, LinkToken, RefreshToken, SessionToken};
pub use user::{AdminAction, Role, UserStatus};
