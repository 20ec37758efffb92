//! Hand-written connections for misbehaving clients: HTTP requests in pieces, and sockets that are not read. Used by [`memory`](super::memory) and [`soak`](super::soak).

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Timeout of every wait for the server, which elapses only if something is broken.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits with a timeout.
pub(super) async fn within<T>(
    what: &str,
    future: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    timeout(LIMIT, future)
        .await
        .with_context(|| format!("no answer in {LIMIT:?}: {what}"))?
}

/// A connection for consecutive requests.
pub(super) struct Http {
    pub(super) stream: TcpStream,
    address: SocketAddr,
    read: Vec<u8>,
}

impl Http {
    pub(super) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            address,
            read: Vec::new(),
        })
    }

    /// Opens a polling session, and returns its id.
    pub(super) async fn open(&mut self) -> anyhow::Result<String> {
        let body = self.get("").await?;
        let after = body.split_once("\"sid\":\"").context("no session id")?.1;
        let sid = after.split_once('"').context("no end of the id")?.0;
        Ok(sid.to_owned())
    }

    /// Sends a GET, with or without a session, and returns the body of the response.
    pub(super) async fn get(&mut self, sid: &str) -> anyhow::Result<String> {
        let target = target(sid);
        let head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        within("GET", self.exchange(head.as_bytes())).await
    }

    /// Sends a POST of a session.
    pub(super) async fn post(&mut self, sid: &str, body: &str) -> anyhow::Result<()> {
        let request = format!("{}{body}", self.post_head(sid, body.len()));
        within("POST", self.exchange(request.as_bytes())).await?;
        Ok(())
    }

    /// Returns the head of a POST with this content length, for a body that is sent in pieces.
    pub(super) fn post_head(&self, sid: &str, length: usize) -> String {
        let target = target(sid);
        let host = self.address;
        format!("POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n")
    }

    /// Sends a GET without waiting for the response.
    pub(super) async fn begin_get(&mut self, sid: &str) -> anyhow::Result<()> {
        let target = target(sid);
        let head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        Ok(self.stream.write_all(head.as_bytes()).await?)
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<String> {
        self.stream.write_all(request).await?;
        let head = read_head(&mut self.stream, &mut self.read).await?;
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(Ok(0), |(_, length)| length.trim().parse::<usize>())?;
        while self.read.len() < length {
            let read = self.stream.read_buf(&mut self.read).await?;
            ensure!(read > 0, "closed within a response");
        }
        let body = String::from_utf8(self.read.drain(..length).collect())?;
        match head.split(' ').nth(1) {
            Some("200") => Ok(body),
            _ => bail!("{}: {body}", head.lines().next().unwrap_or_default()),
        }
    }
}

/// Reads the head of a response. Bytes after it stay in `read`.
async fn read_head(stream: &mut TcpStream, read: &mut Vec<u8>) -> anyhow::Result<String> {
    loop {
        let end = read.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if let Some(end) = end {
            return Ok(String::from_utf8(read.drain(..end + 4).collect())?);
        }
        let more = stream.read_buf(read).await?;
        ensure!(more > 0, "closed without a response");
    }
}

fn target(sid: &str) -> String {
    match sid {
        "" => "/socket.io/?EIO=4&transport=polling".to_owned(),
        sid => format!("/socket.io/?EIO=4&transport=polling&sid={sid}"),
    }
}

/// A WebSocket. Messages are not decoded, only searched for text.
pub(super) struct WebSocket {
    pub(super) stream: TcpStream,
    read: Vec<u8>,
}

impl WebSocket {
    /// Opens one with a new session, or upgrades a polling session.
    pub(super) async fn open(address: SocketAddr, sid: &str) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let target = target(sid).replace("=polling", "=websocket");
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let mut read = Vec::new();
        let head = within("a WebSocket's handshake", async {
            stream.write_all(request.as_bytes()).await?;
            read_head(&mut stream, &mut read).await
        })
        .await?;
        ensure!(head.starts_with("HTTP/1.1 101"), "no WebSocket: {head}");
        Ok(Self { stream, read })
    }

    /// Opens one, and joins a namespace.
    pub(super) async fn join(address: SocketAddr, namespace: &str) -> anyhow::Result<Self> {
        let mut websocket = Self::open(address, "").await?;
        let (connect, accepted) = match namespace {
            "/" => ("40".to_owned(), "40{".to_owned()),
            other => (format!("40{other},"), format!("40{other},{{")),
        };
        websocket.send(&connect).await?;
        websocket.wait_for(&accepted).await?;
        Ok(websocket)
    }

    /// Sends a text message.
    pub(super) async fn send(&mut self, text: &str) -> anyhow::Result<()> {
        self.send_frame(0x81, text.as_bytes()).await
    }

    /// Sends a message of one frame with this first byte, masked with a zero key.
    pub(super) async fn send_frame(&mut self, first: u8, content: &[u8]) -> anyhow::Result<()> {
        let mut frame = vec![first];
        match content.len() {
            short @ ..=125 => frame.push(0x80 | u8::try_from(short)?),
            length => {
                frame.push(0xfe);
                frame.extend(u16::try_from(length)?.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(content);
        within("a WebSocket's write", async {
            Ok(self.stream.write_all(&frame).await?)
        })
        .await
    }

    /// Reads until this text arrives, and discards everything up to its end.
    pub(super) async fn wait_for(&mut self, text: &str) -> anyhow::Result<()> {
        within(text, async {
            loop {
                let found = self
                    .read
                    .windows(text.len())
                    .position(|bytes| bytes == text.as_bytes());
                if let Some(at) = found {
                    self.read.drain(..at + text.len());
                    return Ok(());
                }
                let read = self.stream.read_buf(&mut self.read).await?;
                ensure!(read > 0, "closed before {text}");
            }
        })
        .await
    }
}
