//! Ready answers in Redis: a line of JSON about the answer, and its body after that.
//!
//! One that cannot be read, is of another schema, or whose body does not have the digest that its tag says, is deleted,
//! counted and made anew.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Cache;
use super::response::{LONGEST, Response};
use super::response_key::{Resource, ResponseKey};
use super::shared::failed;
use crate::domain::Instant;
use crate::redis::{RedisError, keys, pipe};

/// Goes with every answer: raise this when the form of what is stored changes.
const SCHEMA: u32 = 1;

/// What Redis said.
pub(super) enum Found {
    /// The answer, and for how long it may be handed out.
    Response(Arc<Response>, Duration),
    /// There is none. One that is made now is to be stored under this generation.
    Nothing(String),
    /// It could not be asked: leave it alone.
    Away,
}

/// What stands before the body.
#[derive(Serialize)]
struct Header<'a> {
    schema: u32,
    generation: &'a str,
    /// Unix time in milliseconds, by the database's clock.
    until: i64,
    content_type: &'a str,
    etag: &'a str,
}

/// The answer, its generation and its end; `None` if it cannot be read.
pub(super) fn parse(stored: &[u8]) -> Option<(Response, String, i64)> {
    let line = stored.iter().position(|byte| *byte == b'\n')?;
    let (header, body) = (stored.get(..line)?, stored.get(line + 1..)?);
    // The tag has quotes, which JSON escapes: such a text cannot be borrowed.
    let header: OwnedHeader = serde_json::from_slice(header).ok()?;
    if header.schema != SCHEMA || header.etag != Response::etag_of(body) {
        return None;
    }
    let response = Response { body: body.to_vec(), content_type: header.content_type, etag: header.etag };
    Some((response, header.generation, header.until))
}

/// [`Header`], as it is read.
#[derive(Deserialize)]
struct OwnedHeader {
    schema: u32,
    generation: String,
    until: i64,
    content_type: String,
    etag: String,
}

impl Cache {
    /// Asks Redis for an answer and for the generation that stands, in one round trip.
    pub(super) async fn shared_response(&self, key: &ResponseKey) -> Found {
        let (responses, shared) = (&self.0.responses, &self.0.shared);
        let Some(redis) = shared.redis().filter(|redis| redis.available() && responses.redis_is_believed()) else {
            return Found::Away;
        };
        let generation = keys::generation(key.resource.name());
        let mut commands = pipe();
        // A generation that Redis has lost is one that never was: no old answer has it.
        let generation = redis.key(&generation);
        commands.cmd("SET").arg(generation).arg(self.new_generation()).arg("NX").ignore();
        commands.cmd("GET").arg(generation).cmd("GET").arg(redis.key(&key.text));
        let stored = match redis.pipeline_promptly::<(Option<String>, Option<Vec<u8>>)>(commands).await {
            Ok((Some(token), stored)) => (token, stored),
            Ok((None, _)) => return Found::Away,
            // Another type than was asked for: somebody else's value.
            Err(RedisError::Reply(_)) => {
                self.discard_response(key).await;
                return Found::Away;
            }
            Err(error) => {
                failed(&error, &responses.counts);
                return Found::Away;
            }
        };
        let (token, stored) = stored;
        match stored.as_deref().map(parse) {
            Some(Some((response, made_under, until))) if made_under == token => {
                let left = until.saturating_sub(self.0.clock.now().timestamp_millis());
                if let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) {
                    responses.counts.redis_hits.one();
                    return Found::Response(Arc::new(response), Duration::from_millis(left));
                }
            }
            Some(None) => self.discard_response(key).await,
            Some(Some(_)) | None => {}
        }
        responses.counts.redis_misses.one();
        Found::Nothing(token)
    }

    async fn discard_response(&self, key: &ResponseKey) {
        let counts = &self.0.responses.counts;
        counts.discarded.one();
        log::warn!("Removed an answer that cannot be read from the cache");
        if let Some(redis) = self.0.shared.redis()
            && let Err(error) = redis.del(&[&key.text]).await
        {
            failed(&error, counts);
        }
    }

    /// Stores an answer that was begun at a time, for a time from then on.
    pub(super) async fn share_response(
        &self,
        key: &ResponseKey,
        generation: &str,
        response: &Response,
        (began, ttl): (Instant, Duration),
    ) {
        let Some(redis) = self.0.shared.redis().filter(|redis| redis.available()) else { return };
        let until = began.timestamp_millis().saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        let left = u64::try_from(until - self.0.clock.now().timestamp_millis()).unwrap_or(0);
        if response.body.len() > LONGEST || left == 0 {
            self.0.responses.counts.refused_fills.one();
            return;
        }
        let Response { body, content_type, etag } = response;
        let Ok(mut value) = serde_json::to_vec(&Header { schema: SCHEMA, generation, until, content_type, etag })
        else {
            return;
        };
        value.push(b'\n');
        value.extend_from_slice(body);
        let life = self.0.shared.shortened(Duration::from_millis(left));
        if let Err(error) = redis.set_ex(&key.text, &value, life).await {
            failed(&error, &self.0.responses.counts);
        }
    }

    /// Gives these resources a new generation, everywhere; whether Redis has taken it in, or there is none.
    pub(super) async fn raise(&self, resources: &[Resource]) -> bool {
        let responses = &self.0.responses;
        responses.counts.invalidations.add(resources.len() as u64);
        responses.raise_here(resources);
        let Some(redis) = self.0.shared.channel() else { return true };
        let mut commands = pipe();
        for resource in resources {
            let key = keys::generation(resource.name());
            commands.cmd("SET").arg(redis.key(&key)).arg(self.new_generation()).ignore();
            commands.cmd("PUBLISH").arg(keys::INVALIDATIONS).arg(format!("0 {key}")).ignore();
        }
        let done = redis.pipeline::<()>(commands).await;
        // And again, for what Redis has given in between.
        responses.raise_here(resources);
        done.inspect_err(|error| failed(error, &responses.counts)).is_ok()
    }

    fn new_generation(&self) -> String {
        u128::from_be_bytes(self.0.responses.entropy.bytes()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_on_the_way_is_not_read() {
        let response = Response::json(&"a\nb").unwrap();
        let Response { body, content_type, etag } = &response;
        let stored = |schema: u32, etag: &str, body: &[u8]| {
            let mut value =
                serde_json::to_vec(&Header { schema, generation: "7", until: 9, content_type, etag }).unwrap();
            value.push(b'\n');
            value.extend_from_slice(body);
            value
        };
        assert_eq!(parse(&stored(SCHEMA, etag, body)), Some((response.clone(), "7".to_owned(), 9)));
        for garbage in [
            stored(SCHEMA + 1, etag, body),
            stored(SCHEMA, "\"0\"", body),
            stored(SCHEMA, etag, b"\"other\""),
            b"{}\n".to_vec(),
            b"no line".to_vec(),
            Vec::new(),
        ] {
            assert!(parse(&garbage).is_none(), "{:?}", String::from_utf8_lossy(&garbage));
        }
    }
}
