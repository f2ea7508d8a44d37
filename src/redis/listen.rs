//! Messages that are published in Redis, and the knowledge of whether any may have been missed.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use ::redis::{ErrorKind, RedisError, RedisResult};
use futures_util::StreamExt as _;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::{Client, Inner};

/// How often the connection is tried while no message comes, and how long it may take to answer then.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The pause between two tries to connect: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// What comes by a subscription.
pub(crate) enum Heard {
    /// From now on messages are heard; those before may have been missed.
    Hearing,
    /// A message.
    Message(Vec<u8>),
    /// From now on messages may be missed.
    Deaf,
    /// Nothing happened: is there still anyone who listens?
    Nothing,
}

/// Hears what is published on a channel, in a task of its own, until `tell` breaks. Whether there is a runtime for it.
pub(crate) fn listen(
    client: &Client,
    channel: String,
    tell: impl Fn(Heard) -> ControlFlow<()> + Send + Sync + 'static,
) -> bool {
    let Ok(runtime) = Handle::try_current() else { return false };
    let inner = client.0.clone();
    runtime.spawn(async move {
        let mut deaf = Deaf { tell: &tell, heard: false };
        let (mut pause, mut told) = (PAUSES[0], false);
        while tell(Heard::Nothing).is_continue() {
            let begun = Instant::now();
            let Err(error) = hear(&inner, &channel, &mut deaf).await else { return };
            // Once for each time: without messages every hit asks Redis.
            if std::mem::replace(&mut told, true) {
                tracing::debug!(error = &error as &dyn std::error::Error, "messages by other processes are not heard");
            } else {
                tracing::warn!(error = &error as &dyn std::error::Error, "messages by other processes are not heard");
            }
            if std::mem::take(&mut deaf.heard) {
                // One that ends as soon as it began is no better than none.
                if begun.elapsed() > HEARTBEAT {
                    (pause, told) = (PAUSES[0], false);
                }
                if tell(Heard::Deaf).is_break() {
                    return;
                }
                inner.suspect().await;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES[1]);
        }
    });
    true
}

/// Says that nothing is heard any more if the task ends with its runtime.
struct Deaf<'a, T: Fn(Heard) -> ControlFlow<()>> {
    tell: &'a T,
    heard: bool,
}

impl<T: Fn(Heard) -> ControlFlow<()>> Drop for Deaf<'_, T> {
    fn drop(&mut self) {
        if self.heard {
            let _ = (self.tell)(Heard::Deaf);
        }
    }
}

/// Until it is told to end, or the connection does.
async fn hear<T>(inner: &Arc<Inner>, channel: &str, deaf: &mut Deaf<'_, T>) -> RedisResult<()>
where
    T: Fn(Heard) -> ControlFlow<()>,
{
    let late = |_| RedisError::from((ErrorKind::Io, "no answer in time"));
    let opened = async {
        let mut pubsub = inner.dial.open_pubsub().await?;
        pubsub.subscribe(channel).await?;
        Ok::<_, RedisError>(pubsub)
    };
    let (mut sink, mut messages) = timeout(inner.dial.connect_timeout, opened).await.map_err(late)??.split();
    deaf.heard = true;
    let mut next = (deaf.tell)(Heard::Hearing);
    while next.is_continue() {
        next = match timeout(HEARTBEAT, messages.next()).await {
            Ok(Some(message)) => (deaf.tell)(Heard::Message(message.get_payload_bytes().to_vec())),
            Ok(None) => return Err((ErrorKind::Io, "the connection ended").into()),
            Err(_) => {
                timeout(HEARTBEAT, sink.ping::<::redis::Value>()).await.map_err(late)??;
                (deaf.tell)(Heard::Nothing)
            }
        };
    }
    Ok(())
}
