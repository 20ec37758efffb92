//! WebSocket connections whose messages a host hands over one by one (ASGI): a stream in memory, on which the host plays the network.
//!
//! The engine sees bytes as on any other connection; this file makes frames of what the host received, and messages of the
//! frames that the engine writes. So the server has one kind of WebSocket, and every rule holds here, too.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, BytesMut};
use http::{HeaderMap, Request, header};
use http_body_util::Empty;
use kokanee_server::Server;
use kokanee_websocket::{Decoder, Limits, Message, OpCode, Role, encode_header};
use parking_lot::Mutex;
use pyo3::{prelude::*, types::PyBytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Handle,
};

use crate::queue::{Event, Queue};

/// Bytes that may wait in one direction before its writer waits.
const MOST_BYTES: usize = 256 * 1024;

/// What the engine has written, as messages.
enum Outgoing {
    Accept(Vec<(String, String)>),
    Refuse {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    Text(String),
    Binary(Vec<u8>),
    Close(u16),
}

#[derive(Default)]
struct Incoming {
    bytes: BytesMut,
    reader: Option<Waker>,
    ended: bool,
    /// The host waits for room.
    full: bool,
}

struct Outbox {
    /// The response's head, until it is complete. One that refuses the WebSocket stays, with the body after it.
    head: Option<Vec<u8>>,
    decoder: Decoder,
    messages: VecDeque<Outgoing>,
    bytes: usize,
    writer: Option<Waker>,
    ended: bool,
}

struct Shared {
    id: u64,
    queue: Arc<Queue>,
    incoming: Mutex<Incoming>,
    outbox: Mutex<Outbox>,
}

impl Shared {
    fn push(&self, outbox: &mut Outbox, message: Outgoing) {
        outbox.bytes += match &message {
            Outgoing::Text(text) => text.len(),
            Outgoing::Binary(bytes) => bytes.len(),
            _ => 0,
        };
        if outbox.messages.is_empty() {
            self.queue.push(Event::Channel(self.id));
        }
        outbox.messages.push_back(message);
    }

    fn end(&self, outbox: &mut Outbox, code: u16) {
        if outbox.ended {
            return;
        }
        outbox.ended = true;
        let last = match outbox.head.take() {
            Some(response) => refusal(&response),
            None => Outgoing::Close(code),
        };
        self.push(outbox, last);
    }

    /// Takes bytes that the engine has written.
    fn written(&self, bytes: &[u8]) -> io::Result<()> {
        let mut outbox = self.outbox.lock();
        let mut bytes = bytes.to_vec();
        if let Some(head) = &mut outbox.head {
            head.append(&mut bytes);
            let Some(end) = end_of_head(head) else {
                return Ok(());
            };
            let (status, headers) = read_head(&head[..end]);
            if status != 101 {
                return Ok(());
            }
            bytes = head.split_off(end);
            outbox.head = None;
            self.push(&mut outbox, Outgoing::Accept(headers));
        }
        if outbox.ended {
            return Ok(());
        }
        let mut input = bytes.as_mut_slice();
        loop {
            let message = match outbox.decoder.decode(&mut input) {
                Ok(None) => return Ok(()),
                Ok(Some(Message::Text(text))) => Outgoing::Text(text.to_owned()),
                Ok(Some(Message::Binary(bytes))) => Outgoing::Binary(bytes.to_vec()),
                Ok(Some(Message::Close(frame))) => {
                    let code = frame.map_or(1000, |frame| frame.code.as_u16());
                    self.end(&mut outbox, code);
                    return Ok(());
                }
                // The host answers the pings of its own connection.
                Ok(Some(_)) => continue,
                Err(error) => return Err(io::Error::other(error)),
            };
            self.push(&mut outbox, message);
        }
    }
}

fn end_of_head(response: &[u8]) -> Option<usize> {
    let end = response.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(end + 4)
}

/// The status of a response's head, and the headers that are not the host's to write.
fn read_head(head: &[u8]) -> (u16, Vec<(String, String)>) {
    const OF_THE_HOST: [&str; 6] = [
        "upgrade",
        "connection",
        "content-length",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-version",
    ];
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| !OF_THE_HOST.contains(name))
        .map(|(name, value)| (name.into(), value.into()));
    let status = status.and_then(|status| status.parse().ok());
    (status.unwrap_or(500), headers.collect())
}

/// A response that refuses the WebSocket.
fn refusal(response: &[u8]) -> Outgoing {
    let end = end_of_head(response).unwrap_or(response.len());
    let (status, headers) = read_head(&response[..end]);
    let body = response[end..].to_vec();
    Outgoing::Refuse {
        status,
        headers,
        body,
    }
}

/// The engine's end of the stream.
pub(crate) struct Stream(Arc<Shared>);

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut incoming = self.0.incoming.lock();
        if incoming.bytes.is_empty() {
            if incoming.ended {
                return Poll::Ready(Ok(()));
            }
            incoming.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = buf.remaining().min(incoming.bytes.len());
        buf.put_slice(&incoming.bytes[..len]);
        incoming.bytes.advance(len);
        if incoming.bytes.is_empty() {
            incoming.bytes = BytesMut::new();
            if std::mem::take(&mut incoming.full) {
                self.0.queue.push(Event::Channel(self.0.id));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        {
            let mut outbox = self.0.outbox.lock();
            if outbox.bytes >= MOST_BYTES && !outbox.ended {
                outbox.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        Poll::Ready(self.0.written(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.end(&mut self.0.outbox.lock(), 1000);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.end(&mut self.0.outbox.lock(), 1006);
    }
}

/// The host's end of a WebSocket.
#[pyclass(frozen, module = "kokanee._engine")]
pub(crate) struct Channel(Arc<Shared>);

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("id", &self.0.id).finish()
    }
}

#[pymethods]
impl Channel {
    #[getter]
    fn id(&self) -> u64 {
        self.0.id
    }

    /// Hands over a message of the client, which is read after `Engine.flush_fed`. `False` says to wait for room: an event
    /// with the channel's id comes then.
    fn feed(&self, message: &Bound<'_, PyAny>) -> PyResult<bool> {
        if let Ok(bytes) = message.cast::<PyBytes>() {
            return Ok(self.frame(OpCode::Binary, bytes.as_bytes()));
        }
        let text: &str = message.extract()?;
        Ok(self.frame(OpCode::Text, text.as_bytes()))
    }

    /// The client's connection has ended.
    fn end(&self) {
        let mut incoming = self.0.incoming.lock();
        incoming.ended = true;
        if let Some(reader) = incoming.reader.take() {
            reader.wake();
        }
    }

    /// Takes what the engine has for the client: `("accept", headers)`, text, bytes, and at the end `("close", code)` or
    /// `("refuse", status, headers, body)`.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let (messages, writer) = {
            let mut outbox = self.0.outbox.lock();
            outbox.bytes = 0;
            (std::mem::take(&mut outbox.messages), outbox.writer.take())
        };
        if let Some(writer) = writer {
            writer.wake();
        }
        messages
            .into_iter()
            .map(|message| match message {
                Outgoing::Accept(headers) => Ok(("accept", headers).into_pyobject(py)?.into_any()),
                Outgoing::Refuse {
                    status,
                    headers,
                    body,
                } => {
                    let body = PyBytes::new(py, &body);
                    Ok(("refuse", status, headers, body)
                        .into_pyobject(py)?
                        .into_any())
                }
                Outgoing::Text(text) => Ok(text.into_pyobject(py)?.into_any()),
                Outgoing::Binary(bytes) => Ok(PyBytes::new(py, &bytes).into_any()),
                Outgoing::Close(code) => Ok(("close", code).into_pyobject(py)?.into_any()),
            })
            .collect()
    }
}

impl Channel {
    /// The message as a frame of a client, masked with a key of zeros: that leaves the payload as it is.
    fn frame(&self, opcode: OpCode, payload: &[u8]) -> bool {
        let mut incoming = self.0.incoming.lock();
        let header = encode_header(opcode, payload.len(), Some([0; 4]));
        incoming.bytes.extend_from_slice(header.as_slice());
        incoming.bytes.extend_from_slice(payload);
        if let Some(reader) = incoming.reader.take() {
            self.0.queue.add_fed(reader);
        }
        incoming.full = incoming.bytes.len() >= MOST_BYTES;
        !incoming.full
    }
}

/// Adds what the host has taken out of the request for itself, and removes what it has agreed with the client.
pub(crate) fn complete(headers: &mut HeaderMap) {
    use http::HeaderValue;
    headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(
        header::SEC_WEBSOCKET_VERSION,
        HeaderValue::from_static("13"),
    );
    headers
        .entry(header::SEC_WEBSOCKET_KEY)
        .or_insert(HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="));
}

/// Opens a WebSocket whose messages the host hands over. `serve` gets its stream.
pub(crate) fn open<F>(
    runtime: &Handle,
    queue: &Arc<Queue>,
    id: u64,
    serve: impl FnOnce(Stream) -> F,
) -> Channel
where
    F: Future<Output = ()> + Send + 'static,
{
    let shared = Arc::new(Shared {
        id,
        queue: Arc::clone(queue),
        incoming: Mutex::default(),
        outbox: Mutex::new(Outbox {
            head: Some(Vec::new()),
            // What it decodes is the engine's own, which has its limits.
            decoder: Decoder::new(
                Role::Client,
                Limits {
                    max_message_bytes: usize::MAX,
                    ..Limits::default()
                },
            ),
            messages: VecDeque::new(),
            bytes: 0,
            writer: None,
            ended: false,
        }),
    });
    runtime.spawn(serve(Stream(Arc::clone(&shared))));
    Channel(shared)
}

/// Answers the request of a WebSocket.
pub(crate) async fn accept(
    server: Server,
    stream: Stream,
    request: Request<Empty<bytes::Bytes>>,
    address: Option<std::net::SocketAddr>,
) {
    if let Err(error) = server.accept(stream, request, &[], address).await {
        tracing::debug!(%error, "a WebSocket ended before it was accepted");
    }
}
