//! How the store fails.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// Why a query gave no answer. A row that is not there is no error but an `Option`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or was too busy: try again. Nothing is known to have been committed.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// The value is another row's (an address, a username, a phone): choose another. Names the constraint.
    #[error("already taken: {0}")]
    Taken(String),
    /// A fault of the query or of a stored value: nothing a caller can mend.
    #[error("database query failed: {0}")]
    Failed(DieselError),
    /// The database could not be opened or migrated.
    #[error("{0}")]
    Setup(String),
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match &error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, detail) => {
                // SQLite names no constraint, but its message names the column.
                let name = detail.constraint_name().unwrap_or_else(|| detail.message());
                Self::Taken(name.to_owned())
            }
            DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::ReadOnlyTransaction,
                detail,
            ) => Self::Unavailable(detail.message().to_owned()),
            DieselError::DatabaseError(_, detail) if is_outage(detail.message()) => {
                Self::Unavailable(detail.message().to_owned())
            }
            DieselError::BrokenTransactionManager => Self::Unavailable(error.to_string()),
            _ => Self::Failed(error),
        }
    }
}

/// Outages that the drivers report without a kind of their own.
fn is_outage(message: &str) -> bool {
    const SIGNS: [&str; 8] = [
        "connection closed",
        "error communicating with the server",
        "terminating connection",
        "the database system is",
        "too many clients",
        "deadlock detected",
        "database is locked",
        "disk is full",
    ];
    SIGNS.iter().any(|sign| message.contains(sign))
}
