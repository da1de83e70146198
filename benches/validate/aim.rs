//! Which requests are sent: the same bytes to the product and to its peers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::seed;

/// What a reverse proxy passes on with every request.
const HEADERS: &str = "Host: 127.0.0.1:8080\r\nAccept: */*\r\nAccept-Language: en-GB,en;q=0.5\r\n\
     User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n";

/// How a session is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Carrier {
    /// The session token, in its cookie.
    Cookie,
    /// The session token, as a bearer token.
    Bearer,
    /// An access token out of this file, as a bearer token.
    Jwt(PathBuf),
}

/// The sessions that are asked for, each as often as the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Aim {
    pub(crate) carrier: Carrier,
    /// So many, spread evenly over
    pub(crate) asked_for: usize,
    /// so many that there are.
    pub(crate) of: usize,
}

impl Aim {
    pub(crate) fn new(carrier: Carrier, asked_for: usize, of: usize) -> Self {
        Self { carrier, asked_for, of }
    }

    /// The numbers of the sessions.
    pub(crate) fn numbers(asked_for: usize, of: usize) -> impl Iterator<Item = usize> {
        (0..asked_for).map(move |place| place * (of / asked_for))
    }

    /// A request for each of the sessions.
    pub(crate) fn requests(&self) -> Vec<Box<[u8]>> {
        let numbers = Self::numbers(self.asked_for, self.of);
        match &self.carrier {
            Carrier::Cookie => numbers.map(|number| by_cookie(&seed::token(number))).collect(),
            Carrier::Bearer => numbers.map(|number| by_bearer(&seed::token(number))).collect(),
            Carrier::Jwt(path) => std::fs::read_to_string(path).expect("a file").lines().map(by_bearer).collect(),
        }
    }
}

fn by_cookie(token: &str) -> Box<[u8]> {
    request(&format!("Cookie: gatepost_session={token}"))
}

/// A look at the session whose token is `token`.
pub(crate) fn by_bearer(token: &str) -> Box<[u8]> {
    request(&format!("Authorization: Bearer {token}"))
}

fn request(credential: &str) -> Box<[u8]> {
    format!("GET /api/auth/validate HTTP/1.1\r\n{HEADERS}{credential}\r\n\r\n").into_bytes().into()
}

/// A write, with a JSON body or none.
pub(crate) fn write(method: &str, path: &str, token: &str, body: &str) -> Box<[u8]> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\n{HEADERS}Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
    .into()
}
