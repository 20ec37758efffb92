//! The WebSocket of a session: its opening handshake, and its frames on their way out.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use kokanee_engineio::{ClientSession, CloseReason, Message, Transport};
use kokanee_io::{Frames, PING_PAYLOAD, ReadEnd, Rest, Stream, WebSocketIo};
use kokanee_websocket::{
    Compressor, Decoder, DeflateAgreement, DeflateOptions, EXTENSIONS_HEADER, KEY_BYTES, Limits,
    OpCode, Role, VERSION, accept_key, apply_mask, encode_header, encode_key,
};

use super::{
    budget::Budget,
    config::EngineConfig,
    cookies::Cookies,
    dial::dial,
    error::ConnectFailure,
    mask::mask_key,
    refusal::no_websocket,
    request::{Driven, FullResponse, interrupted as broken, request},
};
use crate::reason::CloseDetails;

/// Longest body of a refusal that is read.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// Bytes of frames that are made at a time.
const MAX_PENDING_BYTES: usize = 64 * 1024;

/// A WebSocket that is open.
pub(crate) struct WebSocket {
    pub(crate) io: WebSocketIo,
    pub(crate) pending: Pending,
}

impl WebSocket {
    /// Makes the opening handshake on a new connection. Spec: RFC 6455 4.1.
    pub(crate) async fn open(
        config: &EngineConfig,
        cookies: &mut Cookies,
        sid: Option<&str>,
    ) -> Result<Self, ConnectFailure> {
        let mut random = [0; KEY_BYTES];
        getrandom::fill(&mut random).map_err(|error| interrupted(io::Error::other(error)))?;
        let key = encode_key(random);
        let mut request = request(
            config,
            cookies,
            Method::GET,
            Transport::WebSocket,
            sid,
            Bytes::new(),
        )?;
        let headers = request.headers_mut();
        let mut set = |name: header::HeaderName, value: &str| {
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        };
        set(header::CONNECTION, "Upgrade");
        set(header::UPGRADE, "websocket");
        set(header::SEC_WEBSOCKET_VERSION, VERSION);
        set(header::SEC_WEBSOCKET_KEY, &key);
        let deflate = config.compression.then(DeflateOptions::default);
        if let Some(deflate) = &deflate {
            set(header::SEC_WEBSOCKET_EXTENSIONS, &deflate.offer());
        }
        let stream = dial(config).await?;
        let (mut sender, connection) = http1::Builder::new()
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let mut connection = Driven::new(connection.with_upgrades());
        let exchange = async {
            let response = sender.send_request(request).await;
            let response = response.map_err(broken)?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Err(no_websocket(config, &read_refusal(response).await));
            }
            let headers = response.headers().clone();
            let upgraded = hyper::upgrade::on(response).await;
            Ok((
                headers,
                upgraded.map_err(|error| interrupted(io::Error::other(error)))?,
            ))
        };
        let (headers, upgraded) = connection.drive(exchange).await?;
        let agreement = check(config, &headers, &key, deflate.as_ref())?;
        cookies.take(&headers);
        let parts = upgraded
            .downcast::<TokioIo<Stream>>()
            .map_err(|_| interrupted(io::Error::other("the connection cannot be taken over")))?;
        let limits = Limits {
            max_message_bytes: config.max_message_bytes,
            ..Limits::default()
        };
        let decoder = match &agreement {
            Some(agreement) => Decoder::with_deflate(Role::Client, limits, agreement),
            None => Decoder::new(Role::Client, limits),
        };
        Ok(Self {
            io: WebSocketIo::client(parts.io.into_inner(), &parts.read_buf, decoder, mask_key),
            pending: Pending {
                bytes: Vec::new(),
                written: 0,
                compressor: agreement.map(|agreement| Box::new(Compressor::new(agreement))),
            },
        })
    }

    /// Hands frames to the session, and their messages to `on_message`, until there are no more.
    pub(crate) fn read(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        session: &mut ClientSession,
        budget: &mut Budget,
        on_message: &mut dyn FnMut(Message),
    ) {
        while !budget.is_spent() && self.io.read_end().is_none() {
            let read = self.io.poll_read(cx, now, |_, frame| {
                budget.spend(frame.len());
                if let Some(message) = session.handle_frame(now, frame) {
                    on_message(message);
                }
                !budget.is_spent()
            });
            if self.io.take_pong() {
                session.handle_pong(now);
            }
            match self.io.read_end() {
                Some(ReadEnd::Closed) => {
                    session.handle_transport_closed(CloseReason::TransportClose);
                }
                // The client does not ask for the last.
                Some(ReadEnd::Failed | ReadEnd::TooLarge | ReadEnd::TimedOut) => {
                    session.handle_transport_closed(CloseReason::TransportError);
                }
                // The task is woken when there is more.
                None if read != Poll::Ready(Rest::Perhaps) => break,
                None => {}
            }
        }
    }

    /// Writes the session's packets, until the stream takes no more.
    pub(crate) fn write(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        session: &mut ClientSession,
    ) -> io::Result<()> {
        loop {
            self.pending.fill(session, now);
            let waiting = self.pending.len();
            let written = self.io.poll_write(cx, now, Some(&mut self.pending))?;
            if written.is_ready() || self.pending.len() < waiting {
                session.handle_written(now, written.is_ready());
            }
            if written.is_pending() || !session.has_packet() {
                return Ok(());
            }
        }
    }

    /// Returns what the server has said as it closed the WebSocket.
    pub(crate) fn close_details(&self) -> Option<CloseDetails> {
        let (code, reason) = self.io.close_frame()?;
        Some(CloseDetails {
            code: Some(code.as_u16()),
            reason: reason.to_owned(),
        })
    }
}

fn interrupted(source: io::Error) -> ConnectFailure {
    ConnectFailure::Interrupted { source }
}

async fn read_refusal(response: Response<Incoming>) -> FullResponse {
    let (parts, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(frame)) = incoming.frame().await {
        if let Ok(data) = frame.into_data() {
            body.extend_from_slice(&data);
        }
        if body.len() > MAX_REFUSAL_BYTES {
            break;
        }
    }
    FullResponse {
        status: parts.status,
        headers: parts.headers,
        body: body.into(),
    }
}

/// Checks the server's answer. Spec: RFC 6455 4.2.2 and 4.1, RFC 7692 5.1.
fn check(
    config: &EngineConfig,
    headers: &HeaderMap,
    key: &str,
    deflate: Option<&DeflateOptions>,
) -> Result<Option<DeflateAgreement>, ConnectFailure> {
    let fault = |reason: &str| ConnectFailure::NotSocketIo {
        path: config.path.clone(),
        reason: format!("its WebSocket handshake is wrong, {reason}"),
    };
    let accept = headers.get(header::SEC_WEBSOCKET_ACCEPT);
    if accept.map(http::HeaderValue::as_bytes) != Some(accept_key(key.as_bytes()).as_bytes()) {
        return Err(fault("the key is not accepted"));
    }
    let extensions: Vec<_> = headers
        .get_all(EXTENSIONS_HEADER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    match deflate {
        Some(deflate) => deflate
            .accept_answer(extensions)
            .map_err(|error| fault(&error.to_string())),
        None if extensions.is_empty() => Ok(None),
        None => Err(fault("it uses an extension that was not offered")),
    }
}

thread_local! {
    /// Memory for the next frames of the thread.
    static KEPT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Masked frames that wait to be written.
pub(crate) struct Pending {
    bytes: Vec<u8>,
    written: usize,
    compressor: Option<Box<Compressor>>,
}

impl Pending {
    /// Makes frames of the session's next packets.
    pub(crate) fn fill(&mut self, session: &mut ClientSession, now: Instant) {
        while self.bytes.len() < MAX_PENDING_BYTES {
            let Some(packet) = session.poll_packet(now) else {
                return;
            };
            self.push(packet.websocket_slice(session.revision(), false));
        }
    }

    /// Adds a server's frame, which is unmasked, as a client's.
    pub(crate) fn push(&mut self, frame: &[u8]) {
        if self.bytes.capacity() == 0 {
            self.bytes = KEPT.take();
            self.bytes.clear();
        }
        append_masked(&mut self.bytes, frame, self.compressor.as_deref_mut());
    }

    /// Adds a ping after what waits.
    pub(crate) fn push_ping(&mut self) {
        let key = mask_key();
        let header = encode_header(OpCode::Ping, PING_PAYLOAD.len(), Some(key));
        self.bytes.extend_from_slice(header.as_slice());
        let start = self.bytes.len();
        self.bytes.extend_from_slice(PING_PAYLOAD);
        apply_mask(&mut self.bytes[start..], key, 0);
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }
}

/// One frame with these opcode and content, masked.
fn append_masked(out: &mut Vec<u8>, frame: &[u8], compressor: Option<&mut Compressor>) {
    let header_bytes = match frame.get(1) {
        Some(127) => 10,
        Some(126) => 4,
        _ => 2,
    };
    let opcode = match frame.first() {
        Some(first) if first & 0x0f == OpCode::Binary as u8 => OpCode::Binary,
        _ => OpCode::Text,
    };
    let content = frame.get(header_bytes..).unwrap_or_default();
    let compressed = compressor.and_then(|compressor| compressor.compress(content));
    let payload = compressed.as_deref().unwrap_or(content);
    let key = mask_key();
    let mut header = encode_header(opcode, payload.len(), Some(key));
    if compressed.is_some() {
        header = header.compressed();
    }
    out.extend_from_slice(header.as_slice());
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], key, 0);
}

impl Frames for Pending {
    fn is_mid_frame(&self) -> bool {
        self.written > 0
    }

    fn is_drained(&self) -> bool {
        self.bytes.is_empty()
    }

    fn only_frame(&self) -> Option<&[u8]> {
        self.bytes
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
    }

    fn frames<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match (self.only_frame(), slices.first_mut()) {
            (Some(rest), Some(slot)) => {
                *slot = IoSlice::new(rest);
                1
            }
            _ => 0,
        }
    }

    fn advance(&mut self, _: Instant, count: usize) {
        self.written += count;
        if self.written == self.bytes.len() {
            self.written = 0;
            let bytes = std::mem::take(&mut self.bytes);
            if bytes.capacity() <= 2 * MAX_PENDING_BYTES {
                KEPT.set(bytes);
            }
        }
    }
}
