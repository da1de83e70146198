//! What others publish on a channel, for as long as the connection is alive.
//!
//! A subscriber hears nothing where nobody publishes, and nothing where a firewall or a balancer has long forgotten the
//! connection. To tell one from the other, a server that has been silent for some seconds is asked for a sign of life; that
//! also keeps the connection from being forgotten for idleness.

use std::time::Duration;

use ::redis::Msg;
use ::redis::aio::{PubSub, PubSubSink, PubSubStream};
use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};

use super::RedisError;

/// How long the server may be silent unasked.
const SILENCE: Duration = Duration::from_secs(2);

/// A channel that is listened to.
pub struct Subscription {
    server: PubSubSink,
    messages: PubSubStream,
    /// How long a sign of life may take.
    patience: Duration,
}

impl Subscription {
    pub(super) async fn begin(subscriber: PubSub, channel: &str, patience: Duration) -> Result<Self, RedisError> {
        let (mut server, messages) = subscriber.split();
        timeout(patience, server.subscribe(channel)).await.map_err(|_| RedisError::Timeout)??;
        Ok(Self { server, messages, patience })
    }

    /// What is published next; `None` when the connection has ended or gives no sign of life, and what is published
    /// from then on is lost here. May be dropped: the next call goes on.
    pub async fn next(&mut self) -> Option<Msg> {
        loop {
            tokio::select! {
                message = self.messages.next() => return message,
                () = sleep(SILENCE) => {}
            }
            tokio::select! {
                // What is heard is as good a sign as the answer, and is told first.
                biased;
                message = self.messages.next() => return message,
                answer = timeout(self.patience, self.server.ping::<::redis::Value>()) => {
                    if !matches!(answer, Ok(Ok(_))) {
                        log::info!(
                            "Redis gives no sign of life on a subscription, which begins anew; if this comes again and again, \
                             something on the way forgets idle connections"
                        );
                        return None;
                    }
                }
            }
        }
    }
}
