//! `serve` and `worker`: what runs until it is told to stop.

use std::time::Duration;

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
    let running = App::start(settings).await?;
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
    wait_for_signal().await?;
    log::info!("stopping: finishing requests and mails; a second signal ends it at once");
    stop_or_end(running.stop()).await
}

/// Runs a mail worker until SIGTERM or SIGINT.
pub(super) async fn worker(cli: &Cli) -> Result<(), Failure> {
    let settings: Settings = cli.settings(true)?;
    if matches!(settings.mail.delivery, Delivery::DevMailbox) {
        return Err(Failure::Wrong("a worker of its own needs an SMTP server: set SMTP_URL".to_owned()));
    }
    let patience = settings.server.shutdown_timeout;
    let app = App::build(settings).await?;
    let background = app.start_background(true);
    log::info!("sending mails");
    wait_for_signal().await?;
    log::info!("stopping: finishing mails; a second signal ends it at once");
    stop_or_end(background.stop(patience)).await
}

/// Waits for `stopping`, but no longer than until the next signal. What is broken off is found by another instance.
async fn stop_or_end(stopping: impl Future<Output = ()>) -> Result<(), Failure> {
    tokio::select! {
        () = stopping => {
            log::info!("stopped");
            Ok(())
        }
        signal = second_signal() => {
            signal?;
            Err(Failure::Failed("ended at once by a second signal".to_owned()))
        }
    }
}

/// A signal that comes on purpose: whoever ends a group of processes may well send the first one twice.
async fn second_signal() -> Result<(), Failure> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    wait_for_signal().await
}

async fn wait_for_signal() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
