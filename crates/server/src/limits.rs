//! Every time, size and number that limits what a client can cost, in one place.

use std::time::Duration;

use kokanee_engineio::{Overflow, SessionConfig};
use kokanee_socketio::{ConnectionConfig, DecoderLimits, ParserKind};

/// Limits what a client can cost: every time, size and number, for all transports alike.
///
/// ```
/// # use std::time::Duration;
/// use kokanee_server::Server;
///
/// let io = Server::builder()
///     .with_limits(|limits| {
///         limits.max_message_bytes = 100_000; // no large uploads
///         limits.ping_interval = Duration::from_secs(10); // notice lost clients sooner
///     })
///     .build();
/// ```
///
/// | limit | default | on breach |
/// |---|---|---|
/// | `max_message_bytes` | 1,000,000 | POST: 413, session closed (`transport error`); WebSocket: close 1009 |
/// | `header_timeout`, `max_header_bytes`, `max_headers`, `max_url_bytes` | 10 s, 16 KiB, 100, 8 KiB | 408, or closed if nothing has arrived; 431; 431; 414 |
/// | `body_timeout`, `min_body_rate` | 30 s, 1,000 B/s after 5 s | 408, session closed (`transport error`) |
/// | `keep_alive_timeout` | 75 s | connection closed |
/// | `ping_interval`, `ping_timeout` | 25 s, 20 s; one interval more while the server does not read from the client | session closed (`ping timeout`) |
/// | `aborted_poll_timeout` | 5 s until the next GET | session closed (`transport error`) |
/// | `upgrade_timeout` | 10 s | probing WebSocket closed, session continues on polling |
/// | `connect_timeout` | 45 s in no namespace | session closed (`forced close`) |
/// | `close_timeout` | 30 s for polling to fetch the end, 5 s for a close frame's answer | connection closed |
/// | `max_pending_sessions`, `max_pending_sessions_per_address` | 10,000, 8,000 not in a namespace yet | the oldest is closed (`forced close`) if it is older than 5 s, else 503, 429; see below |
/// | `max_namespaces`, `max_namespace_bytes` | 100 per connection, 255 | session closed: close 1008; `forced close` |
/// | `max_rooms`, `max_room_bytes` | 1,000 per socket, 255 | `join` returns an error |
/// | `max_attachments`, `max_attachment_bytes`, `attachments_timeout` | 10, 1,900,000, 30 s | session closed (`forced close`) |
/// | `max_outbound_attachments` | 10, for clients with the default parser | `emit`, `Ack::send` and broadcasts return an error |
/// | `max_depth` | 512 levels of JSON or msgpack | session closed (`forced close`) |
/// | `max_fragments` | 16,384 per message | close 1008 |
/// | `message_timeout` | 30 s for the rest of a started message | close 1008 (`transport error`) |
/// | `max_outbound_bytes`, `write_timeout` | 1 MiB, 10 s without progress | session closed (`slow consumer`, close 1008); from half of it on, the server does not read from the client and `emit` waits |
/// | `response_timeout` | 60 s without progress of a file, or of a response of the listener's fallback | connection closed |
/// | `max_total_outbound_bytes` | 1 GiB for all clients together; `None`: no limit | for clients with more than an even share: as above |
/// | `max_queued_events`, `max_queued_bytes` | 256, 1,000,000 per connection | the server does not read from the client until its handlers catch up |
/// | `max_pending_acks` | 10,000 per socket | `emit_with_ack` returns an error |
/// | `ack_timeout` | 10 s, if the call does not set a timeout: for broadcasts, and for what a handler awaits from its own client | the answers so far; an error |
/// | `handler_drain_timeout` | 5 s | `on_disconnect` runs although earlier handlers have not ended; events that wait for them are dropped |
///
/// Sessions in no namespace are cheap, and clients of one proxy or router share an address. So their number is limited only
/// where it costs memory, and no client is refused for long: a new session replaces the oldest session that has not joined a
/// namespace for 5 s, either of its own address (at the limit of that address) or of any (on a full server). A full server
/// also lets a client of an address with few such sessions replace one of the address with the most, however young it is. All
/// others are refused with `Retry-After: 5`. The address is the client's own if its proxy is one that
/// [`trust_proxies`](crate::ServerBuilder::trust_proxies) names; of IPv6 addresses the first 64 bits count.
///
/// With the defaults, what one client has sent takes at most 4 MB: a packet of 2,900,000 bytes with its attachments, and
/// 1,000,000 of the next message; or queued events and those whose handlers run, and a message. This does not include what is
/// queued for the client, `max_outbound_bytes`, nor the `auth` of its namespaces, which is kept while they are joined: at
/// most `max_message_bytes` for all together; after that, joining is refused.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Limits the size of a POST body or of a WebSocket message, in bytes. JavaScript: `maxHttpBufferSize`.
    pub max_message_bytes: usize,
    /// Limits the time until the head of a request is complete; also that of a TLS handshake or a header of the PROXY protocol.
    pub header_timeout: Duration,
    /// Limits the size of a request's head, in bytes.
    pub max_header_bytes: usize,
    /// Limits the number of header fields of a request.
    pub max_headers: usize,
    /// Limits the size of a request's target, in bytes.
    pub max_url_bytes: usize,
    /// Limits the time until the body of a POST is complete.
    pub body_timeout: Duration,
    /// Sets the bytes per second that a body must bring after its first 5 s.
    pub min_body_rate: usize,
    /// Limits the time that an HTTP connection may be idle between requests.
    pub keep_alive_timeout: Duration,
    /// Sets the time between a pong and the next ping.
    pub ping_interval: Duration,
    /// Limits the time until a pong arrives.
    pub ping_timeout: Duration,
    /// Limits the time until a client that aborted its GET sends another one. Nothing is lost until then. This does not
    /// detect a polling client that dies between two GETs: it stays in lists of present sockets for `ping_interval` +
    /// `ping_timeout`.
    pub aborted_poll_timeout: Duration,
    /// Limits the time until an upgrade is complete.
    pub upgrade_timeout: Duration,
    /// Limits the time that a client may spend in no namespace.
    pub connect_timeout: Duration,
    /// Limits the time until a polling client fetches the end of a session that the server closed.
    pub close_timeout: Duration,
    /// Limits the time until the answer to a WebSocket close frame arrives.
    pub close_handshake_timeout: Duration,
    /// Limits the number of sessions that are in no namespace yet.
    pub max_pending_sessions: usize,
    /// Limits the same number for one client address. The default suits a proxy that is not trusted, with all its clients.
    pub max_pending_sessions_per_address: usize,
    /// Limits the number of namespaces of one connection.
    pub max_namespaces: usize,
    /// Limits the length of a namespace's name, in bytes.
    pub max_namespace_bytes: usize,
    /// Limits the number of rooms that a socket may join.
    pub max_rooms: usize,
    /// Limits the length of a room's name, in bytes.
    pub max_room_bytes: usize,
    /// Limits the number of attachments of a packet that a client sends. Clients with the msgpack parser may send any number of
    /// binary values.
    pub max_attachments: usize,
    /// Limits the size of all attachments of a packet that a client sends, in bytes. They are kept until the last has
    /// arrived, beside the packet's text, which is at most `max_message_bytes`. With the msgpack parser, a packet is kept as
    /// JSON text, and may take this much more than its message.
    pub max_attachment_bytes: usize,
    /// Limits the time until all attachments of a packet have arrived.
    pub attachments_timeout: Duration,
    /// Limits the number of attachments of a packet that is sent to a client with the default parser. The JavaScript client
    /// 4.2.6 and newer closes the connection at the eleventh. With the msgpack parser there is no such limit.
    pub max_outbound_attachments: usize,
    /// Limits the depth to which arrays and objects may be nested.
    pub max_depth: usize,
    /// Limits the number of fragments of a WebSocket message.
    pub max_fragments: usize,
    /// Limits the time until a WebSocket message that has begun is complete.
    pub message_timeout: Duration,
    /// Limits the bytes that may be queued for one client, including 64 for each packet. Acknowledgements may exceed it,
    /// because the server stops reading a client's requests when half of this is queued; so may a message if it is the only
    /// one that is queued.
    pub max_outbound_bytes: usize,
    /// Limits the bytes that may be queued for all clients of the server together, counted as for `max_outbound_bytes`: a
    /// broadcast counts once for each client that it is queued for. While more is queued, `overflow` applies to each client
    /// with more than an even share, which is this value divided by the number of sessions. `None` sets no limit.
    pub max_total_outbound_bytes: Option<usize>,
    /// Sets what happens beyond `max_outbound_bytes`. Default: the client is disconnected.
    ///
    /// ```
    /// use kokanee_server::{Overflow, Server};
    ///
    /// // For a ticker: a slow client misses old prices and stays connected.
    /// let builder = Server::builder().with_limits(|limits| limits.overflow = Overflow::DropOldest);
    /// ```
    pub overflow: Overflow,
    /// Limits the time in which a client takes nothing although something is queued for it.
    pub write_timeout: Duration,
    /// Limits the time in which the client of a listener takes nothing of a file, or of a response of its
    /// [fallback](crate::Listener::fallback). Players and paused downloads read nothing for a while.
    pub response_timeout: Duration,
    /// Limits the number of events of one connection that may wait for a handler.
    pub max_queued_events: usize,
    /// Limits the memory that the events of one connection may take while they wait for a handler, in bytes: their content,
    /// and 128 for each. An incomplete packet with attachments counts, too. The server also stops reading while these and the
    /// events whose handlers run take `max_message_bytes` more than this, but a single event never stops the reading.
    pub max_queued_bytes: usize,
    /// Limits the number of acknowledgements that the server waits for from one socket.
    pub max_pending_acks: usize,
    /// Limits the wait for a broadcast's acknowledgements, and for one that a handler awaits from its own client, if the call
    /// does not set a timeout.
    pub ack_timeout: Duration,
    /// Limits the time that `on_connect` and the handlers of events get to end before `on_disconnect` runs. Handlers that run
    /// longer continue; events that still wait for them are dropped.
    pub handler_drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 1_000_000,
            header_timeout: Duration::from_secs(10),
            max_header_bytes: 16 * 1024,
            max_headers: 100,
            max_url_bytes: 8 * 1024,
            body_timeout: Duration::from_secs(30),
            min_body_rate: 1_000,
            keep_alive_timeout: Duration::from_secs(75),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            aborted_poll_timeout: Duration::from_secs(5),
            upgrade_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(45),
            close_timeout: Duration::from_secs(30),
            close_handshake_timeout: Duration::from_secs(5),
            max_pending_sessions: 10_000,
            max_pending_sessions_per_address: 8_000,
            max_namespaces: 100,
            max_namespace_bytes: 255,
            max_rooms: 1_000,
            max_room_bytes: 255,
            max_attachments: 10,
            max_attachment_bytes: 1_900_000,
            attachments_timeout: Duration::from_secs(30),
            max_outbound_attachments: 10,
            max_depth: 512,
            max_fragments: 16_384,
            message_timeout: Duration::from_secs(30),
            max_outbound_bytes: 1 << 20,
            max_total_outbound_bytes: Some(1 << 30),
            overflow: Overflow::Disconnect,
            write_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(60),
            max_queued_events: 256,
            max_queued_bytes: 1_000_000,
            max_pending_acks: 10_000,
            ack_timeout: Duration::from_secs(10),
            handler_drain_timeout: Duration::from_secs(5),
        }
    }
}

impl Limits {
    pub(crate) fn session(&self, allow_upgrades: bool) -> SessionConfig {
        SessionConfig {
            ping_interval: self.ping_interval,
            ping_timeout: self.ping_timeout,
            aborted_poll_timeout: self.aborted_poll_timeout,
            upgrade_timeout: self.upgrade_timeout,
            close_timeout: self.close_timeout,
            write_timeout: self.write_timeout,
            max_outbound_bytes: self.max_outbound_bytes,
            overflow: self.overflow,
            allow_upgrades,
            records: false,
        }
    }

    pub(crate) fn connection(&self, parser: ParserKind, any_auth: bool) -> ConnectionConfig {
        ConnectionConfig {
            parser,
            decoder: DecoderLimits {
                max_attachments: self.max_attachments,
                max_attachment_bytes: self.max_attachment_bytes,
                max_depth: self.max_depth,
                max_namespace_bytes: self.max_namespace_bytes,
                any_auth,
            },
            connect_timeout: self.connect_timeout,
            attachments_timeout: self.attachments_timeout,
            max_namespaces: self.max_namespaces,
        }
    }

    pub(crate) fn websocket(&self) -> kokanee_websocket::Limits {
        kokanee_websocket::Limits {
            max_message_bytes: self.max_message_bytes,
            max_fragments: self.max_fragments,
        }
    }
}
