//! Fills an outbox. One mail is accepted as every mail is; its rows are then copied by the database, with ids, recipients and
//! Message-IDs of their own, so that this knows few columns and takes seconds.

use diesel::prelude::*;
use diesel::sql_types::Text;
use gatepost::domain::{MailContent, MailId, Priority};
use tokio_postgres::NoTls;

use crate::DOMAINS;
use crate::rig::{Place, Rig};

/// What is put into the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sign-in mails, each with its challenge.
    SignIn,
    /// Notices of registrations: the lowest priority.
    Notice,
}

impl Kind {
    pub(crate) fn priority(self) -> Priority {
        match self {
            Self::SignIn => Priority::Urgent,
            Self::Notice => Priority::Low,
        }
    }
}

/// Puts `count` mails into the outbox at `place`, queues none of them, and gives their ids in order.
pub(crate) async fn seed(place: &Place, kind: Kind, count: usize) -> Vec<MailId> {
    // Without Redis: the template's id shall not be in a queue.
    let rig = Rig::open(&Place { redis: None, ..place.clone() }).await;
    rig.accept("template@example.org").await;
    let mut sql = open(place).await;
    let template = sql.text("SELECT CAST(id AS text) AS value FROM outbox").await.remove(0);
    let challenge = sql.text("SELECT CAST(id AS text) AS value FROM challenges").await.remove(0);
    let new = |id: &str, sql: &Sql| sql.id(&format!("'{}' || {}", &id[..24], sql.twelve_digits()));
    let recipient = format!("'person-' || n || '@d' || (n % {DOMAINS}) || '.example'");
    let mut mail = vec![
        ("id", new(&template, &sql)),
        ("recipient", recipient.clone()),
        ("message_id", format!("'{}' || {} || '@example.com'", &template[..24], sql.twelve_digits())),
        // The sweeper keeps its hands off: these are in a queue.
        ("queued_until", "o.expires_at".to_owned()),
    ];
    match kind {
        Kind::SignIn => {
            let fresh = format!("'{}' || {}", &challenge[..24], sql.twelve_digits());
            mail.push(("content", format!("replace(o.content, '{challenge}', {fresh})")));
            mail.push(("challenge_id", new(&challenge, &sql)));
            let fields = [("id", new(&challenge, &sql)), ("email", recipient.clone()), ("email_key", recipient)];
            sql.copy("challenges", &challenge, &fields, count).await;
        }
        Kind::Notice => {
            let notice = rig.notice(&"admin@example.org".parse().expect("an address"));
            let content: MailContent = serde_json::from_str(&notice.content).expect("as it was written");
            mail.push(("content", format!("'{}'", notice.content.replace('\'', "''"))));
            mail.push(("kind", format!("'{}'", content.kind())));
            mail.push(("priority", notice.priority.to_string()));
            mail.push(("challenge_id", "NULL".to_owned()));
        }
    }
    sql.copy("outbox", &template, &mail, count).await;
    sql.run(&format!("DELETE FROM outbox WHERE id = '{template}'")).await;
    sql.run("ANALYZE").await;
    let ids = sql.text("SELECT CAST(id AS text) AS value FROM outbox ORDER BY id").await;
    ids.iter().map(|id| id.parse().expect("an id")).collect()
}

/// How many mails at `place` have which status.
pub(crate) async fn with_status(place: &Place, status: &str) -> usize {
    let query = format!("SELECT CAST(count(*) AS text) AS value FROM outbox WHERE status = '{status}'");
    open(place).await.text(&query).await[0].parse().expect("a count")
}

/// A connection beside the product's.
pub(crate) enum Sql {
    Postgres(tokio_postgres::Client),
    Sqlite(Box<SqliteConnection>),
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    value: String,
}

pub(crate) async fn open(place: &Place) -> Sql {
    if place.is_postgres() {
        let (client, connection) = tokio_postgres::connect(&place.database, NoTls).await.expect("Postgres");
        tokio::spawn(connection);
        return Sql::Postgres(client);
    }
    let path = place.database.trim_start_matches("sqlite:");
    Sql::Sqlite(Box::new(SqliteConnection::establish(path).expect("a file")))
}

impl Sql {
    pub(crate) async fn run(&mut self, statement: &str) {
        match self {
            Self::Postgres(client) => client.batch_execute(statement).await.expect(statement),
            Self::Sqlite(conn) => drop(diesel::sql_query(statement).execute(&mut **conn).expect(statement)),
        }
    }

    /// The column `value` of every row.
    pub(crate) async fn text(&mut self, query: &str) -> Vec<String> {
        match self {
            Self::Postgres(client) => {
                client.query(query, &[]).await.expect(query).iter().map(|row| row.get("value")).collect()
            }
            Self::Sqlite(conn) => {
                let lines: Vec<Line> = diesel::sql_query(query).load(&mut **conn).expect(query);
                lines.into_iter().map(|line| line.value).collect()
            }
        }
    }

    /// The number of a copy as twelve hexadecimal digits: the end of its id.
    fn twelve_digits(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "lpad(to_hex(n), 12, '0')",
            Self::Sqlite(_) => "printf('%012x', n)",
        }
    }

    fn id(&self, text: &str) -> String {
        match self {
            Self::Postgres(_) => format!("({text})::uuid"),
            Self::Sqlite(_) => format!("({text})"),
        }
    }

    /// Copies the row `id` of `table`, with `fields` instead of its own.
    async fn copy(&mut self, table: &str, id: &str, fields: &[(&str, String)], count: usize) {
        let columns = match self {
            Self::Postgres(_) => format!(
                "SELECT attname::text AS value FROM pg_attribute
                 WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
            ),
            Self::Sqlite(_) => format!("SELECT name AS value FROM pragma_table_info('{table}')"),
        };
        let columns = self.text(&columns).await;
        let value = |column: &String| {
            let own = fields.iter().find(|(name, _)| name == column).map(|(_, value)| value.clone());
            own.unwrap_or_else(|| format!("o.{column}"))
        };
        let values: Vec<String> = columns.iter().map(value).collect();
        let numbers = match self {
            Self::Postgres(_) => format!("generate_series(1, {count}) AS numbers(n)"),
            Self::Sqlite(_) => format!(
                "(WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
                  SELECT n FROM numbers)"
            ),
        };
        let (columns, values) = (columns.join(", "), values.join(", "));
        self.run(&format!(
            "INSERT INTO {table} ({columns}) SELECT {values} FROM {table} o, {numbers} WHERE o.id = '{id}'"
        ))
        .await;
    }
}
