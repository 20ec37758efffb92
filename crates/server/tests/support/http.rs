//! A raw HTTP/1.1 client: sends exactly the bytes it is given, reads status, header fields and body.

use std::{fmt::Write, io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::within;

/// The bytes of a GET.
pub(crate) fn get(target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    request("GET", target, headers, None)
}

/// The bytes of a POST.
pub(crate) fn post(target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let has_type = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let mut all = headers.to_vec();
    if !has_type {
        all.push(("Content-Type", "text/plain;charset=UTF-8"));
    }
    request("POST", target, &all, Some(body))
}

/// The bytes of any request. `Host` and `Content-Length` are added.
pub(crate) fn request(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if let Some(body) = body {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    let mut request = head.into_bytes();
    request.extend_from_slice(body.unwrap_or_default());
    request
}

/// The bytes of a WebSocket's opening handshake.
pub(crate) fn upgrade(target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut all = vec![
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    all.extend_from_slice(headers);
    request("GET", target, &all, None)
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// For instance `HTTP/1.1 200 OK`.
    pub(crate) status_line: String,
    /// The status.
    pub(crate) status: u16,
    /// The header fields in order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, chunks joined.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The first field of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let field = self
            .headers
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str())
    }

    /// All fields of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self
            .headers
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text; other bytes become U+FFFD.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Status and body: enough to compare most answers.
    pub(crate) fn brief(&self) -> (u16, String) {
        (self.status, self.text())
    }
}

/// One HTTP connection. A body that was not read stays for the next call.
#[derive(Debug)]
pub(crate) struct Http {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Http {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within("a TCP connection", TcpStream::connect(address)).await;
        let stream = stream.expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP option");
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// The stream, and what was read of it but not used.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.buffer)
    }

    /// The stream itself, for half-closing and socket options.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Lets only little be under way, so that the server's end of the connection comes while something is being sent.
    pub(crate) fn send_slowly(&mut self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket
            .set_send_buffer_size(16 * 1024)
            .expect("a socket option");
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("a socket option");
    }

    /// Says that nothing more will be sent. Answers can still be read.
    pub(crate) async fn shutdown(&mut self) {
        // A server that has closed already is fine.
        let _ = self.stream.shutdown().await;
    }

    /// Sends exactly these bytes.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("the server reads");
    }

    /// Sends these bytes, unless the server has closed the connection.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("room to write", self.stream.write_all(bytes.as_ref())).await
    }

    /// `GET` on this connection.
    pub(crate) async fn get(&mut self, target: &str) -> Response {
        self.send(get(target, &[])).await;
        self.response().await
    }

    /// `POST` on this connection.
    pub(crate) async fn post(&mut self, target: &str, body: impl AsRef<[u8]>) -> Response {
        self.send(post(target, &[], body.as_ref())).await;
        self.response().await
    }

    /// Reads one answer.
    #[track_caller]
    pub(crate) fn response(&mut self) -> impl Future<Output = Response> {
        let answer = within("an HTTP answer", self.read_response());
        async {
            answer
                .await
                .expect("an answer, not the end of the connection")
        }
    }

    /// Reads one answer; `None` if the connection ends before it is complete.
    #[track_caller]
    pub(crate) fn try_response(&mut self) -> impl Future<Output = Option<Response>> {
        within("an HTTP answer or the end", self.read_response())
    }

    /// Waits until the server reads the body of a request that has `Expect: 100-continue`.
    pub(crate) async fn may_continue(&mut self) {
        let answer = within("100 Continue", self.read_any_response()).await;
        assert_eq!(answer.map(|answer| answer.status), Some(100));
    }

    /// Waits until the server ends the connection. Returns what it sent before.
    #[track_caller]
    pub(crate) fn end(&mut self) -> impl Future<Output = Vec<u8>> {
        within("the end of the connection", async {
            while self.fill().await {}
            std::mem::take(&mut self.buffer)
        })
    }

    /// Whether nothing comes, not even the end, for this long.
    pub(crate) async fn is_silent_for(&mut self, time: std::time::Duration) -> bool {
        self.buffer.is_empty() && tokio::time::timeout(time, self.fill()).await.is_err()
    }

    /// Whether anything of an answer comes in a short time.
    pub(crate) async fn has_answer(&mut self) -> bool {
        !self.buffer.is_empty()
            || !self
                .is_silent_for(std::time::Duration::from_millis(50))
                .await
    }

    /// Reads something; `false` at the end.
    async fn fill(&mut self) -> bool {
        self.buffer.reserve(4096);
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..))
    }

    async fn read_response(&mut self) -> Option<Response> {
        loop {
            let response = self.read_any_response().await?;
            if response.status != 100 {
                return Some(response);
            }
        }
    }

    async fn read_any_response(&mut self) -> Option<Response> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8(head).expect("a head of text");
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().expect("a status line").to_owned();
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .expect("a status");
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').expect("a header field"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut response = Response {
            status_line,
            status,
            headers,
            body: Vec::new(),
        };
        if response.header("transfer-encoding") == Some("chunked") {
            response.body = self.read_chunks().await?;
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().expect("a length");
            response.body = self.take(length).await?;
        } else if !matches!(status, 100 | 101 | 204 | 304) {
            while self.fill().await {}
            response.body = std::mem::take(&mut self.buffer);
        }
        Some(response)
    }

    async fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.fill().await {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }

    async fn read_chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = find(&self.buffer, b"\r\n") {
                    break at;
                }
                if !self.fill().await {
                    return None;
                }
            };
            let line = self.take(end + 2).await?;
            let size = std::str::from_utf8(&line[..end]).expect("a chunk size");
            let size = usize::from_str_radix(size, 16).expect("a chunk size");
            let chunk = self.take(size + 2).await?;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Some(body);
            }
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
