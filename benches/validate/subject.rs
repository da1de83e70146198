//! The product in a process of its own: the composition root that `main` starts, on the same kind of runtime.

use std::time::Duration;

use gatepost::app::App;
use serde_json::json;

use crate::frame::{Role, answer, serve};
use crate::place::Place;
use crate::rounds::Server;

/// Migrations and the first connections.
const START: Duration = Duration::from_mins(2);

/// Starts an instance at `place`.
pub(crate) fn start(place: &Place, shows_log: bool) -> Server {
    let place = serde_json::to_string(place).expect("JSON");
    Server::hear(Role::spawn("subject", &[place], shows_log), START)
}

/// Plays the role: serves until the bench is gone.
pub(crate) fn run(arguments: &[String]) {
    let place: Place = serde_json::from_str(&arguments[0]).expect("a place");
    let settings = place.settings();
    gatepost::telemetry::logging::start(&settings.log);
    serve_until_the_end(async {
        let running = App::start(settings).await.expect("the product starts");
        let address = running.address;
        // It ends with its process.
        std::mem::forget(running);
        address
    });
}

/// Runs what `start` starts, as `main` of the product does, and tells its address.
pub(crate) fn serve_until_the_end(start: impl Future<Output = std::net::SocketAddr>) {
    let system = actix_rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads")
    });
    system.block_on(async {
        let address = start.await;
        answer(&json!({ "address": address }));
        std::thread::spawn(|| {
            serve(|_| {});
            std::process::exit(0);
        });
        std::future::pending::<()>().await;
    });
}
