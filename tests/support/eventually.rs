//! Waiting for what another thread, process or instance is about to do.
//!
//! A test never sleeps for a time that should be enough: it says what it waits for and the longest that may take.

use std::{
    panic::Location,
    time::{Duration, Instant},
};

/// How long one look waits for the next: short against every deadline, long against a look.
const INTERVAL: Duration = Duration::from_millis(10);

/// Polls `probe` until it gives a value, and gives that.
///
/// # Panics
///
/// With `what`, the caller's place and the number of looks, when `deadline` has passed without a value.
#[track_caller]
pub fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let begun = Instant::now();
        let mut looks = 0_u32;
        while begun.elapsed() < deadline {
            looks += 1;
            // A look that hangs must not outlast the deadline.
            match tokio::time::timeout(deadline.saturating_sub(begun.elapsed()), probe()).await {
                Ok(Some(value)) => return value,
                Ok(None) => tokio::time::sleep(INTERVAL).await,
                Err(_) => break,
            }
        }
        panic!("waited {deadline:?} in vain for: {what} ({caller}, looked {looks} times)");
    }
}
