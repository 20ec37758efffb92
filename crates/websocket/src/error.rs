//! What can be wrong with received bytes, and the close code to answer with.

use crate::{close_code::CloseCode, opcode::OpCode};

/// The peer violated the protocol or a limit; the connection must be closed with [`close_code`](Self::close_code).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A reserved bit is set that no negotiated extension defines for this frame.
    #[error("reserved bits {bits:#05b} are set without an extension")]
    ReservedBits {
        /// RSV1, RSV2 and RSV3 as a three-bit number.
        bits: u8,
    },
    /// The opcode is not assigned.
    #[error("reserved opcode {opcode:#x}")]
    ReservedOpCode {
        /// The opcode.
        opcode: u8,
    },
    /// A control frame without the FIN bit.
    #[error("fragmented control frame {opcode:?}")]
    FragmentedControl {
        /// The kind of control frame.
        opcode: OpCode,
    },
    /// A control frame whose length does not fit seven bits.
    #[error("control frame {opcode:?} of more than 125 bytes")]
    ControlTooLong {
        /// The kind of control frame.
        opcode: OpCode,
    },
    /// A client sent a frame without a mask.
    #[error("frame of a client is not masked")]
    Unmasked,
    /// A server sent a masked frame.
    #[error("frame of a server is masked")]
    Masked,
    /// A continuation frame without a message to continue.
    #[error("continuation frame without a message to continue")]
    StrayContinuation,
    /// A new message began before the last fragment of the current one.
    #[error("{opcode:?} frame within a fragmented message")]
    UnfinishedMessage {
        /// The kind of the new message.
        opcode: OpCode,
    },
    /// The message is too large, according to the headers of its frames so far or when inflated.
    #[error("message of {size} bytes exceeds the limit of {max}")]
    TooLarge {
        /// The payload bytes that the frames of the message announce so far; when inflating, the limit plus one.
        size: u64,
        /// The limit in bytes.
        max: usize,
    },
    /// The message comes in too many frames.
    #[error("message of more than {max} fragments")]
    TooManyFragments {
        /// The limit in frames.
        max: usize,
    },
    /// The payload of a compressed message is damaged, or ends too early.
    #[error("compressed message cannot be inflated")]
    InvalidCompression,
    /// A text message is not UTF-8.
    #[error("text message is not UTF-8 at byte {offset}")]
    InvalidUtf8 {
        /// Where in the message the offending sequence starts.
        offset: usize,
    },
    /// A close frame of one byte: half a code.
    #[error("close frame with half a code")]
    TruncatedCloseCode,
    /// A close frame with a code that must not be sent.
    #[error("close frame with the invalid code {code}")]
    InvalidCloseCode {
        /// The code.
        code: u16,
    },
    /// The reason in a close frame is not UTF-8.
    #[error("close reason is not UTF-8 at byte {offset}")]
    InvalidCloseReason {
        /// Where in the reason the offending sequence starts.
        offset: usize,
    },
}

impl DecodeError {
    /// Returns the code to close the connection with.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::ReservedBits { .. }
            | Self::ReservedOpCode { .. }
            | Self::FragmentedControl { .. }
            | Self::ControlTooLong { .. }
            | Self::Unmasked
            | Self::Masked
            | Self::StrayContinuation
            | Self::UnfinishedMessage { .. }
            | Self::TruncatedCloseCode
            | Self::InvalidCloseCode { .. } => CloseCode::PROTOCOL_ERROR,
            Self::InvalidCompression
            | Self::InvalidUtf8 { .. }
            | Self::InvalidCloseReason { .. } => CloseCode::INVALID_PAYLOAD,
            Self::TooLarge { .. } => CloseCode::TOO_LARGE,
            Self::TooManyFragments { .. } => CloseCode::POLICY_VIOLATION,
        }
    }
}
