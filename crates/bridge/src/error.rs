//! [`BridgeError`]: why what a client asked for was not done, and the code that it gets.

use kokanee_net::NetError;
use kokanee_server::ClientError;

/// What a client asked for was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BridgeError {
    #[error("no such peer: {0}")]
    NoSuchPeer(String),
    #[error("text or bytes are expected")]
    NotData,
    #[error("message of {size} bytes exceeds the limit of {max}")]
    TooLarge { size: usize, max: usize },
    #[error("target not allowed: {0}")]
    NotAllowed(String),
    #[error("{max} connections were asked for already, which is the limit")]
    TooManyDialled { max: usize },
    #[error(transparent)]
    Net(#[from] NetError),
}

/// All of it is for the client.
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
