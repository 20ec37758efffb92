//! [`BridgeError`]: why a client's request failed, and the code that it gets.

use kokanee_net::NetError;
use kokanee_server::ClientError;

/// A client's request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BridgeError {
    #[error("no such peer: {0}")]
    NoSuchPeer(String),
    #[error("expected text or bytes")]
    NotData,
    #[error("message of {size} bytes exceeds the limit of {max}")]
    TooLarge { size: usize, max: usize },
    #[error("target not allowed: {0}")]
    NotAllowed(String),
    #[error("{max} connections are dialled already, which is the limit")]
    TooManyDialled { max: usize },
    #[error(transparent)]
    Net(#[from] NetError),
}

/// The client sees code and text.
impl From<BridgeError> for ClientError {
    fn from(error: BridgeError) -> Self {
        let code = match &error {
            BridgeError::NoSuchPeer(_) => "no_such_peer",
            BridgeError::NotData => "not_data",
            BridgeError::TooLarge { .. } => "too_large",
            BridgeError::NotAllowed(_) => "not_allowed",
            BridgeError::TooManyDialled { .. } => "too_many_dialled",
            BridgeError::Net(_) => "net",
        };
        Self::new(error.to_string()).code(code)
    }
}
