//! The acknowledgements that the server owes.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use kokanee_handler::{AckError, AckSink, EmitError, read_ack};
use kokanee_io::PendingMap;
use kokanee_socketio::{AckId, Args, EncodedPacket};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::{
    handlers::is_handling,
    hub::Outgoing,
    reply::{Reply, reply},
    socket::{Core, Socket},
};

/// How long the client waits for an acknowledgement in a handler, and for that of an event with retries, if the application
/// sets no timeout.
pub(crate) const DEFAULT_ACK_TIMEOUT: Duration = Duration::from_secs(10);

type AckResult = Result<Args, AckError>;

#[derive(Debug)]
struct Waiting {
    sender: Reply<AckResult>,
    /// Whether the event has left.
    sent: bool,
}

/// The acknowledgements that one socket waits for.
#[derive(Debug, Default)]
pub(crate) struct PendingAcks(PendingMap<AckId, Waiting>);

impl PendingAcks {
    /// Notes that the event was sent.
    pub(crate) fn mark_sent(&self, id: AckId) {
        self.0.update(&id, |waiting| waiting.sent = true);
    }

    /// Whether any acknowledgement is awaited.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether this acknowledgement is awaited.
    pub(crate) fn is_waiting(&self, id: AckId) -> bool {
        self.0.contains(&id)
    }

    /// The end of a wait. Unknown and repeated answers are ignored. Returns whether somebody has waited.
    pub(crate) fn resolve(&self, id: AckId, answer: AckResult) -> bool {
        self.0
            .remove(&id)
            .is_some_and(|waiting| waiting.sender.send(answer).is_ok())
    }

    /// Fails all waits: no answers arrive any more.
    pub(crate) fn fail_all(&self) {
        for waiting in self.0.take_all() {
            reply(waiting.sender, Err(AckError::Disconnected));
        }
    }

    /// The connection has ended: events that have left are not answered any more.
    pub(crate) fn fail_sent(&self) {
        for waiting in self.0.take_if(|_, waiting| waiting.sent) {
            reply(waiting.sender, Err(AckError::Disconnected));
        }
    }
}

/// Removes a pending wait when its future is dropped or has timed out.
struct Registration<'a> {
    socket: &'a Socket,
    id: AckId,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.socket.core().acks.0.remove(&self.id);
    }
}

/// Sends an event when it is awaited, and resolves to the answer; see [`Socket::emit_with_ack`].
#[must_use = "nothing is sent until it is awaited"]
pub struct EmitWithAck<T> {
    socket: Socket,
    id: AckId,
    packet: Result<EncodedPacket, EmitError>,
    /// The timeout of each try.
    timeout: Option<Duration>,
    /// The timeout of all tries together.
    limit: Option<Duration>,
    /// Whether it is for the present connection only.
    unbuffered: bool,
    answer: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for EmitWithAck<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmitWithAck")
            .field("id", &self.id)
            .field("timeout", &self.limit.or(self.timeout))
            .finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned> EmitWithAck<T> {
    pub(crate) fn new(
        socket: Socket,
        id: AckId,
        packet: Result<EncodedPacket, EmitError>,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            socket,
            id,
            packet,
            timeout,
            limit: None,
            unbuffered: false,
            answer: PhantomData,
        }
    }

    /// Sets how long to wait for the answer, including the time in which the socket is not connected.
    ///
    /// Without it, and without [`ack_timeout`](crate::ClientBuilder::ack_timeout), the wait ends with the answer or the
    /// connection, and in a handler, while which the socket handles no other event, after 10 s.
    ///
    /// With [`retries`](crate::ClientBuilder::retries) it limits all tries together. The event is still sent after that, until
    /// it is acknowledged or its tries are used up.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use std::time::Duration;
    /// use kokanee_client::{AckError, Client};
    ///
    /// let socket = Client::connect(&url).await?;
    /// let answer = socket.emit_with_ack::<i64>("unknown", ()).timeout(Duration::from_millis(20)).await;
    /// assert!(matches!(answer, Err(AckError::Timeout)));
    /// # Ok(()) }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limit = Some(timeout);
        self
    }

    /// Sends the event on the present connection or not at all: the wait ends with that connection, also if the event has not left
    /// by then. Has no effect with [`retries`](crate::ClientBuilder::retries).
    #[doc(hidden)]
    pub fn unbuffered(mut self) -> Self {
        self.unbuffered = true;
        self
    }

    /// Sends the event and returns the arguments of the answer without decoding them. Cancel safe: an answer that comes later
    /// is ignored.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// # use kokanee_client::Client;
    /// let socket = Client::connect(&url).await?;
    /// let args = socket.emit_with_ack::<()>("echo", ("a", 1)).args().await?;
    /// assert_eq!(args.json(), r#""a",1"#);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`AckError`], except `Decode` and `Remote`.
    pub async fn args(self) -> Result<Args, AckError> {
        let Self {
            socket,
            id,
            packet,
            timeout,
            limit,
            unbuffered,
            ..
        } = self;
        let timeout = timeout.or_else(|| is_handling().then_some(DEFAULT_ACK_TIMEOUT));
        let packet = packet?;
        let (sender, receiver) = oneshot::channel();
        let connection = unbuffered.then(|| socket.core().connection());
        let options = socket.options();
        let max = options.max_pending_acks;
        let waiting = Waiting {
            sender,
            sent: false,
        };
        if !socket.core().acks.0.insert(id, waiting, max) {
            return Err(AckError::TooManyPending { max });
        }
        let retried = options.retries.is_some();
        let registration = Registration {
            socket: &socket,
            id,
        };
        let exchange = async {
            socket.writable().await;
            socket.send_packet(Outgoing {
                packet,
                options: kokanee_engineio::SendOptions::default(),
                ack: Some(id),
                retried,
                connection,
            })?;
            receiver.await.unwrap_or(Err(AckError::Disconnected))
        };
        let answer = match limit.or_else(|| timeout.filter(|_| !retried)) {
            None => exchange.await,
            Some(timeout) => tokio::time::timeout(timeout, exchange)
                .await
                .unwrap_or(Err(AckError::Timeout)),
        };
        drop(registration);
        answer
    }
}

impl<T: DeserializeOwned + Send + 'static> IntoFuture for EmitWithAck<T> {
    type Output = Result<T, AckError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { read_ack(&self.args().await?) })
    }
}

/// Where the acknowledgements that the client owes go: to the connection on which the event came. On another one their ids mean
/// something else.
pub(crate) struct Sink {
    core: Arc<Core>,
    connection: u64,
}

impl Sink {
    /// Makes the sink for an event that arrives on the socket's current connection.
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self {
            core: Arc::clone(core),
            connection: core.connection(),
        }
    }
}

impl AckSink for Sink {
    fn namespace_name(&self) -> &str {
        &self.core.namespace
    }

    fn max_attachments(&self) -> usize {
        self.core.hub.options.max_attachments
    }

    fn send_ack(&self, packet: EncodedPacket) -> Result<(), EmitError> {
        if !self.core.is_connected() || self.core.connection() != self.connection {
            // The server does not wait for it any more.
            return Err(EmitError::Disconnected);
        }
        self.core.send(Outgoing {
            packet,
            options: kokanee_engineio::SendOptions::default(),
            ack: None,
            retried: false,
            connection: Some(self.connection),
        })
    }
}
