//! Schemas of values that the domain defines: it does not know how they are described.

use utoipa::openapi::schema::ArrayBuilder;
use utoipa::openapi::{Array, Object, ObjectBuilder, Ref, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::{AdminAction, Language, MailKind, MailStatus, Priority, Role, SuppressionReason, UserStatus};
use crate::http::error::Code;

/// A text that is one of `values`.
fn one_of<'a>(about: &str, values: impl IntoIterator<Item = &'a str>) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(about))
        .enum_values(Some(values.into_iter().map(str::to_owned)))
        .build()
}

/// A user's role.
pub(in crate::http) fn role() -> Object {
    one_of("What the person may do.", Role::ALL.iter().map(|role| role.as_str()))
}

/// Where an account stands.
pub(in crate::http) fn user_status() -> Object {
    one_of("Where the account stands.", UserStatus::ALL.iter().map(|status| status.as_str()))
}

/// Which accounts a list shows.
pub(in crate::http) fn user_status_or_all() -> Object {
    let values = UserStatus::ALL.iter().map(|status| status.as_str());
    one_of("Only accounts that stand so.", values.chain(["all"]))
}

/// Where a mail stands.
pub(in crate::http) fn mail_status() -> Object {
    one_of("Where the mail stands.", MailStatus::ALL.iter().map(|status| status.as_str()))
}

/// Which mails a list shows.
pub(in crate::http) fn mail_status_or_all() -> Object {
    one_of("Only mails that stand so.", MailStatus::ALL.iter().map(|status| status.as_str()).chain(["all"]))
}

/// A kind of mail to choose by.
pub(in crate::http) fn mail_kind() -> Object {
    one_of("Only mails of this kind.", MailKind::ALL.iter().map(|kind| kind.as_str()))
}

/// How urgent a mail is.
pub(in crate::http) fn priority() -> Object {
    one_of("How urgent it is.", Priority::ALL.iter().map(|priority| priority.as_str()))
}

/// Why a mailbox is suppressed.
pub(in crate::http) fn suppression_reason() -> Object {
    one_of("Why; `manual` unless said.", SuppressionReason::ALL.iter().map(|reason| reason.as_str()))
}

/// A language of mails.
pub(in crate::http) fn language() -> Object {
    one_of("The language of mails.", Language::ALL.iter().map(|language| language.as_str()))
}

/// The decisions that fit an account.
pub(in crate::http) fn actions() -> Array {
    let about = "What can be done with the account as it stands.";
    ArrayBuilder::new().items(ActionName::schema()).description(Some(about)).build()
}

/// How a proof ended.
pub(in crate::http) fn sign_in_status() -> Object {
    one_of("Whether the person is in.", ["signed_in", "pending_approval", "rejected"])
}

/// Whether the server can take requests.
pub(in crate::http) fn ready_status() -> Object {
    one_of("`degraded` where Redis is configured and away.", ["ok", "degraded"])
}

/// The kind of database.
pub(in crate::http) fn database() -> Object {
    one_of("The kind of database.", ["sqlite", "postgres"])
}

/// How Redis is.
pub(in crate::http) fn redis() -> Object {
    one_of("How Redis is; `none` where it is not configured.", ["none", "up", "down"])
}

/// How the cache is.
pub(in crate::http) fn cache_status() -> Object {
    one_of("`degraded` where Redis is configured and away.", ["healthy", "degraded"])
}

/// How Redis is, in full.
pub(in crate::http) fn redis_status() -> Object {
    one_of("How it does.", ["healthy", "degraded", "unhealthy"])
}

/// Where the cache is.
pub(in crate::http) fn cache_backend() -> Object {
    one_of("Where the cache is at the moment.", ["redis", "memory"])
}

/// The codes of problems.
pub(in crate::http) fn problem_code() -> Object {
    one_of("The stable code: what a program can rely on.", Code::ALL.iter().map(|code| code.as_str()))
}

/// An admin's decision, as paths name it.
pub(in crate::http) enum ActionName {}

impl PartialSchema for ActionName {
    fn schema() -> RefOr<Schema> {
        use AdminAction::{Approve, Ban, Demote, Promote, Reject, Unban};
        let names = [Approve, Reject, Ban, Unban, Promote, Demote].map(AdminAction::as_str);
        one_of("The decision.", names).into()
    }
}

impl ToSchema for ActionName {}

/// An object of counts, all of which are there.
fn counts(about: &str, fields: &[(&str, &str)]) -> ObjectBuilder {
    let object = ObjectBuilder::new().description(Some(about));
    fields.iter().fold(object, |object, (name, about)| {
        let count = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).description(Some(*about));
        object.property(*name, count).required(*name)
    })
}

/// How the cache has done since the start of this instance.
pub(in crate::http) enum CacheStats {}

/// How one of the caches has done.
enum KindStats {}

/// How one tier of one cache has done.
enum TierStats {}

impl PartialSchema for CacheStats {
    fn schema() -> RefOr<Schema> {
        let fields = [
            ("hits", "Reads that were answered without the database."),
            ("misses", "Reads that went to the database."),
            ("errors", "Failed calls of Redis and failed reads of the database."),
            ("invalidations", "Keys that were forgotten because their rows had changed."),
            ("refused_fills", "Values that were not stored because they came too late."),
            ("discarded", "Stored values that were removed because they could not be read."),
            ("memory_cache_size", "Entries in this process."),
        ];
        let rate = ObjectBuilder::new()
            .schema_type(Type::Number)
            .description(Some("`hits` in a hundred reads, to one decimal; zero before the first read."));
        let available = ObjectBuilder::new()
            .schema_type(Type::Boolean)
            .description(Some("Whether Redis is configured and answers."));
        let backend = one_of("`redis` where one is configured.", ["redis", "memory"]);
        counts("How the cache has done since the start of this instance.", &fields)
            .property("backend", backend)
            .property("redis_available", available)
            .property("hit_rate_percent", rate)
            .property("users", Ref::from_schema_name("KindStats"))
            .property("sessions", Ref::from_schema_name("KindStats"))
            .property("answers", Ref::from_schema_name("KindStats"))
            .required("backend")
            .required("redis_available")
            .required("hit_rate_percent")
            .required("users")
            .required("sessions")
            .required("answers")
            .into()
    }
}

impl ToSchema for CacheStats {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("KindStats".to_owned(), KindStats::schema()));
        schemas.push(("TierStats".to_owned(), TierStats::schema()));
    }
}

impl PartialSchema for KindStats {
    fn schema() -> RefOr<Schema> {
        let fields = [
            ("loads", "Reads of the database."),
            ("load_errors", "Those of them that failed."),
            ("load_micros", "How long they took together, in microseconds."),
            ("average_load_micros", "How long one took, in microseconds."),
            ("invalidations", "Keys that were forgotten because their rows had changed."),
            ("refused_fills", "Values that were not stored because they came too late."),
            ("discarded", "Stored values that were removed because they could not be read."),
            ("entries", "Entries in this process."),
            ("weight_bytes", "The bytes that they take, about."),
        ];
        counts("How one of the caches has done.", &fields)
            .property("memory", Ref::from_schema_name("TierStats"))
            .property("redis", Ref::from_schema_name("TierStats"))
            .required("memory")
            .required("redis")
            .into()
    }
}

impl PartialSchema for TierStats {
    fn schema() -> RefOr<Schema> {
        let fields = [
            ("hits", "Reads that it answered."),
            ("misses", "Reads that it passed on."),
            ("errors", "Calls that failed."),
        ];
        counts("How one tier of one cache has done.", &fields).into()
    }
}
