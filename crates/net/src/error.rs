//! [`NetError`]: what failed, where, and what to do about it. Errors of the operating system are converted here.

use std::{io, time::Duration};

/// An operation on a socket failed.
///
/// Sorted by fault: first errors of the program or its machine, then errors of the network or the peer.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
/// use kokanee_net::{NetError, TcpClient};
///
/// # let address = &*std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
/// match TcpClient::new(address).connect().await {
///     Ok(_) => println!("connected"),
///     // Mistakes in the configuration: another attempt fails as well.
///     Err(error @ (NetError::NotAnAddress { .. } | NetError::Tls { .. })) => panic!("{error}"),
///     // The text says what failed, where, and what to do.
///     Err(error) => assert_eq!(error.to_string(), format!("connection refused: {address}; nobody listens there")),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// The text is not an address.
    #[error("not an address: {text}; host:port is expected, such as localhost:5000 or [::1]:5000")]
    NotAnAddress {
        /// The text.
        text: String,
    },
    /// The address is in use.
    #[error(
        "address in use: {address}; choose another one, or stop the program that listens there"
    )]
    AddressInUse {
        /// The address.
        address: String,
    },
    /// The address belongs to another machine.
    #[error(
        "no such address on this machine: {address}; use 0.0.0.0 or [::] to listen on all interfaces"
    )]
    AddressNotAvailable {
        /// The address.
        address: String,
    },
    /// The system forbids it.
    #[error("not allowed to {action} {address}; {hint}")]
    NotAllowed {
        /// The action that failed.
        action: &'static str,
        /// The address.
        address: String,
        /// What may help.
        hint: &'static str,
    },
    /// The process or the system has too many open files.
    #[error(
        "cannot {action} {address}: too many open files; raise the limit with `ulimit -n`, or close some"
    )]
    TooManyFiles {
        /// The action that failed.
        action: &'static str,
        /// The address.
        address: String,
    },
    /// The name has no address.
    #[error("no such host: {host}; check the name, or the network")]
    UnknownHost {
        /// The name.
        host: String,
    },
    /// No program listens there.
    #[error("connection refused: {address}; nobody listens there")]
    Refused {
        /// The address.
        address: String,
    },
    /// There is no route to the address.
    #[error("unreachable: {address}; {reason}")]
    Unreachable {
        /// The address.
        address: String,
        /// The system's error.
        reason: String,
    },
    /// The connection was not established in time.
    #[error(
        "no answer from {address} within {after:?}; the machine is off, or a firewall in between"
    )]
    ConnectTimeout {
        /// The address.
        address: String,
        /// The limit.
        after: Duration,
    },
    /// A certificate or key cannot be used, or the TLS handshake failed.
    #[error("TLS: {context}: {reason}")]
    Tls {
        /// The peer or the file.
        context: String,
        /// What is wrong.
        reason: String,
    },
    /// No data came in time.
    #[error("{peer} has sent nothing for {after:?}")]
    ReadTimeout {
        /// The peer.
        peer: String,
        /// The limit.
        after: Duration,
    },
    /// The peer does not read.
    #[error("{peer} has read nothing for {after:?}")]
    WriteTimeout {
        /// The peer.
        peer: String,
        /// The limit.
        after: Duration,
    },
    /// No data was sent or received in time.
    #[error("nothing was exchanged with {peer} for {after:?}")]
    Idle {
        /// The peer.
        peer: String,
        /// The limit.
        after: Duration,
    },
    /// The peer reset the connection.
    #[error("{peer} has reset the connection")]
    Reset {
        /// The peer.
        peer: String,
    },
    /// The peer's data ended before the expected number of bytes.
    #[error("{peer} has closed its side after {received} of {expected} bytes")]
    UnexpectedEnd {
        /// The peer.
        peer: String,
        /// The number of bytes received.
        received: usize,
        /// The number of bytes expected.
        expected: usize,
    },
    /// The peer's data ended in the middle of a frame.
    #[error("{peer} has closed its side in the middle of a frame, after {received} bytes of it")]
    FrameCut {
        /// The peer.
        peer: String,
        /// The number of bytes received of the frame.
        received: usize,
    },
    /// A frame is larger than [`Limits::max_frame_bytes`](crate::Limits::max_frame_bytes), or than its prefix can
    /// represent.
    #[error("frame exceeds the limit of {max} bytes")]
    FrameTooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// A frame to send contains the delimiter, or forms one together with the delimiter after it.
    #[error("frame would not arrive unchanged: the delimiter {delimiter} would split it")]
    DelimiterInFrame {
        /// The delimiter, escaped.
        delimiter: String,
    },
    /// A datagram to send is too large for the network.
    #[error("datagram of {size} bytes to {peer} is too large; UDP allows at most 65,507")]
    DatagramTooLarge {
        /// The peer.
        peer: String,
        /// Its size in bytes.
        size: usize,
    },
    /// A received datagram is larger than [`Limits::max_datagram_bytes`](crate::Limits::max_datagram_bytes), and was
    /// dropped.
    #[error("datagram from {peer} exceeds the limit of {max} bytes")]
    DatagramOverLimit {
        /// The peer.
        peer: String,
        /// The limit in bytes.
        max: usize,
    },
    /// The queue is full.
    #[error("{peer} is slow: its queue of {max} bytes is full")]
    QueueFull {
        /// The peer.
        peer: String,
        /// The limit in bytes.
        max: usize,
    },
    /// The connection, or its sending side, is closed.
    #[error("the connection to {peer} is closed")]
    Closed {
        /// The peer.
        peer: String,
    },
    /// Another error of the system.
    #[error("cannot {action} {address}: {}", reason(.source))]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The address.
        address: String,
        /// The system's error.
        source: io::Error,
    },
}

impl NetError {
    /// Converts the error of an action such as "listen on", at an address.
    pub(crate) fn from_io(action: &'static str, address: String, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { address },
            io::ErrorKind::AddrNotAvailable => Self::AddressNotAvailable { address },
            io::ErrorKind::PermissionDenied => Self::NotAllowed {
                action,
                address,
                hint: if action == "listen on" {
                    "ports below 1024 and others' directories need special rights"
                } else {
                    "a firewall or the file's rights forbid it"
                },
            },
            io::ErrorKind::ConnectionRefused => Self::Refused { address },
            // The file of a Unix socket does not exist.
            io::ErrorKind::NotFound if action == "connect to" => Self::Refused { address },
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => Self::Unreachable {
                address,
                reason: reason(&source),
            },
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => Self::Reset { peer: address },
            _ if is_out_of_files(&source) => Self::TooManyFiles { action, address },
            _ => Self::Io {
                action,
                address,
                source,
            },
        }
    }
}

/// Returns whether the process or the system has too many open files.
fn is_out_of_files(error: &io::Error) -> bool {
    // EMFILE and ENFILE have no `ErrorKind`, but these numbers on every Unix.
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

/// Returns the system's error text, without its number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text
        .split_once(" (os error")
        .map_or(&*text, |(words, _)| words);
    let mut chars = words.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => "unknown reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_is_a_bare_number() {
        for code in 1..134 {
            let error = NetError::from_io(
                "connect to",
                "127.0.0.1:5000".to_owned(),
                io::Error::from_raw_os_error(code),
            );
            let text = error.to_string();
            assert!(text.contains("127.0.0.1:5000"), "{text}");
            assert!(!text.contains("os error"), "{text}");
        }
    }

    #[test]
    fn an_address_in_use_is_named() {
        let error = NetError::from_io(
            "listen on",
            "127.0.0.1:5000".to_owned(),
            io::ErrorKind::AddrInUse.into(),
        );
        assert!(
            error
                .to_string()
                .starts_with("address in use: 127.0.0.1:5000")
        );
    }
}
