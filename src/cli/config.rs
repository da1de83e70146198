//! `config`: the settings in force.

use super::{Cli, Failure, say};

/// Prints every setting, with secrets hidden.
pub(super) fn print(cli: &Cli) -> Result<(), Failure> {
    let settings = cli.settings(false)?;
    let effective = settings.effective();
    if cli.json {
        let rows: serde_json::Map<_, _> = effective
            .iter()
            .map(|row| (row.key.clone(), serde_json::json!({ "value": row.value, "source": row.source.to_string() })))
            .collect();
        return say(serde_json::Value::Object(rows));
    }
    let width = effective.iter().map(|row| row.key.len()).max().unwrap_or(0);
    for row in &effective {
        say(format_args!("{:width$} = {}  # {}", row.key, row.value, row.source))?;
    }
    for note in &settings.notes {
        eprintln!("note: {note}");
    }
    Ok(())
}
