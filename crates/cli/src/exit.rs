//! The exit codes of the commands that talk to a server or judge what was captured. `kokanee serve` has its own.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// As it should.
    Success = 0,
    /// For a reason that has no code of its own.
    Failure = 1,
    /// The command line is wrong. The parser of the command line uses the same number.
    Usage = 2,
    /// The server has refused the client, or its namespace.
    Refused = 3,
    /// What was waited for has not come in time.
    Timeout = 4,
    /// Somebody does not speak the protocol, or speaks it wrongly.
    Protocol = 5,
    /// There is no connection: no such host, nobody listens, TLS or a proxy has failed.
    Unreachable = 6,
    /// The connection was lost, or closed by the server.
    Lost = 7,
    /// The address is in use.
    AddressInUse = 98,
    /// Ctrl-C, as shells count. A [signal](crate::signals::Signal::exit_code) that is known has its own.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
