//! This machine: the data directory, the secret, the clock, how many files may be open.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Finding;
use crate::domain::{Clock, Redacted};
use crate::settings::{SecretSource, Settings};

/// A secret with fewer different bytes was not made by a generator: 44 characters of Base64 have about 31.
const FEWEST_DIFFERENT: usize = 16;
/// This program did not exist before.
const FIRST_YEAR: i32 = 2025;
/// What a server needs besides one file descriptor for each connection.
const OTHER_FILES: u64 = 200;

/// Looks at this machine.
pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![data_dir(&settings.server.data_dir)];
    findings.push(match &settings.secret {
        SecretSource::Given(secret) => strength("GATEPOST_SECRET", secret),
        SecretSource::Generated(path) => kept(path),
    });
    if !settings.other_secrets.previous.is_empty() {
        let found = "the one before the current one is still accepted";
        findings.push(Finding::warn("secret", found, "remove GATEPOST_SECRET_PREVIOUS a day after the change"));
    }
    findings.push(clock());
    findings.extend(open_files(settings.server.connections.most));
    findings
}

fn data_dir(path: &Path) -> Finding {
    let shown = path.display();
    if !path.exists() {
        let parent = path.ancestors().skip(1).find(|parent| parent.as_os_str().is_empty() || parent.exists());
        let parent = parent.filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return match writes(parent) {
            Ok(()) => Finding::ok("data", format!("{shown} is not there yet; the first start makes it")),
            Err(error) => Finding::fail(
                "data",
                format!("{shown} is not there, and cannot be made in {}: {error}", parent.display()),
                "make it for the user that runs the server, or set GATEPOST_DATA_DIR",
            ),
        };
    }
    if let Err(error) = writes(path) {
        let advice = "make it writable for the user that runs the server, or set GATEPOST_DATA_DIR";
        return Finding::fail("data", format!("{shown} cannot be written to: {error}"), advice);
    }
    match open_to_others(path) {
        Some(mode) => Finding::warn(
            "data",
            format!("{shown} has mode {mode:03o}: other users of this machine can look into it"),
            format!("chmod 700 {shown}"),
        ),
        None => Finding::ok("data", format!("{shown} can be written to, by its owner alone")),
    }
}

/// Whether a file can be made in `folder`; it is removed again.
fn writes(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".gatepost-doctor-{}", std::process::id()));
    fs::write(&probe, b"")?;
    fs::remove_file(&probe)
}

/// The permissions of what its owner should have alone, if others have any.
#[cfg(unix)]
fn open_to_others(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn open_to_others(_: &Path) -> Option<u32> {
    None
}

fn strength(name: &str, secret: &Redacted<String>) -> Finding {
    let different = secret.expose().bytes().collect::<BTreeSet<u8>>().len();
    if different < FEWEST_DIFFERENT {
        let found = format!("{name} is long enough, but has only {different} different characters");
        return Finding::warn("secret", found, "make one with: openssl rand -base64 32");
    }
    Finding::ok("secret", format!("{name} is given; it has to be the same on every instance"))
}

fn kept(path: &Path) -> Finding {
    let shown = path.display();
    if !path.exists() {
        return Finding::ok("secret", format!("none yet; the first start makes one in {shown}"));
    }
    if let Err(error) = fs::File::open(path) {
        return Finding::fail("secret", format!("{shown} cannot be read: {error}"), "give it to the server's user");
    }
    match open_to_others(path) {
        Some(mode) => Finding::fail(
            "secret",
            format!("{shown} has mode {mode:03o}: who reads it can make codes, links and tokens"),
            format!("chmod 600 {shown}; if others use this machine, make a new one and set GATEPOST_SECRET_PREVIOUS"),
        ),
        None => Finding::ok("secret", format!("kept in {shown}, for its owner alone")),
    }
}

fn clock() -> Finding {
    let now = Clock::system().now();
    if chrono::Datelike::year(&now) < FIRST_YEAR {
        return Finding::fail("time", format!("this machine says it is {now}"), "set its clock, and keep it by NTP");
    }
    Finding::ok("time", now.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// How many files may be open, where the system tells (Linux).
fn open_files(connections: usize) -> Option<Finding> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    // `unlimited` is no number: then there is nothing to say.
    let most: u64 = line.split_whitespace().next()?.parse().ok()?;
    let needed = u64::try_from(connections).ok()?.saturating_add(OTHER_FILES);
    Some(if most < needed {
        Finding::warn(
            "files",
            format!("{most} may be open here, and {connections} connections are allowed"),
            format!("raise it (ulimit -n {needed}, LimitNOFILE), or set server.max_connections below {most}"),
        )
    } else {
        Finding::ok("files", format!("{most} may be open, enough for {connections} connections"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_secret_that_somebody_typed_is_told_from_one_that_was_made() {
        let level = |secret: &str| strength("X", &Redacted::new(secret.to_owned())).level;
        assert_eq!(level("passwordpasswordpasswordpassword"), Level::Warn);
        assert_eq!(level("b6dUZ1q0lT0Yx3mXG9p2Qw7rJ4nK8sVfHcEaLtRyIuo="), Level::Ok);
        assert!(!strength("X", &Redacted::new("hunter2".repeat(5))).found.contains("hunter2"));
    }

    #[cfg(unix)]
    #[test]
    fn what_others_can_read_is_told() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(folder.path(), 0o700);
        assert_eq!(data_dir(folder.path()).level, Level::Ok);
        mode(folder.path(), 0o755);
        assert_eq!(data_dir(folder.path()).level, Level::Warn);
        let secret = folder.path().join("secret");
        assert_eq!(kept(&secret).level, Level::Ok);
        fs::write(&secret, "x").unwrap();
        mode(&secret, 0o640);
        assert_eq!(kept(&secret).level, Level::Fail);
        mode(&secret, 0o600);
        assert_eq!(kept(&secret).level, Level::Ok);
        assert_eq!(data_dir(&folder.path().join("a/b")).level, Level::Ok);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "it leaves nothing behind");
    }

    #[test]
    fn more_connections_than_files_are_told() {
        if let Some(found) = open_files(usize::MAX) {
            assert_eq!(found.level, Level::Warn);
        }
    }
}
