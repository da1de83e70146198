//! Two instances, a crowd of which few come often and many seldom, and now and then somebody who changes the own name: how
//! many queries the cache keeps from the database, and whether anybody is shown what is out of date.

use std::time::Duration;

use serde_json::json;

use crate::frame::{Figure, Options, Report, Role};
use crate::hot::seeded;
use crate::servers::Servers;
use crate::subject;
use crate::zipf_load::{Crowd, Outcome};

/// Sent to each of the two instances.
const CONNECTIONS: usize = 16;
/// Operations for each of the people, once before it is counted and once while it is.
const OPERATIONS: usize = 10;
/// Without a cache a look at a session asks for the session and its user.
const QUERIES: f64 = 2.0;

pub(crate) async fn run(servers: &mut Servers, options: &Options, report: &mut Report) {
    let people = if options.quick { 10_000 } else { 100_000 };
    eprintln!("zipf: {people} people, {} look-ups, 1 in 100 a write", people * OPERATIONS);
    let place = seeded(servers, people).await;
    let instances = [subject::start(&place, options.verbose), subject::start(&place, options.verbose)];
    let crowd =
        Crowd { addresses: instances.each_ref().map(|instance| instance.address), people, connections: CONNECTIONS };
    let mut role = Role::spawn("zipf", &[serde_json::to_string(&crowd).expect("JSON")], true);
    let mut operate = |count: usize| -> Outcome {
        // Slower than a hundred in a second is nothing to wait for.
        let patience = Duration::from_millis(10) * u32::try_from(count).expect("it fits");
        serde_json::from_value(role.ask(&json!(count), patience)).expect("an outcome")
    };
    servers.count_look_ups().await;
    let cold = operate(people * OPERATIONS);
    let cold_queries = servers.look_ups(&place).await;
    servers.count_look_ups().await;
    let warm = operate(people * OPERATIONS);
    let queries = servers.look_ups(&place).await;
    tell_queries("zipf_queries_avoided_from_cold", &cold, cold_queries, None, report);
    tell_queries("zipf_queries_avoided", &warm, queries, Some(95.0), report);
    tell_staleness(&[cold, warm], report);
}

fn tell_queries(name: &str, outcome: &Outcome, queries: f64, limit: Option<f64>, report: &mut Report) {
    let requests = outcome.look_ups + outcome.writes;
    let avoided = 100.0 * (1.0 - queries / (QUERIES * requests as f64));
    let context = format!(
        "{queries:.0} queries for {requests} requests, {} of them writes, {:.0}/s",
        outcome.writes,
        requests as f64 / outcome.seconds
    );
    let figure = Figure::new(name, "percent", avoided).context(context);
    report.add(match limit {
        Some(limit) => figure.at_least(limit),
        None => figure,
    });
}

fn tell_staleness(outcomes: &[Outcome], report: &mut Report) {
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    let oldest = outcomes.iter().map(|outcome| outcome.oldest_ms).fold(0.0, f64::max);
    let context = format!("of {} answers", sum(|outcome| outcome.look_ups));
    report.add(
        Figure::new("zipf_stale_over_2s", "answers", sum(|outcome| outcome.too_old) as f64)
            .at_most(0.0)
            .context(context),
    );
    let context = format!("{} answers were older than a write that had been confirmed", sum(|outcome| outcome.stale));
    report.add(Figure::new("zipf_oldest_answer", "ms", oldest).at_most(2000.0).context(context));
    let context = "about another person, refused, or of a name that was never given";
    report.add(Figure::new("zipf_wrong", "answers", sum(|outcome| outcome.wrong) as f64).at_most(0.0).context(context));
}
