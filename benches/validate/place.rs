//! Where an instance of the product works, and its settings there.

use std::path::PathBuf;

use gatepost::settings::{Settings, Sources};
use serde::{Deserialize, Serialize};

/// What the keys of the benchmark are made from.
pub(crate) const SECRET: &str = "only for measurements, never for people";
/// What the instances are called, whichever port they have: the issuer of access tokens.
pub(crate) const ORIGIN: &str = "http://127.0.0.1:8080";

/// Handed from the bench to the process in which the product runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) database: String,
    pub(crate) redis: String,
    pub(crate) data_dir: PathBuf,
}

impl Place {
    /// The product's own settings, with its defaults wherever the benchmark does not depend on a value.
    pub(crate) fn settings(&self) -> Settings {
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let overrides = vec![
            set("secret", SECRET),
            set("server.bind", "127.0.0.1:0"),
            set("server.public_url", ORIGIN),
            set("server.data_dir", &self.data_dir.to_string_lossy()),
            set("server.workers", "1"),
            set("database.url", &self.database),
            set("redis.url", &self.redis),
            // They are not in the way of a look at a session, but all of the writes come from one address here.
            set("limits.enabled", "off"),
        ];
        Settings::load(&Sources { overrides, ..Sources::default() }).expect("settings that the product takes")
    }
}
