//! What admins decide about accounts.

use super::{Auth, AuthError, locks};
use crate::domain::{
    AdminAction, DisplayName, EmailAddress, Language, MailContent, Note, Origin, Role, SecurityEvent, UserId,
    UserStatus,
};
use crate::store::{self, AuditEntry, NewMail, NewUser, Session, StoreError, User};

/// A page of accounts.
#[derive(Clone, Debug)]
pub struct UserPage {
    /// The accounts, newest first.
    pub users: Vec<User>,
    /// Names the next page; `None` on the last.
    pub next: Option<UserId>,
}

/// What a list of accounts shows.
#[derive(Clone, Debug, Default)]
pub struct UserQuery {
    /// Only those that stand so.
    pub status: Option<UserStatus>,
    /// Only those whose address, name or username contains this.
    pub search: Option<String>,
    /// Only those after this one.
    pub cursor: Option<UserId>,
    /// At most so many.
    pub limit: u16,
}

enum Decision {
    Done(Box<User>, Vec<Session>),
    NotFound,
    DoesNotApply,
    LastAdmin,
}

impl Auth {
    /// Carries out an admin's decision about an account: changes it, ends its sessions where it may no longer have
    /// any, and tells its owner. `actor` is `None` for an operator at the command line.
    pub async fn decide(
        &self,
        actor: Option<&User>,
        id: UserId,
        action: AdminAction,
        note: &Note,
        origin: &Origin,
    ) -> Result<User, AuthError> {
        let now = self.0.clock.now();
        let audit_action = format!("user.{}", action.as_str());
        let entry = self.audit_entry(&audit_action, actor.map(|actor| actor.id), Some(id), origin, note.as_str());
        let mut mails: Vec<NewMail> = Vec::new();
        let decision = {
            let mails = &mut mails;
            store::transaction!(&self.0.database, async |conn, q| {
                q::dialect::lock(conn, locks::ADMINS).await?;
                let Some(user) = q::users::by_id(conn, id).await? else { return Ok(Decision::NotFound) };
                if !action.applies_to(user.status, user.role) {
                    return Ok(Decision::DoesNotApply);
                }
                let loses_an_admin = user.role == Role::Admin
                    && user.status == UserStatus::Approved
                    && matches!(action, AdminAction::Ban | AdminAction::Demote);
                if loses_an_admin && q::users::admins(conn).await?.len() <= 1 {
                    return Ok(Decision::LastAdmin);
                }
                let status = action.status().unwrap_or(user.status);
                let role = action.role().unwrap_or(user.role);
                let Some(user) = q::users::set_standing(conn, id, status, role, now).await? else {
                    return Ok(Decision::NotFound);
                };
                let ended = if status == UserStatus::Approved {
                    Vec::new()
                } else {
                    q::sessions::revoke_all(conn, id, None, now).await?
                };
                q::audit::insert(conn, &entry).await?;
                if !ended.is_empty() {
                    q::audit::insert(conn, &self.all_ended(actor, id, ended.len(), origin)).await?;
                }
                if let Some(mail) = self.notice_of(action, &user, note, origin)? {
                    q::outbox::insert(conn, &mail).await?;
                    mails.push(mail);
                }
                Ok::<_, StoreError>(Decision::Done(Box::new(user), ended))
            })?
        };
        match decision {
            Decision::Done(user, ended) => {
                self.0.cache.user_written(None, &user).await;
                self.0.cache.forget_sessions(&ended).await;
                self.0.outbox.enqueue(&mails).await;
                Ok(*user)
            }
            Decision::NotFound => Err(AuthError::NotFound),
            Decision::DoesNotApply => Err(AuthError::Conflict("its status does not allow this")),
            Decision::LastAdmin => Err(AuthError::LastAdmin),
        }
    }

    /// Ends all sessions of an account and tells its owner; gives how many.
    pub async fn end_sessions_of(&self, actor: &User, id: UserId, origin: &Origin) -> Result<usize, AuthError> {
        let user = self.user(id).await?.ok_or(AuthError::NotFound)?;
        let notice = self.security_notice(&user, SecurityEvent::SessionsEnded, origin)?;
        let now = self.0.clock.now();
        let ended = store::transaction!(&self.0.database, async |conn, q| {
            let ended = q::sessions::revoke_all(conn, id, None, now).await?;
            q::audit::insert(conn, &self.all_ended(Some(actor), id, ended.len(), origin)).await?;
            if !ended.is_empty() {
                q::outbox::insert(conn, &notice).await?;
            }
            Ok::<_, StoreError>(ended)
        })?;
        self.0.cache.forget_sessions(&ended).await;
        if !ended.is_empty() {
            self.0.outbox.enqueue(&[notice]).await;
        }
        Ok(ended.len())
    }

    /// The line that says that all sessions of an account were ended.
    fn all_ended(&self, actor: Option<&User>, id: UserId, count: usize, origin: &Origin) -> AuditEntry {
        let by = actor.map(|actor| actor.id);
        self.audit_entry("session.all_ended", by, Some(id), origin, format!("sessions: {count}"))
    }

    fn notice_of(
        &self,
        action: AdminAction,
        user: &User,
        note: &Note,
        origin: &Origin,
    ) -> Result<Option<NewMail>, StoreError> {
        match action {
            AdminAction::Approve => {
                let content = MailContent::AccountApproved { name: user.name.to_string(), note: note.to_string() };
                self.mail(&content, &user.email, user.locale).map(Some)
            }
            AdminAction::Reject => {
                let content = MailContent::AccountRejected { name: user.name.to_string(), note: note.to_string() };
                self.mail(&content, &user.email, user.locale).map(Some)
            }
            AdminAction::Promote | AdminAction::Demote => {
                self.security_notice(user, SecurityEvent::RoleChanged, origin).map(Some)
            }
            AdminAction::Ban | AdminAction::Unban => Ok(None),
        }
    }

    /// Makes an approved account and mails its owner an invitation. Fails with [`AuthError::Taken`] when the mailbox
    /// has an account.
    pub async fn invite(
        &self,
        actor: Option<&User>,
        email: &EmailAddress,
        name: &DisplayName,
        locale: Language,
        origin: &Origin,
    ) -> Result<User, AuthError> {
        let now = self.0.clock.now();
        let new = NewUser {
            id: UserId::new(&self.0.clock, &self.0.entropy),
            email: email.clone(),
            name: name.clone(),
            note: Note::default(),
            locale,
            role: Role::User,
            status: UserStatus::Approved,
            address: String::new(),
            device: String::new(),
        };
        let inviter = match actor {
            Some(actor) if !actor.name.as_str().is_empty() => actor.name.to_string(),
            Some(actor) => actor.email.to_string(),
            None => self.0.settings.product_name.clone(),
        };
        let content = MailContent::Invitation { inviter, name: name.to_string() };
        let mail = self.mail(&content, email, locale)?;
        let entry = self.audit_entry("user.invited", actor.map(|actor| actor.id), Some(new.id), origin, "");
        let user = store::transaction!(&self.0.database, async |conn, q| {
            let user = q::users::insert(conn, &new, now).await?;
            q::audit::insert(conn, &entry).await?;
            q::outbox::insert(conn, &mail).await?;
            Ok::<_, StoreError>(user)
        })?;
        self.0.cache.user_written(None, &user).await;
        self.0.outbox.enqueue(&[mail]).await;
        Ok(user)
    }

    /// A page of accounts, newest first.
    pub async fn users(&self, query: &UserQuery) -> Result<UserPage, AuthError> {
        Ok(self.user_page(query).await?)
    }

    /// The account with this id, from the database.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, AuthError> {
        Ok(store::read!(&self.0.database, users::by_id(id))?)
    }

    /// The account of this mailbox, from the database.
    pub async fn user_by_email(&self, email: &EmailAddress) -> Result<Option<User>, AuthError> {
        Ok(store::read!(&self.0.database, users::by_email(email))?)
    }

    /// The approved admins.
    pub async fn admins(&self) -> Result<Vec<User>, AuthError> {
        Ok(store::read!(&self.0.database, users::admins())?)
    }

    /// How many accounts stand where.
    pub async fn user_counts(&self) -> Result<Vec<(UserStatus, i64)>, AuthError> {
        Ok(store::read!(&self.0.database, users::counts())?)
    }
}
