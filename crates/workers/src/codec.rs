//! What workers say to each other, as bytes: a length of four bytes, a kind, and the kind's fields.
//!
//! A text or bytes are a length and the content; numbers are big-endian. A frame may come with a descriptor, which the socket
//! carries beside its first byte.

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kokanee_socketio::Args;

/// The first three bytes of the ids that a worker gives to its sessions and sockets.
pub type Worker = [u8; 3];

/// The largest frame.
pub const MOST_FRAME_BYTES: usize = 64 * 1024 * 1024;

/// Changes with the format, so that workers of two versions of the package do not misunderstand each other.
const VERSION: u8 = 4;

/// What a host knows of a request.
#[derive(Debug, Clone)]
pub struct Head {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names and values. A character of a value is a byte, as in WSGI.
    pub headers: Vec<(String, String)>,
    /// The address of the client.
    pub address: Option<SocketAddr>,
    /// Whether the client's connection is encrypted.
    pub secure: bool,
}

/// What is handed over with a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
    /// A request whose head the host has read. Its connection ends after the response, or becomes a WebSocket.
    Request,
    /// A WebSocket: the host has sent 101.
    WebSocket,
    /// A connection of which nothing is answered, and which stays. What was read is in `unread`, beginning with the request;
    /// `head` has only the address of its other end.
    Connection,
}

/// A request for a session of another worker, without its body and its connection.
#[derive(Debug)]
pub struct Forwarded {
    /// What comes with it.
    pub handed: Handed,
    /// The request's head.
    pub head: Head,
    /// Bytes of the request's body, which follow on the connection.
    pub body: u64,
    /// What was read after the request.
    pub unread: Vec<u8>,
}

/// An event for clients of other workers.
#[derive(Debug)]
pub struct Emitted {
    /// The event's name.
    pub event: String,
    /// The namespace.
    pub namespace: String,
    /// Who gets it: those in these rooms. All clients of the namespace if there are none.
    pub rooms: Vec<String>,
    /// Those in these rooms do not get it.
    pub skip: Vec<String>,
    /// The event's arguments.
    pub args: Args,
}

/// A request that the owner of its session answers over the link: with a `Reply`, after `Part`s of a large body.
#[derive(Debug)]
pub struct Relayed {
    /// What the answer is to be marked with.
    pub number: u64,
    /// The request's head.
    pub head: Head,
    /// The request's body.
    pub body: Bytes,
}

/// The response to a [`Relayed`] request.
#[derive(Debug)]
pub struct Reply {
    /// The number of the request.
    pub number: u64,
    /// The status.
    pub status: u16,
    /// Names and values. A character of a value is a byte.
    pub headers: Vec<(String, String)>,
    /// The body, or the rest of it.
    pub body: Bytes,
}

/// What a worker says to another.
#[derive(Debug)]
pub enum Message {
    /// Says who sends; the first message.
    Hello(Worker),
    /// Hands over a request. A descriptor comes with it.
    Request(Forwarded),
    /// Emits an event.
    Emit(Emitted),
    /// Emits an event whose answers are sent back, each as an `Answer`, and `Answered` when there will be no more.
    Ask(u64, Emitted),
    /// Brings the answer of a client.
    Answer(u64, Args),
    /// Says that there are no more answers.
    Answered(u64),
    /// Puts a client into a room.
    Enter {
        /// The client.
        sid: String,
        /// Its namespace.
        namespace: String,
        /// The room.
        room: String,
    },
    /// Takes a client out of a room.
    Leave {
        /// The client.
        sid: String,
        /// Its namespace.
        namespace: String,
        /// The room.
        room: String,
    },
    /// Takes all clients out of a room.
    CloseRoom {
        /// The namespace.
        namespace: String,
        /// The room.
        room: String,
    },
    /// Disconnects a client.
    Disconnect {
        /// The client.
        sid: String,
        /// Its namespace.
        namespace: String,
    },
    /// Asks for the response to a request.
    Relay(Relayed),
    /// Brings a part of the body of a response.
    Part(u64, Bytes),
    /// Brings a response.
    Reply(Reply),
    /// Says that nobody waits for a response any more.
    GiveUp(u64),
}

/// Says that bytes are not a frame.
#[derive(Debug)]
pub(crate) struct Malformed;

mod kind {
    pub(super) const HELLO: u8 = 0;
    pub(super) const REQUEST: u8 = 1;
    pub(super) const EMIT: u8 = 2;
    pub(super) const ASK: u8 = 3;
    pub(super) const ANSWER: u8 = 4;
    pub(super) const ANSWERED: u8 = 5;
    pub(super) const ENTER: u8 = 6;
    pub(super) const LEAVE: u8 = 7;
    pub(super) const CLOSE_ROOM: u8 = 8;
    pub(super) const DISCONNECT: u8 = 9;
    pub(super) const RELAY: u8 = 10;
    pub(super) const PART: u8 = 11;
    pub(super) const REPLY: u8 = 12;
    pub(super) const GIVE_UP: u8 = 13;
}

/// A frame that is being written.
struct Writer(Vec<u8>);

/// Room for a small message.
const LEAST_BYTES: usize = 256;

impl Writer {
    fn new(kind: u8) -> Self {
        let mut bytes = Vec::with_capacity(LEAST_BYTES);
        bytes.extend_from_slice(&[0, 0, 0, 0, kind]);
        Self(bytes)
    }

    fn number(mut self, number: u64) -> Self {
        self.0.put_u64(number);
        self
    }

    fn flag(self, flag: bool) -> Self {
        self.byte(u8::from(flag))
    }

    fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.reserve(4 + bytes.len());
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
        self
    }

    /// A count or a length. One that is too large makes a frame that is too large, which is not sent.
    fn count(&mut self, count: usize) {
        self.0.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn texts<'a>(mut self, texts: impl ExactSizeIterator<Item = &'a str>) -> Self {
        self.count(texts.len());
        texts.fold(self, |this, text| this.bytes(text.as_bytes()))
    }

    fn args(mut self, args: &Args) -> Self {
        let json = args.json();
        self.count(json.len() + 2);
        self.0.push(b'[');
        self.0.extend_from_slice(json.as_bytes());
        self.0.push(b']');
        self.count(args.attachments().len());
        let attachments = args.attachments().iter();
        attachments.fold(self, |this, bytes| this.bytes(bytes))
    }

    fn head(mut self, head: &Head) -> Self {
        self = self
            .bytes(head.method.as_bytes())
            .bytes(head.target.as_bytes());
        self = match head.address.map(|address| (address.ip(), address.port())) {
            None => self.bytes(b""),
            Some((IpAddr::V4(ip), port)) => self.address(&ip.octets(), port),
            Some((IpAddr::V6(ip), port)) => self.address(&ip.octets(), port),
        };
        self.flag(head.secure).headers(&head.headers)
    }

    /// An address of four or sixteen bytes, and its port.
    fn address(self, ip: &[u8], port: u16) -> Self {
        let mut this = self.bytes(ip);
        this.0.put_u16(port);
        this
    }

    fn headers(mut self, headers: &[(String, String)]) -> Self {
        self.count(headers.len());
        headers.iter().fold(self, |this, (name, value)| {
            this.bytes(name.as_bytes()).bytes(value.as_bytes())
        })
    }

    fn finish(mut self) -> Bytes {
        let len = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&len.to_be_bytes());
        self.0.into()
    }
}

/// Encodes an event. With a call, its answers are wanted.
pub fn encode_event(
    call: Option<u64>,
    event: &str,
    namespace: &str,
    rooms: &[String],
    skip: &[String],
    args: &Args,
) -> Bytes {
    let writer = match call {
        Some(call) => Writer::new(kind::ASK).number(call),
        None => Writer::new(kind::EMIT),
    };
    let writer = writer.bytes(event.as_bytes()).bytes(namespace.as_bytes());
    let writer = writer.texts(rooms.iter().map(String::as_str));
    let writer = writer.texts(skip.iter().map(String::as_str));
    writer.args(args).finish()
}

/// Encodes a request.
pub(crate) fn encode_request(forwarded: &Forwarded) -> Bytes {
    let handed = match forwarded.handed {
        Handed::Request => 0,
        Handed::WebSocket => 1,
        Handed::Connection => 2,
    };
    let writer = Writer::new(kind::REQUEST).byte(handed);
    let writer = writer.head(&forwarded.head).number(forwarded.body);
    writer.bytes(&forwarded.unread).finish()
}

impl Message {
    /// Encodes the message, length included.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Hello(worker) => Writer::new(kind::HELLO)
                .bytes(&[VERSION])
                .bytes(worker)
                .finish(),
            Self::Request(forwarded) => encode_request(forwarded),
            Self::Emit(it) => encode_event(
                None,
                &it.event,
                &it.namespace,
                &it.rooms,
                &it.skip,
                &it.args,
            ),
            Self::Ask(call, it) => {
                let call = Some(*call);
                encode_event(
                    call,
                    &it.event,
                    &it.namespace,
                    &it.rooms,
                    &it.skip,
                    &it.args,
                )
            }
            Self::Answer(call, args) => Writer::new(kind::ANSWER).number(*call).args(args).finish(),
            Self::Answered(call) => Writer::new(kind::ANSWERED).number(*call).finish(),
            Self::Enter {
                sid,
                namespace,
                room,
            } => texts(kind::ENTER, [sid, namespace, room]),
            Self::Leave {
                sid,
                namespace,
                room,
            } => texts(kind::LEAVE, [sid, namespace, room]),
            Self::CloseRoom { namespace, room } => texts(kind::CLOSE_ROOM, [namespace, room]),
            Self::Disconnect { sid, namespace } => texts(kind::DISCONNECT, [sid, namespace]),
            Self::Relay(it) => Writer::new(kind::RELAY)
                .number(it.number)
                .head(&it.head)
                .bytes(&it.body)
                .finish(),
            Self::Part(number, body) => {
                Writer::new(kind::PART).number(*number).bytes(body).finish()
            }
            Self::Reply(it) => Writer::new(kind::REPLY)
                .number(it.number)
                .number(u64::from(it.status))
                .headers(&it.headers)
                .bytes(&it.body)
                .finish(),
            Self::GiveUp(number) => Writer::new(kind::GIVE_UP).number(*number).finish(),
        }
    }
}

fn texts<const N: usize>(kind: u8, texts: [&String; N]) -> Bytes {
    let texts = texts.into_iter();
    texts
        .fold(Writer::new(kind), |writer, text| {
            writer.bytes(text.as_bytes())
        })
        .finish()
}

/// The fields of a frame that are not read yet.
struct Reader(Bytes);

impl Reader {
    fn number(&mut self) -> Result<u64, Malformed> {
        self.0.try_get_u64().map_err(|_| Malformed)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| Malformed)
    }

    fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let len = self.0.try_get_u32().map_err(|_| Malformed)?;
        let len = usize::try_from(len).map_err(|_| Malformed)?;
        if len > self.0.len() {
            return Err(Malformed);
        }
        Ok(self.0.split_to(len))
    }

    fn text(&mut self) -> Result<String, Malformed> {
        String::from_utf8(self.bytes()?.into()).map_err(|_| Malformed)
    }

    /// Reads several items. Their number is not believed before they are there.
    fn many<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.0.try_get_u32().map_err(|_| Malformed)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(one(self)?);
        }
        Ok(items)
    }

    fn args(&mut self) -> Result<Args, Malformed> {
        let json = self.bytes()?;
        std::str::from_utf8(&json).map_err(|_| Malformed)?;
        let attachments = self.many(Self::bytes)?;
        Args::from_json(json.into(), attachments).map_err(|_| Malformed)
    }

    fn head(&mut self) -> Result<Head, Malformed> {
        let (method, target) = (self.text()?, self.text()?);
        let address = self.address()?;
        let secure = self.byte()? != 0;
        let headers = self.headers()?;
        Ok(Head {
            method,
            target,
            headers,
            address,
            secure,
        })
    }

    fn address(&mut self) -> Result<Option<SocketAddr>, Malformed> {
        let ip = self.bytes()?;
        let ip = if let Ok(octets) = <[u8; 4]>::try_from(&*ip) {
            IpAddr::from(octets)
        } else if let Ok(octets) = <[u8; 16]>::try_from(&*ip) {
            IpAddr::from(octets)
        } else if ip.is_empty() {
            return Ok(None);
        } else {
            return Err(Malformed);
        };
        let port = self.0.try_get_u16().map_err(|_| Malformed)?;
        Ok(Some(SocketAddr::new(ip, port)))
    }

    fn headers(&mut self) -> Result<Vec<(String, String)>, Malformed> {
        self.many(|this| Ok((this.text()?, this.text()?)))
    }

    fn emitted(&mut self) -> Result<Emitted, Malformed> {
        Ok(Emitted {
            event: self.text()?,
            namespace: self.text()?,
            rooms: self.many(Self::text)?,
            skip: self.many(Self::text)?,
            args: self.args()?,
        })
    }

    fn message(&mut self) -> Result<Message, Malformed> {
        Ok(match self.byte()? {
            kind::HELLO => {
                if *self.bytes()? != [VERSION] {
                    return Err(Malformed);
                }
                Message::Hello((*self.bytes()?).try_into().map_err(|_| Malformed)?)
            }
            kind::REQUEST => Message::Request(Forwarded {
                handed: match self.byte()? {
                    0 => Handed::Request,
                    1 => Handed::WebSocket,
                    2 => Handed::Connection,
                    _ => return Err(Malformed),
                },
                head: self.head()?,
                body: self.number()?,
                unread: self.bytes()?.into(),
            }),
            kind::EMIT => Message::Emit(self.emitted()?),
            kind::ASK => Message::Ask(self.number()?, self.emitted()?),
            kind::ANSWER => Message::Answer(self.number()?, self.args()?),
            kind::ANSWERED => Message::Answered(self.number()?),
            kind::ENTER => Message::Enter {
                sid: self.text()?,
                namespace: self.text()?,
                room: self.text()?,
            },
            kind::LEAVE => Message::Leave {
                sid: self.text()?,
                namespace: self.text()?,
                room: self.text()?,
            },
            kind::CLOSE_ROOM => Message::CloseRoom {
                namespace: self.text()?,
                room: self.text()?,
            },
            kind::DISCONNECT => Message::Disconnect {
                sid: self.text()?,
                namespace: self.text()?,
            },
            kind::RELAY => Message::Relay(Relayed {
                number: self.number()?,
                head: self.head()?,
                body: self.bytes()?,
            }),
            kind::PART => Message::Part(self.number()?, self.bytes()?),
            kind::REPLY => Message::Reply(Reply {
                number: self.number()?,
                status: u16::try_from(self.number()?).map_err(|_| Malformed)?,
                headers: self.headers()?,
                body: self.bytes()?,
            }),
            kind::GIVE_UP => Message::GiveUp(self.number()?),
            _ => return Err(Malformed),
        })
    }
}

/// Takes the next message out of what was received. `None`: it is not complete.
pub(crate) fn decode(received: &mut BytesMut) -> Result<Option<Message>, Malformed> {
    let Some(len) = received.first_chunk::<4>() else {
        return Ok(None);
    };
    let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| Malformed)?;
    if len > MOST_FRAME_BYTES {
        return Err(Malformed);
    }
    if received.len() < 4 + len {
        return Ok(None);
    }
    received.advance(4);
    let mut reader = Reader(received.split_to(len).freeze());
    let message = reader.message()?;
    reader
        .0
        .is_empty()
        .then_some(Some(message))
        .ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emitted() -> Emitted {
        let json = br#"["x",{"_placeholder":true,"num":0}]"#.to_vec();
        Emitted {
            event: "news".to_owned(),
            namespace: "/chat".to_owned(),
            rooms: vec!["tea".to_owned(), String::new()],
            skip: vec!["muted".to_owned()],
            args: Args::from_json(json, vec![Bytes::from_static(b"\0\xff")]).expect("JSON"),
        }
    }

    fn messages() -> Vec<Message> {
        let text = |text: &str| text.to_owned();
        let head = Head {
            method: text("POST"),
            target: text("/socket.io/?EIO=4&sid=x"),
            headers: vec![(text("cookie"), text("ä=1")), (text("x"), String::new())],
            address: Some(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 65535))),
            secure: true,
        };
        vec![
            Message::Hello([0, 255, 7]),
            Message::Relay(Relayed {
                number: 3,
                head: Head {
                    address: Some(SocketAddr::from(([10, 0, 0, 7], 80))),
                    ..head.clone()
                },
                body: Bytes::from_static(b"4hello"),
            }),
            Message::Part(3, Bytes::from_static(b"\xff")),
            Message::Reply(Reply {
                number: 3,
                status: 200,
                headers: vec![(text("content-type"), text("text/plain"))],
                body: Bytes::from_static(b"ok"),
            }),
            Message::GiveUp(3),
            Message::Request(Forwarded {
                handed: Handed::WebSocket,
                head,
                body: 1 << 40,
                unread: b"\x81\x00".to_vec(),
            }),
            Message::Emit(emitted()),
            Message::Ask(u64::MAX, emitted()),
            Message::Answer(1, Args::none()),
            Message::Answered(2),
            Message::Enter {
                sid: text("s"),
                namespace: text("/"),
                room: text("r"),
            },
            Message::Leave {
                sid: text("s"),
                namespace: text("/"),
                room: text("🐟"),
            },
            Message::CloseRoom {
                namespace: text("/"),
                room: text("r"),
            },
            Message::Disconnect {
                sid: text("s"),
                namespace: text("/"),
            },
        ]
    }

    #[test]
    fn every_message_comes_back_from_its_bytes_in_any_pieces() {
        let sent = messages();
        let bytes: Vec<u8> = sent.iter().flat_map(|it| it.encode().to_vec()).collect();
        for piece in [1, 7, bytes.len()] {
            let (mut received, mut found) = (BytesMut::new(), Vec::new());
            for piece in bytes.chunks(piece) {
                received.extend_from_slice(piece);
                while let Some(message) = decode(&mut received).expect("a message") {
                    found.push(message);
                }
            }
            assert_eq!(format!("{found:?}"), format!("{sent:?}"));
            assert!(received.is_empty());
        }
    }

    #[test]
    fn a_frame_that_ends_too_early_or_too_late_is_malformed() {
        for message in messages() {
            let frame = message.encode();
            for len in 0..frame.len() - 4 {
                let mut short = BytesMut::from(&frame[..4 + len]);
                let said = u32::try_from(len).expect("short").to_be_bytes();
                short[..4].copy_from_slice(&said);
                assert!(decode(&mut short).is_err(), "{message:?} cut to {len}");
            }
            let mut long = BytesMut::from(&frame[..]);
            long.put_u8(0);
            let said = u32::try_from(frame.len() - 3).expect("short").to_be_bytes();
            long[..4].copy_from_slice(&said);
            assert!(decode(&mut long).is_err(), "{message:?} and a byte");
        }
    }

    #[test]
    fn lengths_are_not_believed() {
        let too_large = u32::try_from(MOST_FRAME_BYTES + 1).expect("fits");
        for bytes in [
            too_large.to_be_bytes().to_vec(),
            // Rooms: four billion of them.
            [&[0, 0, 0, 17, 2, 0, 0, 0, 0, 0, 0, 0, 0][..], &[255; 8]].concat(),
            vec![0, 0, 0, 1, 200],
            vec![0, 0, 0, 0],
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        ] {
            assert!(
                decode(&mut BytesMut::from(&bytes[..])).is_err(),
                "{bytes:?}"
            );
        }
    }
}
