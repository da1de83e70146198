//! Which database holds the truth.

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::layers::Reported;
use super::reader::{Read, Reader};
use crate::domain::Redacted;

/// The database and the pool of connections to it.
#[derive(Clone, Debug)]
pub struct Database {
    /// Where it is.
    pub url: DatabaseUrl,
    /// Connections held at most.
    pub pool_size: u32,
    /// How long a request waits for a free connection.
    pub pool_timeout: Duration,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
}

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A `postgres://` or `postgresql://` URL, with its password.
    Postgres(Redacted<String>),
    /// The file of an `SQLite` database; it may not exist yet.
    Sqlite(PathBuf),
}

impl Database {
    pub(super) fn read(reader: &mut Reader, data_dir: Option<&Path>) -> Read<Self> {
        let url = reader.optional("database.url", "postgres://gatepost:PASSWORD@localhost:5432/gatepost", database_url);
        let pool_size = reader.number("database.pool_size", 1..=1000);
        let pool_timeout = reader.duration("database.pool_timeout", "10ms", "10s");
        let connect_timeout = reader.duration("database.connect_timeout", "10ms", "5m");
        let url = match (url?, data_dir) {
            (Some(url), _) => url,
            (None, Some(data_dir)) => {
                let path = data_dir.join("gatepost.db");
                reader.show("database.url", format!("sqlite:{}", path.display()));
                DatabaseUrl::Sqlite(path)
            }
            (None, None) => return Err(Reported),
        };
        Ok(Self { url, pool_size: pool_size?, pool_timeout: pool_timeout?, connect_timeout: connect_timeout? })
    }
}

fn database_url(text: &str) -> Result<DatabaseUrl, String> {
    if let Some(path) = text.strip_prefix("sqlite:") {
        return sqlite_path(path).map(DatabaseUrl::Sqlite);
    }
    let rest = text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"))
        .ok_or("must start with postgres://, postgresql:// or sqlite:")?;
    if rest.is_empty() || rest.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err("must name a host and a database, without blanks".to_owned());
    }
    // Postgres takes several hosts, which is more than a URL may have; the driver judges those.
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    if !hosts.contains(',') {
        Url::parse(text)
            .map_err(|error| format!("is not a URL: {error}; percent-encode what is special in the password"))?;
    }
    Ok(DatabaseUrl::Postgres(Redacted::new(text.to_owned())))
}

fn sqlite_path(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("//").unwrap_or(text);
    if path.is_empty() {
        return Err("must name a file after sqlite:".to_owned());
    }
    if path.contains(":memory:") || path.contains("mode=memory") {
        return Err(
            "must be a file: a database in memory is another one for each connection, and gone at the end".to_owned()
        );
    }
    if path.contains('?') {
        return Err("takes no parameters after the name of the file".to_owned());
    }
    if path.ends_with('/') || Path::new(path).is_dir() {
        return Err("must be a file, not a directory".to_owned());
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn without_a_url_the_database_is_in_the_data_dir() {
        let settings = load(&[("GATEPOST_DATA_DIR", "/srv/gate")]);
        assert_eq!(settings.database.url, DatabaseUrl::Sqlite("/srv/gate/gatepost.db".into()));
        assert_eq!((settings.database.pool_size, settings.database.pool_timeout), (10, Duration::from_secs(5)));
    }

    #[test]
    fn sqlite_paths_are_relative_or_absolute() {
        for (url, path) in [
            ("sqlite:data/x.db", "data/x.db"),
            ("sqlite:///abs/x.db", "/abs/x.db"),
            ("sqlite:/abs/x.db", "/abs/x.db"),
            ("sqlite://data/x.db", "data/x.db"),
            ("sqlite:x y.db", "x y.db"),
        ] {
            assert_eq!(database_url(url), Ok(DatabaseUrl::Sqlite(path.into())), "{url}");
        }
    }

    #[test]
    fn what_would_lose_the_truth_is_refused() {
        for (url, reason) in [
            ("sqlite::memory:", "must be a file: a database in memory"),
            ("sqlite://:memory:", "must be a file: a database"),
            ("sqlite:file:x?mode=memory", "must be a file: a database"),
            ("sqlite:", "must name a file"),
            ("sqlite:/tmp", "must be a file, not a directory"),
            ("sqlite:x.db?mode=rwc", "takes no parameters"),
            ("mysql://hunter2@h/x", "must start with"),
            ("data/x.db", "must start with"),
            ("postgres://", "must name a host"),
            ("postgres://u:hunter2 x@h/x", "must name a host"),
            ("postgres://u:hunter2/x@h/x", "is not a URL"),
        ] {
            let problems = refused(&[("DATABASE_URL", url)]);
            assert!(problems[0].reason.starts_with(reason), "{url}: {problems:?}");
            assert!(problems[0].value.is_none() && !format!("{problems:?}").contains("hunter2"), "{problems:?}");
        }
    }

    #[test]
    fn postgres_urls_of_every_kind_pass() {
        for url in [
            "postgres://u:p%40ss@db:5432/gatepost?sslmode=require",
            "postgresql://db/gatepost",
            "postgres:///gatepost?host=/run/postgresql",
            "postgres://u:p@a:5432,b:5432/gatepost",
            "postgres://%2Frun%2Fpg/gatepost",
        ] {
            assert_eq!(database_url(url), Ok(DatabaseUrl::Postgres(url.to_owned().into())), "{url}");
        }
    }

    #[test]
    fn an_empty_pool_is_refused() {
        assert_eq!(refused(&[("GATEPOST_DATABASE_POOL_SIZE", "0"), ("GATEPOST_DATABASE_POOL_TIMEOUT", "0")]).len(), 2);
    }

    proptest! {
        #[test]
        fn no_text_panics_or_is_quoted_in_a_reason(text in "(postgres://|sqlite:)?\\PC{8,40}") {
            if let Err(reason) = database_url(&text) {
                prop_assert!(!reason.contains(&text));
            }
        }
    }
}
