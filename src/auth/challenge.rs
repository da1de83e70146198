//! Asking for a code or link, and answering with it.

use std::time::Duration;

use super::failures::Failure;
use super::guesses::guesses;
use super::{Admission, Auth, AuthError, Mode};
use crate::domain::{
    ChallengeId, DeviceMarks, Digest, DisplayName, EmailAddress, FlowToken, Instant, KeyId, Language, LinkToken,
    MailContent, NextPath, Note, OneTimeCode, Origin, Requested, SignInForm, clock,
};
use crate::settings;
use crate::store::{self, Challenge, NewMail, StoreError};

/// What a person asks with.
#[derive(Debug)]
pub struct ChallengeRequest {
    /// The mailbox to be proved.
    pub email: EmailAddress,
    /// Where to go afterwards.
    pub next: Option<NextPath>,
    /// The language of the mail.
    pub locale: Language,
    /// The challenge whose mail should be sent again.
    pub resend_of: Option<ChallengeId>,
    /// The browser that asks.
    pub flow: Option<Digest>,
    /// Where the request came from.
    pub origin: Origin,
    /// What a registration says about the person.
    pub registration: Option<Registration>,
}

/// What a person says when registering.
#[derive(Clone, Debug, Default)]
pub struct Registration {
    /// What the person is called.
    pub name: DisplayName,
    /// What the person tells the admin.
    pub note: Note,
}

/// The answer to a request: the same for every kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuedChallenge {
    /// Names the challenge when answering.
    pub challenge_id: ChallengeId,
    /// How long it can be answered, from now.
    pub expires_in: Duration,
    /// After how long a client should offer to send the mail again.
    pub resend_in: Duration,
}

/// What the page behind a link shows before its button is pressed.
#[derive(Clone, Debug)]
pub struct LinkPreview {
    /// The mailbox that the link proves.
    pub email: EmailAddress,
    /// Whether this is the browser that asked.
    pub same_browser: bool,
    /// Who asked.
    pub requested: Requested,
}

/// How the counting of a guess ended.
enum Counted {
    /// The code may be compared; what was spent is given back if it is right.
    Yes { challenge: Box<Challenge>, budget: String },
    /// The challenge takes no guesses any more, or is not there. The mailbox is the one it was for.
    Closed { email: Option<EmailAddress> },
    /// The account's guesses are used up, or it is to pause.
    TooMany { email: EmailAddress, budget: String },
    /// The challenge's key is not, or not yet, in this instance's ring.
    KeyMissing,
}

impl Auth {
    /// Accepts a request for a code or link: commits a challenge together with its mail, then queues the mail.
    ///
    /// Every address takes the same path. Where registration is closed and the address unknown, the mail takes it too,
    /// up to the moment at which it would be handed to a mail server.
    pub async fn request_challenge(&self, request: &ChallengeRequest) -> Result<IssuedChallenge, AuthError> {
        let now = self.0.clock.now();
        let reused = self.challenge_to_resend(request, now).await?;
        let is_new = reused.is_none();
        let challenge = reused.unwrap_or_else(|| self.new_challenge(request, now));
        let deliver = self.gets_mail(&challenge.email).await?;
        let content = MailContent::SignIn {
            challenge_id: challenge.id,
            form: form(self.0.settings.methods),
            requested: Requested {
                device: request.origin.device.as_str().to_owned(),
                address: request.origin.address_text(),
                at: now,
            },
            deliver,
        };
        let mail = self
            .0
            .outbox
            .compose(&content, &challenge.email, request.locale, challenge.expires_at)
            .map_err(|error| AuthError::Internal(error.to_string()))?;
        self.accept(is_new.then_some(&challenge), &mail).await?;
        self.0.outbox.enqueue_beside(vec![mail]);
        Ok(IssuedChallenge {
            challenge_id: challenge.id,
            expires_in: (challenge.expires_at - now).to_std().unwrap_or_default(),
            resend_in: self.0.settings.resend_after,
        })
    }

    async fn accept(&self, challenge: Option<&Challenge>, mail: &NewMail) -> Result<(), StoreError> {
        store::update!(&self.0.database, dispatch::accept(challenge, mail))
    }

    fn new_challenge(&self, request: &ChallengeRequest, now: Instant) -> Challenge {
        let registration = request.registration.clone().unwrap_or_default();
        Challenge {
            id: ChallengeId::new(&self.0.clock, &self.0.entropy),
            key_id: self.0.keys.current_id().as_str().to_owned(),
            email: request.email.clone(),
            name: registration.name,
            note: registration.note,
            locale: request.locale,
            next: request.next.as_ref().map(|next| next.as_str().to_owned()),
            flow_digest: request.flow,
            address: request.origin.address_text(),
            device: request.origin.device.as_str().to_owned(),
            attempts: 0,
            created_at: now,
            expires_at: now + clock::span(self.0.settings.challenge_lifetime),
            consumed_at: None,
        }
    }

    /// The challenge that a resend names, if it is still open and for the same mailbox. Its guesses stay counted: a
    /// burnt one is mailed again as it is, for its link, and does not become guessable again.
    async fn challenge_to_resend(
        &self,
        request: &ChallengeRequest,
        now: Instant,
    ) -> Result<Option<Challenge>, AuthError> {
        let Some(id) = request.resend_of else { return Ok(None) };
        let found = store::read!(&self.0.database, challenges::by_id(id))?;
        Ok(found.filter(|challenge| {
            challenge.email.key() == request.email.key()
                && challenge.consumed_at.is_none()
                && challenge.expires_at > now
        }))
    }

    async fn gets_mail(&self, email: &EmailAddress) -> Result<bool, AuthError> {
        if self.0.settings.registration != settings::Registration::Closed && !self.0.screening.refuses(email) {
            return Ok(true);
        }
        let is_known = store::read!(&self.0.database, users::by_email(email))?.is_some();
        Ok(is_known || self.is_configured_admin(email))
    }

    /// Answers a challenge with a code. The guess is counted and committed, for the challenge and for whoever guesses
    /// (by the `marks` that the browser shows), before the codes are compared; a right answer gives the latter back.
    pub async fn verify_code(
        &self,
        id: ChallengeId,
        code: &OneTimeCode,
        marks: &DeviceMarks,
        mode: Mode,
        origin: &Origin,
    ) -> Result<Admission, AuthError> {
        if !self.0.settings.methods.takes_codes() {
            return Err(AuthError::MethodDisabled);
        }
        let (challenge, budget) = match self.count_guess(id, marks).await? {
            Counted::Yes { challenge, budget } => (challenge, budget),
            Counted::Closed { email } => {
                self.note_failure(Failure::StaleCode, email.as_ref(), origin);
                return Err(AuthError::InvalidCode);
            }
            Counted::TooMany { email, budget } => {
                self.note_failure(Failure::NoGuessLeft, Some(&email), origin);
                return Err(self.too_many_guesses(&budget).await?);
            }
            Counted::KeyMissing => return Err(AuthError::KeyMissing),
        };
        let key = KeyId::stored(challenge.key_id.clone());
        let right = self.0.keys.code(&key, challenge.id).is_some_and(|expected| expected.matches(code));
        if !right {
            log::info!(challenge:% = challenge.id, attempts = challenge.attempts; "a wrong code was entered");
            let allowed = guesses(self.0.settings.guesses_per_challenge);
            self.note_wrong_code(&challenge, allowed, origin);
            return Err(AuthError::InvalidCode);
        }
        self.admit(&challenge, "otp", Some(&budget), mode, origin).await?.ok_or(AuthError::InvalidCode)
    }

    /// Counts one guess against the challenge and the guesser's budget, and commits both. Where the code is not going to
    /// be looked at, the challenge gets its guess back.
    async fn count_guess(&self, id: ChallengeId, marks: &DeviceMarks) -> Result<Counted, AuthError> {
        let (now, rule) = (self.0.clock.now(), self.guess_rule());
        let per_challenge = guesses(self.0.settings.guesses_per_challenge);
        let counted = store::transaction!(&self.0.database, async |conn, q| {
            let Some(challenge) = q::challenges::count_guess(conn, id, per_challenge, now).await? else {
                let found = q::challenges::by_id(conn, id).await?;
                return Ok(Counted::Closed { email: found.map(|challenge| challenge.email) });
            };
            if !self.0.keys.has(&KeyId::stored(challenge.key_id.clone())) {
                q::challenges::uncount_guess(conn, id).await?;
                return Ok(Counted::KeyMissing);
            }
            let guesser = self.guesser(marks, &challenge.email);
            let budget = self.guess_budget("code", &challenge.email, &guesser);
            if !q::guess_budgets::spend(conn, &budget, &rule, now).await? {
                q::challenges::uncount_guess(conn, id).await?;
                return Ok(Counted::TooMany { email: challenge.email, budget });
            }
            Ok::<_, StoreError>(Counted::Yes { challenge: Box::new(challenge), budget })
        })?;
        Ok(counted)
    }

    /// Answers a challenge with its link.
    pub async fn verify_link(&self, token: &LinkToken, mode: Mode, origin: &Origin) -> Result<Admission, AuthError> {
        if !self.0.settings.methods.magic_link {
            return Err(AuthError::MethodDisabled);
        }
        let found = store::read!(&self.0.database, challenges::by_id(token.challenge()))?;
        let mailbox = found.as_ref().map(|challenge| challenge.email.clone());
        let challenge = self.noted(self.opened(found, token), mailbox.as_ref(), origin)?;
        self.admit(&challenge, "magic_link", None, mode, origin).await?.ok_or(AuthError::InvalidLink)
    }

    /// What a link is about, without answering its challenge. `flow` is the browser's flow token.
    pub async fn preview_link(&self, token: &LinkToken, flow: Option<&FlowToken>) -> Result<LinkPreview, AuthError> {
        if !self.0.settings.methods.magic_link {
            return Err(AuthError::MethodDisabled);
        }
        let found = store::read!(&self.0.database, challenges::by_id(token.challenge()))?;
        let challenge = self.opened(found, token)?;
        Ok(LinkPreview {
            same_browser: asked_by(&challenge, flow),
            requested: Requested { device: challenge.device, address: challenge.address, at: challenge.created_at },
            email: challenge.email,
        })
    }

    /// The mailbox of a challenge, for the browser that asked for it and no other.
    pub async fn challenged_mailbox(
        &self,
        id: ChallengeId,
        flow: Option<&FlowToken>,
    ) -> Result<Option<EmailAddress>, AuthError> {
        let found = store::read!(&self.0.database, challenges::by_id(id))?;
        Ok(found.filter(|challenge| asked_by(challenge, flow)).map(|challenge| challenge.email))
    }

    /// Whether a challenge can no longer be answered with a code: it is over, or out of guesses.
    pub async fn is_burnt(&self, id: ChallengeId) -> Result<bool, AuthError> {
        let (now, allowed) = (self.0.clock.now(), guesses(self.0.settings.guesses_per_challenge));
        let found = store::read!(&self.0.database, challenges::by_id(id))?;
        Ok(found.is_none_or(|challenge| {
            challenge.attempts >= allowed || challenge.consumed_at.is_some() || challenge.expires_at <= now
        }))
    }

    /// The open challenge behind a link whose MAC is right.
    fn opened(&self, found: Option<Challenge>, token: &LinkToken) -> Result<Challenge, AuthError> {
        let challenge = found.ok_or(AuthError::InvalidLink)?;
        let key = KeyId::stored(challenge.key_id.clone());
        if !self.0.keys.has(&key) {
            return Err(AuthError::KeyMissing);
        }
        let right = self.0.keys.link(&key, challenge.id).is_some_and(|expected| expected.matches(token));
        let open = challenge.consumed_at.is_none() && challenge.expires_at > self.0.clock.now();
        if right && open { Ok(challenge) } else { Err(AuthError::InvalidLink) }
    }
}

fn asked_by(challenge: &Challenge, flow: Option<&FlowToken>) -> bool {
    match (&challenge.flow_digest, flow) {
        (Some(digest), Some(flow)) => digest.matches(&flow.digest()),
        _ => false,
    }
}

/// What a sign-in mail carries: what can be answered with.
fn form(methods: settings::LoginMethods) -> SignInForm {
    match (methods.takes_codes(), methods.magic_link) {
        (true, true) => SignInForm::CodeAndLink,
        (false, true) => SignInForm::MagicLink,
        (_, false) => SignInForm::Code,
    }
}
