//! What happens once a person has proved a mailbox or a password: the account is found or made, and what it may do
//! decides what the person gets.

use super::notices::{Fold, digest_from};
use super::password::ProvedPassword;
use super::{AccessToken, Auth, AuthError, locks};
use crate::domain::{
    Digest, EmailAddress, Instant, MailKind, Origin, RefreshToken, Role, SessionId, SessionToken, UserId, UserStatus,
    clock,
};
use crate::settings::Registration;
use crate::store::{self, AuditEntry, Challenge, NewMail, NewUser, Session, StoreError, User};

/// What a client wants to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// A session token in a cookie.
    #[default]
    Cookie,
    /// An access token and a refresh token.
    Token,
}

/// What a person who proved a mailbox gets.
#[derive(Debug)]
pub enum Admission {
    /// In.
    SignedIn(Box<SignedIn>),
    /// The account waits for an admin.
    Pending,
    /// The account was turned down or banned.
    Rejected,
}

/// A new session and what proves it.
#[derive(Debug)]
pub struct SignedIn {
    /// Who signed in.
    pub user: User,
    /// The session.
    pub session: Session,
    /// What the client holds from now on.
    pub credentials: Credentials,
    /// Where the person wanted to go.
    pub next: Option<String>,
}

/// What proves a session.
#[derive(Debug)]
pub enum Credentials {
    /// For a cookie.
    Session(SessionToken),
    /// For a client that keeps tokens.
    Tokens {
        /// A signed token (JWT) for the next quarter of an hour.
        access: AccessToken,
        /// Buys the next pair.
        refresh: RefreshToken,
    },
}

/// A session as it is about to be stored, with what proves it.
struct Draft {
    session: SessionId,
    credentials: DraftCredentials,
}

enum DraftCredentials {
    Session(SessionToken),
    Refresh(RefreshToken),
}

/// How a transaction of admission ended.
enum Standing {
    In(Box<(User, Session)>),
    Pending,
    Rejected,
}

impl Auth {
    /// Consumes `challenge` and admits its mailbox, in one transaction. `None` when somebody else was first.
    pub(super) async fn admit(
        &self,
        challenge: &Challenge,
        method: &str,
        refund: Option<&str>,
        mode: Mode,
        origin: &Origin,
    ) -> Result<Option<Admission>, AuthError> {
        // Two challenges of one new mailbox may be answered at once; the second then finds the account of the first.
        match self.try_admit(challenge, method, refund, mode, origin).await {
            Err(AuthError::Taken(_) | AuthError::Store(StoreError::Taken(_))) => {
                self.try_admit(challenge, method, refund, mode, origin).await
            }
            outcome => outcome,
        }
    }

    async fn try_admit(
        &self,
        challenge: &Challenge,
        method: &str,
        refund: Option<&str>,
        mode: Mode,
        origin: &Origin,
    ) -> Result<Option<Admission>, AuthError> {
        let now = self.0.clock.now();
        let draft = self.draft(mode);
        let newcomer = self.newcomer(challenge, origin);
        let mut mails: Vec<NewMail> = Vec::new();
        let (mut promoted, mut made_or_promoted) = (None, None);
        let may_become_admin = self.0.settings.first_person_is_admin;
        let configured_admin = self.is_configured_admin(&challenge.email);
        let standing = {
            let (mails, promoted, made_or_promoted) = (&mut mails, &mut promoted, &mut made_or_promoted);
            let draft = &draft;
            store::transaction!(&self.0.database, async |conn, q| {
                if q::challenges::consume(conn, challenge.id, now).await?.is_none() {
                    return Ok(None);
                }
                if let Some(budget) = refund {
                    q::guess_budgets::refund(conn, budget).await?;
                }
                // Before the account's row, as everywhere; and only while it may matter.
                let may_be_first = may_become_admin && q::users::admins(conn).await?.is_empty();
                if may_be_first {
                    q::dialect::lock(conn, locks::ADMINS).await?;
                }
                let known = q::users::by_email(conn, &challenge.email).await?;
                let is_new = known.is_none();
                let mut user = match (known, &newcomer) {
                    (Some(user), _) => {
                        q::dialect::lock_user(conn, user.id).await?;
                        q::users::by_id(conn, user.id).await?.unwrap_or(user)
                    }
                    (None, Some(newcomer)) => q::users::insert(conn, newcomer, now).await?,
                    (None, None) => return Ok(Some(Standing::Rejected)),
                };
                let promote = if configured_admin {
                    user.role != Role::Admin || user.status == UserStatus::Pending
                } else {
                    may_be_first && user.role != Role::Admin && q::users::admins(conn).await?.is_empty()
                };
                if promote && user.status != UserStatus::Banned {
                    let (status, role) = (UserStatus::Approved, Role::Admin);
                    user = q::users::set_standing(conn, user.id, status, role, now).await?.unwrap_or(user);
                    q::audit::insert(conn, &self.audit_entry("user.became_admin", None, Some(user.id), origin, ""))
                        .await?;
                    *promoted = Some(user.id);
                }
                if is_new || promoted.is_some() {
                    *made_or_promoted = Some(user.clone());
                }
                if is_new {
                    let entry = self.audit_entry("user.registered", Some(user.id), Some(user.id), origin, method);
                    q::audit::insert(conn, &entry).await?;
                    if user.status == UserStatus::Pending {
                        let admins = q::users::admins(conn).await?;
                        q::dialect::lock(conn, locks::NOTICES).await?;
                        for (admin, locale) in self.told_of_registrations(&admins) {
                            let fold = Fold::of_registrations(admin);
                            let waiting = q::folds::hold_waiting(conn, &fold.0, MailKind::RegistrationDigest).await?;
                            if let Some((id, content)) = waiting {
                                if let Some(content) = digest_from(&content, user.created_at)? {
                                    q::folds::set_content(conn, id, &content).await?;
                                }
                                continue;
                            }
                            let newest = q::folds::newest(conn, &fold.0).await?;
                            mails.push(self.registration_mail(&user, admin, locale, fold, newest, origin)?);
                        }
                    }
                }
                if user.status != UserStatus::Approved && !is_new {
                    q::audit::insert(conn, &self.sign_in_refused(user.id, user.status, method, origin)).await?;
                }
                let standing = match user.status {
                    UserStatus::Pending => Standing::Pending,
                    UserStatus::Rejected | UserStatus::Banned => Standing::Rejected,
                    UserStatus::Approved => {
                        let (any, same) = q::sessions::known_device(conn, user.id, origin.device.as_str()).await?;
                        if any && !same {
                            mails.push(self.new_device_notice(&user, origin)?);
                        }
                        let session = self.new_session(draft, user.id, method, origin, now);
                        q::sessions::insert(conn, &session).await?;
                        if let DraftCredentials::Refresh(token) = &draft.credentials {
                            q::refresh_tokens::insert(conn, token.digest(), session.id, now).await?;
                        }
                        q::audit::insert(conn, &self.session_started(&user, &session, origin)).await?;
                        let user = q::users::record_sign_in(conn, user.id, now).await?;
                        Standing::In(Box::new((user, session)))
                    }
                };
                for mail in mails.iter() {
                    q::outbox::insert(conn, mail).await?;
                }
                Ok::<_, StoreError>(Some(standing))
            })?
        };
        if let Some(user) = promoted {
            log::warn!(user:% = user; "{:?} signed in and is an admin from now on", challenge.email);
        }
        if let Some(user) = &made_or_promoted {
            self.0.cache.user_written(None, user).await;
        }
        self.0.outbox.enqueue(&mails).await;
        let Some(standing) = standing else { return Ok(None) };
        self.hand_over(standing, draft, challenge.next.clone()).await.map(Some)
    }

    /// Starts a session for an account whose password was right, and renews its hash where that is due. `None` when the
    /// password has been changed since.
    pub(super) async fn admit_known(
        &self,
        user: User,
        proved: &ProvedPassword,
        mode: Mode,
        origin: &Origin,
    ) -> Result<Option<Admission>, AuthError> {
        let now = self.0.clock.now();
        let draft = self.draft(mode);
        let session = self.new_session(&draft, user.id, "password", origin, now);
        let notice = self.new_device_notice(&user, origin)?;
        let outcome = store::transaction!(&self.0.database, async |conn, q| {
            q::guess_budgets::refund(conn, &proved.budget).await?;
            q::dialect::lock_user(conn, user.id).await?;
            if q::users::password_hash(conn, user.id).await?.as_ref() != Some(&proved.seen) {
                return Ok(None);
            }
            if let Some(renewed) = &proved.renewed {
                q::users::renew_password_hash(conn, user.id, &proved.seen, renewed).await?;
            }
            let status = q::users::by_id(conn, user.id).await?.map_or(UserStatus::Rejected, |user| user.status);
            if status != UserStatus::Approved {
                q::audit::insert(conn, &self.sign_in_refused(user.id, status, "password", origin)).await?;
            }
            match status {
                UserStatus::Pending => return Ok(Some((Standing::Pending, false))),
                UserStatus::Rejected | UserStatus::Banned => return Ok(Some((Standing::Rejected, false))),
                UserStatus::Approved => {}
            }
            let (any, same) = q::sessions::known_device(conn, user.id, origin.device.as_str()).await?;
            q::sessions::insert(conn, &session).await?;
            if let DraftCredentials::Refresh(token) = &draft.credentials {
                q::refresh_tokens::insert(conn, token.digest(), session.id, now).await?;
            }
            q::audit::insert(conn, &self.session_started(&user, &session, origin)).await?;
            if any && !same {
                q::outbox::insert(conn, &notice).await?;
            }
            let user = q::users::record_sign_in(conn, user.id, now).await?;
            Ok::<_, StoreError>(Some((Standing::In(Box::new((user, session.clone()))), any && !same)))
        })?;
        let Some((standing, is_new_device)) = outcome else { return Ok(None) };
        if is_new_device {
            self.0.outbox.enqueue(&[notice]).await;
        }
        self.hand_over(standing, draft, None).await.map(Some)
    }

    async fn hand_over(&self, standing: Standing, draft: Draft, next: Option<String>) -> Result<Admission, AuthError> {
        let (user, session) = match standing {
            Standing::Pending => return Ok(Admission::Pending),
            Standing::Rejected => return Ok(Admission::Rejected),
            Standing::In(parts) => *parts,
        };
        self.0.cache.user_signed_in(&user).await;
        let credentials = match draft.credentials {
            DraftCredentials::Session(token) => Credentials::Session(token),
            DraftCredentials::Refresh(refresh) => {
                Credentials::Tokens { access: self.issue_access_token(&user, &session)?, refresh }
            }
        };
        Ok(Admission::SignedIn(Box::new(SignedIn { user, session, credentials, next })))
    }

    fn draft(&self, mode: Mode) -> Draft {
        let credentials = match mode {
            Mode::Cookie => DraftCredentials::Session(SessionToken::generate(&self.0.entropy)),
            Mode::Token => DraftCredentials::Refresh(RefreshToken::generate(&self.0.entropy)),
        };
        Draft { session: SessionId::new(&self.0.clock, &self.0.entropy), credentials }
    }

    fn new_session(&self, draft: &Draft, user_id: UserId, method: &str, origin: &Origin, now: Instant) -> Session {
        let token_digest: Option<Digest> = match &draft.credentials {
            DraftCredentials::Session(token) => Some(token.digest()),
            DraftCredentials::Refresh(_) => None,
        };
        Session {
            id: draft.session,
            user_id,
            token_digest,
            method: method.to_owned(),
            address: origin.address_text(),
            device: origin.device.as_str().to_owned(),
            version: 1,
            created_at: now,
            updated_at: now,
            last_seen_at: now,
            expires_at: now + clock::span(self.0.sessions.absolute_lifetime),
            revoked_at: None,
        }
    }

    /// The account that an unknown mailbox gets; `None` when registration is closed to it.
    fn newcomer(&self, challenge: &Challenge, origin: &Origin) -> Option<NewUser> {
        let email = &challenge.email;
        let status = match &self.0.settings.registration {
            _ if self.is_configured_admin(email) => UserStatus::Approved,
            Registration::Open => UserStatus::Approved,
            Registration::Domains(domains) if domains.iter().any(|domain| domain == email.domain()) => {
                UserStatus::Approved
            }
            Registration::Approval | Registration::Domains(_) => UserStatus::Pending,
            Registration::Closed => return None,
        };
        Some(NewUser {
            id: UserId::new(&self.0.clock, &self.0.entropy),
            email: email.clone(),
            name: challenge.name.clone(),
            note: challenge.note.clone(),
            locale: challenge.locale,
            role: Role::User,
            status,
            address: origin.address_text(),
            device: origin.device.as_str().to_owned(),
        })
    }

    /// Whether the settings name this mailbox as an admin's.
    pub(super) fn is_configured_admin(&self, email: &EmailAddress) -> bool {
        self.0.settings.admins.iter().any(|admin| admin.key() == email.key())
    }

    fn session_started(&self, user: &User, session: &Session, origin: &Origin) -> AuditEntry {
        let detail = format!("session {} by {}", session.id, session.method);
        self.audit_entry("session.started", Some(user.id), Some(user.id), origin, detail)
    }
}
