//! [`Role`]: who masks its frames and who must not (RFC 6455, 5.1).

/// Which end of the connection decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A server: the frames of its peer must be masked.
    Server,
    /// A client: the frames of its peer must not be masked.
    Client,
}
