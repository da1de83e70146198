//! Sessions that wait for a word from the test.

use std::sync::Arc;

use super::Shared;

/// Counts a session as held for as long as it lives.
pub(super) struct Held(Arc<Shared>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.change(|state| state.held -= 1);
    }
}

/// Waits for the next release. The session counts as held until the result is dropped.
pub(super) async fn hold(shared: &Arc<Shared>) -> Held {
    let held = Held(Arc::clone(shared));
    let mut changes = shared.changed.subscribe();
    let releases = shared.change(|state| {
        state.held += 1;
        state.releases
    });
    // Fails only when the sink is gone.
    let _ = changes.wait_for(|()| shared.state().releases != releases).await;
    held
}
