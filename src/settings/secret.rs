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

/// The secrets beside the current one, while a change of it rolls out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtherSecrets {
    /// The one that is going to be the current one: it verifies and makes nothing yet.
    pub next: Option<Redacted<String>>,
    /// Those before the current one, the oldest last: they verify and make nothing any more.
    pub previous: Vec<Redacted<String>>,
}

impl OtherSecrets {
    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        let next = read_one(reader, "secret_next");
        let previous = ["secret_previous", "secret_previous_2", "secret_previous_3"].map(|key| read_one(reader, key));
        let previous: Vec<_> = previous.into_iter().collect::<Read<_>>()?;
        Ok(Self { next: next?, previous: previous.into_iter().flatten().collect() })
    }
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
        assert_eq!(settings.other_secrets, OtherSecrets::default());
    }

    #[test]
    fn a_given_one_is_kept_to_the_byte() {
        let padded = format!(" {SECRET} ");
        let settings = load(&[("GATEPOST_SECRET", &padded), ("GATEPOST_SECRET_PREVIOUS", SECRET)]);
        assert_eq!(settings.secret, SecretSource::Given(padded.into()));
        assert_eq!(settings.other_secrets.previous, [SECRET.to_owned().into()]);
    }

    #[test]
    fn there_may_be_a_next_one_and_several_before() {
        let secret = |n: u8| format!("secret number {n}, of enough bytes.");
        let settings = load(&[
            ("GATEPOST_SECRET", SECRET),
            ("GATEPOST_SECRET_NEXT", &secret(0)),
            ("GATEPOST_SECRET_PREVIOUS", &secret(1)),
            ("GATEPOST_SECRET_PREVIOUS_2", &secret(2)),
            ("GATEPOST_SECRET_PREVIOUS_3", &secret(3)),
        ]);
        let other = settings.other_secrets;
        assert_eq!(other.next, Some(secret(0).into()));
        assert_eq!(other.previous, [secret(1).into(), secret(2).into(), secret(3).into()]);
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
