//! The server: what it was built with, its namespaces, its end.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kokanee_engineio::{CloseReason, Transport};
use kokanee_handler::States;
use kokanee_socketio::ParserKind;
use tokio::sync::watch;

use crate::{
    client_bundle::ClientBundle,
    cookie::Cookie,
    cors::Cors,
    forwarded::TrustedProxy,
    inner::{AllowRequest, ServerInner},
    limits::Limits,
    mailbox::Command,
    namespace::Namespace,
    static_files::StaticFile,
    throttle::Throttle,
};

/// A Socket.IO server. A cheap handle: clones are the same server.
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
    /// A server with the defaults of the JavaScript one.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Begins a server with settings of your own.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    pub(crate) fn from_inner(inner: Arc<ServerInner>) -> Self {
        Self(inner)
    }

    pub(crate) fn inner(&self) -> &Arc<ServerInner> {
        &self.0
    }

    /// The namespace of this name, made if there is none. A missing leading `/` is added; `""` is `/`.
    #[doc(alias = "ns")]
    #[doc(alias = "namespace")]
    pub fn of(&self, name: &str) -> Namespace {
        let name = if name.starts_with('/') {
            name.to_owned()
        } else {
            format!("/{name}")
        };
        let mut namespaces = self
            .0
            .namespaces
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let parser = self.0.connection_config.parser;
            let (limits, state) = (Arc::clone(&self.0.limits), Arc::clone(&self.0.state));
            Namespace::new(&name, limits, state, parser, self.0.shards)
        };
        namespaces.entry(name.clone()).or_insert_with(make).clone()
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Number of open sessions.
    pub fn session_count(&self) -> usize {
        self.0.sessions.len()
    }

    /// Number of events of all namespaces for which there was no handler; see [`Namespace::unhandled_events`].
    pub fn unhandled_events(&self) -> u64 {
        let namespaces = self.0.all_namespaces();
        namespaces.iter().map(Namespace::unhandled_events).sum()
    }

    /// Number of sockets of all namespaces that a middleware has not let in; see [`Namespace::refusals`].
    pub fn refusals(&self) -> u64 {
        let namespaces = self.0.all_namespaces();
        namespaces.iter().map(Namespace::refusals).sum()
    }

    pub(crate) fn state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.state.find()
    }

    /// Serves a file or a directory below `url` with [`listen`](Self::listen), as python-socketio maps them: a URL is a
    /// file, or a directory in which `index.html` answers for the directory itself.
    ///
    /// Of a directory, names that begin with a dot are not served (404), but for `.well-known` at its top, and symbolic links
    /// are followed only to what is in the directory, too. A file or a directory that is mapped itself may have any name and
    /// be a link.
    pub fn serve_static(&self, url: &str, file: impl Into<StaticFile>) -> &Self {
        let mut files = self
            .0
            .static_files
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        files.insert(url, file.into());
        self
    }

    /// Shuts down gracefully: refuses new sessions, sends what waits, closes all sessions and runs all `on_disconnect`
    /// handlers. Returns when that is done, or after `deadline`.
    ///
    /// Sends no DISCONNECT, so clients reconnect, to the next server; the close code of a WebSocket is 1001. More than 500
    /// sessions are closed one group after the other, spread over a quarter of `deadline`, so that their clients do not all
    /// come back in the same moment. [`listen`](Self::listen) returns at the end.
    ///
    /// # Errors
    /// [`CloseError`] if not all was done at the deadline. The server is closed all the same: what is left ends with the
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
                    // One that has ended meanwhile needs nothing.
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
}

/// The namespace `/`: its handlers, rooms and broadcasts are the server's own methods.
impl Deref for Server {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.0.root
    }
}

/// Sessions or handlers had not ended at the deadline of [`Server::close`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sessions or handlers have not ended within {deadline:?}")]
#[non_exhaustive]
pub struct CloseError {
    /// The deadline, as it was given.
    pub deadline: Duration,
}

/// The settings of a [`Server`].
#[derive(Clone)]
#[must_use = "call build"]
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
    client_bundle: Option<ClientBundle>,
    trusted_proxies: Vec<TrustedProxy>,
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
            client_bundle: None,
            trusted_proxies: Vec::new(),
            state: States::default(),
        }
    }
}

impl ServerBuilder {
    /// Sets the path of the server's requests. Default `/socket.io`. It matches with and without a trailing `/`, and with
    /// anything after that but the names of [`serve_client`](Self::serve_client).
    pub fn path(mut self, path: &str) -> Self {
        self.path = format!("/{}", path.trim_matches('/'));
        self
    }

    /// Sets the limits.
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
    pub fn parser(mut self, parser: ParserKind) -> Self {
        self.parser = parser;
        self
    }

    /// Sets the transports that clients may use. Default: both.
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.transports = transports.into_iter().collect();
        self
    }

    /// Sets whether a polling session may move to a WebSocket. Default true.
    pub fn allow_upgrades(mut self, allow: bool) -> Self {
        self.allow_upgrades = allow;
        self
    }

    /// Sets whether clients of the JavaScript versions 1 and 2 are served (Engine.IO revision 3). Default false.
    ///
    /// Such a client takes the id of its session for the id of its socket in `/`. Here that one is secret, so the server's
    /// [`Socket::id`](crate::Socket::id) is another one, and must be told to the client if it is to know it.
    pub fn allow_eio3(mut self, allow: bool) -> Self {
        self.allow_eio3 = allow;
        self
    }

    /// Sets the size in bytes from which polling responses are compressed with gzip or deflate. Default 1024; `None` never.
    pub fn http_compression(mut self, threshold: Option<usize>) -> Self {
        self.compression_threshold = threshold;
        self
    }

    /// Sets which pages of other origins may use the server. Default: none.
    pub fn cors(mut self, cors: Cors) -> Self {
        self.cors = Some(cors);
        self
    }

    /// Sets a cookie with the session's id, for load balancers. Default: none.
    ///
    /// As browsers may send other cookies along as well, a page must then be the server's own, or be allowed by
    /// [`cors`](Self::cors): by name, or without its cookies by `*`.
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
    /// `npm install socket.io-client` brings it:
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

    /// Sets which proxies are believed when they say for whom they speak: with `X-Forwarded-For`, `-Proto` and `-Host`, with
    /// `Forwarded` (RFC 7239), or, on a [listener that expects it](crate::Listener::proxy_protocol), with the PROXY protocol.
    /// Default: none.
    ///
    /// What they say is then the client's address in limits, logs and [`Handshake::address`](crate::Handshake::address),
    /// and the origin that pages are compared with. In another application, such as axum's, that must say who has connected:
    /// see [`PeerAddress`](crate::PeerAddress). Where that speaks the PROXY protocol itself, it gives the address in it.
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

    /// Gives the server a value, one of each type, that handlers get with [`State`](crate::State).
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

    /// Makes the server.
    pub fn build(self) -> Server {
        let limits = Arc::new(self.limits);
        // A shard for each core that may broadcast, and some to spare.
        let shards = std::thread::available_parallelism()
            .map_or(4, usize::from)
            .next_power_of_two()
            .min(64);
        let state = Arc::new(self.state);
        let (shared, parser) = (Arc::clone(&state), self.parser);
        let root = Namespace::new("/", Arc::clone(&limits), shared, parser, shards);
        Server(Arc::new(ServerInner {
            path: self.path,
            session_config: Arc::new(limits.session(self.allow_upgrades)),
            connection_config: limits.connection(self.parser),
            limits,
            transports: self.transports,
            allow_eio3: self.allow_eio3,
            compression_threshold: self.compression_threshold,
            cors: self.cors,
            cookie: self.cookie,
            allow_request: self.allow_request,
            client_bundle: self.client_bundle,
            trusted_proxies: self.trusted_proxies,
            origin_log: Throttle::default(),
            limit_log: Throttle::default(),
            size_log: Throttle::default(),
            proxy_log: Throttle::default(),
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
