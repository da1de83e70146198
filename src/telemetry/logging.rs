//! Log lines, through `log` and `env_logger`: text for people, or one JSON object a line for collectors.

use std::io::Write;

use log::kv::{Error, Key, Value, VisitSource};

use crate::settings::{Log, LogFormat};

/// Starts logging to standard error. A second call (in tests, say) changes nothing.
pub fn start(settings: &Log) {
    let mut builder = env_logger::Builder::new();
    // Actix tells of every start what this program tells in its own words. A filter can still ask for it.
    builder.filter_module("actix_server", log::LevelFilter::Warn);
    // And it calls it an error of the server's when a stranger sends what is not HTTP, which they may do all day.
    builder.filter_module("actix_http", log::LevelFilter::Off);
    builder.parse_filters(&settings.filter);
    if settings.format == LogFormat::Json {
        builder.format(|out, record| {
            let mut line = serde_json::Map::new();
            line.insert("time".to_owned(), out.timestamp_millis().to_string().into());
            line.insert("level".to_owned(), record.level().as_str().to_lowercase().into());
            line.insert("target".to_owned(), record.target().into());
            line.insert("message".to_owned(), record.args().to_string().into());
            // A value that cannot be read is left out: a log line must not fail for it.
            let _ = record.key_values().visit(&mut Fields(&mut line));
            writeln!(out, "{}", serde_json::Value::Object(line))
        });
    }
    let _ = builder.try_init();
}

struct Fields<'a>(&'a mut serde_json::Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let value = match (value.to_u64(), value.to_i64(), value.to_f64(), value.to_bool()) {
            (Some(number), ..) => number.into(),
            (_, Some(number), ..) => number.into(),
            (_, _, Some(number), _) => number.into(),
            (.., Some(flag)) => flag.into(),
            _ => value.to_string().into(),
        };
        self.0.insert(key.as_str().to_owned(), value);
        Ok(())
    }
}
