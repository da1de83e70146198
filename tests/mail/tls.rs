//! STARTTLS: used where it is offered, insisted on where it matters, and not to be tampered with.

use std::sync::Arc;
use std::time::Duration;

use gatepost::domain::{MailStatus, Redacted};
use gatepost::mail::Worker;
use gatepost::settings::{self, Delivery, Relay, RelayTls};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::SOON;
use crate::rig::{Rig, beside, relay_at};

/// What a relay of these tests does.
#[derive(Clone, Copy)]
struct Behaviour {
    offers_tls: bool,
    /// Sent behind the answer to STARTTLS, in the same packet.
    injects: &'static str,
    implicit: bool,
}

const PLAIN: Behaviour = Behaviour { offers_tls: false, injects: "", implicit: false };
const STARTTLS: Behaviour = Behaviour { offers_tls: true, ..PLAIN };

/// Starts a relay with a certificate that nobody trusts (it and its key, which guards nothing, lie in `tls/`); gives its port, and each line it hears with whether it came
/// encrypted.
async fn start(behaviour: Behaviour) -> (u16, mpsc::UnboundedReceiver<(bool, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, lines) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, behaviour, heard.clone()));
        }
    });
    (port, lines)
}

async fn serve(stream: TcpStream, behaviour: Behaviour, heard: mpsc::UnboundedSender<(bool, String)>) {
    if behaviour.implicit {
        let Ok(stream) = acceptor().accept(stream).await else { return };
        let mut stream = BufReader::new(stream);
        talk(&mut stream, true, behaviour, true, &heard).await;
        return;
    }
    let mut stream = BufReader::new(stream);
    if !talk(&mut stream, true, behaviour, false, &heard).await {
        return;
    }
    let Ok(stream) = acceptor().accept(stream.into_inner()).await else { return };
    talk(&mut BufReader::new(stream), false, behaviour, true, &heard).await;
}

/// Talks SMTP until the client leaves, or asks for TLS: `true`.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    greet: bool,
    behaviour: Behaviour,
    encrypted: bool,
    heard: &mpsc::UnboundedSender<(bool, String)>,
) -> bool {
    let mut answer = if greet { "220 relay.test\r\n".to_owned() } else { String::new() };
    let mut in_message = false;
    loop {
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return false;
        }
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
        let line = line.trim_end();
        answer = String::new();
        if in_message {
            if line == "." {
                in_message = false;
                "250 kept\r\n".clone_into(&mut answer);
            }
            continue;
        }
        let _ = heard.send((encrypted, line.to_owned()));
        let verb = line.split(' ').next().unwrap_or_default();
        match verb {
            "EHLO" if behaviour.offers_tls && !encrypted => "250-relay.test\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n",
            "EHLO" => "250-relay.test\r\n250 AUTH PLAIN\r\n",
            "STARTTLS" => {
                let both = format!("220 go ahead\r\n{}", behaviour.injects);
                let _ = stream.write_all(both.as_bytes()).await;
                return true;
            }
            "DATA" => {
                in_message = true;
                "354 go ahead\r\n"
            }
            "AUTH" => "235 welcome\r\n",
            _ => "250 ok\r\n",
        }
        .clone_into(&mut answer);
    }
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(beside("tls/certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(beside("tls/key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Everything heard so far.
fn all(lines: &mut mpsc::UnboundedReceiver<(bool, String)>) -> Vec<(bool, String)> {
    std::iter::from_fn(|| lines.try_recv().ok()).collect()
}

/// Sends a mail; its row in the end.
async fn send_to(rig: &Rig, relay: Relay) -> gatepost::store::Mail {
    let worker = rig.worker_with(|settings| settings.delivery = Delivery::Smtp(vec![relay]));
    let mail = rig.accept("ann@example.org").await;
    let row = rig.until(mail.id, MailStatus::Sent).await;
    worker.shutdown(SOON).await;
    row
}

/// Tries to send a mail over a relay that is not to be trusted; why it was not sent.
async fn turned_down(rig: &Rig, relay: Relay) -> String {
    let settings = settings::Mail {
        delivery: Delivery::Smtp(vec![relay]),
        command_timeout: Duration::from_secs(3),
        ..rig.settings()
    };
    let parts = rig.parts(settings);
    let transport = parts.transport.clone();
    let worker = Worker::spawn(parts);
    let mail = rig.accept("ann@example.org").await;
    let failure =
        crate::support::eventually("the relay to fail", SOON, async || transport.relays().remove(0).last_failure).await;
    worker.shutdown(SOON).await;
    let row = rig.row(mail.id).await;
    assert_eq!((row.status, row.attempts), (MailStatus::Ready, 0));
    failure
}

fn with_password(mut relay: Relay) -> Relay {
    (relay.user, relay.password) = (Some("ann".to_owned()), Some(Redacted::new("hunter2".to_owned())));
    relay
}

#[tokio::test(flavor = "multi_thread")]
async fn starttls_is_used_where_it_is_offered() {
    let rig = Rig::sqlite().await;
    let (port, mut lines) = start(STARTTLS).await;
    let row = send_to(&rig, Relay { tls: RelayTls::StartTls, ..relay_at(port) }).await;
    assert_eq!((row.status, row.last_error), (MailStatus::Sent, None));
    let heard = all(&mut lines);
    let plain: Vec<&str> = heard.iter().filter(|(encrypted, _)| !encrypted).map(|(_, line)| line.as_str()).collect();
    assert!(plain.len() == 2 && plain[0].starts_with("EHLO ") && plain[1] == "STARTTLS", "{plain:?}");
    assert!(heard.iter().any(|(encrypted, line)| *encrypted && line.starts_with("MAIL FROM:")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_offer_mail_goes_unencrypted_unless_tls_is_required() {
    let rig = Rig::sqlite().await;
    let (port, mut lines) = start(PLAIN).await;
    let row = send_to(&rig, Relay { tls: RelayTls::StartTls, ..relay_at(port) }).await;
    assert_eq!(row.status, MailStatus::Sent);
    all(&mut lines);
    let failure = turned_down(&rig, Relay { tls: RelayTls::Required, ..relay_at(port) }).await;
    assert!(failure.contains("offers no STARTTLS"), "{failure}");
    assert!(all(&mut lines).iter().all(|(_, line)| line.starts_with("EHLO ")), "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tls_is_required_the_certificate_has_to_be_good() {
    for (tls, implicit) in [(RelayTls::Required, false), (RelayTls::Implicit, true)] {
        let rig = Rig::sqlite().await;
        let (port, mut lines) = start(Behaviour { implicit, ..STARTTLS }).await;
        let failure = turned_down(&rig, with_password(Relay { tls, ..relay_at(port) })).await;
        assert!(failure.contains("certificate"), "{failure}");
        let heard = all(&mut lines);
        assert!(!heard.iter().any(|(_, line)| line.starts_with("AUTH") || line.starts_with("MAIL")), "{heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_slipped_in_before_the_handshake_is_believed() {
    let rig = Rig::sqlite().await;
    // Would be the answers to EHLO, MAIL FROM, RCPT TO and DATA inside TLS.
    let injects = "250-relay.test\r\n250 AUTH PLAIN\r\n250 ok\r\n250 ok\r\n354 go ahead\r\n250 kept\r\n";
    let (port, mut lines) = start(Behaviour { injects, ..STARTTLS }).await;
    let failure = turned_down(&rig, Relay { tls: RelayTls::StartTls, ..relay_at(port) }).await;
    assert!(failure.contains("STARTTLS failed"), "{failure}");
    assert!(all(&mut lines).iter().all(|(encrypted, _)| !encrypted), "the handshake came to nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_does_not_leave_the_machine_unencrypted() {
    let rig = Rig::sqlite().await;
    let (port, mut lines) = start(PLAIN).await;
    // Loopback, by a name that does not say so.
    let relay = with_password(Relay { tls: RelayTls::StartTls, host: hostname(), ..relay_at(port) });
    turned_down(&rig, relay).await;
    assert!(all(&mut lines).iter().all(|(_, line)| line.starts_with("EHLO ")));
}

/// Another name of 127.0.0.1: the decimal form, which resolvers take.
fn hostname() -> String {
    "2130706433".to_owned()
}
