//! The exit codes of all commands except `kokanee serve`, which has its own.

use std::process::ExitCode;

/// The result of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Success.
    Success = 0,
    /// A failure without a code of its own.
    Failure = 1,
    /// The command line is wrong. clap uses the same code.
    Usage = 2,
    /// The server refused the client, or its namespace.
    Refused = 3,
    /// A timeout.
    Timeout = 4,
    /// The peer does not speak the protocol, or violates it.
    Protocol = 5,
    /// No connection: unknown host, nothing listens there, TLS or a proxy failed.
    Unreachable = 6,
    /// The connection was lost, or closed by the server.
    Lost = 7,
    /// The address is in use.
    AddressInUse = 98,
    /// Ctrl-C, by the convention of shells. See [`Signal::exit_code`](crate::signal::Signal::exit_code) for others.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
