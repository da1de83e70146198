//! `serve` and `worker`: what runs until it is told to stop.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Cli, Failure, operator};
use crate::app::App;
use crate::settings::{Delivery, Settings};

/// Runs the server until SIGTERM or SIGINT.
pub(super) async fn serve(cli: &Cli) -> Result<(), Failure> {
    let started = std::time::Instant::now();
    let settings = cli.settings(true)?;
    let (first_is_admin, admins) = (settings.auth.first_person_is_admin, settings.auth.admins.len());
    let shows_mail = matches!(settings.mail.delivery, Delivery::DevMailbox);
    let summary = settings.summary();
    // From before the first request is taken: none of them is to be broken off.
    let mut signals = Signals::listen()?;
    let running = tokio::select! {
        running = App::start(settings) => running?,
        () = signals.next() => return Err(Failure::Failed("ended before it was ready".to_owned())),
    };
    if let Err(error) = running.auth.note_settings(&summary, &operator()).await {
        log::warn!("the settings are not in the audit trail: {error}");
    }
    let has_admin = !running.auth.admins().await?.is_empty();
    let (backend, url) = (running.database.backend(), &running.public_url);
    log::info!("ready after {} ms, with {backend}: open {url}", started.elapsed().as_millis());
    if !has_admin && first_is_admin {
        log::warn!("there is no admin yet: the first person to sign in at {url} becomes one");
    } else if !has_admin && admins == 0 {
        log::warn!("there is no admin yet: make one with `gatepost user promote ADDRESS`, or set GATEPOST_ADMINS");
    }
    if shows_mail {
        log::info!("mails are not sent but shown at {url}/dev/mail; set SMTP_URL to send them");
    }
    signals.next().await;
    log::info!("stopping: finishing requests and mails; a second signal ends it at once");
    stop_or_end(running.stop(), signals).await
}

/// Runs a mail worker until SIGTERM or SIGINT.
pub(super) async fn worker(cli: &Cli) -> Result<(), Failure> {
    let settings: Settings = cli.settings(true)?;
    if matches!(settings.mail.delivery, Delivery::DevMailbox) {
        return Err(Failure::Wrong("a worker of its own needs an SMTP server: set SMTP_URL".to_owned()));
    }
    let patience = settings.server.shutdown_timeout;
    let app = App::build(settings).await?;
    let mut signals = Signals::listen()?;
    let background = app.start_background(true);
    log::info!("sending mails");
    signals.next().await;
    log::info!("stopping: finishing mails; a second signal ends it at once");
    stop_or_end(background.stop(patience), signals).await
}

/// Waits for `stopping`, but no longer than until the next signal. What is broken off is found by another instance.
async fn stop_or_end(stopping: impl Future<Output = ()>, signals: Signals) -> Result<(), Failure> {
    tokio::select! {
        () = stopping => {
            log::info!("stopped");
            Ok(())
        }
        () = second(signals) => Err(Failure::Failed("ended at once by a second signal".to_owned())),
    }
}

/// Waits for a signal that comes on purpose: whoever ends a group of processes may well send the first one twice.
async fn second(mut signals: Signals) {
    let _ = tokio::time::timeout(Duration::from_secs(1), async {
        loop {
            signals.next().await;
        }
    })
    .await;
    signals.next().await;
}

/// SIGTERM and SIGINT, which end nothing by themselves from when they are listened for.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for one of them.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
