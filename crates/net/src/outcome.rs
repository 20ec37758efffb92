//! [`Outcome`]: what the handlers of all servers return.

use std::fmt;

/// What a handler returns: nothing, or a `Result` whose error is logged.
pub trait Outcome {
    /// The error, if there was one.
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
