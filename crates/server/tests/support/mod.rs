//! What the tests of the running server share: a server on a free port, a raw HTTP/1.1 client, a raw WebSocket client,
//! Engine.IO long-polling by hand, and a small Socket.IO [`Client`].
//!
//! Every wait ends with a panic after [`LIMIT`]. A test needs `#[tokio::test(flavor = "multi_thread")]`.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses a part of it"
)]

mod client;
pub(crate) mod http;
mod polling;
pub(crate) mod websocket;

use std::{
    future::Future,
    net::SocketAddr,
    time::{Duration, Instant},
};

use kokanee_server::{CloseError, Server, ServerBuilder};
use tokio::task::JoinHandle;

pub(crate) use self::{
    client::{Client, Received},
    http::{Http, Response},
    polling::Polling,
    websocket::{Frame, WebSocket, WebSocketEnd, frame, opcode},
};

/// Longest wait for anything that must happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Waits for a future, and panics with `what` if it takes too long.
#[track_caller]
pub(crate) fn within<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(LIMIT, future).await {
            Ok(output) => output,
            Err(tokio::time::error::Elapsed { .. }) => {
                panic!("{caller}: {what} has not come in {LIMIT:?}")
            }
        }
    }
}

/// Waits until a condition holds, and panics with `what` if it does not in time.
#[track_caller]
pub(crate) fn eventually(
    what: &str,
    mut condition: impl FnMut() -> bool,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        while !condition() {
            assert!(
                start.elapsed() < LIMIT,
                "{caller}: not in {LIMIT:?}: {what}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A server on a free port of 127.0.0.1, in this process. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct TestServer {
    /// The server itself, to add handlers and look at.
    pub(crate) io: Server,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl TestServer {
    /// Starts a server with these settings on its own listener.
    pub(crate) async fn start(builder: ServerBuilder) -> Self {
        Self::start_with(builder.build()).await
    }

    /// Starts a server that has its handlers already.
    pub(crate) async fn start_with(io: Server) -> Self {
        let listener = io.bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr();
        let task = tokio::spawn(listener.serve());
        Self { io, address, task }
    }

    /// Starts a server that has its handlers already, and connects a client.
    pub(crate) async fn with_client(io: Server) -> (Self, Client) {
        let server = Self::start_with(io).await;
        let client = Client::connect(&server).await;
        (server, client)
    }

    /// Begins to close the server.
    pub(crate) fn closing(&self) -> JoinHandle<Result<(), CloseError>> {
        let io = self.io.clone();
        tokio::spawn(async move { io.close(LIMIT).await })
    }

    /// Opens a connection for HTTP.
    pub(crate) async fn http(&self) -> Http {
        Http::connect(self.address).await
    }

    /// Sends the bytes of one request on a connection of its own and returns the answer.
    pub(crate) async fn request(&self, request: impl AsRef<[u8]>) -> Response {
        let mut http = self.http().await;
        http.send(request).await;
        http.response().await
    }

    /// `GET` of a target, on a connection of its own.
    pub(crate) async fn get(&self, target: &str) -> Response {
        self.request(http::get(target, &[])).await
    }

    /// `POST` of a body, on a connection of its own.
    pub(crate) async fn post(&self, target: &str, body: impl AsRef<[u8]>) -> Response {
        self.request(http::post(target, &[], body.as_ref())).await
    }

    /// Opens a polling session of revision 4.
    pub(crate) async fn open_polling(&self) -> Polling {
        Polling::open(self.address, "EIO=4").await
    }

    /// Opens a polling session with a query of one's own, for instance `EIO=3&b64=1`.
    pub(crate) async fn open_polling_with(&self, query: &str) -> Polling {
        Polling::open(self.address, query).await
    }

    /// Opens a WebSocket session of revision 4 and reads its handshake. Returns the session's id, too.
    pub(crate) async fn open_websocket(&self) -> (WebSocket, String) {
        self.open_websocket_with("EIO=4").await
    }

    /// Opens a WebSocket session with a query of one's own.
    pub(crate) async fn open_websocket_with(&self, query: &str) -> (WebSocket, String) {
        let mut websocket = self.websocket(query).await;
        let open = websocket.text().await;
        let sid = sid_of(&open);
        (websocket, sid)
    }

    /// Opens a WebSocket with this query and reads nothing.
    pub(crate) async fn websocket(&self, query: &str) -> WebSocket {
        let target = format!("/socket.io/?{query}&transport=websocket");
        WebSocket::connect(self.address, &target).await
    }

    /// Opens the WebSocket that wants to take over a session.
    pub(crate) async fn probe(&self, sid: &str) -> WebSocket {
        self.websocket(&format!("EIO=4&sid={sid}")).await
    }

    /// Opens the WebSocket that takes over a session, and has its probe answered.
    pub(crate) async fn probed(&self, sid: &str) -> WebSocket {
        let mut websocket = self.probe(sid).await;
        websocket.send("2probe").await;
        assert_eq!(websocket.text().await, "3probe");
        websocket
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The id in an open packet, alone (`0{…}`) or as the first of a revision 3 payload (`96:0{…}`).
#[track_caller]
pub(crate) fn sid_of(open: &str) -> String {
    let (_, rest) = open
        .split_once("\"sid\":\"")
        .unwrap_or_else(|| panic!("an open packet, not {open:?}"));
    rest.chars().take_while(|c| *c != '"').collect()
}
