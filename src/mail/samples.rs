//! An example of each kind of mail: for previews, and to try an operator's texts with.

use chrono::TimeDelta;
use uuid::Uuid;

use super::facts::Facts;
use crate::domain::{
    ChallengeId, DisplayName, EmailAddress, EmailAddressError, Instant, InvalidText, KeyId, Language, MailContent,
    MailId, MailKind, MailStatus, Note, Requested, Role, SecurityEvent, SignInForm, UserId, UserStatus,
};
use crate::store::{Challenge, Mail, User};

/// Why there is no example: a defect of this file.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// An address.
    #[error(transparent)]
    Address(#[from] EmailAddressError),
    /// A name.
    #[error(transparent)]
    Name(#[from] InvalidText),
    /// A content.
    #[error(transparent)]
    Content(#[from] serde_json::Error),
}

const APPLICANTS: [(&str, &str); 2] = [("grace@example.net", "Grace Hopper"), ("alan@example.net", "")];

/// A moment, the same in every example.
fn at() -> Instant {
    Instant::UNIX_EPOCH + TimeDelta::days(20_778) + TimeDelta::minutes(13 * 60 + 30)
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0193_4f00_0000_7000_8000_0000_0000_0000 + number)
}

fn requested() -> Requested {
    Requested { device: "Firefox on Linux".to_owned(), address: "192.0.2.7".to_owned(), at: at() }
}

/// The contents that show all of a kind's texts: the fullest first, then those with parts left out.
pub fn of(kind: MailKind) -> Vec<MailContent> {
    let (ada, welcome) =
        (|| "Ada Lovelace".to_owned(), || "We are on the second floor.\nCome and say hello!".to_owned());
    let sign_in = |form| {
        let challenge_id = ChallengeId(id(1));
        vec![MailContent::SignIn { challenge_id, form, requested: requested(), deliver: true }]
    };
    let registration = |name, note| MailContent::RegistrationNotice {
        user_id: UserId(id(2)),
        email: "ada@example.net".to_owned(),
        name,
        note,
        requested: requested(),
    };
    match kind {
        MailKind::Code => sign_in(SignInForm::Code),
        MailKind::MagicLink => sign_in(SignInForm::MagicLink),
        MailKind::CodeAndLink => sign_in(SignInForm::CodeAndLink),
        MailKind::RegistrationNotice => {
            let note = "I work in the library.\nMay I come in?".to_owned();
            vec![registration(ada(), note), registration(String::new(), String::new())]
        }
        MailKind::RegistrationDigest => vec![MailContent::RegistrationDigest { since: at() }],
        MailKind::AccountApproved => [(ada(), welcome()), Default::default()]
            .map(|(name, note)| MailContent::AccountApproved { name, note })
            .to_vec(),
        MailKind::AccountRejected => [(ada(), "Please use your work address.".to_owned()), Default::default()]
            .map(|(name, note)| MailContent::AccountRejected { name, note })
            .to_vec(),
        MailKind::NewDevice => vec![MailContent::NewDevice { requested: requested() }],
        MailKind::AddressChanged => vec![MailContent::AddressChanged {
            new_address_masked: "a***@example.org".to_owned(),
            requested: requested(),
        }],
        MailKind::Invitation => [("Grace Hopper".to_owned(), ada()), Default::default()]
            .map(|(inviter, name)| MailContent::Invitation { inviter, name })
            .to_vec(),
        MailKind::SecurityNotice => SecurityEvent::ALL
            .iter()
            .map(|&event| MailContent::SecurityNotice { event, requested: requested() })
            .collect(),
    }
}

/// The facts that an example needs; its code and link are derived with the key `key`.
pub fn facts(content: &MailContent, key: &KeyId) -> Result<Facts, SampleError> {
    Ok(match content {
        MailContent::SignIn { challenge_id, .. } => Facts::Challenge(Box::new(challenge(*challenge_id, key)?)),
        MailContent::RegistrationDigest { .. } => {
            let newest = APPLICANTS.iter().zip(3..).map(|(applicant, number)| user(id(number), *applicant));
            Facts::Applicants { newest: newest.collect::<Result<_, _>>()?, total: 5 }
        }
        _ => Facts::None,
    })
}

/// The row of an example in a language.
pub fn row(content: &MailContent, language: Language) -> Result<Mail, SampleError> {
    let id = MailId(id(9));
    Ok(Mail {
        id,
        kind: content.kind().to_string(),
        recipient: "ada@example.net".to_owned(),
        locale: language.to_string(),
        content: serde_json::to_string(content)?,
        challenge_id: content.challenge_id(),
        priority: content.priority().number(),
        status: MailStatus::Sending,
        attempts: 1,
        fence: 1,
        message_id: format!("{id}@example.com"),
        created_at: at(),
        next_attempt_at: at(),
        queued_until: at(),
        lease_until: None,
        expires_at: at() + TimeDelta::minutes(10),
        finished_at: None,
        last_error: None,
        fold: None,
    })
}

fn challenge(id: ChallengeId, key: &KeyId) -> Result<Challenge, SampleError> {
    let Requested { device, address, at } = requested();
    Ok(Challenge {
        id,
        key_id: key.as_str().to_owned(),
        email: EmailAddress::parse("ada@example.net")?,
        name: DisplayName::default(),
        note: Note::default(),
        locale: Language::English,
        next: None,
        flow_digest: None,
        address,
        device,
        attempts: 0,
        created_at: at,
        expires_at: at + TimeDelta::minutes(10),
        consumed_at: None,
    })
}

fn user(id: Uuid, (email, name): (&str, &str)) -> Result<User, SampleError> {
    let Requested { device, address, at } = requested();
    Ok(User {
        id: UserId(id),
        email: EmailAddress::parse(email)?,
        name: if name.is_empty() { DisplayName::default() } else { DisplayName::parse(name)? },
        username: None,
        phone: None,
        avatar_url: None,
        locale: Language::English,
        role: Role::User,
        status: UserStatus::Pending,
        note: Note::default(),
        address,
        device,
        version: 1,
        created_at: at,
        updated_at: at,
        last_sign_in_at: None,
    })
}
