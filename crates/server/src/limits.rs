//! Every time and size that bounds what a client can cost, in one place.

use std::time::Duration;

use kokanee_engineio::{Overflow, SessionConfig};
use kokanee_socketio::{ConnectionConfig, DecoderLimits, ParserKind};

/// The limits of a server. They hold for every transport alike.
///
/// | limit | default | on breach |
/// |---|---|---|
/// | `max_message_bytes` | 1,000,000 | POST: 413, session closed (`transport error`); WebSocket: close 1009 |
/// | `header_timeout`, `max_header_bytes`, `max_headers`, `max_url_bytes` | 10 s, 16 KiB, 100, 8 KiB | 408, or closed if nothing has come; 431; 431; 414 |
/// | `body_timeout`, `min_body_rate` | 30 s, 1,000 B/s after 5 s | 408, session closed (`transport error`) |
/// | `keep_alive_timeout` | 75 s | connection closed |
/// | `ping_interval`, `ping_timeout` | 25 s, 20 s; one interval more while the client is not read from | session closed (`ping timeout`) |
/// | `aborted_poll_timeout` | 5 s until the next GET | session closed (`transport error`) |
/// | `upgrade_timeout` | 10 s | probing WebSocket closed, session goes on polling |
/// | `connect_timeout` | 45 s in no namespace | session closed (`forced close`) |
/// | `close_timeout` | 30 s for polling to fetch the end, 5 s for a close frame's answer | connection closed |
/// | `max_pending_sessions`, `max_pending_sessions_per_address` | 10,000, 8,000 not in a namespace yet | the oldest is ended (`forced close`) if it is older than 5 s, else 503, 429; see below |
/// | `max_namespaces`, `max_namespace_bytes` | 100 per connection, 255 | session closed: close 1008; `forced close` |
/// | `max_rooms`, `max_room_bytes` | 1,000 per socket, 255 | `join` returns an error |
/// | `max_attachments`, `max_attachment_bytes`, `attachments_timeout` | 10, 1,900,000, 30 s | session closed (`forced close`) |
/// | `max_outbound_attachments` | 10, for clients with the default parser | `emit`, `Ack::send` and broadcasts return an error |
/// | `max_depth` | 512 levels of JSON or msgpack | session closed (`forced close`) |
/// | `max_fragments` | 16,384 per message | close 1008 |
/// | `message_timeout` | 30 s for the rest of a started message | close 1008 (`transport error`) |
/// | `max_outbound_bytes`, `write_timeout` | 1 MiB, 10 s without progress | session closed (`slow consumer`, close 1008); from half of it on, nothing is read and `emit` waits |
/// | `max_total_outbound_bytes` | 1 GiB for all clients together; `None`: no limit | who has more than an even share: as above |
/// | `max_queued_events`, `max_queued_bytes` | 256, 1,000,000 per connection | not read from until handlers catch up |
/// | `max_pending_acks` | 10,000 per socket | `emit_with_ack` returns an error |
/// | `ack_timeout` | 10 s, if the call does not say: broadcasts, and what a handler awaits of its own client | what has come so far; an error |
/// | `handler_drain_timeout` | 5 s | `on_disconnect` runs although earlier handlers have not ended; events that wait for them are dropped |
///
/// Sessions in no namespace are cheap, and clients behind one proxy or router share an address. So their number is bounded
/// where it costs memory, and nobody is refused for long: a new session takes the place of the oldest one that has joined
/// nothing for 5 s, be it of its own address (at that address's limit) or of any (on a full server). A full server also
/// gives a client of an address with few such sessions the place of one of the address with the most, however young. What
/// is left is refused with `Retry-After: 5`. The address is the client's own if its proxy is one that
/// [`trust_proxies`](crate::ServerBuilder::trust_proxies) names; of IPv6 addresses the first 64 bits count.
///
/// With the defaults, what one client has sent takes at most 4 MB: a packet of 2,900,000 bytes with its attachments, and
/// 1,000,000 of the next message; or events that wait and those whose handlers run, and a message. What waits to be sent to
/// it, `max_outbound_bytes`, is not in that, nor is the `auth` of its namespaces, which is kept as long as they are joined: at
/// most `max_message_bytes` for all together, then joining is refused.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Size of a POST body or of a WebSocket message, in bytes. JavaScript: `maxHttpBufferSize`.
    pub max_message_bytes: usize,
    /// Time in which the head of a request must be complete, and a TLS handshake or a header of the PROXY protocol.
    pub header_timeout: Duration,
    /// Size of a request's head in bytes.
    pub max_header_bytes: usize,
    /// Number of header fields of a request.
    pub max_headers: usize,
    /// Size of a request's target in bytes.
    pub max_url_bytes: usize,
    /// Time in which the body of a POST must be complete.
    pub body_timeout: Duration,
    /// Bytes per second that a body must bring after its first 5 s.
    pub min_body_rate: usize,
    /// Time that an HTTP connection may be idle between requests.
    pub keep_alive_timeout: Duration,
    /// Time between a pong and the next ping.
    pub ping_interval: Duration,
    /// Time in which a pong must come.
    pub ping_timeout: Duration,
    /// Time in which a client that gave up its GET must send another one. Nothing is lost until then. A polling client that dies
    /// between two GETs is not noticed by this: it stays in lists of who is present for `ping_interval` + `ping_timeout`.
    pub aborted_poll_timeout: Duration,
    /// Time in which an upgrade must be finished.
    pub upgrade_timeout: Duration,
    /// Time that a client may spend in no namespace.
    pub connect_timeout: Duration,
    /// Time in which a polling client must fetch the end of a session that the server closed.
    pub close_timeout: Duration,
    /// Time in which the answer to a WebSocket close frame must come.
    pub close_handshake_timeout: Duration,
    /// Number of sessions that are in no namespace yet.
    pub max_pending_sessions: usize,
    /// The same for one client address. The default is that of a proxy which is not trusted, with all its clients.
    pub max_pending_sessions_per_address: usize,
    /// Number of namespaces of one connection.
    pub max_namespaces: usize,
    /// Length of a namespace's name in bytes.
    pub max_namespace_bytes: usize,
    /// Number of rooms that a socket may join.
    pub max_rooms: usize,
    /// Length of a room's name in bytes.
    pub max_room_bytes: usize,
    /// Number of attachments of a packet that a client sends. Those with the msgpack parser may send any number of binary values.
    pub max_attachments: usize,
    /// Size of all attachments of a packet that a client sends, in bytes. They are kept until the last has come, beside the
    /// packet's text, which is at most `max_message_bytes`. With the msgpack parser, all that a packet takes is at most so
    /// much more than its message: it is kept as JSON text.
    pub max_attachment_bytes: usize,
    /// Time in which the attachments of a packet must come.
    pub attachments_timeout: Duration,
    /// Number of attachments of a packet that is sent to a client with the default parser. The JavaScript client 4.2.6 and
    /// newer ends the connection at the eleventh. With the msgpack parser there is no such limit.
    pub max_outbound_attachments: usize,
    /// Depth to which arrays and objects may be nested.
    pub max_depth: usize,
    /// Number of fragments of a WebSocket message.
    pub max_fragments: usize,
    /// Time in which a WebSocket message that has begun must be complete.
    pub message_timeout: Duration,
    /// Bytes that may wait for one client, 64 for each packet included. Acknowledgements may exceed it, as what a client asks
    /// for is read only while less than half of this waits; and so may the only message that waits.
    pub max_outbound_bytes: usize,
    /// Bytes that may wait for all clients of the server together, counted as for `max_outbound_bytes`: a broadcast counts for
    /// each client that it waits for. While more waits, `overflow` applies to each client for which more than an even
    /// share of this waits, that is this divided by the number of sessions. `None` is no limit.
    pub max_total_outbound_bytes: Option<usize>,
    /// What happens beyond `max_outbound_bytes`.
    pub overflow: Overflow,
    /// Time in which a client must take some of what waits for it.
    pub write_timeout: Duration,
    /// Number of events of one connection that may wait for a handler.
    pub max_queued_events: usize,
    /// Memory that the events of one connection may take while they wait for a handler, in bytes; 128 for each are counted
    /// beside its content. What has come of a packet with attachments counts, too. Nothing is read either while these and
    /// the events whose handlers run take more by `max_message_bytes`, but a single event never stops the reading.
    pub max_queued_bytes: usize,
    /// Number of acknowledgements that a socket may owe us.
    pub max_pending_acks: usize,
    /// Time in which a broadcast's acknowledgements must come, and that of a client whose own handler awaits it, if the call
    /// does not say.
    pub ack_timeout: Duration,
    /// Time that `on_connect` and the handlers of events get to end before `on_disconnect` runs. Those that run longer go on; events
    /// that still wait for them are dropped.
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
        }
    }

    pub(crate) fn connection(&self, parser: ParserKind) -> ConnectionConfig {
        ConnectionConfig {
            parser,
            decoder: DecoderLimits {
                max_attachments: self.max_attachments,
                max_attachment_bytes: self.max_attachment_bytes,
                max_depth: self.max_depth,
                max_namespace_bytes: self.max_namespace_bytes,
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
