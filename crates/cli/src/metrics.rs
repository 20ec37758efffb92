//! The metrics of `kokanee serve`, where Prometheus fetches them: `--metrics`.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use kokanee::Server;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};

use crate::args::address;

const HOST: &str = "127.0.0.1";
const PATH: &str = "/metrics";
const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Connections at a time; others wait.
const MAX_CONNECTIONS: usize = 16;
/// Time to send the head of a request, also that of the next one on the same connection.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// Waits after an error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the recorder tidies up, if nobody fetches the metrics.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Upper bounds of the buckets of a handler's time, in seconds. It is the only histogram.
const HANDLER_BUCKETS: [f64; 16] = [
    0.000_01, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// The recorder, and the listener on which its values are fetched.
pub(crate) struct Metrics {
    recorder: PrometheusHandle,
    listener: TcpListener,
    address: SocketAddr,
}

impl Metrics {
    /// Binds the address, `HOST:PORT` or a port of this machine, and installs the recorder. A server that is built after that
    /// has its metrics recorded.
    pub(crate) async fn bind(given: &str) -> io::Result<Self> {
        let full = given
            .parse()
            .map_or_else(|_| given.to_owned(), |port| address(HOST, port));
        let listener = TcpListener::bind(full).await?;
        let recorder = PrometheusBuilder::new()
            .set_buckets(&HANDLER_BUCKETS)
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(io::Error::other)?;
        let address = listener.local_addr()?;
        Ok(Self {
            recorder,
            listener,
            address,
        })
    }

    /// Returns the URL of the metrics.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// Answers requests until the task is aborted.
    pub(crate) fn serve(self, io: &Server) -> JoinHandle<()> {
        let (recorder, io) = (self.recorder, io.clone());
        let listener = self.listener;
        tokio::spawn(async move {
            let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
            let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
            loop {
                let accepted = tokio::select! {
                    accepted = accept(&listener, &room) => accepted,
                    _ = upkeep.tick() => {
                        recorder.run_upkeep();
                        continue;
                    }
                };
                let (recorder, io) = (recorder.clone(), io.clone());
                tokio::spawn(async move {
                    let (stream, _permit) = accepted;
                    let service = service_fn(|request| {
                        std::future::ready(Ok::<_, Infallible>(answer(&request, &recorder, &io)))
                    });
                    // Who fetches has noticed that it failed.
                    let _ = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEAD_TIME)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        })
    }
}

/// Accepts a connection when there is room for it.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // It is never closed.
    let permit = Arc::clone(room).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

fn answer(
    request: &Request<Incoming>,
    recorder: &PrometheusHandle,
    io: &Server,
) -> Response<Full<Bytes>> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let status = match request.uri().path() {
        PATH if is_read => StatusCode::OK,
        PATH => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::NOT_FOUND,
    };
    let text = if status == StatusCode::OK {
        io.publish_metrics();
        recorder.render()
    } else {
        format!("The metrics are at {PATH}.\n")
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
