//! How the words of the domain are kept in columns, on both backends.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, Queryable};
use diesel::expression::AsExpression;
use diesel::internal::derives::as_expression::Bound;
use diesel::pg::Pg;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Binary, Nullable, SingleValue, Text, Uuid as UuidSql};
use diesel::sqlite::Sqlite;

use crate::domain::{
    AuditId, ChallengeId, Digest, DisplayName, EmailAddress, Language, MailId, MailKind, MailStatus, Note, Phone, Role,
    SessionId, SuppressionReason, UserId, UserStatus, Username,
};

/// Lets `$type` stand where a value of the SQL type is expected, and be read from a column of its own.
macro_rules! bindable {
    ($type:ty, $($sql:ty),+) => {
        $(
            impl AsExpression<$sql> for $type {
                type Expression = Bound<$sql, Self>;
                fn as_expression(self) -> Self::Expression { Bound::new(self) }
            }
            impl<'a> AsExpression<$sql> for &'a $type {
                type Expression = Bound<$sql, Self>;
                fn as_expression(self) -> Self::Expression { Bound::new(self) }
            }
            impl AsExpression<Nullable<$sql>> for $type {
                type Expression = Bound<Nullable<$sql>, Self>;
                fn as_expression(self) -> Self::Expression { Bound::new(self) }
            }
            impl<'a> AsExpression<Nullable<$sql>> for &'a $type {
                type Expression = Bound<Nullable<$sql>, Self>;
                fn as_expression(self) -> Self::Expression { Bound::new(self) }
            }
            impl<DB: Backend> ToSql<Nullable<$sql>, DB> for $type where Self: ToSql<$sql, DB> {
                fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
                    <Self as ToSql<$sql, DB>>::to_sql(self, out)
                }
            }
        )+
        impl<DB: Backend, ST: SingleValue> Queryable<ST, DB> for $type where Self: FromSql<ST, DB> {
            type Row = Self;
            fn build(row: Self) -> deserialize::Result<Self> { Ok(row) }
        }
    };
}

/// A type with `as_str` and `FromStr`, kept as text.
macro_rules! text {
    ($($type:ty),+) => {$(
        bindable!($type, Text);
        impl<DB: Backend> ToSql<Text, DB> for $type where str: ToSql<Text, DB> {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
                <str as ToSql<Text, DB>>::to_sql(self.as_str(), out)
            }
        }
        impl<DB: Backend> FromSql<Text, DB> for $type where String: FromSql<Text, DB> {
            fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
                Ok(<String as FromSql<Text, DB>>::from_sql(bytes)?.parse()?)
            }
        }
    )+};
}

text!(
    Role,
    UserStatus,
    Language,
    MailStatus,
    MailKind,
    SuppressionReason,
    EmailAddress,
    DisplayName,
    Note,
    Username,
    Phone
);

/// An id: `uuid` in Postgres, its text in `SQLite`, where people look at it by hand.
macro_rules! id {
    ($($type:ident),+) => {$(
        bindable!($type, UuidSql, Text);
        impl ToSql<UuidSql, Pg> for $type {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                <uuid::Uuid as ToSql<UuidSql, Pg>>::to_sql(&self.0, out)
            }
        }
        impl FromSql<UuidSql, Pg> for $type {
            fn from_sql(bytes: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                <uuid::Uuid as FromSql<UuidSql, Pg>>::from_sql(bytes).map(Self)
            }
        }
        impl ToSql<Text, Sqlite> for $type {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                out.set_value(self.0.to_string());
                Ok(IsNull::No)
            }
        }
        impl FromSql<Text, Sqlite> for $type {
            fn from_sql(bytes: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                Ok(<String as FromSql<Text, Sqlite>>::from_sql(bytes)?.parse()?)
            }
        }
    )+};
}

id!(UserId, ChallengeId, SessionId, MailId, AuditId);

bindable!(Digest, Binary);

impl<DB: Backend> ToSql<Binary, DB> for Digest
where
    [u8]: ToSql<Binary, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        <[u8] as ToSql<Binary, DB>>::to_sql(self.0.as_slice(), out)
    }
}

impl<DB: Backend> FromSql<Binary, DB> for Digest
where
    Vec<u8>: FromSql<Binary, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let bytes = <Vec<u8> as FromSql<Binary, DB>>::from_sql(bytes)?;
        Ok(Self(bytes.try_into().map_err(|_| "a digest must have 32 bytes")?))
    }
}
