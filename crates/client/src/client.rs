//! [`Client`] and its options.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use kokanee_engineio::{ClientSessionConfig, Revision, Transport};
use kokanee_handler::{Event, EventError, Handler, Needs, States, TypedArgs};
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
    options::{Auth, Options, STATE_CALL, auth_value},
    socket::Socket,
};

/// The entry: makes connections to Socket.IO servers.
#[derive(Debug)]
pub struct Client;

impl Client {
    /// Connects with default options, and returns when the namespace has accepted. The URL's path is the namespace.
    ///
    /// Attach handlers right away, or give them to a [`builder`](Self::builder): events that come before them wait for them, but
    /// [not forever](Socket#early-events).
    ///
    /// # Errors
    /// Why the connection could not be made, with a hint.
    pub async fn connect(url: &str) -> Result<Socket, ConnectFailure> {
        Self::builder(url).connect().await
    }

    /// Begins with a URL: `http`, `https`, `ws` or `wss`, host, port, the namespace as path, and perhaps a query.
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder::new(url)
    }
}

/// Longest time that can be set: the clock must not overflow.
const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Marks the builder of the async client, [`Client::builder`].
#[derive(Debug, Clone, Copy)]
pub enum Async {}

/// The options of a client, and the handlers of its first socket, that of the URL's namespace. A clone makes another client
/// with the same options and handlers; clones share what is made of the certificates.
///
/// ```no_run
/// use kokanee_client::{Client, Data, State};
///
/// struct App { name: String }
///
/// # async fn f() -> Result<(), kokanee_client::ConnectFailure> {
/// let socket = Client::builder("http://localhost:5000")
///     .state(App { name: "alice".to_owned() })
///     .on("welcome", async |Data(text): Data<String>, app: State<App>| println!("{}: {text}", app.name))
///     .on_connect(async || println!("connected"))
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
///
/// `M` says how it connects and which functions are handlers: [`Async`], or
/// [`Blocking`](crate::blocking::Blocking) for [`blocking::Client::builder`](crate::blocking::Client::builder).
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent options")]
#[must_use = "a builder does nothing until it connects"]
pub struct ClientBuilder<M = Async> {
    mode: PhantomData<fn() -> M>,
    handlers: Handlers,
    /// What they need.
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
    parser: ParserKind,
    auth: Auth,
    ack_timeout: Option<Duration>,
    retries: Option<u32>,
    send_buffer_bytes: usize,
    max_pending_acks: usize,
    max_outbound_attachments: usize,
}

impl<M> fmt::Debug for ClientBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Most of the others are secrets, or may be.
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
            parser: ParserKind::Default,
            auth: Auth::None,
            ack_timeout: None,
            retries: None,
            send_buffer_bytes: 1 << 20,
            max_pending_acks: 10_000,
            max_outbound_attachments: 10,
        }
    }

    /// Sets what is sent to every namespace when it is connected, an object. JavaScript: `auth`. Default: nothing.
    ///
    /// Servers of Socket.IO 2 get it as the query of the namespace; not for `/`, which they connect before they are asked:
    /// there [`query`](Self::query) speaks for the client.
    pub fn auth(mut self, auth: impl Serialize) -> Self {
        self.auth = Auth::Value(auth_value(auth));
        self
    }

    /// Sets a function that is called before every connection for what is sent, for instance a fresh token. As
    /// [`auth`](Self::auth) otherwise.
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

    /// Sets the server's path. JavaScript: `path`. Default `/socket.io/`.
    pub fn path(mut self, path: &str) -> Self {
        self.path = format!("/{}/", path.trim_matches('/'));
        if self.path == "//" {
            self.path.truncate(1);
        }
        self
    }

    /// Sets the transports to use, the first one first. JavaScript: `transports`. Default polling, then WebSocket.
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.transports = transports.into_iter().collect();
        self
    }

    /// Sets whether a polling session moves to a WebSocket. JavaScript: `upgrade`. Default true.
    pub fn upgrade(mut self, upgrade: bool) -> Self {
        self.session.upgrade = upgrade;
        self
    }

    /// Sets whether to begin with a WebSocket if the last connection was one. JavaScript: `rememberUpgrade`. Default false.
    pub fn remember_upgrade(mut self, remember: bool) -> Self {
        self.remember_upgrade = remember;
        self
    }

    /// Sets whether the next transport is tried if one fails. They share the [`connect_timeout`](Self::connect_timeout).
    /// JavaScript: `tryAllTransports`. Default false.
    pub fn try_all_transports(mut self, all: bool) -> Self {
        self.try_all_transports = all;
        self
    }

    /// Adds a parameter to the query of every request. JavaScript: `query`.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header to every request, for instance `cookie` with a login. JavaScript: `extraHeaders`.
    ///
    /// It is the same for all connections. What expires is for [`auth_with`](Self::auth_with), or for a new client.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets whether cookies of the server are sent back. JavaScript: `withCredentials`. Default true.
    pub fn cookies(mut self, cookies: bool) -> Self {
        self.cookies = cookies;
        self
    }

    /// Sets a proxy: `http://[user:password@]host:port` (by CONNECT) or `socks5://…`. Default none.
    pub fn proxy(mut self, url: &str) -> Self {
        self.proxy = Some(url.to_owned());
        self
    }

    /// Trusts the certificates in this PEM, beside those that the system trusts.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.change().roots.push(pem.into());
        self
    }

    /// Shows the server this certificate chain and key, both PEM.
    pub fn client_certificate(
        mut self,
        chain: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.tls.change().client = Some((chain.into(), key.into()));
        self
    }

    /// Believes any server, whatever its certificate. **Anybody between you and the server can then read and change
    /// everything**: for tests on your own machine only.
    pub fn danger_accept_invalid_certificates(mut self) -> Self {
        self.tls.change().accept_invalid = true;
        self
    }

    /// Connects through a Unix-domain socket; the URL's host is then only a name.
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.unix_socket = Some(path.into());
        self
    }

    /// Sets the revision of Engine.IO. Default revision 4; servers v2 speak revision 3.
    pub fn revision(mut self, revision: Revision) -> Self {
        self.session.revision = revision;
        self
    }

    /// Sets how packets are encoded. It must be what the server uses. Default: the default parser.
    pub fn parser(mut self, parser: ParserKind) -> Self {
        self.parser = parser;
        self
    }

    /// Sets whether compression of the WebSocket (permessage-deflate) is offered. Default false.
    pub fn compression(mut self, compression: bool) -> Self {
        self.compression = compression;
        self
    }

    /// Sets whether the client connects again when the connection is lost. JavaScript: `reconnection`. Default true.
    pub fn reconnection(mut self, reconnection: bool) -> Self {
        self.reconnection = reconnection;
        self
    }

    /// Sets after how many attempts the client gives up. JavaScript: `reconnectionAttempts`. Default: never.
    pub fn reconnection_attempts(mut self, attempts: u32) -> Self {
        self.backoff.attempts = Some(attempts);
        self
    }

    /// Sets the delay before the first attempt; it doubles with each. JavaScript: `reconnectionDelay`. Default 1 s.
    pub fn reconnection_delay(mut self, delay: Duration) -> Self {
        self.backoff.delay = delay.min(MAX_TIME);
        self
    }

    /// Sets the longest delay. JavaScript: `reconnectionDelayMax`. Default 5 s.
    pub fn reconnection_delay_max(mut self, delay: Duration) -> Self {
        self.backoff.delay_max = delay.min(MAX_TIME);
        self
    }

    /// Sets how much of the delay is left to chance, from 0 to 1. JavaScript: `randomizationFactor`. Default 0.5.
    pub fn randomization_factor(mut self, factor: f64) -> Self {
        self.backoff.randomization = factor.clamp(0.0, 1.0);
        self
    }

    /// Sets whether a failure of the very first connection is followed by further attempts, too. Default false:
    /// [`connect`](Self::connect) returns it.
    pub fn retry_first_connect(mut self, retry: bool) -> Self {
        self.retry_first_connect = retry;
        self
    }

    /// Sets the time for dialling and handshake, and again for the answer of a namespace. JavaScript: `timeout`. Default 20 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.min(MAX_TIME);
        self
    }

    /// Sets how long an acknowledgement is waited for. JavaScript: `ackTimeout`. Default: as long as the connection, in a
    /// handler 10 s.
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = Some(timeout.min(MAX_TIME));
        self
    }

    /// Sends every event until the server has acknowledged it, up to `retries` times more: at least once, in order, one
    /// under way. [`ack_timeout`](Self::ack_timeout) says when to try again, 10 s if it is not set. The server must
    /// acknowledge every event. JavaScript: `retries`. Default: no retries.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Sets how many bytes may wait to be sent, 64 for each packet included. Default 1 MiB.
    pub fn send_buffer_bytes(mut self, bytes: usize) -> Self {
        self.send_buffer_bytes = bytes;
        self
    }

    /// Sets how many acknowledgements each socket may wait for at a time. Default 10,000.
    pub fn max_pending_acks(mut self, acks: usize) -> Self {
        self.max_pending_acks = acks;
        self
    }

    /// Sets how many binary values one packet may contain; `emit` and acknowledgements with more are an error. Default 10:
    /// JavaScript servers end the connection at the eleventh. With the msgpack parser there is no such limit.
    pub fn max_outbound_attachments(mut self, attachments: usize) -> Self {
        self.max_outbound_attachments = attachments;
        self
    }

    /// Sets the longest message that is received, in bytes. Default 100 MB.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Sets a value that handlers of all sockets of the client can have as a parameter, [`State<T>`](crate::State). There is
    /// one of each type.
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    pub(crate) fn detach(mut self, event: &str) -> Self {
        // Known until early events have been handed out.
        self.handlers.off(event, true);
        self
    }

    pub(crate) fn attach<R>(
        mut self,
        needs: &Needs,
        change: impl FnOnce(&mut Handlers) -> R,
    ) -> Self {
        // The state may come after its handlers.
        self.needs.extend(needs);
        change(&mut self.handlers);
        self
    }

    #[track_caller]
    pub(crate) fn check(&self) {
        self.state.check(&self.needs, STATE_CALL);
    }

    #[track_caller]
    pub(crate) fn build_socket(mut self) -> Result<Socket, ConnectFailure> {
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
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name =
                HeaderName::try_from(name.as_str()).map_err(|error| unusable("header", &error))?;
            let value = HeaderValue::try_from(value.as_str())
                .map_err(|error| unusable("header", &error))?;
            headers.append(name, value);
        }
        // The session must take what waits for room here.
        self.session.max_outbound_bytes = usize::MAX;
        let namespace = target.namespace.clone();
        let tls = target.secure.then(|| self.tls.configure()).transpose()?;
        let engine = EngineConfig {
            target,
            path: self.path,
            query: form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&self.query)
                .finish(),
            headers,
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
            upgraded: AtomicBool::new(false),
        };
        let options = Options {
            engine: Arc::new(engine),
            reconnection: self.reconnection,
            backoff: self.backoff,
            retry_first_connect: self.retry_first_connect,
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
        tokio::spawn(Driver::new(Arc::clone(&hub), Arc::downgrade(&guard)));
        let core = hub.socket(&namespace);
        core.attach(|handlers| *handlers = self.handlers);
        Ok(Socket::new(core, guard))
    }
}

impl ClientBuilder {
    attach_methods!([self] self -> Self, Handler, Socket);

    /// Makes a socket that is not connected yet. Needs a tokio runtime.
    ///
    /// # Errors
    /// An option that cannot be used.
    ///
    /// # Panics
    /// If a handler has a parameter [`State<T>`](crate::State) that was not given with [`state`](Self::state).
    #[track_caller]
    pub fn build(self) -> Result<Socket, ConnectFailure> {
        self.build_socket()
    }

    /// Connects, and returns when the namespace has accepted.
    ///
    /// # Errors
    /// Why the connection could not be made, with a hint.
    ///
    /// # Panics
    /// As [`build`](Self::build).
    #[track_caller]
    pub fn connect(self) -> impl Future<Output = Result<Socket, ConnectFailure>> + Send {
        // Here, where the caller is known.
        self.check();
        async {
            let socket = self.build_socket()?;
            socket.connect().await?;
            Ok(socket)
        }
    }
}
