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
    pub(crate) tiers: Tiers,
}

/// The tiers of the cache that are on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Tiers {
    pub(crate) memory: bool,
    pub(crate) redis: bool,
}

impl Tiers {
    /// As the product has them.
    pub(crate) const ALL: Self = Self { memory: true, redis: true };
}

impl Place {
    /// The same place with these tiers.
    pub(crate) fn with(&self, tiers: Tiers) -> Self {
        Self { tiers, ..self.clone() }
    }

    /// The product's own settings, with its defaults wherever the benchmark does not depend on a value.
    pub(crate) fn settings(&self) -> Settings {
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let mut overrides = vec![
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
        let off = [("cache.memory", !self.tiers.memory), ("cache.redis", !self.tiers.redis)];
        overrides.extend(off.iter().filter(|(_, is_off)| *is_off).map(|(key, _)| set(key, "off")));
        Settings::load(&Sources { overrides, ..Sources::default() }).expect("settings that the product takes")
    }
}
