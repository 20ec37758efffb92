//! One Socket.IO connection without I/O: bytes of the server in, bytes to send and events out.
//!
//! ```text
//! websocket:  Upgrading ──101──► Opening ──`0{…}`, send `40`──► Joining ──`40{…}`──► Ready
//! polling:                       Opening ──`0{…}`, POST `40`──► Joining ──`40{…}`──► Ready
//! ```
//! Called by [`RawFleet`](crate::raw::RawFleet). Spec: Engine.IO v4, "Handshake", and Socket.IO v5, "Connection to a
//! namespace".

use crate::error::Violation;
use crate::raw::http;
use crate::raw::outbox::Outbox;
use crate::raw::target::{Target, Transport};
use crate::raw::websocket::{self, Decoder};

/// Separates the packets of a polling payload.
const SEPARATOR: u8 = 0x1e;

/// A connection's protocol state.
#[derive(Debug)]
pub(crate) struct Connection {
    stage: Stage,
    channel: Channel,
}

/// How far the handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Upgrading,
    Opening,
    Joining,
    Ready,
}

#[derive(Debug)]
enum Channel {
    WebSocket {
        /// The response head while it is incomplete.
        head: Vec<u8>,
        decoder: Decoder,
    },
    Polling(Polling),
}

/// A long-polling session on one keep-alive connection: one request at a time.
#[derive(Debug, Default)]
struct Polling {
    sid: String,
    request: Option<Request>,
    /// The response while it is incomplete.
    pending: Vec<u8>,
    /// The payload of the next POST.
    queued: Vec<u8>,
    /// Events of the load whose replies have not arrived.
    awaited: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Get,
    Post,
}

/// What a packet asks the connection to do.
enum Reaction {
    Nothing,
    Pong,
    Connect,
    Event,
}

impl Connection {
    /// Returns a connection that has not sent anything.
    pub(crate) fn new(transport: Transport) -> Self {
        match transport {
            Transport::WebSocket => Self {
                stage: Stage::Upgrading,
                channel: Channel::WebSocket {
                    head: Vec::new(),
                    decoder: Decoder::default(),
                },
            },
            Transport::Polling => Self {
                stage: Stage::Opening,
                channel: Channel::Polling(Polling::default()),
            },
        }
    }

    /// Appends the first request.
    pub(crate) fn open(&mut self, target: &Target, out: &mut Vec<u8>) {
        match &mut self.channel {
            Channel::WebSocket { .. } => http::upgrade(target, out),
            Channel::Polling(polling) => polling.proceed(self.stage, target, out),
        }
    }

    /// Returns whether the namespace accepted the connection.
    pub(crate) fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// Appends the bytes that send an event of the load, which is in the form of [`wire`].
    pub(crate) fn submit(&mut self, wire: &[u8], target: &Target, out: &mut Vec<u8>) {
        match &mut self.channel {
            Channel::WebSocket { .. } => out.extend_from_slice(wire),
            Channel::Polling(polling) => {
                polling.queue(wire);
                polling.awaited += 1;
                polling.proceed(self.stage, target, out);
            }
        }
    }

    /// Handles bytes of the server; appends the bytes to send to `outbox.own`.
    ///
    /// `on_event` gets each event packet (`42…`) and acknowledgement (`43…`), and returns whether it is a reply to an event of the load.
    ///
    /// # Errors
    /// What the server did wrong.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        target: &Target,
        outbox: &mut Outbox,
        mut on_event: impl FnMut(&[u8], &mut Outbox) -> bool,
    ) -> Result<(), Violation> {
        let Self { stage, channel } = self;
        match channel {
            Channel::WebSocket { head, decoder } => {
                if *stage != Stage::Upgrading {
                    return decode(decoder, bytes, stage, target, outbox, on_event);
                }
                head.extend_from_slice(bytes);
                let Some(end) = http::upgraded(head)? else {
                    return Ok(());
                };
                *stage = Stage::Opening;
                let head = std::mem::take(head);
                decode(decoder, &head[end..], stage, target, outbox, on_event)
            }
            Channel::Polling(polling) => {
                polling.pending.extend_from_slice(bytes);
                while let Some(response) = http::response(&polling.pending)? {
                    if response.status != 200 {
                        return Err(http::bad_status(&polling.pending));
                    }
                    polling.pending.drain(..response.length);
                    if polling.request.take() == Some(Request::Get) {
                        polling.read_payload(
                            &response.body,
                            stage,
                            target,
                            outbox,
                            &mut on_event,
                        )?;
                    }
                    polling.proceed(*stage, target, &mut outbox.own);
                }
                if polling.pending.is_empty() {
                    polling.pending = Vec::new();
                }
                Ok(())
            }
        }
    }
}

/// Returns an event packet in the form that [`Connection::submit`] takes: a masked frame, or the packet itself.
pub(crate) fn wire(packet: &str, transport: Transport) -> Vec<u8> {
    match transport {
        Transport::Polling => packet.as_bytes().to_vec(),
        Transport::WebSocket => {
            let mut frame = Vec::with_capacity(packet.len() + 14);
            websocket::encode(websocket::TEXT, packet.as_bytes(), &mut frame);
            frame
        }
    }
}

/// Decodes WebSocket frames and reacts to their packets.
fn decode(
    decoder: &mut Decoder,
    bytes: &[u8],
    stage: &mut Stage,
    target: &Target,
    outbox: &mut Outbox,
    mut on_event: impl FnMut(&[u8], &mut Outbox) -> bool,
) -> Result<(), Violation> {
    decoder.decode(bytes, |opcode, payload| {
        match opcode {
            websocket::TEXT => match stage.react(payload, target)? {
                Reaction::Nothing => {}
                Reaction::Pong => websocket::encode(websocket::TEXT, b"3", &mut outbox.own),
                Reaction::Connect => {
                    websocket::encode(
                        websocket::TEXT,
                        target.connect_packet.as_bytes(),
                        &mut outbox.own,
                    );
                }
                Reaction::Event => {
                    on_event(payload, outbox);
                }
            },
            websocket::PING => websocket::encode(websocket::PONG, payload, &mut outbox.own),
            websocket::CLOSE => {
                return Err(Violation::Closed {
                    packet: "close frame".to_owned(),
                });
            }
            websocket::BINARY | websocket::PONG => {}
            _ => return Err(Violation::Frame),
        }
        Ok(())
    })
}

impl Stage {
    /// Advances the handshake with a packet, and returns what the packet asks for.
    fn react(&mut self, packet: &[u8], target: &Target) -> Result<Reaction, Violation> {
        let closed = || {
            Err(Violation::Closed {
                packet: Violation::excerpt(packet),
            })
        };
        match (packet, &*self) {
            ([b'4', b'2' | b'3', ..], Self::Ready) => Ok(Reaction::Event),
            ([b'2', ..], Self::Joining | Self::Ready) => Ok(Reaction::Pong),
            ([b'1', ..] | [b'4', b'1', ..], _) => closed(),
            ([b'0', ..], Self::Opening) => {
                *self = Self::Joining;
                Ok(Reaction::Connect)
            }
            (_, Self::Opening) => Err(Violation::Packet {
                packet: Violation::excerpt(packet),
            }),
            ([b'4', b'0', rest @ ..], Self::Joining)
                if rest.starts_with(target.namespace.as_bytes()) =>
            {
                *self = Self::Ready;
                Ok(Reaction::Nothing)
            }
            ([b'4', b'4', ..], _) => Err(Violation::Refused {
                packet: Violation::excerpt(packet),
            }),
            _ => Ok(Reaction::Nothing),
        }
    }
}

impl Polling {
    /// Adds a packet to the next POST.
    fn queue(&mut self, packet: &[u8]) {
        if !self.queued.is_empty() {
            self.queued.push(SEPARATOR);
        }
        self.queued.extend_from_slice(packet);
    }

    /// Reacts to the packets of a GET's body.
    fn read_payload(
        &mut self,
        body: &[u8],
        stage: &mut Stage,
        target: &Target,
        outbox: &mut Outbox,
        mut on_event: impl FnMut(&[u8], &mut Outbox) -> bool,
    ) -> Result<(), Violation> {
        for packet in body.split(|&byte| byte == SEPARATOR) {
            match stage.react(packet, target)? {
                Reaction::Nothing => {}
                Reaction::Pong => self.queue(b"3"),
                Reaction::Connect => {
                    self.sid = sid(packet)?;
                    self.queue(target.connect_packet.as_bytes());
                }
                Reaction::Event => {
                    let start = outbox.own.len();
                    if on_event(packet, outbox) {
                        self.awaited = self.awaited.saturating_sub(1);
                    }
                    if outbox.own.len() > start {
                        let event = outbox.own.split_off(start);
                        self.queue(&event);
                        self.awaited += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends the next request if none is pending and one is needed.
    fn proceed(&mut self, stage: Stage, target: &Target, out: &mut Vec<u8>) {
        if self.request.is_some() {
            return;
        }
        if !self.queued.is_empty() {
            http::post(target, &self.sid, &self.queued, out);
            self.queued.clear();
            self.request = Some(Request::Post);
        } else if stage != Stage::Ready || self.awaited > 0 {
            http::get(target, &self.sid, out);
            self.request = Some(Request::Get);
        }
    }
}

/// Reads the session id from an open packet.
fn sid(packet: &[u8]) -> Result<String, Violation> {
    #[derive(serde::Deserialize)]
    struct Open {
        sid: String,
    }
    let open: Option<Open> = packet
        .get(1..)
        .and_then(|json| serde_json::from_slice(json).ok());
    open.map(|open| open.sid).ok_or_else(|| Violation::Packet {
        packet: Violation::excerpt(packet),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Options, Scenario};

    const OPEN: &str = r#"0{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

    struct Peer {
        client: Connection,
        target: Target,
        outbox: Outbox,
        events: Vec<String>,
    }

    impl Peer {
        fn new(transport: Transport) -> Self {
            let target = Target::new(
                &Options::new("http://127.0.0.1:1", Scenario::Echo),
                transport,
            )
            .unwrap();
            Self {
                client: Connection::new(transport),
                target,
                outbox: Outbox::default(),
                events: Vec::new(),
            }
        }

        fn open(&mut self) -> String {
            self.client.open(&self.target, &mut self.outbox.own);
            self.sent()
        }

        fn sent(&mut self) -> String {
            String::from_utf8(std::mem::take(&mut self.outbox.own)).unwrap()
        }

        fn submit(&mut self, packet: &str) -> String {
            let wire = wire(packet, self.target.transport);
            self.client
                .submit(&wire, &self.target, &mut self.outbox.own);
            self.sent()
        }

        /// Feeds server bytes and returns what the client sends.
        fn receive(&mut self, bytes: &str) -> Result<String, Violation> {
            let Self {
                client,
                target,
                outbox,
                events,
            } = self;
            client.receive(bytes.as_bytes(), target, outbox, |packet, _| {
                events.push(String::from_utf8(packet.to_vec()).unwrap());
                true
            })?;
            Ok(self.sent())
        }

        /// Feeds a text frame.
        fn frame(&mut self, packet: &str) -> Result<String, Violation> {
            let length = char::from(u8::try_from(packet.len()).unwrap());
            let mut bytes = b"\x81".to_vec();
            bytes.push(length as u8);
            bytes.extend(packet.as_bytes());
            let Self {
                client,
                target,
                outbox,
                events,
            } = self;
            client.receive(&bytes, target, outbox, |packet, _| {
                events.push(String::from_utf8(packet.to_vec()).unwrap());
                true
            })?;
            let sent = std::mem::take(&mut self.outbox.own);
            Ok(sent.iter().skip(6).map(|&byte| char::from(byte)).collect())
        }

        /// Feeds a polling response.
        fn respond(&mut self, body: &str) -> Result<String, Violation> {
            self.receive(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ))
        }
    }

    fn ready_websocket() -> Peer {
        let mut peer = Peer::new(Transport::WebSocket);
        assert!(
            peer.open()
                .starts_with("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n")
        );
        assert_eq!(
            peer.receive("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
                .unwrap(),
            ""
        );
        assert_eq!(peer.frame(OPEN).unwrap(), "40");
        assert!(!peer.client.is_ready());
        assert_eq!(peer.frame(r#"40{"sid":"def"}"#).unwrap(), "");
        assert!(peer.client.is_ready());
        peer
    }

    #[test]
    fn websocket_handshake_ends_ready() {
        ready_websocket();
    }

    #[test]
    fn open_packet_may_follow_the_response_head_at_once() {
        let mut peer = Peer::new(Transport::WebSocket);
        peer.open();
        let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x02".to_vec();
        bytes.extend(b"0{");
        let Peer {
            client,
            target,
            outbox,
            ..
        } = &mut peer;
        let (head, rest) = bytes.split_at(10);
        client.receive(head, target, outbox, |_, _| true).unwrap();
        client.receive(rest, target, outbox, |_, _| true).unwrap();
        assert_eq!(outbox.own, b"\x81\x82\0\0\0\x0040");
    }

    #[test]
    fn ping_is_answered_with_pong() {
        let mut peer = ready_websocket();
        assert_eq!(peer.frame("2").unwrap(), "3");
    }

    #[test]
    fn events_are_handed_on() {
        let mut peer = ready_websocket();
        peer.frame(r#"42["echo","x"]"#).unwrap();
        peer.frame("6").unwrap();
        assert_eq!(peer.events, [r#"42["echo","x"]"#]);
    }

    #[test]
    fn close_disconnect_and_refusal_are_violations() {
        for packet in ["1", "41", "44{\"message\":\"no\"}"] {
            assert!(ready_websocket().frame(packet).is_err(), "{packet}");
        }
    }

    #[test]
    fn polling_cycle_is_a_post_and_a_get() {
        let mut peer = Peer::new(Transport::Polling);
        assert!(peer.open().starts_with(
            "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"
        ));
        let post = peer.respond(OPEN).unwrap();
        assert!(
            post.starts_with("POST /socket.io/?EIO=4&transport=polling&sid=abc HTTP/1.1\r\n"),
            "{post}"
        );
        assert!(post.ends_with("Content-Length: 2\r\n\r\n40"), "{post}");
        assert!(peer.respond("ok").unwrap().starts_with("GET "));
        assert_eq!(peer.respond(r#"40{"sid":"def"}"#).unwrap(), "");
        assert!(peer.client.is_ready());

        assert!(
            peer.submit(r#"42["echo","x"]"#)
                .ends_with("\r\n\r\n42[\"echo\",\"x\"]")
        );
        assert!(peer.respond("ok").unwrap().starts_with("GET "));
        assert_eq!(peer.respond(r#"42["echo","x"]"#).unwrap(), "");
        assert_eq!(peer.events.len(), 1);
    }

    #[test]
    fn ping_between_events_is_answered_before_the_next_get() {
        let mut peer = Peer::new(Transport::Polling);
        peer.open();
        for body in [OPEN, "ok", r#"40{"sid":"def"}"#] {
            peer.respond(body).unwrap();
        }
        peer.submit(r#"42["echo","x"]"#);
        peer.respond("ok").unwrap();
        assert!(peer.respond("2").unwrap().ends_with("\r\n\r\n3"));
        assert!(peer.respond("ok").unwrap().starts_with("GET "));
        assert_eq!(
            peer.respond("42[\"welcome\"]\x1e42[\"echo\",\"x\"]")
                .unwrap(),
            ""
        );
        assert_eq!(peer.events.len(), 2);
    }
}
