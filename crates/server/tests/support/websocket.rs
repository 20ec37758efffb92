//! A raw WebSocket client: frames are built and read by hand, so that any bytes can be sent.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Http, Response, http, within};

/// Opcodes of RFC 6455 5.2.
pub(crate) mod opcode {
    pub(crate) const CONTINUATION: u8 = 0x0;
    pub(crate) const TEXT: u8 = 0x1;
    pub(crate) const BINARY: u8 = 0x2;
    pub(crate) const CLOSE: u8 = 0x8;
    pub(crate) const PING: u8 = 0x9;
    pub(crate) const PONG: u8 = 0xa;
}

/// A frame that the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// FIN, reserved bits and opcode, as they are on the wire.
    pub(crate) first_byte: u8,
    /// The payload.
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The opcode.
    pub(crate) fn opcode(&self) -> u8 {
        self.first_byte & 0x0f
    }

    /// The payload as text.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        assert_eq!(
            self.first_byte,
            0x80 | opcode::TEXT,
            "a whole text frame, not {self:?}"
        );
        String::from_utf8(self.payload.clone()).expect("UTF-8 from the server")
    }
}

/// How the server ended a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WebSocketEnd {
    /// A close frame with this code, then the end of the stream.
    Code(u16),
    /// A close frame without a code, then the end of the stream.
    NoCode,
    /// The end of the stream, or a reset, without a close frame.
    Dropped,
}

/// The bytes of a masked frame. `first_byte` holds FIN, reserved bits and opcode.
pub(crate) fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = header(first_byte, payload.len() as u64, true);
    bytes.extend_from_slice(&MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

/// The bytes of a frame's header, up to the mask.
pub(crate) fn header(first_byte: u8, length: u64, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first_byte];
    if let Ok(short) = u8::try_from(length)
        && short < 126
    {
        bytes.push(bit | short);
    } else if let Ok(medium) = u16::try_from(length) {
        bytes.push(bit | 0x7e);
        bytes.extend_from_slice(&medium.to_be_bytes());
    } else {
        bytes.push(bit | 0x7f);
        bytes.extend_from_slice(&length.to_be_bytes());
    }
    bytes
}

/// One WebSocket after its opening handshake.
#[derive(Debug)]
pub(crate) struct WebSocket {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The 101.
    pub(crate) response: Response,
}

impl WebSocket {
    /// Opens a WebSocket, which the server must accept.
    pub(crate) async fn connect(address: SocketAddr, target: &str) -> Self {
        Self::connect_with(address, target, &[]).await
    }

    /// Opens a WebSocket with header fields of one's own.
    pub(crate) async fn connect_with(
        address: SocketAddr,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let mut http = Http::connect(address).await;
        http.send(http::upgrade(target, headers)).await;
        let response = http.response().await;
        assert_eq!(response.status, 101, "{response:?}");
        assert_eq!(response.header("upgrade"), Some("websocket"));
        assert_eq!(
            response.header("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        let (stream, buffer) = http.into_parts();
        Self {
            stream,
            buffer,
            response,
        }
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket
            .set_linger(Some(Duration::ZERO))
            .expect("a socket option");
    }

    /// Sends exactly these bytes.
    pub(crate) async fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send_raw(bytes).await.expect("the server reads");
    }

    /// Sends these bytes, unless the server has closed the connection.
    pub(crate) async fn try_send_raw(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("room to write", self.stream.write_all(bytes.as_ref())).await
    }

    /// Sends one text message.
    pub(crate) async fn send(&mut self, text: &str) {
        self.send_raw(frame(0x80 | opcode::TEXT, text.as_bytes()))
            .await;
    }

    /// Sends one binary message.
    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) {
        self.send_raw(frame(0x80 | opcode::BINARY, bytes)).await;
    }

    /// Sends a close frame with this code.
    pub(crate) async fn send_close(&mut self, code: u16) {
        self.send_raw(frame(0x80 | opcode::CLOSE, &code.to_be_bytes()))
            .await;
    }

    /// Reads one frame; `None` at the end of the stream.
    #[track_caller]
    pub(crate) fn try_frame(&mut self) -> impl Future<Output = Option<Frame>> {
        within("a WebSocket frame or the end", self.read_frame())
    }

    /// Reads one frame.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> impl Future<Output = Frame> {
        let frame = within("a WebSocket frame", self.read_frame());
        async { frame.await.expect("a frame, not the end of the connection") }
    }

    /// Reads one text message.
    pub(crate) async fn text(&mut self) -> String {
        self.frame().await.text()
    }

    /// Reads one text message, answering the pings of revision 4 that come before it.
    pub(crate) async fn text_after_pings(&mut self) -> String {
        loop {
            let text = self.text().await;
            if text != "2" {
                return text;
            }
            self.send("3").await;
        }
    }

    /// Waits until the server has read what was sent so far: it answers a ping after that.
    pub(crate) async fn is_read(&mut self) {
        self.send_raw(frame(0x80 | opcode::PING, b"read?")).await;
        let pong = self.frame().await;
        assert_eq!(pong.first_byte, 0x80 | opcode::PONG, "{pong:?}");
        assert_eq!(pong.payload, b"read?");
    }

    /// Reads one binary message.
    pub(crate) async fn binary(&mut self) -> Vec<u8> {
        let frame = self.frame().await;
        assert_eq!(
            frame.first_byte,
            0x80 | opcode::BINARY,
            "a whole binary frame, not {frame:?}"
        );
        frame.payload
    }

    /// Joins `/` and returns the answer.
    pub(crate) async fn join(&mut self) -> String {
        self.send("40").await;
        self.text_after_pings().await
    }

    /// Reads to the end. Returns the frames before the close frame, too.
    #[track_caller]
    pub(crate) fn drain(&mut self) -> impl Future<Output = (Vec<Frame>, WebSocketEnd)> {
        within("the end of the WebSocket", async {
            let mut frames = Vec::new();
            let mut end = WebSocketEnd::Dropped;
            while let Some(frame) = self.read_frame().await {
                assert_eq!(end, WebSocketEnd::Dropped, "{frame:?} after a close frame");
                if frame.opcode() != opcode::CLOSE {
                    frames.push(frame);
                    continue;
                }
                end = match *frame.payload.as_slice() {
                    [] => WebSocketEnd::NoCode,
                    [high, low, ..] => WebSocketEnd::Code(u16::from_be_bytes([high, low])),
                    [_] => panic!("half a close code"),
                };
            }
            (frames, end)
        })
    }

    /// Reads to the end and returns how the server ended.
    pub(crate) async fn end(&mut self) -> WebSocketEnd {
        self.drain().await.1
    }

    /// Whether nothing comes, not even the end, for this long.
    pub(crate) async fn is_silent_for(&mut self, time: Duration) -> bool {
        self.buffer.is_empty() && tokio::time::timeout(time, self.fill()).await.is_err()
    }

    /// The stream itself, for socket options.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    async fn fill(&mut self) -> bool {
        self.buffer.reserve(4096);
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..))
    }

    async fn read_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, used)) = parse(&self.buffer) {
                self.buffer.drain(..used);
                return Some(frame);
            }
            if !self.fill().await {
                return None;
            }
        }
    }
}

/// The first frame of `bytes` and how many of them it is.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let [first_byte, short] = *bytes.first_chunk()?;
    assert_eq!(short & 0x80, 0, "a server does not mask");
    let (length, start) = match short {
        126 => (u64::from(u16::from_be_bytes(*bytes[2..].first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*bytes[2..].first_chunk()?), 10),
        short => (u64::from(short), 2),
    };
    let end = start + usize::try_from(length).expect("a length");
    let payload = bytes.get(start..end)?.to_vec();
    Some((
        Frame {
            first_byte,
            payload,
        },
        end,
    ))
}
