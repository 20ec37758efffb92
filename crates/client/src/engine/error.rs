//! Why a connection could not be made, with a hint at what to do.

use std::{io, sync::Arc, time::Duration};

use http::StatusCode;

/// Says why a connection to a server could not be made. Its text has a hint at what to do.
///
/// # Examples
///
/// ```
/// use kokanee_client::{Client, ConnectFailure};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A port on which nobody listens.
/// # let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
/// let url = format!("http://{free}");
/// match Client::connect(&url).await.unwrap_err() {
///     // The server is there, and says no: a retry does not help.
///     ConnectFailure::Refused { message, .. } | ConnectFailure::Rejected { message, .. } => panic!("{message}"),
///     // The program is configured wrongly.
///     failure @ (ConnectFailure::Url { .. } | ConnectFailure::Option { .. }) => panic!("{failure}"),
///     // The network, or a server that is not up yet.
///     failure => assert!(failure.to_string().ends_with("does the server run, and on this port?")),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, thiserror::Error)]
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
    /// The name of the host has no address.
    #[error("cannot find the address of {host}: {source}; is the name right, and the network up?")]
    Dns {
        /// The name.
        host: String,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// Nobody listens there, or nobody answers.
    #[error("cannot connect to {address}: {source}; does the server run, and on this port?")]
    Unreachable {
        /// Host and port, or the path of a Unix socket.
        address: String,
        /// What the system says.
        source: Arc<io::Error>,
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
        source: Arc<io::Error>,
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
    /// The connection was lost before the session was open.
    Interrupted {
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The server, or something in front of it, answered with HTTP status 401, 403, 407, 429, 502, 503 or 504, without a text
    /// of Engine.IO.
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
    /// The server, or a proxy in front of it, answered the request for a WebSocket as a plain HTTP request.
    NoUpgrade {
        /// The HTTP status.
        status: StatusCode,
    },
    /// The server speaks HTTP, but not Socket.IO at this path.
    #[error("not a Socket.IO server: {reason}; is the path {path:?} right?")]
    NotSocketIo {
        /// The path that was asked for.
        path: String,
        /// What came instead.
        reason: String,
    },
    /// The server speaks another revision of Engine.IO.
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
    /// The server does not accept this transport.
    #[error("the server does not accept the transport {transport}; try another one")]
    Transport {
        /// The transport.
        transport: &'static str,
    },
    /// The namespace refused the socket, for instance in a middleware of the server.
    #[error("refused by the server: {message}")]
    Refused {
        /// The server's message.
        message: String,
        /// The data that the server sent with the refusal.
        data: Option<serde_json::Value>,
        /// All that the server has sent, as JSON: an object with `message` and `data`, or of older servers anything, such as a string.
        payload: Option<Box<str>>,
    },
    /// The system gives no thread for the background of the blocking client.
    #[error("cannot start the background thread: {source}")]
    Background {
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The client was asked to disconnect, or dropped.
    #[error("the connection was given up")]
    GivenUp,
}

/// What to check if the connection was lost before the session was open.
fn interrupted_hint(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::InvalidData {
        "the answer is not HTTP: if the server expects TLS on this port, the URL begins with https:// or wss://"
    } else {
        "does the server speak Socket.IO, and expect TLS or not?"
    }
}
