//! TLS to Postgres, as `sslmode` asks for it. The certificate in `tls/` is for `localhost` and for nothing else.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use gatepost::domain::Redacted;
use gatepost::settings::DatabaseUrl;
use gatepost::store::Database;

use crate::settings;
use crate::support::{PrivatePostgres, TestDatabase};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/tls").join(name)
}

/// A Postgres that takes connections over TCP with TLS only.
async fn postgres_with_tls() -> (PrivatePostgres, TestDatabase) {
    let postgres = PrivatePostgres::start().await;
    let database = postgres.database().await;
    let data = postgres.data_directory();
    let owner = fs::metadata(&data).unwrap();
    for (from, to) in [("server.pem", "server.crt"), ("server.key", "server.key")] {
        let to = data.join(to);
        fs::copy(file(from), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.1/32 trust\n").unwrap();
    database.client().await.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    postgres.restart().await;
    (postgres, database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sslmode_is_followed() {
    let (_postgres, database) = postgres_with_tls().await;
    let roots = file("ca.pem");
    let named = database.url.replace("127.0.0.1", "localhost");
    let connect = async |url: &str, query: &str| {
        let url = DatabaseUrl::Postgres(Redacted::new(format!("{url}?{query}")));
        Database::connect(&settings(url)).await.map(drop).map_err(|error| error.to_string())
    };
    let verified = format!("sslmode=verify-full&sslrootcert={}", roots.display());
    connect(&database.url, "sslmode=prefer").await.unwrap();
    connect(&database.url, "sslmode=require").await.unwrap();
    connect(&named, &verified).await.unwrap();
    assert!(connect(&database.url, "sslmode=disable").await.is_err(), "this Postgres takes TLS only");
    let unknown = connect(&named, "sslmode=verify-full").await.unwrap_err();
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let other = connect(&database.url, &verified).await.unwrap_err();
    assert!(other.contains("not valid for name"), "{other}");
}
