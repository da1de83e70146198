//! `doctor`: looks at the settings and at everything that they name, and says of each what is wrong and what to do.
//!
//! It goes the way that a server would go and leaves nothing behind: it makes no database and no secret, sends no mail,
//! and what it writes for a try (a file, a key in Redis) it removes. It can be run beside a server, or before the first start.

mod machine;
mod servers;
mod web;

use serde::Serialize;

use super::{Cli, Failure, health, say};
use crate::settings::SettingsError;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// It does not work.
    Fail,
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// The thing, such as `database`.
    check: &'static str,
    level: Level,
    /// What was found, as a sentence without its end.
    found: String,
    /// What to do, unless all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, found: found.into(), advice: None }
    }

    fn warn(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, found: found.into(), advice: Some(advice.into()) }
    }

    fn fail(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Fail, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Looks at everything, prints what it finds, and fails if something does not work.
pub(super) async fn run(cli: &Cli) -> Result<(), Failure> {
    let findings = match cli.settings(false) {
        Ok(settings) => {
            let mut findings = vec![Finding::ok("settings", format!("{} are right", settings.effective().len()))];
            let remark = |note: &String| Finding::warn("settings", note.clone(), "change it, or know why it is so");
            findings.extend(settings.notes.iter().map(remark));
            findings.extend(machine::look(&settings));
            findings.extend(servers::look(&settings).await);
            findings.extend(web::look(&settings).await);
            findings
        }
        Err(Failure::Settings(SettingsError(problems))) => problems
            .iter()
            .map(|problem| {
                let value = problem.value.as_ref().map(|value| format!(" = {value:?}")).unwrap_or_default();
                let found = format!("{}{value} {}", problem.key, problem.reason);
                Finding::fail("settings", found, format!("such as {}, in {}", problem.example, problem.source))
            })
            .collect(),
        Err(other) => return Err(other),
    };
    print(cli, &findings)?;
    match findings.iter().filter(|finding| finding.level == Level::Fail).count() {
        0 => Ok(()),
        1 => Err(Failure::Failed("one thing does not work".to_owned())),
        failed => Err(Failure::Failed(format!("{failed} things do not work"))),
    }
}

fn print(cli: &Cli, findings: &[Finding]) -> Result<(), Failure> {
    if cli.json {
        let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        return say(serde_json::json!({ "level": worst, "checks": findings }));
    }
    for Finding { check, level, found, advice } in findings {
        let level = match level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        say(format_args!("{level:5} {check:10} {found}"))?;
        if let Some(advice) = advice {
            say(format_args!("{:16} -> {advice}", ""))?;
        }
    }
    Ok(())
}
