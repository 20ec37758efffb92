//! A server with a bridge, and clients that collect all events.

use std::time::Duration;

use bytes::Bytes;
use kokanee_bridge::{Bridge, BridgeBuilder};
use kokanee_client::{AckError, Client, RawEvent, Socket};
use kokanee_net::{ServerHandle, TcpServer};
use kokanee_server::{Server, Value};
use tokio::sync::mpsc;

/// The timeout of every wait. Reached only if something is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) async fn within<F: IntoFuture>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future.into_future())
        .await
        .expect("it happens in time")
}

pub(crate) struct Bed {
    pub(crate) io: Server,
    url: String,
    /// Where raw peers connect.
    pub(crate) raw: String,
    pub(crate) handle: ServerHandle,
    pub(crate) bridge: Bridge,
}

impl Bed {
    pub(crate) async fn start(builder: BridgeBuilder) -> Self {
        Self::start_with(Server::new(), TcpServer::bind("127.0.0.1:0").await, builder).await
    }

    pub(crate) async fn start_with(
        io: Server,
        server: Result<TcpServer, kokanee_net::NetError>,
        builder: BridgeBuilder,
    ) -> Self {
        let bridge = builder.attach(&io.of("/tcp"));
        let listener = io.bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr());
        tokio::spawn(listener.serve());
        let server = server.expect("a free port");
        let (raw, handle) = (server.local_addr().to_string(), server.handle());
        let it = bridge.clone();
        tokio::spawn(async move { it.serve_tcp(server).await });
        Self {
            io,
            url,
            raw,
            handle,
            bridge,
        }
    }

    /// The URL of a namespace.
    pub(crate) fn url(&self, namespace: &str) -> String {
        format!("{}{namespace}", self.url)
    }

    /// A client in a namespace, with all events that it gets.
    pub(crate) async fn client_of(&self, namespace: &str) -> Told {
        let client = Client::builder(&self.url(namespace));
        let socket = client.reconnection(false).build().expect("a client");
        let (sender, events) = mpsc::channel(10_000);
        socket.on_any(move |event: RawEvent| {
            let sender = sender.clone();
            async move {
                let _ = sender.send(event).await;
            }
        });
        within(socket.connect()).await.expect("connected");
        Told { socket, events }
    }

    pub(crate) async fn client(&self) -> Told {
        let mut told = self.client_of("/tcp").await;
        told.event("peers").await;
        told
    }
}

pub(crate) struct Told {
    pub(crate) socket: Socket,
    events: mpsc::Receiver<RawEvent>,
}

impl Told {
    /// The arguments of the next event, which has this name.
    pub(crate) async fn event(&mut self, name: &str) -> Vec<Value> {
        let event = within(self.events.recv()).await.expect("an event");
        assert_eq!(event.name(), name, "{event:?}");
        event.args().to_values().expect("valid")
    }

    /// The id of a new peer, and the information on it.
    pub(crate) async fn open(&mut self) -> (String, Value) {
        let facts = self.event("open").await.remove(0);
        let id = text(facts.get("id").expect("an id")).to_owned();
        (id, facts)
    }

    /// Sends a request and returns the acknowledgement.
    pub(crate) async fn ask(&self, event: &str, args: impl serde::Serialize) -> Value {
        let asked = self.socket.emit_with_ack::<Value>(event, args);
        within(asked).await.expect("an answer")
    }

    /// The error text of a failed request.
    pub(crate) async fn fails(&self, event: &str, args: impl serde::Serialize) -> String {
        let asked = self.socket.emit_with_ack::<Value>(event, args);
        match within(asked).await {
            Err(AckError::Remote(error)) => error.message,
            other => panic!("no failure: {other:?}"),
        }
    }

    /// Whether no event has come before an acknowledgement.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        // Events that were sent before come before this acknowledgement.
        self.ask("peers", ()).await;
        self.events.try_recv().is_err()
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

pub(crate) fn bytes(value: &Value) -> &Bytes {
    match value {
        Value::Binary(bytes) => bytes,
        other => panic!("no bytes: {other}"),
    }
}
