//! HTTP requests of a session: one keep-alive connection each for GETs and POSTs, by hyper.

use std::{future::Future, io, pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use kokanee_engineio::{Revision, Transport};
use kokanee_io::Stream;

use super::{config::EngineConfig, cookies::Cookies, dial::dial, error::ConnectFailure};

/// A response and its whole body.
#[derive(Debug)]
pub(crate) struct FullResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl FullResponse {
    /// Whether the body is in the binary form of revision 3.
    pub(crate) fn is_binary(&self) -> bool {
        self.headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes() == b"application/octet-stream")
    }
}

type Connection = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

/// A connection for requests one after the other. Dialled on first use, and again when the server has closed it.
#[derive(Default)]
pub(crate) struct HttpConnection(Option<Dialled>);

type Dialled = (http1::SendRequest<Full<Bytes>>, Driven<Connection>);

impl HttpConnection {
    /// Makes a request and reads its whole response. The connection comes back with it.
    pub(crate) async fn exchange(
        mut self,
        config: Arc<EngineConfig>,
        request: Request<Full<Bytes>>,
    ) -> (Self, Result<FullResponse, ConnectFailure>) {
        let response = self.try_exchange(&config, request).await;
        if response.is_err() {
            self.0 = None;
        }
        (self, response)
    }

    async fn try_exchange(
        &mut self,
        config: &EngineConfig,
        mut request: Request<Full<Bytes>>,
    ) -> Result<FullResponse, ConnectFailure> {
        loop {
            let is_fresh = self.0.is_none();
            let (sender, connection) = match &mut self.0 {
                Some(open) => open,
                closed => closed.insert(connect(config).await?),
            };
            let ready = connection.drive(sender.ready()).await;
            if ready.is_ok() {
                match connection.drive(sender.try_send_request(request)).await {
                    Ok(response) => return connection.drive(read(response, config)).await,
                    Err(mut error) => match error.take_message() {
                        // Nothing of it was sent: the server has closed a connection that was idle.
                        Some(unsent) if !is_fresh => request = unsent,
                        _ => return Err(interrupted(error.into_error())),
                    },
                }
            } else if let (Err(error), true) = (ready, is_fresh) {
                return Err(interrupted(error));
            }
            self.0 = None;
        }
    }
}

/// A connection that is polled while something waits for it.
pub(crate) struct Driven<C>(Option<Pin<Box<C>>>);

impl<C: Future> Driven<C> {
    pub(crate) fn new(connection: C) -> Self {
        Self(Some(Box::pin(connection)))
    }

    /// Waits for a future that the connection serves.
    pub(crate) async fn drive<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| {
            if let Some(connection) = &mut self.0
                && connection.as_mut().poll(cx).is_ready()
            {
                // Dropped at once: a request that it has not taken fails then, instead of waiting for ever.
                self.0 = None;
            }
            future.as_mut().poll(cx)
        })
        .await
    }
}

pub(crate) fn interrupted(error: hyper::Error) -> ConnectFailure {
    let kind = if error.is_parse() {
        io::ErrorKind::InvalidData
    } else {
        io::ErrorKind::Other
    };
    ConnectFailure::Interrupted {
        source: io::Error::new(kind, error),
    }
}

async fn connect(config: &EngineConfig) -> Result<Dialled, ConnectFailure> {
    let stream = dial(config).await?;
    let (sender, connection) = http1::Builder::new()
        .handshake(TokioIo::new(stream))
        .await
        .map_err(interrupted)?;
    Ok((sender, Driven::new(connection)))
}

/// Reads a body of bounded size.
async fn read(
    response: Response<Incoming>,
    config: &EngineConfig,
) -> Result<FullResponse, ConnectFailure> {
    let (parts, mut incoming) = response.into_parts();
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        if let Ok(data) = frame.map_err(interrupted)?.into_data() {
            if body.len() + data.len() > config.max_message_bytes {
                return Err(ConnectFailure::Interrupted {
                    source: io::Error::new(
                        io::ErrorKind::FileTooLarge,
                        format!("an answer of more than {} bytes", config.max_message_bytes),
                    ),
                });
            }
            body.extend_from_slice(&data);
        }
    }
    Ok(FullResponse {
        status: parts.status,
        headers: parts.headers,
        body: body.freeze(),
    })
}

/// A request of a session.
pub(crate) fn request(
    config: &EngineConfig,
    cookies: &Cookies,
    method: Method,
    transport: Transport,
    sid: Option<&str>,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, ConnectFailure> {
    let revision = match config.session.revision {
        Revision::V3 => 3,
        Revision::V4 => 4,
    };
    let mut url = format!(
        "{}?EIO={revision}&transport={}",
        config.path,
        transport.as_str()
    );
    if let Some(sid) = sid {
        url.push_str("&sid=");
        url.extend(form_urlencoded::byte_serialize(sid.as_bytes()));
    }
    for query in [&config.target.query, &config.query] {
        if !query.is_empty() {
            url.push('&');
            url.push_str(query);
        }
    }
    let mut builder = Request::builder()
        .method(method)
        .uri(url)
        .header(header::HOST, config.target.authority())
        .header(header::ACCEPT, "*/*");
    if let Some(credentials) = &config.target.credentials {
        let encoded = base64_simd::STANDARD.encode_to_string(credentials);
        builder = builder.header(header::AUTHORIZATION, format!("Basic {encoded}"));
    }
    let mut request = builder
        .body(Full::new(body))
        .map_err(|error| ConnectFailure::Option {
            option: "path or query",
            reason: error.to_string(),
        })?;
    let headers = request.headers_mut();
    for name in config.headers.keys() {
        headers.remove(name);
    }
    for (name, value) in &config.headers {
        headers.append(name, value.clone());
    }
    if let Some(cookies) = cookies.header() {
        // Spec, RFC 6265 5.4: all in one header, those of the application too.
        let own = headers.get_all(header::COOKIE).iter();
        let all: Vec<_> = own.chain([&cookies]).map(HeaderValue::as_bytes).collect();
        if let Ok(all) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
            headers.insert(header::COOKIE, all);
        }
    }
    Ok(request)
}

/// The body of a POST, with its content type.
pub(crate) fn post(
    config: &EngineConfig,
    cookies: &Cookies,
    sid: Option<&str>,
    body: Bytes,
    binary: bool,
) -> Result<Request<Full<Bytes>>, ConnectFailure> {
    let mut request = request(config, cookies, Method::POST, Transport::Polling, sid, body)?;
    let content_type = if binary {
        "application/octet-stream"
    } else {
        "text/plain;charset=UTF-8"
    };
    request
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(request)
}
