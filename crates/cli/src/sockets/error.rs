//! How `kokanee tcp` and `kokanee udp` fail, and with which exit code.

use std::{process::ExitCode, time::Duration};

use kokanee::net::NetError;

use crate::{exit::Exit, signal::Signal};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("{0}")]
    Argument(String),
    #[error("nothing received within {0:?}")]
    Silence(Duration),
    #[error("the connection was lost before everything was sent")]
    Unsent,
    #[error("interrupted by {}", .0.name())]
    Interrupted(Signal),
    #[error("cannot start: {0}")]
    Start(#[source] std::io::Error),
}

impl SocketError {
    /// Returns the exit code of the program.
    pub(crate) fn exit(&self) -> ExitCode {
        let exit = match self {
            Self::Net(error) => exit_of(error),
            Self::Argument(_) => Exit::Usage,
            Self::Silence(_) => Exit::Timeout,
            Self::Unsent => Exit::Lost,
            Self::Interrupted(signal) => return ExitCode::from(signal.exit_code()),
            Self::Start(_) => Exit::Failure,
        };
        exit.into()
    }
}

fn exit_of(error: &NetError) -> Exit {
    match error {
        NetError::NotAnAddress { .. } => Exit::Usage,
        NetError::AddressInUse { .. } => Exit::AddressInUse,
        NetError::UnknownHost { .. }
        | NetError::Refused { .. }
        | NetError::Unreachable { .. }
        | NetError::Tls { .. } => Exit::Unreachable,
        NetError::ConnectTimeout { .. }
        | NetError::ReadTimeout { .. }
        | NetError::WriteTimeout { .. }
        | NetError::Idle { .. } => Exit::Timeout,
        NetError::Reset { .. } | NetError::Closed { .. } => Exit::Lost,
        NetError::UnexpectedEnd { .. }
        | NetError::FrameCut { .. }
        | NetError::FrameTooLarge { .. }
        | NetError::DelimiterInFrame { .. }
        | NetError::DatagramTooLarge { .. }
        | NetError::DatagramOverLimit { .. } => Exit::Protocol,
        _ => Exit::Failure,
    }
}
