//! The secret that every key is derived from.

use std::path::{Path, PathBuf};

use super::layers::Reported;
use super::reader::{Read, Reader};
use crate::domain::Redacted;
use crate::domain::keyring::MIN_SECRET_BYTES;

const EXAMPLE: &str = "\"$(openssl rand -base64 32)\"";

/// Where the secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The operator gave it; it is long enough.
    Given(Redacted<String>),
    /// It is made on the first start and kept in this file.
    Generated(PathBuf),
}

impl SecretSource {
    pub(super) fn read(reader: &mut Reader, data_dir: Option<&Path>) -> Read<Self> {
        match (read_one(reader, "secret")?, data_dir) {
            (Some(secret), _) => Ok(Self::Given(secret)),
            (None, Some(data_dir)) => {
                let path = data_dir.join("secret");
                reader.show("secret", format!("generated in {}", path.display()));
                Ok(Self::Generated(path))
            }
            (None, None) => Err(Reported),
        }
    }
}

/// The secret before the current one, while a change of it rolls out.
pub(super) fn read_previous(reader: &mut Reader) -> Read<Option<Redacted<String>>> {
    read_one(reader, "secret_previous")
}

fn read_one(reader: &mut Reader, key: &str) -> Read<Option<Redacted<String>>> {
    let Some(secret) = reader.text(key)?.map(Redacted::new) else { return Ok(None) };
    let length = secret.expose().len();
    if length < MIN_SECRET_BYTES {
        let reason = format!("must have at least {MIN_SECRET_BYTES} bytes, and has {length}");
        return Err(reader.refuse(key, &reason, EXAMPLE));
    }
    Ok(Some(secret))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SECRET, load, refused};
    use super::*;

    #[test]
    fn without_one_it_is_generated_in_the_data_dir() {
        let settings = load(&[("GATEPOST_DATA_DIR", "/srv/gate")]);
        assert_eq!(settings.secret, SecretSource::Generated("/srv/gate/secret".into()));
        assert!(settings.previous_secret.is_none());
    }

    #[test]
    fn a_given_one_is_kept_to_the_byte() {
        let padded = format!(" {SECRET} ");
        let settings = load(&[("GATEPOST_SECRET", &padded), ("GATEPOST_SECRET_PREVIOUS", SECRET)]);
        assert_eq!(settings.secret, SecretSource::Given(padded.into()));
        assert_eq!(settings.previous_secret.unwrap().expose(), SECRET);
    }

    #[test]
    fn a_short_one_is_refused_and_not_shown() {
        let problems = refused(&[("GATEPOST_SECRET", "hunter2"), ("GATEPOST_SECRET_PREVIOUS", "hunter2")]);
        assert_eq!(problems.len(), 2);
        assert_eq!(problems[0].reason, "must have at least 32 bytes, and has 7");
        assert_eq!(problems[0].example, "GATEPOST_SECRET=\"$(openssl rand -base64 32)\"");
        assert!(!format!("{problems:?}").contains("hunter2"));
        assert!(refused(&[("GATEPOST_SECRET", &SECRET[..31])])[0].reason.ends_with("has 31"));
        assert_eq!(SECRET.len(), 32);
    }
}
