//! `mail dkim`: what to publish, so that receivers can check the signatures.

use crate::cli::{Cli, Failure, say};
use crate::mail::dkim_records;

/// The longest string that a TXT record may be made of (RFC 1035, 3.3.14).
const STRING: usize = 255;

/// Prints the DNS records of the keys in the settings, as a zone file has them.
pub(super) fn print(cli: &Cli) -> Result<(), Failure> {
    let Some(dkim) = cli.settings(false)?.mail.dkim else {
        return Err(Failure::Failed("mails are not signed: mail.dkim_private_key is unset".to_owned()));
    };
    let records = dkim_records(&dkim).map_err(|_| Failure::Failed("a public key cannot be written".to_owned()))?;
    if cli.json {
        let rows = records.iter().map(|record| serde_json::json!({ "name": record.name, "value": record.value }));
        return say(serde_json::Value::Array(rows.collect()));
    }
    for record in &records {
        say(format_args!("{}. IN TXT {}", record.name, strings(&record.value)))?;
    }
    Ok(())
}

/// `value`, which is ASCII, in as many quoted strings as it takes.
fn strings(value: &str) -> String {
    let strings: Vec<String> =
        value.as_bytes().chunks(STRING).map(|chunk| format!("\"{}\"", String::from_utf8_lossy(chunk))).collect();
    if strings.len() == 1 { strings.concat() } else { format!("( {} )", strings.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_record_is_made_of_several_strings() {
        assert_eq!(strings("v=DKIM1"), "\"v=DKIM1\"");
        let long = strings(&"a".repeat(300));
        assert_eq!(long, format!("( \"{}\" \"{}\" )", "a".repeat(255), "a".repeat(45)));
    }
}
