//! How the use cases fail.

use std::time::Duration;

use super::MailRefusal;
use crate::store::StoreError;

/// Why a use case did not do what it was asked. Nothing was changed unless a variant says so.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The code is wrong, or its challenge is answered, expired, unknown or out of guesses: ask for a new one. The
    /// guess was counted.
    #[error("the code is wrong or no longer valid")]
    InvalidCode,
    /// The link is forged, used or expired: ask for a new one.
    #[error("the link is not valid any more")]
    InvalidLink,
    /// Address and password do not belong together. The guess was counted.
    #[error("the address or the password is wrong")]
    InvalidCredentials,
    /// The refresh token is unknown, ended or reused: sign in again. On reuse the session was ended.
    #[error("the refresh token is not valid any more")]
    InvalidRefreshToken,
    /// Too many wrong guesses for this account: wait.
    #[error("too many wrong guesses")]
    TooManyGuesses {
        /// How long until guesses are taken again.
        retry_after: Duration,
    },
    /// What is answered was made with a key that this instance does not have: another one may, or this one soon. Nothing
    /// was counted.
    #[error("this instance does not have the key of what is answered")]
    KeyMissing,
    /// This way of signing in is switched off.
    #[error("this way of signing in is switched off")]
    MethodDisabled,
    /// There is no such thing, or it is not the caller's.
    #[error("not found")]
    NotFound,
    /// The action does not fit the account's state.
    #[error("the account cannot be changed in this way: {0}")]
    Conflict(&'static str),
    /// What is asked does not fit where the mail stands.
    #[error("{0}")]
    Mail(#[from] MailRefusal),
    /// The only admin would be lost: make another first.
    #[error("this is the last admin")]
    LastAdmin,
    /// The value of this field is another account's.
    #[error("{0} is taken")]
    Taken(&'static str),
    /// The password is too easy to guess: choose another. Says what is wrong with it.
    #[error("{0}")]
    WeakPassword(&'static str),
    /// The password is among those that are guessed first: choose another.
    #[error("the password is one of those that are guessed first")]
    CommonPassword,
    /// The database did not answer: try again.
    #[error(transparent)]
    Store(StoreError),
    /// Something that should not happen.
    #[error("internal fault: {0}")]
    Internal(String),
}

impl From<StoreError> for AuthError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Taken(name) if name.contains("username") => Self::Taken("username"),
            StoreError::Taken(name) if name.contains("phone") => Self::Taken("phone"),
            StoreError::Taken(name) if name.contains("email") => Self::Taken("email"),
            _ => Self::Store(error),
        }
    }
}
