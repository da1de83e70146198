//! The figures that other parts keep themselves, for the metrics page.

use std::collections::HashSet;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::cache::{Cache, KindStats};
use crate::domain::Priority;
use crate::limit::{Limiter, PolicyName};
use crate::mail::{Counters, CountersSnapshot, RelayStatus, Transport};
use crate::store::Database;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{MetricsError, Reading};

/// Registers the figures of the mail queue, the limiter, the cache and the database, and of the runtime that it is called on,
/// on which all of these work beside the requests.
pub(super) fn observe(
    metrics: &Metrics,
    counters: &Counters,
    limiter: &Limiter,
    cache: &Cache,
    database: &Database,
) -> Result<(), MetricsError> {
    let (counters, limiter, cache, database) = (counters.clone(), limiter.clone(), cache.clone(), database.clone());
    let runtime = Handle::try_current().ok();
    metrics.observe(move || {
        let (mail, limits, pool) = (counters.snapshot(), limiter.counters(), database.pool_state());
        let mut readings = vec![
            Reading::counter("gatepost_mail_accepted_total", "Mails committed.", mail.accepted),
            Reading::counter("gatepost_mail_sent_total", "Mails that a relay took.", mail.sent),
            Reading::counter("gatepost_mail_retried_total", "Attempts that failed for now.", mail.retried),
            Reading::counter("gatepost_mail_dead_total", "Mails given up.", mail.dead),
            Reading::counter("gatepost_mail_expired_total", "Mails no longer worth sending.", mail.expired),
            Reading::counter("gatepost_mail_reclaimed_total", "Leases that ran out.", mail.reclaimed),
            Reading::counter("gatepost_limiter_allowed_total", "Requests let through.", limits.allowed),
            Reading::counter("gatepost_limiter_denied_total", "Requests refused.", limits.denied),
            Reading::counter("gatepost_limiter_redis_total", "Decisions made by Redis.", limits.decided_by_redis),
            Reading::counter("gatepost_limiter_local_total", "Decisions made here.", limits.decided_locally),
            Reading::gauge("gatepost_database_connections", "Open connections.", pool.size.into()),
            Reading::gauge("gatepost_database_connections_idle", "Idle connections.", pool.idle.into()),
        ];
        let tasks = runtime.as_ref().map(|runtime| runtime.metrics().num_alive_tasks() as u64);
        readings.extend(tasks.map(|tasks| Reading::gauge("gatepost_tasks", "Tasks beside the requests.", tasks)));
        readings.extend(limit_readings(&limiter));
        readings.extend(queue_readings(&mail));
        readings.extend(cache_readings(&cache));
        readings
    })
}

fn limit_readings(limiter: &Limiter) -> Vec<Reading> {
    let by_policy = PolicyName::ALL.into_iter().flat_map(|policy| {
        let counts = limiter.counts_of(policy);
        let help = "Requests that a policy let through or stood against, by who decided.";
        [
            ("allowed", "redis", counts.allowed_by_redis),
            ("allowed", "local", counts.allowed_locally),
            ("denied", "redis", counts.denied_by_redis),
            ("denied", "local", counts.denied_locally),
        ]
        .map(|(outcome, by, count)| {
            Reading::counter("gatepost_limiter_decisions_total", help, count)
                .of("policy", policy.as_str())
                .of("outcome", outcome)
                .of("by", by)
        })
    });
    let subjects = u64::try_from(limiter.subjects()).unwrap_or(u64::MAX);
    let all = [
        Reading::gauge("gatepost_instances", "Instances that share the limits.", limiter.instances().into()),
        Reading::gauge("gatepost_limiter_subjects", "Subjects that this process remembers.", subjects),
        Reading::counter("gatepost_shield_denied_total", "Requests refused as a flood.", limiter.shielded()),
    ];
    by_policy.chain(all).collect()
}

fn queue_readings(mail: &CountersSnapshot) -> Vec<Reading> {
    let lists = || Priority::ALL.iter().enumerate();
    let depths = lists().map(|(place, priority)| {
        let help = "Mails whose ids wait in the queue, when this instance last looked.";
        Reading::gauge("gatepost_mail_queue_depth", help, mail.queued[place]).of("priority", priority.as_str())
    });
    let ages = lists().map(|(place, priority)| {
        let help = "Milliseconds that the oldest due mail had waited, when this instance last looked.";
        Reading::gauge("gatepost_mail_oldest_age_milliseconds", help, mail.ages_ms[place])
            .of("priority", priority.as_str())
    });
    depths.chain(ages).collect()
}

/// Registers the figures of the relays, if mail goes to any.
pub(super) fn observe_relays(metrics: &Metrics, transport: &Transport) -> Result<(), MetricsError> {
    if transport.relays().is_empty() {
        return Ok(());
    }
    let transport = transport.clone();
    metrics.observe(move || relay_readings(&transport))
}

fn relay_readings(transport: &Transport) -> Vec<Reading> {
    let of_relay = |relay: RelayStatus| {
        [
            Reading::counter("gatepost_relay_sent_total", "Mails that a relay took.", relay.sent),
            Reading::counter(
                "gatepost_relay_failures_total",
                "Conversations that broke or were not begun.",
                relay.failures,
            ),
            Reading::gauge(
                "gatepost_relay_left_alone",
                "1 while a relay is not used after failures.",
                relay.is_open.into(),
            ),
        ]
        .map(|reading| reading.of("relay", relay.label.clone()))
    };
    // A relay that the settings name twice is told of once.
    let mut told = HashSet::new();
    transport.relays().into_iter().filter(|relay| told.insert(relay.label.clone())).flat_map(of_relay).collect()
}

fn cache_readings(cache: &Cache) -> Vec<Reading> {
    let stats = cache.stats();
    let mut readings =
        vec![Reading::counter("gatepost_cache_errors_total", "Cache operations that failed.", stats.errors)];
    for (name, kind) in [("users", &stats.users), ("sessions", &stats.sessions), ("answers", &stats.answers)] {
        readings.extend(tier_readings(kind).map(|reading| reading.of("cache", name)));
        readings.extend(kind_readings(kind).map(|reading| reading.of("cache", name)));
    }
    readings
}

/// By tier. Of the database, which answers what the other two do not, the loads tell.
fn tier_readings(kind: &KindStats) -> impl Iterator<Item = Reading> {
    [("memory", kind.memory), ("redis", kind.redis)].into_iter().flat_map(|(name, tier)| {
        [
            Reading::counter("gatepost_cache_hits_total", "Look-ups that a tier answered.", tier.hits),
            Reading::counter("gatepost_cache_misses_total", "Look-ups that a tier passed on.", tier.misses),
            Reading::counter("gatepost_cache_tier_errors_total", "Calls of a tier that failed.", tier.errors),
        ]
        .map(|reading| reading.of("tier", name))
    })
}

fn kind_readings(kind: &KindStats) -> impl Iterator<Item = Reading> {
    let took = Duration::from_micros(kind.load_micros);
    [
        Reading::counter("gatepost_cache_loads_total", "Look-ups that the database answered.", kind.loads),
        Reading::counter("gatepost_cache_load_errors_total", "Those of them that failed.", kind.load_errors),
        Reading::seconds("gatepost_cache_load_seconds_total", "How long they took together.", took),
        Reading::counter("gatepost_cache_invalidations_total", "Keys forgotten on a write.", kind.invalidations),
        Reading::counter(
            "gatepost_cache_refused_fills_total",
            "Values not stored because something newer was known or they came too late.",
            kind.refused_fills,
        ),
        Reading::counter("gatepost_cache_discarded_total", "Stored values that could not be read.", kind.discarded),
        Reading::gauge("gatepost_cache_entries", "Entries in this process.", kind.entries),
        Reading::gauge("gatepost_cache_weight_bytes", "Bytes that they take, about.", kind.weight_bytes),
    ]
    .into_iter()
}
