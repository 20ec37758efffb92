//! The server: its settings, its namespaces, its shutdown.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Extensions;
use kokanee_engineio::{CloseReason, Record, SessionConfig, Transport};
use kokanee_handler::States;
use kokanee_socketio::ParserKind;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{
    client_bundle::ClientBundle,
    cookie::Cookie,
    cors::Cors,
    forwarded::TrustedProxy,
    inner::{AllowRequest, OpenNamespaces, PacketLog, ServerInner},
    limits::Limits,
    mailbox::Command,
    namespace::Namespace,
    recovery::Recovery,
    static_files::StaticFile,
    throttle::Throttle,
};

/// Serves Socket.IO clients. A cheap handle: clones are the same server.
///
/// It derefs to its namespace `/`: all methods of [`Namespace`] are methods of the server, too, and mean `/`. Those that
/// return `&Self` there return the [`Namespace`], so begin a chain that also calls the server's own with these.
///
/// ```no_run
/// use kokanee_server::{Ack, Data, Server, Socket};
///
/// # async fn run() -> Result<(), kokanee_server::ListenError> {
/// let io = Server::new();
/// io.on("hello", async |socket: Socket, Data(name): Data<String>, ack: Ack| {
///     socket.broadcast().emit("joined", &name).await?;
///     ack.send(format!("hello {name}"))
/// });
/// io.listen("127.0.0.1:3000").await
/// # }
/// ```
#[doc(alias = "io")]
#[doc(alias = "SocketIo")]
#[derive(Clone)]
pub struct Server(Arc<ServerInner>);

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("path", &self.0.path)
            .finish_non_exhaustive()
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// Creates a server with the defaults of the JavaScript server.
    ///
    /// ```
    /// # use kokanee_server::Server;
    /// let io = Server::new();
    /// assert_eq!(io.name(), "/");
    /// assert_eq!(io.session_count(), 0);
    /// ```
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder of a server with other settings.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    pub(crate) fn from_inner(inner: Arc<ServerInner>) -> Self {
        Self(inner)
    }

    pub(crate) fn inner(&self) -> &Arc<ServerInner> {
        &self.0
    }

    /// Returns the namespace of this name, and creates it if it does not exist. A missing leading `/` is added; `""` is `/`.
    ///
    /// Clients can connect to it from then on.
    ///
    /// ```
    /// # use kokanee_server::{Server, Socket};
    /// let io = Server::new();
    /// io.of("/admin").on_connect(async |socket: Socket| socket.emit("welcome", "administrator").await);
    /// assert_eq!(io.of("admin").name(), "/admin");
    /// assert_eq!(io.of("").name(), "/");
    /// ```
    #[doc(alias = "ns")]
    #[doc(alias = "namespace")]
    pub fn of(&self, name: &str) -> Namespace {
        let name = if name.starts_with('/') {
            name.to_owned()
        } else {
            format!("/{name}")
        };
        let mut namespaces = self.0.namespaces.write();
        let make = || {
            let parser = self.0.connection_config.parser;
            let (limits, state) = (Arc::clone(&self.0.limits), Arc::clone(&self.0.state));
            let recovery = self.0.recovery.as_ref();
            Namespace::new(&name, limits, state, parser, self.0.shards, false, recovery)
        };
        namespaces.entry(name.clone()).or_insert_with(make).clone()
    }

    /// Returns the namespace of this name, if it exists.
    #[doc(hidden)]
    pub fn find_namespace(&self, name: &str) -> Option<Namespace> {
        self.0.namespace(name)
    }

    /// Returns the limits.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Hands the counts of packets and bytes, and the gauge of buffered bytes, to the recorder of metrics now, instead of within a
    /// second. See [`metrics`](crate::metrics).
    ///
    /// ```
    /// use kokanee_server::Server;
    /// use metrics_util::debugging::DebuggingRecorder;
    ///
    /// // Any recorder: here one that keeps the values, otherwise that of an exporter. The server makes its handles when it is built.
    /// let recorder = DebuggingRecorder::new();
    /// let values = recorder.snapshotter();
    /// recorder.install()?;
    ///
    /// let io = Server::new();
    /// // Before a scrape:
    /// io.publish_metrics();
    /// let values = values.snapshot().into_hashmap();
    /// assert!(values.keys().any(|key| key.key().name() == "kokanee_connections"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        self.0.sessions.publish_metrics();
    }

    /// Returns the number of open sessions, which is that of connected clients. A client has one session, and a
    /// [socket](Namespace::socket_count) in each namespace that it has joined.
    ///
    /// ```
    /// # async fn f(io: kokanee_server::Server) {
    /// println!("{} clients, {} of them in /chat", io.session_count(), io.of("/chat").socket_count());
    /// # }
    /// ```
    pub fn session_count(&self) -> usize {
        self.0.sessions.len()
    }

    /// Changes the heartbeat of sessions that open from now on, and whether they may move to a WebSocket.
    #[doc(hidden)]
    pub fn set_heartbeat(&self, interval: Duration, timeout: Duration, allow_upgrades: bool) {
        let mut config = self.0.session_config.write();
        *config = Arc::new(SessionConfig {
            ping_interval: interval,
            ping_timeout: timeout,
            allow_upgrades,
            ..(**config).clone()
        });
    }

    /// Returns the number of events of all namespaces for which there was no handler; see [`Namespace::unhandled_events`].
    pub fn unhandled_events(&self) -> u64 {
        let namespaces = self.0.all_namespaces();
        namespaces.iter().map(Namespace::unhandled_events).sum()
    }

    /// Returns the number of sockets of all namespaces that a middleware refused; see [`Namespace::refusals`].
    pub fn refusals(&self) -> u64 {
        let namespaces = self.0.all_namespaces();
        namespaces.iter().map(Namespace::refusals).sum()
    }

    pub(crate) fn state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.state.find()
    }

    /// Serves a file or a directory below `url` with [`listen`](Self::listen), with the same mapping as python-socketio: a
    /// URL is a file, or a directory in which `index.html` answers for the directory itself.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), kokanee_server::ListenError> {
    /// let io = kokanee_server::Server::new();
    /// io.serve_static("/", "public"); // `/app.js` is `public/app.js`, `/` is `public/index.html`
    /// io.serve_static("/favicon.ico", "assets/icon.ico");
    /// io.listen("127.0.0.1:3000").await
    /// # }
    /// ```
    ///
    /// In a directory, names that begin with a dot are not served (404), except `.well-known` at its top, and symbolic links
    /// are followed only to files in the directory. A file or a directory that is mapped itself may have any name and
    /// be a link.
    pub fn serve_static(&self, url: &str, file: impl Into<StaticFile>) -> &Self {
        let mut files = self.0.static_files.write();
        files.insert(url, file.into());
        self
    }

    /// Shuts down gracefully: refuses new sessions, flushes queued packets, closes all sessions and runs all `on_disconnect`
    /// handlers. Sends no DISCONNECT, so clients reconnect. Returns when that is done, or after `deadline`.
    ///
    /// The close code of a WebSocket is 1001. More than 500 sessions are closed in groups, spread over a quarter of
    /// `deadline`, so that their clients do not all reconnect at the same moment. [`listen`](Self::listen) returns at the
    /// end.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use kokanee_server::{Server, ListenError};
    /// # async fn f() -> Result<(), ListenError> {
    /// let io = Server::new();
    /// let closing = io.clone();
    /// tokio::spawn(async move {
    ///     tokio::signal::ctrl_c().await.expect("a signal handler");
    ///     if let Err(error) = closing.close(Duration::from_secs(10)).await {
    ///         eprintln!("{error}");
    ///     }
    /// });
    /// io.listen("127.0.0.1:3000").await // returns after `close`
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CloseError`] if not all was done at the deadline. The server is closed all the same: tasks that still run end with the
    /// runtime.
    pub async fn close(&self, deadline: Duration) -> Result<(), CloseError> {
        const GROUP: usize = 500;
        self.0.closing.store(true, Ordering::Relaxed);
        let closing = async {
            let sessions = self.0.sessions.all();
            let groups = u32::try_from(sessions.len().div_ceil(GROUP)).unwrap_or(u32::MAX);
            for (index, group) in sessions.chunks(GROUP).enumerate() {
                if index > 0 {
                    tokio::time::sleep(deadline / 4 / groups).await;
                }
                for mailbox in group {
                    // A session that has ended in the meantime needs nothing.
                    let _ = mailbox.send(Command::Close {
                        reason: Some(CloseReason::ServerShuttingDown),
                    });
                }
            }
            self.0.sessions.wait_idle().await;
        };
        let done = tokio::time::timeout(deadline, closing).await;
        self.0.stop.send_replace(true);
        done.map_err(|_elapsed| CloseError { deadline })
    }

    /// Returns whether [`close`](Self::close) has been called and has ended the sessions.
    #[doc(hidden)]
    pub fn is_closed(&self) -> bool {
        self.0.is_closing() && *self.0.stop.borrow()
    }
}

/// Derefs to the namespace `/`: its handlers, rooms and broadcasts are methods of the server.
impl Deref for Server {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.0.root
    }
}

/// Reports that sessions or handlers had not ended at the deadline of [`Server::close`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sessions or handlers have not ended within {deadline:?}")]
#[non_exhaustive]
pub struct CloseError {
    /// Holds the deadline that was given.
    pub deadline: Duration,
}

/// Builds a [`Server`] with settings of your choice. Each method describes the default of its setting.
///
/// ```
/// # use std::time::Duration;
/// use kokanee_server::{Cors, Server};
///
/// let io = Server::builder()
///     .path("/chat/socket.io")
///     .cors(Cors::origins(["https://example.com"]))
///     .with_limits(|limits| limits.ping_interval = Duration::from_secs(10))
///     .build();
/// ```
#[derive(Clone)]
#[must_use = "call build"]
#[expect(clippy::struct_excessive_bools, reason = "independent options")]
pub struct ServerBuilder {
    path: String,
    limits: Limits,
    parser: ParserKind,
    transports: Vec<Transport>,
    allow_upgrades: bool,
    allow_eio3: bool,
    compression_threshold: Option<usize>,
    cors: Option<Cors>,
    cookie: Option<Cookie>,
    allow_request: Option<AllowRequest>,
    packet_log: Option<PacketLog>,
    client_bundle: Option<ClientBundle>,
    trusted_proxies: Vec<TrustedProxy>,
    open_namespaces: Option<OpenNamespaces>,
    raw_messages: bool,
    any_auth: bool,
    owner: Option<[u8; 3]>,
    recovery: Option<Recovery>,
    state: States,
}

impl std::fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("path", &self.path)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            path: "/socket.io".to_owned(),
            limits: Limits::default(),
            parser: ParserKind::Default,
            transports: vec![Transport::Polling, Transport::WebSocket],
            allow_upgrades: true,
            allow_eio3: false,
            compression_threshold: Some(1024),
            cors: None,
            cookie: None,
            allow_request: None,
            packet_log: None,
            client_bundle: None,
            trusted_proxies: Vec::new(),
            open_namespaces: None,
            raw_messages: false,
            any_auth: false,
            owner: None,
            recovery: None,
            state: States::default(),
        }
    }
}

impl ServerBuilder {
    /// Sets the path of the server's requests. Default `/socket.io`. It matches with and without a trailing `/`, and with
    /// anything after that except the file names of [`serve_client`](Self::serve_client).
    ///
    /// ```
    /// let builder = kokanee_server::Server::builder().path("/my-app/socket.io");
    /// // In JavaScript: io({ path: "/my-app/socket.io" })
    /// ```
    pub fn path(mut self, path: &str) -> Self {
        self.path = format!("/{}", path.trim_matches('/'));
        self
    }

    /// Sets the limits.
    ///
    /// ```
    /// use kokanee_server::{Limits, Server};
    ///
    /// let mut limits = Limits::default();
    /// limits.max_message_bytes = 10_000_000;
    /// let io = Server::builder().limits(limits).build();
    /// assert_eq!(io.limits().max_message_bytes, 10_000_000);
    /// ```
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Changes some of the limits.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = kokanee_server::Server::builder().with_limits(|limits| limits.ping_interval = Duration::from_secs(10));
    /// ```
    pub fn with_limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Sets how packets are encoded. Default: the default parser, JSON with binary attachments.
    ///
    /// ```
    /// use kokanee_server::{ParserKind, Server};
    ///
    /// // For clients with the package `socket.io-msgpack-parser`.
    /// let builder = Server::builder().parser(ParserKind::Msgpack);
    /// ```
    pub fn parser(mut self, parser: ParserKind) -> Self {
        self.parser = parser;
        self
    }

    /// Sets the transports that clients may use. Default: both.
    ///
    /// ```
    /// use kokanee_server::{Server, Transport};
    ///
    /// // Clients must have the option `transports: ["websocket"]`, too.
    /// let builder = Server::builder().transports([Transport::WebSocket]);
    /// ```
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.transports = transports.into_iter().collect();
        self
    }

    /// Sets whether a polling session may upgrade to a WebSocket. Default true.
    ///
    /// ```
    /// // Clients that begin with polling stay with it.
    /// let builder = kokanee_server::Server::builder().allow_upgrades(false);
    /// ```
    pub fn allow_upgrades(mut self, allow: bool) -> Self {
        self.allow_upgrades = allow;
        self
    }

    /// Sets whether clients of the JavaScript versions 1 and 2 are served (Engine.IO revision 3). Default false.
    ///
    /// Such a client takes the id of its session for the id of its socket in `/`. In this server the session's id is secret, so
    /// [`Socket::id`](crate::Socket::id) is a different one. Send it to the client if the client needs it:
    ///
    /// ```
    /// use kokanee_server::{Server, Socket};
    ///
    /// let io = Server::builder().allow_eio3(true).build();
    /// io.on_connect(async |socket: Socket| socket.emit("your id", socket.id()).await);
    /// ```
    pub fn allow_eio3(mut self, allow: bool) -> Self {
        self.allow_eio3 = allow;
        self
    }

    /// Sets the size in bytes from which polling responses are compressed with gzip or deflate. Default 1024; `None` disables
    /// compression.
    ///
    /// ```
    /// let builder = kokanee_server::Server::builder().http_compression(None); // the proxy compresses
    /// ```
    pub fn http_compression(mut self, threshold: Option<usize>) -> Self {
        self.compression_threshold = threshold;
        self
    }

    /// Sets which pages of other origins may use the server. Default: none.
    ///
    /// ```
    /// use kokanee_server::{Cors, Server};
    ///
    /// let builder = Server::builder().cors(Cors::origins(["https://example.com"]).credentials(true));
    /// ```
    pub fn cors(mut self, cors: Cors) -> Self {
        self.cors = Some(cors);
        self
    }

    /// Sets a cookie with the session's id, for load balancers. Default: none.
    ///
    /// As browsers may send other cookies along as well, a page must then be the server's own, or be allowed by
    /// [`cors`](Self::cors): by name, or without its cookies by `*`.
    ///
    /// ```
    /// use kokanee_server::{Cookie, Server};
    ///
    /// let builder = Server::builder().cookie(Cookie::new("io")?);
    /// # Ok::<_, kokanee_server::InvalidCookie>(())
    /// ```
    pub fn cookie(mut self, cookie: Cookie) -> Self {
        self.cookie = Some(cookie);
        self
    }

    /// Sets a hook that decides about every new session, whatever its transport. An error becomes the answer
    /// `403 {"code":4,"message":"…"}`.
    ///
    /// ```
    /// let builder = kokanee_server::Server::builder().allow_request(async |request: http::request::Parts| {
    ///     if request.headers.contains_key("x-api-key") { Ok(()) } else { Err("api key missing".to_owned()) }
    /// });
    /// ```
    pub fn allow_request<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(http::request::Parts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.allow_request = Some(AllowRequest::new(hook));
        self
    }

    /// Serves the official browser client below the path (`/socket.io/socket.io.js`), from a file or the directory
    /// `dist` of the npm package `socket.io-client`. Default: it is not served.
    ///
    /// `npm install socket.io-client` installs it:
    ///
    /// ```
    /// let builder = kokanee_server::Server::builder().serve_client("node_modules/socket.io-client/dist");
    /// ```
    ///
    /// A page loads it with `<script src="/socket.io/socket.io.js"></script>`, and connects with `io()`.
    pub fn serve_client(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.client_bundle = Some(ClientBundle::new(path.into()));
        self
    }

    /// Sets which proxies are trusted to report the address of their clients: with `X-Forwarded-For`, `-Proto` and `-Host`,
    /// with `Forwarded` (RFC 7239), or, on a [listener that expects it](crate::Listener::proxy_protocol), with the PROXY
    /// protocol. Default: none.
    ///
    /// The reported address is then the client's in limits, logs and [`Handshake::address`](crate::Handshake::address), and
    /// the reported host is the origin that pages are compared with. In a host application, such as axum's, the host must say
    /// who has connected: see [`PeerAddress`](crate::PeerAddress). If the host speaks the PROXY protocol itself, it passes
    /// the address from there.
    ///
    /// ```
    /// # use kokanee_server::{InvalidProxy, Server, TrustedProxy};
    /// # fn build() -> Result<(), InvalidProxy> {
    /// let builder = Server::builder().trust_proxies([TrustedProxy::LOOPBACK, "10.0.0.0/8".parse()?]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn trust_proxies(mut self, proxies: impl IntoIterator<Item = TrustedProxy>) -> Self {
        self.trusted_proxies = proxies.into_iter().collect();
        self
    }

    /// Adds a value, one of each type, that handlers receive with [`State`](crate::State).
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use kokanee_server::{Data, Server, State};
    ///
    /// let io = Server::builder().state(Mutex::new(Vec::<String>::new())).build();
    /// io.on("note", async |Data(text): Data<String>, notes: State<Mutex<Vec<String>>>| {
    ///     notes.lock().expect("no panic").push(text);
    /// });
    /// ```
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    /// Opens namespaces that clients ask for and that do not exist: each is made with the handlers that `prepare` adds, and
    /// goes with its last socket. At most so many exist at a time: a client that asks for one more is refused, as it is for
    /// every namespace that does not exist if this is not set.
    ///
    /// ```
    /// # use kokanee_server::{Server, Socket};
    /// let builder = Server::builder().open_namespaces(1000, |namespace| {
    ///     namespace.on("name", async |socket: Socket| socket.emit("name", socket.namespace().name()).await);
    /// });
    /// ```
    pub fn open_namespaces(
        mut self,
        most: usize,
        prepare: impl Fn(&Namespace) + Send + Sync + 'static,
    ) -> Self {
        let prepare = Arc::new(prepare);
        self.open_namespaces = Some(OpenNamespaces {
            most,
            made: Arc::default(),
            prepare,
        });
        self
    }

    /// Accepts any JSON value as `auth` of a client, for instance a token as text, which clients of python-socketio may send.
    /// Otherwise the connection of such a client is closed, as JavaScript servers do. Default: false.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_server::{Server, Socket};
    ///
    /// let server = Server::builder().any_auth(true).build();
    /// server.on_connect(async |socket: Socket| {
    ///     let token: Option<String> = socket.auth().ok();
    ///     println!("token: {token:?}");
    /// });
    /// ```
    pub fn any_auth(mut self, any: bool) -> Self {
        self.any_auth = any;
        self
    }

    /// Lets clients come back after their connection was lost: as the same socket, with its rooms and its data, and they get
    /// the events that they have missed. [`Socket::recovered`](crate::Socket::recovered) says whether a new socket is such a one. Default: off.
    ///
    /// Clients need no setting: those of JavaScript since 4.6 and [`kokanee_client`] know it. A socket can come back unless
    /// the client or the server has disconnected it from its namespace, and once: what is kept of it is used up then. What
    /// cannot be restored is never restored in part: then the client gets a new socket, the log says why, and
    /// [`Namespace::unrecovered_sockets`] counts it.
    ///
    /// Every event without acknowledgement is stored for the time of [`Recovery::max_disconnection`], a broadcast once for all;
    /// volatile events are not. Each event gets one more argument, its offset, a short text: a client that does not know
    /// recovery sees that. State is kept in this process only.
    ///
    /// ```
    /// use kokanee_server::{Recovery, Server, Socket};
    ///
    /// let io = Server::builder().recovery(Recovery::default()).build();
    /// io.on_connect(async |socket: Socket| {
    ///     println!("{} is {}", socket.id(), if socket.recovered() { "back" } else { "new" });
    /// });
    /// ```
    ///
    /// [`kokanee_client`]: https://docs.rs/kokanee-client
    #[doc(alias = "connectionStateRecovery")]
    pub fn recovery(mut self, recovery: Recovery) -> Self {
        self.recovery = Some(recovery);
        self
    }

    /// Makes sessions speak a protocol of the application's own: each is a socket of the namespace `/` from its beginning to
    /// its end, and each message of the client is an event `message` with a text or bytes. Answer with
    /// [`Socket::send_message`].
    #[doc(hidden)]
    pub fn raw_messages(mut self, raw: bool) -> Self {
        self.raw_messages = raw;
        self
    }

    /// Gives each packet of each session to a function, with the extensions of the request that opened the session. It costs
    /// a copy of each packet.
    #[doc(hidden)]
    pub fn packet_log<F>(mut self, log: F) -> Self
    where
        F: Fn(&Extensions, Record) + Send + Sync + 'static,
    {
        self.packet_log = Some(Arc::new(log));
        self
    }

    /// Sets the first three bytes of the ids of all sessions and sockets, so that several processes that share a port find the
    /// owner of a session. Default: these bytes are random, too.
    ///
    /// ```
    /// use kokanee_server::{Server, owner_of_request};
    ///
    /// let io = Server::builder().owner([0, 0, 7]).build();
    /// // A request that came to the wrong process: it is for the one that has this number.
    /// let owner = owner_of_request("EIO=4&transport=polling&sid=AAAHBwcHBwcHBwcHBwcH");
    /// assert_eq!(owner, Some([0, 0, 7]));
    /// assert_eq!(owner_of_request("EIO=4&transport=polling"), None);
    /// ```
    pub fn owner(mut self, owner: [u8; 3]) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Builds the server. It does nothing before [`listen`](Server::listen), [`layer`](Server::layer) or
    /// [`accept`](Server::accept).
    pub fn build(self) -> Server {
        let limits = Arc::new(self.limits);
        // At least one shard for each core that may broadcast.
        let shards = std::thread::available_parallelism()
            .map_or(4, usize::from)
            .next_power_of_two()
            .min(64);
        let state = Arc::new(self.state);
        let (shared, parser) = (Arc::clone(&state), self.parser);
        // Sessions of another protocol have no event to which an offset could be added.
        let recovery = self.recovery.filter(|_| !self.raw_messages);
        let known = recovery.as_ref();
        let root = Namespace::new(
            "/",
            Arc::clone(&limits),
            shared,
            parser,
            shards,
            false,
            known,
        );
        Server(Arc::new(ServerInner {
            path: self.path,
            session_config: RwLock::new(Arc::new(SessionConfig {
                records: self.packet_log.is_some(),
                ..limits.session(self.allow_upgrades)
            })),
            connection_config: limits.connection(self.parser, self.any_auth),
            limits,
            transports: self.transports,
            allow_eio3: self.allow_eio3,
            compression_threshold: self.compression_threshold,
            cors: self.cors,
            cookie: self.cookie,
            allow_request: self.allow_request,
            packet_log: self.packet_log,
            client_bundle: self.client_bundle,
            trusted_proxies: self.trusted_proxies,
            open_namespaces: self.open_namespaces,
            raw_messages: self.raw_messages,
            owner: self.owner,
            recovery,
            sweeps: AtomicBool::new(false),
            origin_log: Throttle::default(),
            limit_log: Throttle::default(),
            size_log: Throttle::default(),
            proxy_log: Throttle::default(),
            revision_log: Throttle::default(),
            static_files: RwLock::default(),
            sessions: Arc::default(),
            state,
            namespaces: RwLock::new(HashMap::from([("/".to_owned(), root.clone())])),
            root,
            shards,
            closing: AtomicBool::new(false),
            stop: watch::Sender::new(false),
        }))
    }
}
