//! Why a connection could not be made, with a hint at what to do.

use std::{io, time::Duration};

use http::StatusCode;

/// A connection to a server could not be made, or was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// The URL cannot be used.
    #[error("invalid URL {url:?}: {reason}")]
    Url {
        /// The URL, without what may be secret in it: user, password and query.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An option cannot be used: a certificate, a header, a proxy.
    #[error("invalid option {option}: {reason}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The host's name has no address.
    #[error("cannot find the address of {host}: {source}; is the name right, and the network up?")]
    Dns {
        /// The name.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody listens there, or nobody answers.
    #[error("cannot connect to {address}: {source}; does the server run, and on this port?")]
    Unreachable {
        /// Host and port, or the path of a Unix socket.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The proxy did not make the connection.
    #[error("the proxy {proxy} refused: {reason}")]
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// What it said.
        reason: String,
    },
    /// TLS could not be established.
    #[error("TLS with {host} failed: {source}; {hint}")]
    Tls {
        /// The server's name.
        host: String,
        /// What rustls says.
        source: io::Error,
        /// What to look at, or to do.
        hint: &'static str,
    },
    /// The server did not answer in time.
    #[error(
        "no connection within {after:?}; is the address right, and does the server speak Socket.IO?"
    )]
    Timeout {
        /// The time that was given.
        after: Duration,
    },
    /// The connection broke before the session was open.
    #[error(
        "the connection ended during the handshake: {source}; {}",
        interrupted_hint(source)
    )]
    Interrupted {
        /// What the system says.
        source: io::Error,
    },
    /// Something between client and server, or the server itself, does not let the connection through: 401, 403, 407, 429,
    /// 502, 503 or 504, without a text of Engine.IO.
    #[error("HTTP {status} from the server or a proxy in front of it: {hint}")]
    Unavailable {
        /// The HTTP status.
        status: StatusCode,
        /// What that means, and what to do.
        hint: &'static str,
    },
    /// The request for a WebSocket did not reach the server as one.
    #[error(
        "HTTP {status} instead of a WebSocket: a proxy in front of the server does not pass upgrades on; let it speak HTTP/1.1 \
         to the server and forward the headers Upgrade and Connection, or use long-polling alone"
    )]
    NoUpgrade {
        /// The HTTP status.
        status: StatusCode,
    },
    /// The server speaks HTTP, but not Socket.IO, at this path.
    #[error("not a Socket.IO server: {reason}; is the path {path:?} right?")]
    NotSocketIo {
        /// The path that was asked for.
        path: String,
        /// What came instead.
        reason: String,
    },
    /// The server speaks another revision of the protocol.
    #[error("the server does not speak revision {revision} of Engine.IO; try revision {other}")]
    WrongRevision {
        /// The revision that was asked for.
        revision: u8,
        /// The other one.
        other: u8,
    },
    /// The server refused the request.
    #[error("the server refused the connection: {message} (HTTP {status}, code {code})")]
    Rejected {
        /// The HTTP status.
        status: StatusCode,
        /// Engine.IO's code of the error, for instance 4 for an admission hook's refusal.
        code: i64,
        /// Engine.IO's text.
        message: String,
    },
    /// The server does not take this transport.
    #[error("the server does not take the transport {transport}; try another")]
    Transport {
        /// The transport.
        transport: &'static str,
    },
    /// The namespace refused.
    #[error("refused by the server: {message}")]
    Refused {
        /// The server's message.
        message: String,
        /// The data that it sent along.
        data: Option<serde_json::Value>,
    },
    /// The blocking client has no thread for its background.
    #[error("cannot start the background thread: {source}")]
    Background {
        /// What the system says.
        source: io::Error,
    },
    /// The client was told to disconnect, or dropped.
    #[error("the connection was given up")]
    GivenUp,
}

/// What to look at if the connection broke before the session was open.
fn interrupted_hint(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::InvalidData {
        "the answer is not HTTP: if the server expects TLS on this port, the URL begins with https:// or wss://"
    } else {
        "does the server speak Socket.IO, and expect TLS or not?"
    }
}

impl ConnectFailure {
    /// A copy, for everybody who waits for the same connection: causes become their text.
    pub(crate) fn duplicate(&self) -> Self {
        let copy = |source: &io::Error| io::Error::new(source.kind(), source.to_string());
        match self {
            Self::Url { url, reason } => Self::Url {
                url: url.clone(),
                reason,
            },
            Self::Option { option, reason } => Self::Option {
                option,
                reason: reason.clone(),
            },
            Self::Dns { host, source } => Self::Dns {
                host: host.clone(),
                source: copy(source),
            },
            Self::Unreachable { address, source } => Self::Unreachable {
                address: address.clone(),
                source: copy(source),
            },
            Self::Proxy { proxy, reason } => Self::Proxy {
                proxy: proxy.clone(),
                reason: reason.clone(),
            },
            Self::Tls { host, source, hint } => Self::Tls {
                host: host.clone(),
                source: copy(source),
                hint,
            },
            Self::Timeout { after } => Self::Timeout { after: *after },
            Self::Interrupted { source } => Self::Interrupted {
                source: copy(source),
            },
            Self::Unavailable { status, hint } => Self::Unavailable {
                status: *status,
                hint,
            },
            Self::NoUpgrade { status } => Self::NoUpgrade { status: *status },
            Self::NotSocketIo { path, reason } => Self::NotSocketIo {
                path: path.clone(),
                reason: reason.clone(),
            },
            Self::WrongRevision { revision, other } => Self::WrongRevision {
                revision: *revision,
                other: *other,
            },
            Self::Rejected {
                status,
                code,
                message,
            } => Self::Rejected {
                status: *status,
                code: *code,
                message: message.clone(),
            },
            Self::Transport { transport } => Self::Transport { transport },
            Self::Refused { message, data } => Self::Refused {
                message: message.clone(),
                data: data.clone(),
            },
            Self::Background { source } => Self::Background {
                source: copy(source),
            },
            Self::GivenUp => Self::GivenUp,
        }
    }
}
