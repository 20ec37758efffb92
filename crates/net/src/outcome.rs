//! [`Outcome`]: the return types of handlers.

use std::fmt;

/// A return type of handlers: nothing, or a `Result` whose error is logged.
///
/// # Examples
///
/// ```
/// use kokanee_net::{Connection, NetError, TcpServer};
///
/// # async fn example(first: TcpServer, second: TcpServer) {
/// // The error of a handler is logged at debug level, and ends its connection only.
/// first.serve(async |mut conn: Connection| -> Result<(), NetError> { conn.send_all(b"hello").await }).await;
/// second.serve(async |conn: Connection| println!("{}", conn.peer())).await;
/// # }
/// ```
pub trait Outcome {
    /// Returns the error, if there was one.
    fn into_error(self) -> Option<String>;
}

impl Outcome for () {
    fn into_error(self) -> Option<String> {
        None
    }
}

impl<E: fmt::Display> Outcome for Result<(), E> {
    fn into_error(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}
