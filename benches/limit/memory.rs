//! What a subject costs in Redis: many of them, once with one request each and once with their limit used up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::frame::{Figure, Options, Report, peak_memory_kib};
use crate::place;
use crate::support;

/// Bytes for a subject with one request, its key and its expiry included.
const ONE: f64 = 320.0;
/// The same with five.
const FIVE: f64 = 360.0;
/// What this process may grow by, in MiB: it remembers 50,000 subjects a policy one by one.
const LOCAL: f64 = 64.0;
const CALLERS: usize = 128;

pub(crate) async fn run(options: &Options, report: &mut Report) {
    let subjects = if options.quick { 100_000 } else { 1_000_000 };
    eprintln!("memory: {subjects} subjects");
    let server = support::Redis::start().await;
    let (limiter, redis) = place::limiter(&server, &[("limits.otp_request_email", "5/1d")]).await;
    let (empty, own) = (place::used_memory(&redis).await, peak_memory_kib());
    let mut per_subject = Vec::new();
    for requests in [1, 4] {
        let next = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (limiter, next) = (limiter.clone(), Arc::clone(&next));
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= subjects * requests {
                            return;
                        }
                        assert!(limiter.check(&[place::mailbox(number % subjects)]).await.is_allowed());
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        per_subject.push((place::used_memory(&redis).await - empty) as f64 / subjects as f64);
    }
    let context = format!("of {subjects} subjects");
    report.add(Figure::new("memory_one_request", "bytes", per_subject[0]).at_most(ONE).context(context.as_str()));
    report.add(Figure::new("memory_used_up", "bytes", per_subject[1]).at_most(FIVE).context(context));
    let grown = (peak_memory_kib() - own) as f64 / 1024.0;
    let context = format!("{} subjects remembered in process", limiter.subjects());
    report.add(Figure::new("memory_process_growth", "MiB", grown).at_most(LOCAL).context(context));
}
