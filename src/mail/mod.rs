//! Mail: accepted in a transaction, sent by a worker, never lost and never silently given up.
//!
//! # The life of a mail
//!
//! A use case [composes](Outbox::compose) a row and inserts it in the transaction that makes the mail necessary; from the
//! commit on the mail is accepted. The row holds what the text is made *from*, never a code or a link: these are
//! derived from the challenge when the mail is [rendered](Renderer), the same ones every time. What a mail needs beside
//! its row are its [`Facts`]; one whose facts are gone (its code was used, nobody waits any more) ends as `expired`.
//!
//! ```text
//!             claim (lease, fence + 1, attempt + 1)        relay said 250
//!   ready ────────────────────────────────────▶ sending ─────────────────▶ sent
//!     ▲ ▲                                        │ │ │ └─ said 5xx, or attempts used up ─▶ dead
//!     │ └──── said 4xx, wire broke: backoff ─────┘ │ └─── code expired or used ──────────▶ expired
//!     └────── lease ran out (sweeper, fence + 1) ──┘
//! ```
//!
//! | who | moves |
//! |---|---|
//! | [`Outbox::enqueue`] | the id into the [`Queue`], after the commit |
//! | [`Worker`] | `ready` to `sending`, and from there to wherever the attempt ended: many rows in one statement |
//! | [`Sweeper`] | stale leases back to `ready` (or to `dead` after the last attempt), late rows to `expired`, and ids of due rows that no queue is known to hold into the queue |
//!
//! The queue (four Redis lists, or four lists in this process) only sets the order and wakes a worker. An id in it is a
//! hint: repeated, stale or unknown ones claim nothing, lost ones come back through the sweeper.
//!
//! # What a crash leaves
//!
//! | it happens | then |
//! |---|---|
//! | before the commit | nothing was accepted, and the caller was told so |
//! | after the commit, before the push | the row is `ready`; the sweeper queues it once `queued_until` (2 s) has passed |
//! | after the pop, before the claim | the same; 30 s if it was the sweeper that had queued it |
//! | after the claim, before the send | the lease runs out, the row is tried again; one attempt is counted that was none |
//! | while sending, before the final dot | the lease runs out, the row is tried again; nobody got anything |
//! | after the final dot, before the row is `sent` | the same, so the mail is repeated: same code, same link, same Message-ID, same bytes |
//! | Redis, at any point | ids in it are lost: the sweeper finds their rows. New ones go through this process |
//! | the database, while sending | the worker goes on, and repeats its acknowledgement until it is heard |
//!
//! Only the holder of the latest fence moves a `sending` row, so a worker that hung past its lease cannot undo what
//! its successor did. Nothing starts sending once its row has expired.

mod counters;
mod dev;
mod dkim;
mod facts;
mod message;
mod outbox;
mod queue;
mod quoted;
mod render;
pub mod samples;
mod smtp;
mod sweeper;
mod transport;
mod worker;

pub use counters::{Counters, CountersSnapshot};
pub use dev::{DevMail, DevMailbox};
pub use dkim::{DkimRecord, records as dkim_records};
pub use facts::{Facts, NAMED, Need, load as load_facts};
pub use outbox::{ComposeError, Outbox};
pub use queue::Queue;
pub use render::{RenderError, Rendered, Renderer};
pub use smtp::Smtp;
#[doc(hidden)]
pub use smtp::fuzzing;
pub use sweeper::Sweeper;
pub use transport::{Outcome, RelayStatus, Transport, TransportError};
pub use worker::{Parts, Worker, WorkerHandle};
