//! permessage-deflate against the implementations that the published servers use: ws on Node, websockets for Python.
//!
//! The frames are made here, so that every combination of options can be had.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use kokanee_client_interop::{Kind, Program, within};
use kokanee_websocket::{
    Compressor, Decoder, DeflateAgreement, DeflateOptions, EXTENSIONS_HEADER, Limits, Message,
    OpCode, Role, WindowBits, apply_mask, encode_header,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A WebSocket that speaks as a client does.
struct WebSocket {
    stream: TcpStream,
    decoder: Decoder,
    compressor: Compressor,
    agreement: DeflateAgreement,
    /// What was received and not decoded.
    unread: Vec<u8>,
    compressed_sent: usize,
    compressed_received: usize,
}

impl WebSocket {
    async fn open(port: u16, options: &DeflateOptions) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{EXTENSIONS_HEADER}: {}\r\n\r\n",
            options.offer()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let answers = head.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(EXTENSIONS_HEADER)
                .then_some(value.trim())
        });
        let agreement = options.accept_answer(answers).unwrap();
        let agreement = agreement.unwrap_or_else(|| panic!("no compression: {head}"));
        Self {
            stream,
            decoder: Decoder::with_deflate(Role::Client, Limits::default(), &agreement),
            compressor: Compressor::new(agreement),
            agreement,
            unread: Vec::new(),
            compressed_sent: 0,
            compressed_received: 0,
        }
    }

    async fn send(&mut self, text: &str) {
        let key = [1, 2, 3, 4];
        let (header, mut payload) = match self.compressor.compress(text.as_bytes()) {
            Some(payload) => {
                self.compressed_sent += 1;
                let header = encode_header(OpCode::Text, payload.len(), Some(key));
                (header.compressed(), payload)
            }
            None => {
                let header = encode_header(OpCode::Text, text.len(), Some(key));
                (header, text.as_bytes().to_vec())
            }
        };
        apply_mask(&mut payload, key, 0);
        let frame = [header.as_slice(), &payload].concat();
        self.stream.write_all(&frame).await.unwrap();
    }

    async fn receive(&mut self) -> String {
        loop {
            let is_compressed = self.unread.first().is_some_and(|byte| byte & 0x40 != 0)
                && !self.decoder.is_mid_message();
            self.compressed_received += usize::from(is_compressed);
            let mut input = self.unread.as_mut_slice();
            let text = match self.decoder.decode(&mut input).unwrap() {
                Some(Message::Text(text)) => Some(text.to_owned()),
                Some(other) => panic!("{other:?}"),
                None => None,
            };
            self.unread = input.to_vec();
            if let Some(text) = text {
                return text;
            }
            let count = self.stream.read_buf(&mut self.unread).await.unwrap();
            assert!(count > 0, "the server has closed");
        }
    }
}

/// Echoes texts of all sizes, and tells how many of them were compressed, sent and received.
async fn echo(port: u16, options: &DeflateOptions) -> (DeflateAgreement, usize, usize) {
    let mut socket = WebSocket::open(port, options).await;
    assert!(socket.receive().await.starts_with('0'));
    socket.send("40").await;
    assert!(socket.receive().await.starts_with("40{"));
    let sizes = [1, 10, 100, 1000, 10_000, 100_000, 30, 700_000, 5, 3000];
    for (id, size) in sizes.into_iter().cycle().take(30).enumerate() {
        let words = (0..).map(|at: usize| format!("word {} ", (at * at + id) % 977));
        let text: String = words
            .flat_map(String::into_bytes)
            .map(char::from)
            .take(size)
            .collect();
        socket.send(&format!(r#"42{id}["echo","{text}"]"#)).await;
        assert!(
            socket.receive().await == format!(r#"43{id}["{text}"]"#),
            "{size}"
        );
    }
    (
        socket.agreement,
        socket.compressed_sent,
        socket.compressed_received,
    )
}

/// The options that matter: contexts kept on neither side, on both, or with small windows.
fn options() -> Vec<DeflateOptions> {
    let window = |bits| WindowBits::new(bits).unwrap();
    let all = DeflateOptions {
        threshold_bytes: 0,
        ..DeflateOptions::default()
    };
    vec![
        all,
        DeflateOptions {
            keep_own_context: true,
            ..all
        },
        DeflateOptions {
            keep_peer_context: true,
            ..all
        },
        DeflateOptions {
            keep_own_context: true,
            keep_peer_context: true,
            own_window: window(9),
            peer_window: window(10),
            ..all
        },
        DeflateOptions {
            own_window: window(9),
            level: 1,
            ..all
        },
    ]
}

async fn compresses_both_ways(server: Program) {
    for options in options() {
        let port = server.port();
        let (agreement, sent, received) = within("echoes", echo(port, &options)).await;
        // The shortest do not become shorter.
        assert!(sent >= 20 && received >= 20, "{sent} {received}");
        assert!(agreement.keeps_own_context() <= options.keep_own_context);
        assert!(agreement.keeps_peer_context() <= options.keep_peer_context);
    }
    server.stop().await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn ws_of_node_compresses_both_ways() {
    compresses_both_ways(Program::start(Kind::SocketIo4, &["--deflate"], 0).await).await;
}

#[tokio::test]
#[ignore = "needs Python and its packages"]
async fn websockets_of_python_compresses_both_ways() {
    compresses_both_ways(Program::start(Kind::Python, &[], 0).await).await;
}
