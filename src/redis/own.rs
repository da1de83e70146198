//! A lane of a thread's own.
//!
//! A connection is driven by a task of the runtime that opened it, so a command over another thread's connection wakes
//! that thread up and is woken by it. A thread of HTTP spares itself both: it says once that it wants a lane of its own
//! ([`Redis::adopt_thread`]), and with its first command to each new generation of connections it has one opened beside
//! its requests. Until that is there, and where it cannot be opened, its commands go over the shared lanes. When it
//! breaks, the command that notices gives up the whole generation, as with every other lane.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use ::redis::aio::MultiplexedConnection;

use super::Redis;
use super::generation::Generation;
use super::link::Link;

thread_local! {
    static OWN: RefCell<Option<Own>> = const { RefCell::new(None) };
}

struct Own {
    link: Weak<Link>,
    /// The connections that the lane belongs to.
    generation: Weak<Generation>,
    /// `None` until it is open.
    lane: Option<MultiplexedConnection>,
}

impl Redis {
    /// Gives this thread a connection of its own for [`Redis::run`] and what is built on it. For threads that run one
    /// runtime as long as they live; of several servers, the one that was asked last.
    pub fn adopt_thread(&self) {
        let own = Own { link: Arc::downgrade(&self.0), generation: Weak::new(), lane: None };
        OWN.with_borrow_mut(|slot| *slot = Some(own));
    }
}

/// The lane for a command of this thread.
pub(super) fn lane(link: &Arc<Link>, generation: &Arc<Generation>) -> MultiplexedConnection {
    let current = Arc::downgrade(generation);
    let own = OWN.with_borrow_mut(|slot| {
        let own = slot.as_mut().filter(|own| std::ptr::eq(own.link.as_ptr(), Arc::as_ptr(link)))?;
        if !own.generation.ptr_eq(&current) {
            (own.generation, own.lane) = (current.clone(), None);
            tokio::spawn(open(current));
        }
        own.lane.clone()
    });
    own.unwrap_or_else(|| generation.lane())
}

/// Opens the lane of this thread to `generation`.
async fn open(generation: Weak<Generation>) {
    let Some(current) = generation.upgrade() else { return };
    let opened = current.open_lane().await;
    drop(current);
    match opened {
        Ok(lane) => OWN.with_borrow_mut(|slot| {
            if let Some(own) = slot.as_mut().filter(|own| own.generation.ptr_eq(&generation)) {
                own.lane = Some(lane);
            }
        }),
        Err(error) => log::debug!("A thread stays with the shared connections to Redis: {error}"),
    }
}
