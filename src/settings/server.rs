//! Where the server listens, and what it is called from outside.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::edge::{Connections, Hsts, Operators, Proxies};
use super::origin::{self, origin, public_url};
use super::reader::{Read, Reader, name};
use super::values;

/// What the HTTP server takes as a number of threads.
const MOST_WORKERS: usize = 512;

/// How the server is reached.
#[derive(Clone, Debug)]
pub struct Server {
    /// The address and port to listen on. Port 0 takes any free one; see [`Server::bound_to`].
    pub bind: SocketAddr,
    /// What people type: scheme, host and perhaps a port, nothing behind them.
    pub public_url: Url,
    /// HTTP threads, at least one.
    pub workers: usize,
    /// The proxies in front of this server.
    pub proxies: Proxies,
    /// Who may read what is meant for the operators.
    pub operators: Operators,
    /// How many connections are held, and for how long.
    pub connections: Connections,
    /// What browsers are told to reach by https only, where the public URL is https.
    pub hsts: Hsts,
    /// Origins other than this server's that a sign-in may return to, such as `https://app.example.com`.
    pub redirect_origins: Vec<String>,
    /// Whether the session cookie has the `Secure` attribute.
    pub cookie_secure: bool,
    /// How long requests and mails in progress may take to finish once the server is told to stop.
    pub shutdown_timeout: Duration,
    /// The largest body of a JSON or form request, in bytes.
    pub max_body_bytes: usize,
    /// Where the embedded database, the generated secret and the avatars are kept.
    pub data_dir: PathBuf,
}

impl Server {
    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        let bind = reader.required("server.bind", bind_address);
        let public_url = read_public_url(reader, bind.as_ref().ok());
        let workers = reader.required("server.workers", workers);
        let proxies = Proxies::read(reader);
        let operators = Operators::read(reader, bind.as_ref().ok());
        let connections = Connections::read(reader);
        let hsts = Hsts::read(reader);
        let redirect_origins = reader.optional("server.redirect_origins", "https://app.example.com", |text| {
            values::list_of(text, |member| Ok(origin(member)?.origin().ascii_serialization()))
        });
        let cookie_secure = reader.required("server.cookie_secure", |text| match text {
            "auto" => Ok(None),
            text => values::switch(text).map(Some).map_err(|_| "must be auto, on or off".to_owned()),
        });
        let shutdown_timeout = reader.duration("server.shutdown_timeout", "0s", "10m");
        let max_body_bytes = reader.required("server.max_body_bytes", body_size);
        let data_dir = reader.required("server.data_dir", directory);

        let (public_url, cookie_secure) = (public_url?, cookie_secure?);
        let https = public_url.scheme() == "https";
        if https && cookie_secure == Some(false) {
            let reason = format!(
                "must not be off while {} is https: the session cookie would also travel unencrypted",
                name("server.public_url")
            );
            return Err(reader.refuse("server.cookie_secure", &reason, "auto"));
        }
        let server = Self {
            bind: bind?,
            public_url,
            workers: workers?,
            proxies: proxies?,
            operators: operators?,
            connections: connections?,
            hsts: hsts?,
            redirect_origins: redirect_origins?.unwrap_or_default(),
            cookie_secure: cookie_secure.unwrap_or(https),
            shutdown_timeout: shutdown_timeout?,
            max_body_bytes: max_body_bytes?,
            data_dir: data_dir?,
        };
        server.remark(reader);
        Ok(server)
    }

    fn remark(&self, reader: &mut Reader) {
        reader.show("server.public_url", self.public_origin());
        reader.show("server.workers", self.workers.to_string());
        reader.show("server.cookie_secure", if self.cookie_secure { "on" } else { "off" }.to_owned());
        if self.public_url.scheme() == "http" && !self.is_loopback_public() {
            reader.note(format!(
                "{} is {}: codes and sessions travel unencrypted; serve it by https",
                name("server.public_url"),
                self.public_origin()
            ));
            if self.cookie_secure {
                reader.note(format!(
                    "{} is on while {} is http: browsers will not keep the session cookie",
                    name("server.cookie_secure"),
                    name("server.public_url")
                ));
            }
        }
    }

    /// The public URL as an origin, without a slash at its end: `https://sign-in.example.com`.
    pub fn public_origin(&self) -> String {
        self.public_url.origin().ascii_serialization()
    }

    /// The absolute URL of `path`, which may have a query, with or without a leading slash.
    pub fn link(&self, path: &str) -> String {
        format!("{}/{}", self.public_origin(), path.trim_start_matches('/'))
    }

    /// Whether only this machine can open the public URL: its host is `localhost`, a name under it, or a loopback address.
    pub fn is_loopback_public(&self) -> bool {
        origin::has_loopback_host(&self.public_url)
    }

    /// Whether only this machine can connect.
    pub fn is_loopback_bind(&self) -> bool {
        origin::is_loopback(self.bind.ip())
    }

    /// Takes over the address that is really listened on. Where port 0 was asked for, the public URL that was made of
    /// it gets the real port too.
    pub fn bound_to(&mut self, address: SocketAddr) {
        if self.public_url.port() == Some(0) {
            // Fails only for URLs without a host, which `public_url` never is.
            let _ = self.public_url.set_port(Some(address.port()));
        }
        self.bind = address;
    }
}

/// `server.bind` if it is right, without a word if it is not.
pub(super) fn known_bind(reader: &mut Reader) -> Option<SocketAddr> {
    bind_address(reader.text("server.bind").ok()??.trim()).ok()
}

/// `server.public_url` if it is given and right, without a word if it is not.
pub(super) fn known_public_url(reader: &mut Reader) -> Option<Url> {
    public_url(reader.text("server.public_url").ok()??.trim()).ok()
}

fn bind_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an IP address and a port, as in 127.0.0.1:8080 or [::]:8080".to_owned())
}

fn read_public_url(reader: &mut Reader, bind: Option<&SocketAddr>) -> Read<Url> {
    const EXAMPLE: &str = "https://sign-in.example.com";
    if let Some(url) = reader.optional("server.public_url", EXAMPLE, public_url)? {
        return Ok(url);
    }
    // A wrong bind has been reported; nothing can be made of it.
    let bind = bind.ok_or(super::layers::Reported)?;
    if bind.ip().is_unspecified() {
        let reason = format!("must be given, because {} is {bind}, which no link can point to", name("server.bind"));
        return Err(reader.refuse("server.public_url", &reason, EXAMPLE));
    }
    public_url(&format!("http://{bind}")).map_err(|reason| {
        let reason = format!("must be given, because what follows from {} ({bind}) {reason}", name("server.bind"));
        reader.refuse("server.public_url", &reason, EXAMPLE)
    })
}

fn workers(text: &str) -> Result<usize, String> {
    if text == "auto" {
        return Ok(std::thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS));
    }
    text.parse()
        .ok()
        .filter(|count| (1..=MOST_WORKERS).contains(count))
        .ok_or_else(|| format!("must be auto or a whole number from 1 to {MOST_WORKERS}"))
}

fn body_size(text: &str) -> Result<usize, String> {
    let size = values::bytes(text)?;
    let size = usize::try_from(size).ok().filter(|size| (1024..=64 * 1024 * 1024).contains(size));
    size.ok_or_else(|| "must be from 1KiB to 64MiB".to_owned())
}

fn directory(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.exists() && !path.is_dir() { Err("must be a directory; a file has that name".to_owned()) } else { Ok(path) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};
    use super::*;

    fn server(variables: &[(&str, &str)]) -> Server {
        load(variables).server
    }

    #[test]
    fn without_settings_it_listens_on_loopback_and_is_called_that() {
        let server = server(&[]);
        assert_eq!(server.bind.to_string(), "127.0.0.1:8080");
        assert_eq!(server.public_origin(), "http://127.0.0.1:8080");
        assert_eq!(server.data_dir, PathBuf::from("data"));
        assert!(server.is_loopback_public() && !server.cookie_secure && server.workers > 0);
        assert!(server.proxies.trusted.is_empty() && server.redirect_origins.is_empty());
    }

    #[test]
    fn links_have_one_slash_whoever_wrote_it() {
        for url in ["https://sign-in.example.com", "https://sign-in.example.com/", "HTTPS://Sign-In.Example.com:443"] {
            let server = server(&[("GATEPOST_PUBLIC_URL", url), ("SMTP_URL", "smtp://localhost")]);
            assert_eq!(server.public_origin(), "https://sign-in.example.com");
            assert_eq!(server.link("/login?a=b"), "https://sign-in.example.com/login?a=b");
            assert_eq!(server.link("login"), server.link("//login"));
            assert!(server.cookie_secure);
        }
    }

    #[test]
    fn a_bind_to_every_address_needs_a_public_url() {
        for bind in ["0.0.0.0:8080", "[::]:8080"] {
            let problems = refused(&[("GATEPOST_BIND", bind), ("SMTP_URL", "smtp://localhost")]);
            assert_eq!(problems[0].key, "server.public_url");
            assert!(problems[0].reason.contains("GATEPOST_BIND"), "{problems:?}");
        }
    }

    #[test]
    fn a_free_port_becomes_part_of_the_computed_url() {
        let mut free = server(&[("GATEPOST_BIND", "127.0.0.1:0")]);
        free.bound_to("127.0.0.1:4711".parse().unwrap());
        assert_eq!((free.public_origin().as_str(), free.bind.port()), ("http://127.0.0.1:4711", 4711));
        let mut named = server(&[("GATEPOST_BIND", "127.0.0.1:0"), ("GATEPOST_PUBLIC_URL", "http://localhost:9")]);
        named.bound_to("127.0.0.1:4711".parse().unwrap());
        assert_eq!(named.public_origin(), "http://localhost:9");
    }

    #[test]
    fn the_cookie_is_secure_on_https_and_cannot_be_less() {
        let https = [("GATEPOST_PUBLIC_URL", "https://localhost"), ("GATEPOST_SERVER_COOKIE_SECURE", "off")];
        let problems = refused(&https);
        assert_eq!(problems[0].key, "server.cookie_secure");
        assert!(problems[0].reason.contains("GATEPOST_PUBLIC_URL"));
        assert!(server(&[("GATEPOST_SERVER_COOKIE_SECURE", "on")]).cookie_secure);
        assert_eq!(refused(&[("GATEPOST_SERVER_COOKIE_SECURE", "maybe")])[0].reason, "must be auto, on or off");
    }

    #[test]
    fn origins_are_a_list() {
        let server =
            server(&[("GATEPOST_SERVER_REDIRECT_ORIGINS", "https://App.example.com:443/,http://localhost:3000")]);
        assert_eq!(server.redirect_origins, ["https://app.example.com", "http://localhost:3000"]);
        let problems = refused(&[("GATEPOST_SERVER_REDIRECT_ORIGINS", "https://u:hunter2@h")]);
        assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
        for wrong in ["https://*.example.com", "https://app.example.com/path", "null"] {
            assert_eq!(refused(&[("GATEPOST_SERVER_REDIRECT_ORIGINS", wrong)]).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn sizes_and_threads_have_bounds() {
        for (variable, value) in [
            ("GATEPOST_WORKERS", "0"),
            ("GATEPOST_WORKERS", "many"),
            ("GATEPOST_WORKERS", "513"),
            ("GATEPOST_SERVER_MAX_BODY_BYTES", "0"),
            ("GATEPOST_SERVER_SHUTDOWN_TIMEOUT", "1h"),
            ("GATEPOST_BIND", "localhost:8080"),
            ("GATEPOST_BIND", "8080"),
            ("GATEPOST_DATA_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")),
        ] {
            assert_eq!(refused(&[(variable, value)]).len(), 1, "{variable}={value}");
        }
        assert_eq!(server(&[("GATEPOST_WORKERS", "3")]).workers, 3);
    }

    #[test]
    fn what_is_open_to_eavesdroppers_is_remarked() {
        let public = [("GATEPOST_PUBLIC_URL", "http://example.com"), ("SMTP_URL", "smtp://localhost")];
        assert!(load(&public).notes.iter().any(|note| note.contains("unencrypted")));
        assert!(load(&[]).notes.is_empty());
    }
}
