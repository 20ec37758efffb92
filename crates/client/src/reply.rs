//! Replies to those who wait for a command: a value for once.

use tokio::sync::oneshot;

/// Where the reply to a command goes.
pub(crate) type Reply<T> = oneshot::Sender<T>;

/// Replies with a value, unless the caller has given up waiting.
pub(crate) fn reply<T>(to: Reply<T>, value: T) {
    let _ = to.send(value);
}
