//! Opens connections to one relay: TCP, TLS, greeting, password.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::Ehlo;
use lettre::transport::smtp::extension::ClientId;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::pool::Connection;
use super::reply::explain;
use super::wire::Wire;
use crate::mail::transport::TransportError;
use crate::settings::{self, Relay, RelayTls};

/// Knows how to reach one relay.
pub(super) struct Dialer {
    /// Its number in the settings.
    number: usize,
    relay: Relay,
    encryption: Encryption,
    hello: ClientId,
    connect_timeout: Duration,
    command_timeout: Duration,
}

enum Encryption {
    Never,
    /// Asked for with STARTTLS; without it nothing is sent if it is `required`.
    Upgrade {
        parameters: TlsParameters,
        required: bool,
    },
    FromTheStart {
        connector: TlsConnector,
        name: ServerName<'static>,
    },
}

impl Dialer {
    pub(super) fn new(number: usize, relay: &Relay, settings: &settings::Mail) -> Result<Self, TransportError> {
        let unusable = |reason: String| TransportError::Tls { relay: relay.label(), reason };
        let encryption = match relay.tls {
            RelayTls::None => Encryption::Never,
            RelayTls::StartTls | RelayTls::Required => {
                let required = relay.tls == RelayTls::Required || must_hide_password(relay);
                let parameters = parameters(relay, required).map_err(|error| unusable(error.to_string()))?;
                Encryption::Upgrade { parameters, required }
            }
            RelayTls::Implicit => {
                let connector = connector().map_err(|error| unusable(error.to_string()))?;
                let name = ServerName::try_from(relay.host.clone()).map_err(|error| unusable(error.to_string()))?;
                Encryption::FromTheStart { connector, name }
            }
        };
        Ok(Self {
            number,
            relay: relay.clone(),
            encryption,
            hello: ClientId::default(),
            connect_timeout: settings.connect_timeout,
            command_timeout: settings.command_timeout,
        })
    }

    /// The relay's number in the settings.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The relay's name, without its password.
    pub(super) fn label(&self) -> String {
        self.relay.label()
    }

    /// A connection that is ready for a mail; else why there is none, on one line.
    pub(super) async fn open(&self) -> Result<Connection, String> {
        // lettre 0.11.23 panics where a relay answers EHLO with a line of nothing but spaces.
        let opened = AssertUnwindSafe(self.greet()).catch_unwind().await;
        opened.unwrap_or_else(|_| Err("what the relay says it offers cannot be read".to_owned()))
    }

    async fn greet(&self) -> Result<Connection, String> {
        let wire = self.wire(self.connect().await?).await?;
        let switch = wire.switch();
        let greeting = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &self.hello);
        let mut smtp = self.step("the greeting", greeting).await?;
        if let Encryption::Upgrade { parameters, required } = &self.encryption {
            if smtp.can_starttls() {
                self.step("STARTTLS", smtp.starttls(parameters.clone(), &self.hello)).await?;
            } else if *required {
                return Err("the relay offers no STARTTLS, and nothing may be sent to it without".to_owned());
            }
        }
        switch.read_freely();
        if let (Some(user), Some(password)) = (&self.relay.user, &self.relay.password) {
            let credentials = Credentials::new(user.clone(), password.expose().clone());
            self.step("AUTH", smtp.auth(&[Mechanism::Plain, Mechanism::Login], &credentials)).await?;
        }
        let pipelining = self.offers_pipelining(&mut smtp).await?;
        Ok(Connection { relay: self.number, smtp, pipelining })
    }

    /// Asks once more what the relay offers: lettre does not tell everything that it was told. This costs one round trip,
    /// and saves two for each mail.
    async fn offers_pipelining(&self, smtp: &mut AsyncSmtpConnection) -> Result<bool, String> {
        match timeout(self.command_timeout, smtp.command(Ehlo::new(self.hello.clone()))).await {
            Ok(Ok(offers)) => Ok(offers.message().skip(1).any(|offer| offer.trim().eq_ignore_ascii_case("PIPELINING"))),
            // A relay that does not like being asked twice is spoken to one command at a time.
            Ok(Err(error)) if error.status().is_some_and(|code| u16::from(code) != 421) => Ok(false),
            Ok(Err(error)) => Err(format!("EHLO failed: {}", explain(&error))),
            Err(_) => Err(format!("EHLO failed: no answer within {:?}", self.command_timeout)),
        }
    }

    /// The first of the relay's addresses that answers. An address that does not leaves time for those after it.
    async fn connect(&self) -> Result<TcpStream, String> {
        let deadline = tokio::time::Instant::now() + self.connect_timeout;
        let place = (self.relay.host.as_str(), self.relay.port);
        let addresses: Vec<_> = match timeout(self.connect_timeout, lookup_host(place)).await {
            Ok(found) => found.map_err(|error| format!("the name cannot be looked up: {error}"))?.collect(),
            Err(_) => return Err("the name could not be looked up in time".to_owned()),
        };
        let mut failure = "the name has no address".to_owned();
        for (left, address) in (1..=u32::try_from(addresses.len()).unwrap_or(1)).rev().zip(addresses) {
            let share = deadline.saturating_duration_since(tokio::time::Instant::now()) / left;
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // A command waits for its answer: Nagle's algorithm only adds its delay to each.
                    stream.set_nodelay(true).map_err(|error| error.to_string())?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failure = format!("cannot connect: {error}"),
                Err(_) => "cannot connect: no answer in time".clone_into(&mut failure),
            }
        }
        Err(failure)
    }

    async fn wire(&self, stream: TcpStream) -> Result<Wire, String> {
        match &self.encryption {
            Encryption::Never => Ok(Wire::plain(stream, false)),
            Encryption::Upgrade { .. } => Ok(Wire::plain(stream, true)),
            Encryption::FromTheStart { connector, name } => {
                match timeout(self.command_timeout, connector.connect(name.clone(), stream)).await {
                    Ok(Ok(stream)) => Ok(Wire::encrypted(stream)),
                    Ok(Err(error)) => Err(format!("TLS failed: {error}")),
                    Err(_) => Err("TLS failed: no answer in time".to_owned()),
                }
            }
        }
    }

    async fn step<T>(
        &self,
        name: &str,
        step: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
    ) -> Result<T, String> {
        match timeout(self.command_timeout, step).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(format!("{name} failed: {}", explain(&error))),
            Err(_) => Err(format!("{name} failed: no answer within {:?}", self.command_timeout)),
        }
    }
}

/// A password goes out in the clear only on this machine, or where the operator has said so with `tls=none`.
fn must_hide_password(relay: &Relay) -> bool {
    relay.user.is_some() && !relay.is_loopback()
}

/// Where TLS is required the certificate has to be good. Where it is used because it is offered, an attacker who can
/// show a wrong certificate could as well hide the offer; encrypting to whomever is better than not (RFC 7435).
fn parameters(relay: &Relay, verify: bool) -> Result<TlsParameters, lettre::transport::smtp::Error> {
    let builder = TlsParameters::builder(relay.host.clone());
    if verify {
        return builder.build_rustls();
    }
    builder
        .certificate_store(CertificateStore::None)
        .dangerous_accept_invalid_certs(true)
        .dangerous_accept_invalid_hostnames(true)
        .build_rustls()
}

fn connector() -> Result<TlsConnector, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
