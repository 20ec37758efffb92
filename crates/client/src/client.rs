//! [`Client`] and its options.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use kokanee_engineio::{ClientSessionConfig, Revision, Transport};
use kokanee_handler::{BoxError, Event, EventError, Handler, Needs, States, TypedArgs};
use kokanee_net::Backoff;
use kokanee_socketio::{DecoderLimits, ParserKind, RawEvent};
use serde::Serialize;

use crate::{
    attach::attach_methods,
    driver::Driver,
    engine::{ConnectFailure, EngineConfig, Proxy, Target, tls::Tls, without_secrets},
    extract::{OnAttempt, OnConnect, OnConnectError, OnDisconnect, OnEvent},
    handlers::{Handlers, check_event},
    hub::{Guard, Hub},
    options::{Auth, Endpoint, EndpointFunction, Options, STATE_CALL, auth_value, header_map},
    socket::Socket,
};

/// Connects to Socket.IO servers: the entry point of the async client.
#[derive(Debug)]
pub struct Client;

impl Client {
    /// Connects with default options, and waits until the namespace has accepted. The path of the URL is the namespace.
    ///
    /// Attach handlers right away, or give them to a [`builder`](Self::builder): events that arrive before their handlers wait
    /// for them, but [not forever](Socket#early-events).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_client::{Client, Data};
    ///
    /// let socket = Client::connect(&url).await?;
    /// socket.on("welcome", async |Data(text): Data<String>| println!("{text}"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ConnectFailure`] with a hint if the connection could not be made:
    ///
    /// ```
    /// # async fn example() {
    /// use kokanee_client::{Client, ConnectFailure};
    ///
    /// match Client::connect("http://localhost:5000/admin").await {
    ///     Ok(socket) => println!("connected as {:?}", socket.id()),
    ///     Err(ConnectFailure::Refused { message, .. }) => eprintln!("not allowed: {message}"),
    ///     Err(ConnectFailure::Unreachable { address, .. }) => eprintln!("no server at {address}"),
    ///     Err(failure) => eprintln!("{failure}"),
    /// }
    /// # }
    /// ```
    pub async fn connect(url: &str) -> Result<Socket, ConnectFailure> {
        Self::builder(url).connect().await
    }

    /// Returns a builder for a connection to this URL: `http`, `https`, `ws` or `wss`, host, port, the namespace as path, and
    /// optionally a query.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_client::Client;
    ///
    /// let local = Client::builder("http://localhost:5000");
    /// let admin = Client::builder("wss://chat.example.com/admin?room=lobby");
    /// ```
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder::new(url)
    }
}

/// Longest time that can be set: the clock must not overflow.
const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Marks the builder of the async client, [`Client::builder`].
#[derive(Debug, Clone, Copy)]
pub enum Async {}

/// Configures a client, and the handlers of its first socket, which belongs to the namespace in the URL.
///
/// A clone configures another client with the same options and handlers; clones share the parsed certificates.
///
/// # Examples
///
/// ```
/// use kokanee_client::{Client, Data, State};
///
/// struct App { name: String }
///
/// # async fn example() -> Result<(), kokanee_client::ConnectFailure> {
/// let socket = Client::builder("http://localhost:5000")
///     .state(App { name: "alice".to_owned() })
///     .on("welcome", async |Data(text): Data<String>, app: State<App>| println!("{}: {text}", app.name))
///     .on_connect(async || println!("connected"))
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
///
/// `M` says how the client connects and which functions are handlers: [`Async`], or [`Blocking`](crate::blocking::Blocking) for
/// [`blocking::Client::builder`](crate::blocking::Client::builder).
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent options")]
#[must_use = "a builder does nothing until it connects"]
pub struct ClientBuilder<M = Async> {
    mode: PhantomData<fn() -> M>,
    handlers: Handlers,
    /// What the handlers need.
    needs: Needs,
    state: States,
    url: String,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    cookies: bool,
    transports: Vec<Transport>,
    try_all_transports: bool,
    remember_upgrade: bool,
    proxy: Option<String>,
    tls: Tls,
    unix_socket: Option<PathBuf>,
    compression: bool,
    connect_timeout: Duration,
    max_message_bytes: usize,
    session: ClientSessionConfig,
    reconnection: bool,
    backoff: Backoff,
    retry_first_connect: bool,
    retry_refused: bool,
    raw_messages: bool,
    parser: ParserKind,
    auth: Auth,
    endpoint: Option<EndpointFunction>,
    ack_timeout: Option<Duration>,
    retries: Option<u32>,
    send_buffer_bytes: usize,
    max_pending_acks: usize,
    max_outbound_attachments: usize,
}

impl<M> fmt::Debug for ClientBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Most of the other fields are secrets, or may be.
        f.debug_struct("ClientBuilder")
            .field("url", &without_secrets(&self.url))
            .field("path", &self.path)
            .field("transports", &self.transports)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl<M> ClientBuilder<M> {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            mode: PhantomData,
            handlers: Handlers::default(),
            needs: Needs::default(),
            state: States::default(),
            url: url.to_owned(),
            path: "/socket.io/".to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            cookies: true,
            transports: vec![Transport::Polling, Transport::WebSocket],
            try_all_transports: false,
            remember_upgrade: false,
            proxy: None,
            tls: Tls::default(),
            unix_socket: None,
            compression: false,
            connect_timeout: Duration::from_secs(20),
            max_message_bytes: 100_000_000,
            session: ClientSessionConfig::default(),
            reconnection: true,
            backoff: Backoff::default(),
            retry_first_connect: false,
            retry_refused: false,
            raw_messages: false,
            parser: ParserKind::Default,
            auth: Auth::None,
            endpoint: None,
            ack_timeout: None,
            retries: None,
            send_buffer_bytes: 1 << 20,
            max_pending_acks: 10_000,
            max_outbound_attachments: 10,
        }
    }

    /// Sets the object that is sent to every namespace when the socket connects. JavaScript: `auth`. Default: nothing.
    ///
    /// Servers of Socket.IO 2 get it in the query of the namespace, except for `/`, which they connect without a request; use
    /// [`query`](Self::query) there.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_client::Client;
    ///
    /// let builder = Client::builder("http://localhost:5000").auth(serde_json::json!({ "token": "secret" }));
    ///
    /// // It must serialize to a JSON object. This is reported when the client is built.
    /// let error = Client::builder("http://localhost:5000").auth("secret").build().unwrap_err();
    /// assert!(error.to_string().starts_with("invalid option auth"));
    /// ```
    pub fn auth(mut self, auth: impl Serialize) -> Self {
        self.auth = Auth::Value(auth_value(auth));
        self
    }

    /// Sets an async function that is called before every connection and returns the object that is sent, for instance with a
    /// fresh token. Otherwise as [`auth`](Self::auth).
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn fetch_token() -> String { "secret".to_owned() }
    /// use kokanee_client::Client;
    ///
    /// let builder = Client::builder("http://localhost:5000")
    ///     .auth_with(async || serde_json::json!({ "token": fetch_token().await }));
    /// ```
    pub fn auth_with<F, Fut, T>(mut self, auth: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Serialize,
    {
        self.auth = Auth::Function(Arc::new(move || {
            let value = auth();
            Box::pin(async move { auth_value(value.await) })
        }));
        self
    }

    /// Sets an async function as [`auth_with`](Self::auth_with) does, whose value is sent as it is: for servers that take something
    /// else than an object, as python-socketio does. Null is nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_client::Client;
    ///
    /// let builder = Client::builder("http://localhost:5000").any_auth_with(async || serde_json::json!("secret"));
    /// ```
    pub fn any_auth_with<F, Fut>(mut self, auth: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = serde_json::Value> + Send + 'static,
    {
        self.auth = Auth::Function(Arc::new(move || {
            let value = auth();
            Box::pin(async move { Ok(value.await) })
        }));
        self
    }

    /// Sets an async function as [`any_auth_with`](Self::any_auth_with) does, which may fail: then a socket that was connected before
    /// tries again, with [`retry_refused`](Self::retry_refused).
    #[doc(hidden)]
    pub fn try_auth_with<F, Fut>(mut self, auth: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<serde_json::Value, String>> + Send + 'static,
    {
        self.auth = Auth::Function(Arc::new(move || Box::pin(auth())));
        self
    }

    /// Sets an async function that is called before every connection and returns its URL and its headers, as far as they are
    /// not those of the builder: for a login that expires, or for servers that take turns. If it fails, so does the attempt to
    /// connect, with [`ConnectFailure::Option`].
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn fetch_token() -> Result<String, std::io::Error> { Ok("secret".to_owned()) }
    /// use kokanee_client::{Client, Endpoint};
    ///
    /// let builder = Client::builder("http://localhost:5000").endpoint_with(async || {
    ///     let token = format!("Bearer {}", fetch_token().await?);
    ///     Ok(Endpoint { headers: Some(vec![("authorization".to_owned(), token)]), ..Endpoint::default() })
    /// });
    /// ```
    pub fn endpoint_with<F, Fut>(mut self, endpoint: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Endpoint, BoxError>> + Send + 'static,
    {
        self.endpoint = Some(Arc::new(move || Box::pin(endpoint())));
        self
    }

    /// Sets the path of the server, not of the namespace. JavaScript: `path`. Default: `/socket.io/`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::Client;
    /// // For a server behind a proxy at https://example.com/chat/socket.io/, in the namespace /admin.
    /// let builder = Client::builder("https://example.com/admin").path("/chat/socket.io/");
    /// ```
    pub fn path(mut self, path: &str) -> Self {
        self.path = format!("/{}/", path.trim_matches('/'));
        if self.path == "//" {
            self.path.truncate(1);
        }
        self
    }

    /// Sets the transports to use, the first one first. JavaScript: `transports`. Default: polling, then WebSocket.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_client::{Client, Transport};
    ///
    /// // Without polling the client is connected after fewer requests, and needs no sticky sessions.
    /// let socket = Client::builder(&url).transports([Transport::WebSocket]).connect().await?;
    /// assert_eq!(socket.transport(), Some(Transport::WebSocket));
    /// # Ok(()) }
    /// ```
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.transports = transports.into_iter().collect();
        self
    }

    /// Sets whether a polling session moves to a WebSocket. JavaScript: `upgrade`. Default: true.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::Client;
    /// // For networks that let WebSockets open, but lose their messages.
    /// let builder = Client::builder("http://localhost:5000").upgrade(false);
    /// ```
    pub fn upgrade(mut self, upgrade: bool) -> Self {
        self.session.upgrade = upgrade;
        self
    }

    /// Sets whether the client starts with a WebSocket if the last connection was one. JavaScript: `rememberUpgrade`. Default:
    /// false.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::Client;
    /// // Reconnects are faster after the first WebSocket has worked.
    /// let builder = Client::builder("http://localhost:5000").remember_upgrade(true);
    /// ```
    pub fn remember_upgrade(mut self, remember: bool) -> Self {
        self.remember_upgrade = remember;
        self
    }

    /// Sets whether the client tries the next transport if one fails. They share the
    /// [`connect_timeout`](Self::connect_timeout). JavaScript: `tryAllTransports`. Default: false.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_client::{Client, Transport};
    ///
    /// // A WebSocket first; long-polling where a firewall blocks it.
    /// let builder = Client::builder("http://localhost:5000")
    ///     .transports([Transport::WebSocket, Transport::Polling])
    ///     .try_all_transports(true);
    /// ```
    pub fn try_all_transports(mut self, all: bool) -> Self {
        self.try_all_transports = all;
        self
    }

    /// Adds a parameter to the query of every request. JavaScript: `query`.
    ///
    /// The query appears in the logs of servers and proxies: a secret belongs in [`auth`](Self::auth) or a
    /// [`header`](Self::header).
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::Client;
    /// let builder = Client::builder("http://localhost:5000").query("version", "2").query("lang", "de");
    /// ```
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header to every request, for instance a `cookie` with a login. JavaScript: `extraHeaders`.
    ///
    /// All connections of the client send the same header. A value that expires belongs in [`auth_with`](Self::auth_with), or
    /// needs a new client. A header that cannot be sent is reported when the client is built.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::Client;
    /// let builder = Client::builder("https://example.com").header("authorization", "Bearer secret");
    /// ```
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets whether the client sends cookies of the server back, which sticky sessions need. JavaScript: `withCredentials`.
    /// Default: true.
    pub fn cookies(mut self, cookies: bool) -> Self {
        self.cookies = cookies;
        self
    }

    /// Sets a proxy: `http://[user:password@]host:port` (by CONNECT) or `socks5://…`. Default: none.
    ///
    /// Environment variables such as `HTTPS_PROXY` are not read.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::Client;
    /// let builder = Client::builder("https://example.com").proxy("http://alice:secret@proxy.local:3128");
    /// let over_tor = Client::builder("https://example.com").proxy("socks5://127.0.0.1:9050");
    /// ```
    pub fn proxy(mut self, url: &str) -> Self {
        self.proxy = Some(url.to_owned());
        self
    }

    /// Trusts the certificates in this PEM text, in addition to those that the system trusts.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use kokanee_client::Client;
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let socket = Client::builder("https://server.local:5000")
    ///     .root_certificate(std::fs::read("own-authority.pem")?)
    ///     .connect()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.change().roots.push(pem.into());
        self
    }

    /// Sets the certificate chain and the key, both PEM, that the client shows to the server.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use kokanee_client::Client;
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let (chain, key) = (std::fs::read("client.pem")?, std::fs::read("client.key")?);
    /// let builder = Client::builder("https://server.local:5000").client_certificate(chain, key);
    /// # Ok(()) }
    /// ```
    pub fn client_certificate(
        mut self,
        chain: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.tls.change().client = Some((chain.into(), key.into()));
        self
    }

    /// Accepts any certificate of the server. **Anybody between the client and the server can then read and change
    /// everything**: use it only for tests on your own machine. [`root_certificate`](Self::root_certificate) is the safe way to
    /// use a certificate of your own.
    pub fn danger_accept_invalid_certificates(mut self) -> Self {
        self.tls.change().accept_invalid = true;
        self
    }

    /// Connects through a Unix-domain socket. The host of the URL is then only sent as a name.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use kokanee_client::Client;
    /// # async fn example() -> Result<(), kokanee_client::ConnectFailure> {
    /// let socket = Client::builder("http://localhost/admin").unix_socket("/run/chat.sock").connect().await?;
    /// # Ok(()) }
    /// ```
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.unix_socket = Some(path.into());
        self
    }

    /// Sets the revision of Engine.IO. Default: revision 4; servers of Socket.IO 2 speak revision 3.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_client::{Client, Revision};
    ///
    /// let builder = Client::builder("http://old-server.local:5000").revision(Revision::V3);
    /// ```
    pub fn revision(mut self, revision: Revision) -> Self {
        self.session.revision = revision;
        self
    }

    /// Sets how packets are encoded. It must be the parser of the server. Default: [`ParserKind::Default`], JSON.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_client::{Client, ParserKind};
    ///
    /// // For a server with socket.io-msgpack-parser.
    /// let builder = Client::builder("http://localhost:5000").parser(ParserKind::Msgpack);
    /// ```
    pub fn parser(mut self, parser: ParserKind) -> Self {
        self.parser = parser;
        self
    }

    /// Sets whether the client offers compression of the WebSocket (permessage-deflate). Default: false.
    ///
    /// Compression costs time and memory on both sides. It pays for long texts over slow networks.
    pub fn compression(mut self, compression: bool) -> Self {
        self.compression = compression;
        self
    }

    /// Sets whether the client reconnects when the connection is lost. JavaScript: `reconnection`. Default: true.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// # use kokanee_client::Client;
    /// let socket = Client::builder(&url)
    ///     .reconnection(false)
    ///     .on_disconnect(async |reason: kokanee_client::DisconnectReason| eprintln!("lost the server: {reason}"))
    ///     .connect()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn reconnection(mut self, reconnection: bool) -> Self {
        self.reconnection = reconnection;
        self
    }

    /// Sets the number of attempts after which the client gives up. JavaScript: `reconnectionAttempts`. Default: it never gives
    /// up.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::Client;
    /// let builder = Client::builder("http://localhost:5000")
    ///     .reconnection_attempts(10)
    ///     .on_reconnect_failed(async || eprintln!("no server after ten attempts"));
    /// ```
    pub fn reconnection_attempts(mut self, attempts: u32) -> Self {
        self.backoff.attempts = Some(attempts);
        self
    }

    /// Sets the delay before the first attempt; it doubles with each attempt. JavaScript: `reconnectionDelay`. Default: 1 s.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// # use kokanee_client::Client;
    ///
    /// // 250 ms, 500 ms, 1 s, … up to 30 s, each up to a tenth shorter or longer.
    /// let builder = Client::builder("http://localhost:5000")
    ///     .reconnection_delay(Duration::from_millis(250))
    ///     .reconnection_delay_max(Duration::from_secs(30))
    ///     .randomization_factor(0.1);
    /// ```
    pub fn reconnection_delay(mut self, delay: Duration) -> Self {
        self.backoff.delay = delay.min(MAX_TIME);
        self
    }

    /// Sets the longest delay between two attempts. JavaScript: `reconnectionDelayMax`. Default: 5 s. See
    /// [`reconnection_delay`](Self::reconnection_delay).
    pub fn reconnection_delay_max(mut self, delay: Duration) -> Self {
        self.backoff.delay_max = delay.min(MAX_TIME);
        self
    }

    /// Sets how far a delay may be changed at random, from 0 to 1, so that clients do not reconnect all at once. JavaScript:
    /// `randomizationFactor`. Default: 0.5. See [`reconnection_delay`](Self::reconnection_delay).
    pub fn randomization_factor(mut self, factor: f64) -> Self {
        self.backoff.randomization = factor.clamp(0.0, 1.0);
        self
    }

    /// Sets whether the client also tries again after the very first connection has failed. Default: false,
    /// [`connect`](Self::connect) returns the failure.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::Client;
    /// # async fn example() -> Result<(), kokanee_client::ConnectFailure> {
    /// // The server may start later than this program.
    /// let socket = Client::builder("http://localhost:5000")
    ///     .retry_first_connect(true)
    ///     .on_connect_error(async |failure: kokanee_client::Failure| eprintln!("{failure:?}, trying again"))
    ///     .connect()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn retry_first_connect(mut self, retry: bool) -> Self {
        self.retry_first_connect = retry;
        self
    }

    /// Sets whether a socket that was connected, and that its namespace refuses when the client reconnects, goes on trying, as
    /// after a lost connection. The JavaScript client does not. Default: false.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::Client;
    /// // The server refuses clients while it starts, or until `auth_with` has a fresh token.
    /// let builder = Client::builder("http://localhost:5000").retry_refused(true);
    /// ```
    pub fn retry_refused(mut self, retry: bool) -> Self {
        self.retry_refused = retry;
        self
    }

    /// Sets the time for dialling and the handshake, and again for the answer of a namespace. JavaScript: `timeout`. Default:
    /// 20 s.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// # use kokanee_client::Client;
    ///
    /// let builder = Client::builder("http://localhost:5000").connect_timeout(Duration::from_secs(5));
    /// ```
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.min(MAX_TIME);
        self
    }

    /// Uses the certificates of another builder, and shares what is made of them.
    #[doc(hidden)]
    pub fn certificates_of(mut self, other: &Self) -> Self {
        self.tls = other.tls.clone();
        self
    }

    /// Sets whether messages are handed on as they come, for servers whose protocol on top of Engine.IO is the application's.
    /// The socket of `/` is connected with the session. Each message is an event `message`, whose arguments are the message and
    /// the number of its connection, from 1 on: those of a lost one may still be there after the next one is open.
    /// [`Socket::send_message`] sends one. For bindings to other languages.
    #[doc(hidden)]
    pub fn raw_messages(mut self, raw: bool) -> Self {
        self.raw_messages = raw;
        self
    }

    /// Sets how long the client waits for an acknowledgement. JavaScript: `ackTimeout`. Default: until the connection ends, and
    /// 10 s in a handler.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use std::time::Duration;
    /// use kokanee_client::{AckError, Client};
    ///
    /// let socket = Client::builder(&url).ack_timeout(Duration::from_millis(20)).connect().await?;
    /// // The server does not handle this event, so nobody answers.
    /// match socket.emit_with_ack::<i64>("unknown", ()).await {
    ///     Err(AckError::Timeout) => println!("no answer"),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = Some(timeout.min(MAX_TIME));
        self
    }

    /// Sends every event until the server has acknowledged it, up to `retries` more times: at least once, in order, one at a
    /// time. JavaScript: `retries`. Default: no retries.
    ///
    /// The client tries again after [`ack_timeout`](Self::ack_timeout), or after 10 s if it is not set. The server must
    /// acknowledge every event, and may get one twice.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// # use kokanee_client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let socket = Client::builder("http://localhost:5000")
    ///     .retries(3)
    ///     .ack_timeout(Duration::from_secs(2))
    ///     .connect()
    ///     .await?;
    /// // The id lets the server recognise an event that it has handled already.
    /// socket.emit("order", serde_json::json!({ "id": "a7f3", "item": "tea" })).await?;
    /// # Ok(()) }
    /// ```
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Sets how many bytes may wait to be sent, where each packet counts 64 more. Default: 1 MiB.
    ///
    /// While the socket is connected, `emit` waits if more than half of it is in use. While it is not connected, events are
    /// kept until the buffer is full:
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_client::{Client, EmitError};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let socket = Client::builder("http://localhost:5000").send_buffer_bytes(1000).build()?;
    /// socket.emit("note", "x".repeat(600)).await?;
    /// match socket.emit("note", "x".repeat(600)).await {
    ///     Err(EmitError::BufferFull { max }) => assert_eq!(max, 1000),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn send_buffer_bytes(mut self, bytes: usize) -> Self {
        self.send_buffer_bytes = bytes;
        self
    }

    /// Sets how many acknowledgements each socket may wait for at a time; more are refused with
    /// [`AckError::TooManyPending`](crate::AckError::TooManyPending). Default: 10,000.
    pub fn max_pending_acks(mut self, acks: usize) -> Self {
        self.max_pending_acks = acks;
        self
    }

    /// Sets how many binary values one packet may contain. Default: 10, as JavaScript servers end the connection at the
    /// eleventh.
    ///
    /// Events and acknowledgements with more are an error. With the msgpack parser there is no such limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_client::{Client, EmitError};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let socket = Client::builder("http://localhost:5000").max_outbound_attachments(2).build()?;
    /// let images = [bytes::Bytes::from_static(&[0xff]), bytes::Bytes::new(), bytes::Bytes::new()];
    /// let error = socket.emit("images", images).await.unwrap_err();
    /// assert!(matches!(error, EmitError::Encode(_)), "{error}");
    /// # Ok(()) }
    /// ```
    pub fn max_outbound_attachments(mut self, attachments: usize) -> Self {
        self.max_outbound_attachments = attachments;
        self
    }

    /// Sets the size of the longest message that the client accepts, in bytes. A longer one ends the connection. Default: 100
    /// MB.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Sets a value that the handlers of all sockets of the client can have as a parameter, [`State<T>`](crate::State). There
    /// is one value of each type.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use kokanee_client::{Client, State};
    ///
    /// #[derive(Default)]
    /// struct Welcomes {
    ///     count: AtomicU32,
    /// }
    ///
    /// let socket = Client::builder(&url)
    ///     .state(Welcomes::default())
    ///     .on("welcome", async |welcomes: State<Welcomes>| {
    ///         welcomes.count.fetch_add(1, Ordering::Relaxed);
    ///     })
    ///     .connect()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    pub(crate) fn detach(mut self, event: &str) -> Self {
        // The name stays known until early events have been delivered.
        self.handlers.off(event, true);
        self
    }

    pub(crate) fn attach<R>(
        mut self,
        needs: &Needs,
        change: impl FnOnce(&mut Handlers) -> R,
    ) -> Self {
        // Checked later: the state may be set after its handlers.
        self.needs.extend(needs);
        change(&mut self.handlers);
        self
    }

    #[track_caller]
    pub(crate) fn check(&self) {
        self.state.check(&self.needs, STATE_CALL);
    }

    #[track_caller]
    pub(crate) fn build_socket(self) -> Result<Socket, ConnectFailure> {
        let socket = self.assemble()?;
        tokio::spawn(Driver::new(&socket));
        Ok(socket)
    }

    /// Makes a socket without the task that drives it.
    #[track_caller]
    pub(crate) fn assemble(mut self) -> Result<Socket, ConnectFailure> {
        self.check();
        let target = Target::parse(&self.url)?;
        let unusable = |option: &'static str, reason: &dyn fmt::Display| ConnectFailure::Option {
            option,
            reason: reason.to_string(),
        };
        if let Auth::Value(Err(reason)) = &self.auth {
            return Err(unusable("auth", reason));
        }
        if self.transports.is_empty() {
            return Err(unusable("transports", &"there is none"));
        }
        if !self.transports.contains(&Transport::WebSocket) {
            self.session.upgrade = false;
        }
        // The client itself makes events wait for room, so the session accepts everything.
        self.session.max_outbound_bytes = usize::MAX;
        let namespace = target.namespace.clone();
        let tls = target.secure.then(|| self.tls.configure()).transpose()?;
        let engine = EngineConfig {
            target,
            path: self.path,
            query: form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&self.query)
                .finish(),
            headers: header_map(&self.headers)?,
            cookies: self.cookies,
            transports: self.transports,
            try_all_transports: self.try_all_transports,
            remember_upgrade: self.remember_upgrade,
            proxy: self.proxy.as_deref().map(Proxy::parse).transpose()?,
            tls,
            unix_socket: self.unix_socket,
            compression: self.compression,
            connect_timeout: self.connect_timeout,
            max_message_bytes: self.max_message_bytes,
            session: Arc::new(self.session),
            upgraded: Arc::new(AtomicBool::new(false)),
        };
        let options = Options {
            engine: Arc::new(engine),
            endpoint: self.endpoint,
            tls: self.tls,
            reconnection: self.reconnection,
            backoff: self.backoff,
            retry_first_connect: self.retry_first_connect,
            retry_refused: self.retry_refused,
            raw_messages: self.raw_messages,
            parser: self.parser,
            decoder: DecoderLimits {
                max_attachments: 10_000,
                max_attachment_bytes: self.max_message_bytes,
                ..DecoderLimits::default()
            },
            auth: self.auth,
            ack_timeout: self.ack_timeout,
            retries: self.retries,
            send_buffer_bytes: self.send_buffer_bytes,
            max_pending_acks: self.max_pending_acks,
            max_attachments: match self.parser {
                ParserKind::Msgpack => usize::MAX,
                _ => self.max_outbound_attachments,
            },
            state: self.state,
        };
        let hub = Arc::new(Hub::new(Arc::new(options)));
        let guard = Arc::new(Guard(Arc::clone(&hub)));
        let core = hub.socket(&namespace);
        core.attach(|handlers| *handlers = self.handlers);
        Ok(Socket::new(core, guard))
    }
}

impl ClientBuilder {
    attach_methods!([self] self -> Self, Handler, Socket; "async ", "kokanee_client::ClientBuilder");

    /// Builds a socket that is not connected yet. Must be called within a tokio runtime.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_client::{Client, Data};
    ///
    /// let socket = Client::builder(&url).build()?;
    /// let admin = socket.of("/admin");
    /// admin.on("alarm", async |Data(text): Data<String>| eprintln!("{text}"));
    /// admin.connect().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ConnectFailure::Url`] or [`ConnectFailure::Option`] if the URL or an option cannot be used.
    ///
    /// # Panics
    /// If a handler has a parameter [`State<T>`](crate::State) for which [`state`](Self::state) was not called, or there is no
    /// tokio runtime.
    #[track_caller]
    pub fn build(self) -> Result<Socket, ConnectFailure> {
        self.build_socket()
    }

    /// Connects, and waits until the namespace has accepted.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_client::{Client, Data};
    ///
    /// let socket = Client::builder(&url)
    ///     .on("welcome", async |Data(text): Data<String>| println!("{text}"))
    ///     .connect()
    ///     .await?;
    /// assert!(socket.is_connected());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ConnectFailure`] with a hint if the connection could not be made.
    ///
    /// # Panics
    /// As [`build`](Self::build).
    #[track_caller]
    pub fn connect(self) -> impl Future<Output = Result<Socket, ConnectFailure>> + Send {
        // Checked outside the future, where `track_caller` knows the caller.
        self.check();
        async {
            let socket = self.build_socket()?;
            socket.connect().await?;
            Ok(socket)
        }
    }
}
