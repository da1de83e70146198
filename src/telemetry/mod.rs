//! What the outside sees of the inside: log lines and metrics.

pub mod logging;
pub mod metrics;

pub use metrics::Metrics;
