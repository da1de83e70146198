//! The outbox as the database has it, read and changed beside the server.

use diesel::connection::SimpleConnection;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types};
use serde::Deserialize;
use tokio_postgres::Client;

use crate::setup::Setup;

/// A row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) recipient: String,
    pub(crate) challenge_id: Option<String>,
    pub(crate) status: String,
    pub(crate) attempts: i64,
    pub(crate) fence: i64,
    pub(crate) message_id: String,
    /// Milliseconds since the Unix epoch.
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
    pub(crate) finished_at: Option<i64>,
    pub(crate) last_error: Option<String>,
}

impl Row {
    /// Whether the mail's life is over.
    pub(crate) fn has_ended(&self) -> bool {
        ["sent", "expired", "dead"].contains(&self.status.as_str())
    }

    /// The statement that copies this row as a new one to `NAME@copy.test`, with one column of another content. No queue
    /// knows of it.
    pub(crate) fn copy(&self, name: &str, column: &str, value: &str) -> String {
        let columns = [
            "id",
            "kind",
            "recipient",
            "locale",
            "content",
            "challenge_id",
            "priority",
            "status",
            "attempts",
            "fence",
            "message_id",
            "created_at",
            "next_attempt_at",
            "queued_until",
            "expires_at",
        ];
        let values = columns.map(|it| match it {
            _ if it == column => value.to_owned(),
            "id" => format!("'{}'", uuid::Uuid::from_u128(rand::random())),
            "recipient" => format!("'{name}@copy.test'"),
            "message_id" => format!("'{name}@copied.test'"),
            "status" => "'ready'".to_owned(),
            "attempts" | "fence" => "0".to_owned(),
            "queued_until" => "created_at".to_owned(),
            other => other.to_owned(),
        });
        let (columns, values) = (columns.join(", "), values.join(", "));
        let original = &self.message_id;
        format!("INSERT INTO outbox ({columns}) SELECT {values} FROM outbox WHERE message_id = '{original}'")
    }
}

/// The outbox of a setup, over a connection of its own.
pub(crate) enum Rows {
    Postgres(Client),
    Sqlite(std::path::PathBuf),
}

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = sql_types::Text)]
    text: String,
}

impl Rows {
    pub(crate) async fn of(setup: &Setup) -> Self {
        match &setup.servers {
            Some(servers) => Self::Postgres(servers.database.client().await),
            None => Self::Sqlite(setup.data_dir().join("gatepost.db")),
        }
    }

    /// Every row; nothing when the database does not answer.
    pub(crate) async fn all(&self) -> Option<Vec<Row>> {
        let texts: Vec<String> = match self {
            Self::Postgres(client) => {
                let ms = |column: &str| format!("(extract(epoch from {column}) * 1000)::bigint");
                let rows = client.query(&as_json("json_build_object", "::text", ms), &[]).await.ok()?;
                rows.iter().map(|row| row.get(0)).collect()
            }
            Self::Sqlite(_) => {
                let ms = |column: &str| format!("CAST(unixepoch({column}, 'subsec') * 1000 AS integer)");
                let rows = sql_query(as_json("json_object", "", ms)).load::<Text>(&mut self.sqlite()).ok()?;
                rows.into_iter().map(|row| row.text).collect()
            }
        };
        Some(texts.iter().map(|text| serde_json::from_str(text).expect("a row")).collect())
    }

    /// The row of the mail to `address`, of which there is one.
    pub(crate) async fn to(&self, address: &str) -> Option<Row> {
        self.all().await?.into_iter().find(|row| row.recipient == address)
    }

    /// Changes something, in words that either database understands.
    pub(crate) async fn execute(&self, statement: &str) {
        match self {
            Self::Postgres(client) => client.batch_execute(statement).await.expect("Postgres obeys"),
            Self::Sqlite(_) => self.sqlite().batch_execute(statement).expect("SQLite obeys"),
        }
    }

    /// A connection to the embedded database.
    pub(crate) fn sqlite(&self) -> SqliteConnection {
        let Self::Sqlite(path) = self else { panic!("this setup is on Postgres") };
        let mut conn = SqliteConnection::establish(path.to_str().expect("a path")).expect("a database");
        conn.batch_execute("PRAGMA busy_timeout = 5000").expect("SQLite obeys");
        conn
    }
}

/// The query for all rows, each as one JSON text.
fn as_json(function: &str, cast: &str, milliseconds: impl Fn(&str) -> String) -> String {
    let times =
        ["created_at", "expires_at", "finished_at"].map(|column| format!("'{column}', {}", milliseconds(column)));
    format!(
        "SELECT {function}('id', id{cast}, 'recipient', recipient, 'challenge_id', challenge_id{cast}, 'status', status,
         'attempts', attempts, 'fence', fence, 'message_id', message_id, 'last_error', last_error, {}){cast} AS text
         FROM outbox WHERE kind = 'code_and_link' OR message_id LIKE '%@copied.test'",
        times.join(", ")
    )
}
