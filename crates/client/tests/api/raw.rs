//! A server that does what a test says: bytes, HTTP and WebSocket frames by hand.

use std::time::Duration;

use bytes::Bytes;
use kokanee_client::{Client, ClientBuilder, ConnectFailure, Socket, Transport};
use kokanee_websocket::{Decoder, Limits, Message, OpCode, Role, accept_key, encode_header};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{accepted, within};

/// The open packet of a server that pings rarely.
pub(crate) const OPEN: &str = r#"0{"sid":"secret","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
/// The acceptance of `/`.
pub(crate) const ACCEPTED: &str = r#"40{"sid":"public"}"#;
/// A timeout that a test waits for.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

/// Listens on a free port of the loopback interface.
pub(crate) struct Raw {
    listener: TcpListener,
}

impl Raw {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        Self {
            listener: listener.expect("a free port"),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().expect("bound"))
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Wire {
        let (stream, _) = within("a connection", self.listener.accept())
            .await
            .expect("accepted");
        stream.set_nodelay(true).expect("a socket option");
        Wire {
            stream,
            unread: Vec::new(),
            decoder: Decoder::new(Role::Server, Limits::default()),
        }
    }

    /// The next connection, its opening handshake done.
    pub(crate) async fn websocket(&self) -> Wire {
        let mut wire = self.accept().await;
        wire.upgrade().await;
        wire
    }

    /// The next connection whose client has joined `/`.
    pub(crate) async fn joined(&self) -> Wire {
        let mut wire = self.websocket().await;
        wire.text(OPEN).await;
        assert!(wire.next().await.starts_with("40"));
        wire.text(ACCEPTED).await;
        wire
    }

    /// A socket of this server that uses WebSocket only, not connected yet.
    pub(crate) fn socket(&self) -> Socket {
        websocket(self).build().expect("usable options")
    }

    /// Connects a socket of `/`. Returns its connection.
    #[track_caller]
    pub(crate) fn join(&self, socket: &Socket) -> impl Future<Output = Wire> {
        connect_while(socket, self.joined())
    }

    /// Connects a client to `/`. Returns its socket and its connection.
    #[track_caller]
    pub(crate) fn open(&self, builder: ClientBuilder) -> impl Future<Output = (Socket, Wire)> {
        let connecting = accepted(builder.connect());
        async { tokio::join!(connecting, self.joined()) }
    }
}

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
    decoder: Decoder,
}

impl Wire {
    /// Reads the head of a request.
    pub(crate) async fn request(&mut self) -> String {
        let end = loop {
            let found = self.unread.windows(4).position(|four| four == b"\r\n\r\n");
            match found {
                Some(at) => break at + 4,
                None => assert!(self.read().await > 0, "the client has closed"),
            }
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        String::from_utf8(head).expect("text")
    }

    /// Reads a request and its body.
    pub(crate) async fn post(&mut self) -> (String, String) {
        let head = self.request().await;
        let length = head
            .lines()
            .find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0_usize);
        while self.unread.len() < length {
            assert!(self.read().await > 0, "the client has closed");
        }
        let body: Vec<u8> = self.unread.drain(..length).collect();
        (head, String::from_utf8(body).expect("text"))
    }

    async fn read(&mut self) -> usize {
        let read = within("bytes", self.stream.read_buf(&mut self.unread)).await;
        read.unwrap_or(0)
    }

    /// Writes bytes. The client may have gone.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Answers a request with 200, these headers, and this body.
    pub(crate) async fn answer(&mut self, headers: &str, body: &str) {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        self.write(&[head.as_bytes(), body.as_bytes()].concat())
            .await;
    }

    /// Makes the opening handshake. Returns the request.
    pub(crate) async fn upgrade(&mut self) -> String {
        let head = self.request().await;
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-key: "))
            .expect("a request for a WebSocket");
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            accept_key(key.as_bytes())
        );
        self.write(answer.as_bytes()).await;
        head
    }

    /// Sends a text frame.
    pub(crate) async fn text(&mut self, text: &str) {
        self.frame(OpCode::Text, text.as_bytes()).await;
    }

    /// Sends a frame.
    pub(crate) async fn frame(&mut self, opcode: OpCode, content: &[u8]) {
        let header = encode_header(opcode, content.len(), None);
        self.write(&[header.as_slice(), content].concat()).await;
    }

    /// The next message: its text, or the bytes' debug form. `closed` when the client has closed. Pings are answered.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            let next = self.next_or_ping().await;
            match next.strip_prefix("ping ") {
                Some(payload) => self.frame(OpCode::Pong, payload.as_bytes()).await,
                None => return next,
            }
        }
    }

    /// The next message, as [`next`](Self::next), or `ping` and its payload.
    pub(crate) async fn next_or_ping(&mut self) -> String {
        loop {
            let mut input = &mut self.unread[..];
            let before = input.len();
            let message = match self.decoder.decode(&mut input).expect("valid frames") {
                Some(Message::Text(text)) => Some(text.to_owned()),
                Some(Message::Binary(bytes)) => {
                    Some(format!("{:?}", Bytes::copy_from_slice(bytes)))
                }
                Some(Message::Close(_)) => Some("closed".to_owned()),
                Some(Message::Ping(payload)) => Some(format!("ping {}", payload.escape_ascii())),
                Some(Message::Pong(_)) => Some(String::new()),
                None => None,
            };
            let used = before - input.len();
            self.unread.drain(..used);
            match message {
                Some(message) if message.is_empty() => {}
                Some(message) => return message,
                None => {
                    if self.read().await == 0 {
                        return "closed".to_owned();
                    }
                }
            }
        }
    }

    /// Waits until the client has closed, whatever it sends before.
    pub(crate) async fn closed(&mut self) {
        while self.read().await > 0 {}
    }

    /// Writes as much as the client takes within a moment. Returns how much that was.
    pub(crate) async fn flood(&mut self, bytes: &[u8], limit: usize) -> usize {
        let mut written = 0;
        let moment = Duration::from_millis(500);
        while written < limit {
            match tokio::time::timeout(moment, self.stream.write(bytes)).await {
                Ok(Ok(count)) if count == bytes.len() => written += count,
                Ok(Ok(count)) => {
                    written += count;
                    // The rest of the frame, or it would be another one.
                    let rest = self.stream.write_all(&bytes[count..]);
                    match tokio::time::timeout(moment, rest).await {
                        Ok(Ok(())) => written += bytes.len() - count,
                        _ => break,
                    }
                }
                _ => break,
            }
        }
        written
    }
}

/// A client of this server that uses one transport and reconnects at once.
pub(crate) fn client(raw: &Raw, transport: Transport) -> ClientBuilder {
    Client::builder(&raw.url())
        .transports([transport])
        .reconnection_delay(Duration::from_millis(5))
}

/// A client that uses WebSocket only.
pub(crate) fn websocket(raw: &Raw) -> ClientBuilder {
    client(raw, Transport::WebSocket)
}

/// Connects to a server whose part is `script`.
pub(crate) async fn fails(
    builder: ClientBuilder,
    script: impl Future<Output = ()>,
) -> ConnectFailure {
    let connecting = within("a failure", builder.connect());
    let (failure, ()) = tokio::join!(connecting, script);
    failure.expect_err("nobody could connect to this")
}

/// Connects a socket to a server whose part is `script`. Returns what the script returns.
#[track_caller]
pub(crate) fn connect_while<T>(
    socket: &Socket,
    script: impl Future<Output = T>,
) -> impl Future<Output = T> {
    let connecting = accepted(socket.connect());
    async { tokio::join!(connecting, script).1 }
}

/// Disconnects a socket from a server whose part is `script`.
#[track_caller]
pub(crate) fn disconnect_while(
    socket: &Socket,
    script: impl Future<Output = ()>,
) -> impl Future<Output = ()> {
    let disconnecting = within("the end", socket.disconnect());
    async {
        let (ended, ()) = tokio::join!(disconnecting, script);
        ended.expect("all has left");
    }
}

/// A server of long-polling whose client has joined `/`: the connections of its GETs and of its POSTs.
pub(crate) async fn joined_by_polling(raw: &Raw) -> (Wire, Wire) {
    let mut gets = raw.accept().await;
    gets.request().await;
    gets.answer("", OPEN).await;
    let (_, mut posts) = tokio::join!(gets.request(), raw.accept());
    assert_eq!(posts.post().await.1, "40");
    posts.answer("", "ok").await;
    gets.answer("", ACCEPTED).await;
    gets.request().await;
    (gets, posts)
}

/// A client that has joined `/` by polling, and its connections.
pub(crate) async fn polling(raw: &Raw) -> (Socket, Wire, Wire) {
    let connecting = accepted(client(raw, Transport::Polling).connect());
    let (socket, (gets, posts)) = tokio::join!(connecting, joined_by_polling(raw));
    (socket, gets, posts)
}
