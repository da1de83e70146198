//! The data directory and the secret in it.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::StartError;
use crate::domain::keyring::KeyRingError;
use crate::domain::{Entropy, KeyRing};
use crate::settings::{SecretSource, Settings};

/// What people call the secret that they gave.
const GIVEN: &str = "GATEPOST_SECRET";

/// Makes the data directory, for its owner's eyes only, and makes sure that it can be written to.
pub(super) fn prepare_data_dir(path: &Path) -> Result<(), StartError> {
    let failed = |error| StartError::DataDir { path: path.to_owned(), error };
    if !path.exists() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(failed)?;
    }
    let probe = path.join(format!(".write-test-{}", std::process::id()));
    fs::write(&probe, b"").map_err(failed)?;
    fs::remove_file(&probe).map_err(failed)
}

/// The keys, from the given secret or from the one that is kept in the data directory and made on the first start.
pub(super) fn keys(settings: &Settings, entropy: &Entropy) -> Result<KeyRing, StartError> {
    let (secret, origin) = match &settings.secret {
        SecretSource::Given(secret) => (Zeroizing::new(secret.expose().clone()), GIVEN.to_owned()),
        SecretSource::Generated(path) => (kept_secret(path, entropy)?, path.display().to_string()),
    };
    ring(&secret, settings).map_err(|error| StartError::Secret { origin, error })
}

/// The keys as they are, making nothing: `None` where the secret would only be made on the first start.
pub(super) fn present_keys(settings: &Settings) -> Result<Option<KeyRing>, StartError> {
    match &settings.secret {
        SecretSource::Generated(path) if !path.exists() => Ok(None),
        _ => keys(settings, &Entropy::system()).map(Some),
    }
}

/// A secret that nobody has had before: 256 random bits, as text.
pub(super) fn new_secret(entropy: &Entropy) -> Zeroizing<String> {
    let bytes = Zeroizing::new(entropy.bytes::<32>());
    Zeroizing::new(STANDARD.encode(*bytes))
}

fn ring(secret: &str, settings: &Settings) -> Result<KeyRing, KeyRingError> {
    let other = &settings.other_secrets;
    let previous: Vec<&[u8]> = other.previous.iter().map(|previous| previous.expose().as_bytes()).collect();
    let ring = KeyRing::new(secret.as_bytes(), &previous)?;
    match &other.next {
        Some(next) => ring.with_next(next.expose().as_bytes()),
        None => Ok(ring),
    }
}

fn kept_secret(path: &Path, entropy: &Entropy) -> Result<Zeroizing<String>, StartError> {
    let failed = |error| StartError::DataDir { path: path.to_owned(), error };
    match fs::read_to_string(path) {
        Ok(secret) => return Ok(Zeroizing::new(secret.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let secret = new_secret(entropy);
    // Linked into place whole: another process that starts now reads all of it, or makes it first.
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft).map_err(failed)?;
    file.write_all(secret.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft).map_err(failed)?;
    match linked {
        Ok(()) => {
            log::info!("made a secret and put it into {}; keep it, and keep it to yourself", path.display());
            Ok(secret)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::read_to_string(path).map(|secret| Zeroizing::new(secret.trim().to_owned())).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let first = kept_secret(&path, &Entropy::system()).unwrap();
        assert_eq!(*first, *kept_secret(&path, &Entropy::system()).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let error = prepare_data_dir(Path::new("/proc/gatepost")).unwrap_err();
        assert!(error.to_string().contains("/proc/gatepost"), "{error}");
    }
}
