//! The metrics registry, in the Prometheus text format (version 0.0.4). Names start with `gatepost_`.

use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

/// Counts and times what the server does.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Requests answered, by route, method and status.
    pub requests: IntCounterVec,
    /// Seconds that answers took, by route.
    pub request_seconds: HistogramVec,
    /// Requests being answered.
    pub in_flight: IntGauge,
    /// Sign-ins by method and outcome.
    pub sign_ins: IntCounterVec,
    /// Requests whose claim about a client's address is not believed or not read, by reason.
    pub forwarding_passed_over: IntCounterVec,
    /// PROXY headers of connections, by outcome.
    pub proxy_headers: IntCounterVec,
    /// Connections that were closed because their client had too many.
    pub crowded_out: IntCounter,
}

/// Why the metrics could not be set up: a name is used twice or malformed.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be set up: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

impl Metrics {
    /// An empty registry with the metrics of HTTP and sign-in.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("gatepost_http_requests_total", "Requests answered."),
            &["route", "method", "status"],
        )?;
        let request_seconds = HistogramVec::new(
            HistogramOpts::new("gatepost_http_request_seconds", "Seconds from request to answer.")
                .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]),
            &["route"],
        )?;
        let in_flight = IntGauge::new("gatepost_http_requests_in_flight", "Requests being answered.")?;
        let sign_ins = IntCounterVec::new(
            Opts::new("gatepost_sign_ins_total", "Codes, links and passwords tried."),
            &["method", "outcome"],
        )?;
        let forwarding_passed_over = IntCounterVec::new(
            Opts::new(
                "gatepost_forwarding_passed_over_total",
                "Requests whose claim about their client is passed over.",
            ),
            &["why"],
        )?;
        let proxy_headers = IntCounterVec::new(
            Opts::new("gatepost_proxy_headers_total", "PROXY headers that connections began with, or should have."),
            &["outcome"],
        )?;
        let crowded_out = IntCounter::new(
            "gatepost_connections_crowded_out_total",
            "Connections that were closed because their client had too many.",
        )?;
        registry.register(Box::new(crowded_out.clone()))?;
        registry.register(Box::new(forwarding_passed_over.clone()))?;
        registry.register(Box::new(proxy_headers.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(request_seconds.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(sign_ins.clone()))?;
        Ok(Self {
            registry,
            requests,
            request_seconds,
            in_flight,
            sign_ins,
            forwarding_passed_over,
            proxy_headers,
            crowded_out,
        })
    }

    /// Adds figures that are read when they are asked for: `read` gives `(name, help, value)` of counters and gauges.
    pub fn observe(&self, read: impl Fn() -> Vec<Reading> + Send + Sync + 'static) -> Result<(), MetricsError> {
        let descriptions = read()
            .into_iter()
            .map(|reading| {
                Desc::new(reading.name.to_owned(), reading.help.to_owned(), Vec::new(), reading.labels().collect())
            })
            .collect::<Result<_, _>>()?;
        Ok(self.registry.register(Box::new(Readings { descriptions, read: Box::new(read) }))?)
    }

    /// Everything, as Prometheus reads it.
    pub fn text(&self) -> Result<String, MetricsError> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}

/// One figure at one moment.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The metric's name, with the prefix.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// The figure.
    pub value: f64,
    /// Whether it only grows.
    pub is_counter: bool,
    /// What tells it from others of its name: labels and their values. The same ones at every reading.
    pub labels: Vec<(&'static str, String)>,
}

impl Reading {
    /// A figure that only grows.
    #[allow(clippy::cast_precision_loss, reason = "Prometheus knows only floats")]
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, value: value as f64, is_counter: true, labels: Vec::new() }
    }

    /// A figure that goes up and down.
    #[allow(clippy::cast_precision_loss, reason = "Prometheus knows only floats")]
    pub fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, value: value as f64, is_counter: false, labels: Vec::new() }
    }

    /// A length of time that only grows, in seconds.
    pub fn seconds(name: &'static str, help: &'static str, value: Duration) -> Self {
        Self { name, help, value: value.as_secs_f64(), is_counter: true, labels: Vec::new() }
    }

    /// The same figure, of one of several things; of a kind of them, when called again.
    #[must_use]
    pub fn of(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((label, value.into()));
        self
    }

    fn labels(&self) -> impl Iterator<Item = (String, String)> {
        self.labels.iter().map(|(label, value)| ((*label).to_owned(), value.clone()))
    }
}

struct Readings {
    descriptions: Vec<Desc>,
    read: Box<dyn Fn() -> Vec<Reading> + Send + Sync>,
}

impl Collector for Readings {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        (self.read)().into_iter().flat_map(|reading| family(&reading)).collect()
    }
}

fn family(reading: &Reading) -> Vec<MetricFamily> {
    let options = Opts::new(reading.name, reading.help).const_labels(reading.labels().collect());
    let built = if reading.is_counter {
        prometheus::Counter::with_opts(options).map(|counter| {
            counter.inc_by(reading.value);
            counter.collect()
        })
    } else {
        prometheus::Gauge::with_opts(options).map(|gauge| {
            gauge.set(reading.value);
            gauge.collect()
        })
    };
    built.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_appear_in_the_text() {
        let metrics = Metrics::new().unwrap();
        metrics.requests.with_label_values(&["/x", "GET", "200"]).inc();
        let depth = |list, depth| Reading::gauge("gatepost_test_depth", "A list.", depth).of("list", list);
        let read = move || vec![Reading::counter("gatepost_test_total", "A test.", 7), depth("a", 1), depth("b", 2)];
        metrics.observe(read).unwrap();
        let text = metrics.text().unwrap();
        assert!(text.contains(r#"gatepost_http_requests_total{method="GET",route="/x",status="200"} 1"#), "{text}");
        assert!(text.contains("gatepost_test_total 7"), "{text}");
        assert!(text.contains("gatepost_test_depth{list=\"a\"} 1\ngatepost_test_depth{list=\"b\"} 2"), "{text}");
    }
}
