//! Servers of any kind, ways to connect, and ways to await what comes.

use std::sync::{Arc, Mutex};

use kokanee_client::{Args, Client, ClientBuilder, ParserKind, Revision, Socket, Transport, Value};
use kokanee_client_interop::{Kind, within};
use tokio::sync::mpsc::{self, UnboundedReceiver};

/// How the session's bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Polling,
    WebSocket,
    /// From the one to the other.
    Upgrade,
}

impl Way {
    pub(crate) fn apply<M>(self, client: ClientBuilder<M>) -> ClientBuilder<M> {
        match self {
            Self::Polling => client.transports([Transport::Polling]),
            Self::WebSocket => client.transports([Transport::WebSocket]),
            Self::Upgrade => client.transports([Transport::Polling, Transport::WebSocket]),
        }
    }
}

/// A server that listens on the loopback interface.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) revision: Revision,
    pub(crate) parser: ParserKind,
}

impl Server {
    /// A client of this server, not connected yet.
    pub(crate) fn client(self, way: Way, namespace: &str) -> ClientBuilder {
        self.configure(way, Client::builder(&self.url(namespace)))
    }

    pub(crate) fn url(self, namespace: &str) -> String {
        format!("http://127.0.0.1:{}{namespace}", self.port)
    }

    pub(crate) fn configure<M>(self, way: Way, client: ClientBuilder<M>) -> ClientBuilder<M> {
        way.apply(client.revision(self.revision).parser(self.parser))
    }

    /// A connected client of `/`.
    pub(crate) async fn connect(&self, way: Way) -> Socket {
        let connecting = self.client(way, "/").connect();
        within("connected", connecting).await.unwrap()
    }
}

/// The revision of Engine.IO that a server speaks.
pub(crate) fn revision(kind: Kind) -> Revision {
    match kind {
        Kind::SocketIo2 => Revision::V3,
        _ => Revision::V4,
    }
}

/// The arguments of an event, or of an acknowledgement.
pub(crate) fn values(args: serde_json::Value) -> Vec<Value> {
    match Value::from(args) {
        Value::Array(values) => values,
        other => vec![other],
    }
}

/// The events of this name from now on.
pub(crate) fn events(socket: &Socket, name: &str) -> UnboundedReceiver<Args> {
    let (sender, receiver) = mpsc::unbounded_channel();
    socket.on(name, move |args: Args| {
        let _ = sender.send(args);
        async {}
    });
    receiver
}

/// The arguments of the next event.
pub(crate) async fn next(events: &mut UnboundedReceiver<Args>) -> Vec<Value> {
    let args = within("an event", events.recv()).await.unwrap();
    args.to_values().unwrap()
}

/// The acknowledgement of an event.
pub(crate) async fn call(socket: &Socket, name: &str, args: Vec<Value>) -> Vec<Value> {
    let args = Args::from_values(args).unwrap();
    let answer = socket.emit_args_with_ack::<()>(name, &args).args();
    let answer = within("an acknowledgement", answer).await.unwrap();
    answer.to_values().unwrap()
}

/// The numbers that come as first arguments of an event.
#[derive(Debug, Clone, Default)]
pub(crate) struct Numbers(Arc<Mutex<Vec<u64>>>);

impl Numbers {
    /// Notes them from now on.
    pub(crate) fn of(socket: &Socket, event: &str) -> Self {
        let numbers = Self::default();
        let noted = numbers.clone();
        // A server that recovers adds an argument of its own.
        socket.on(event, move |args: Args| {
            let number = args.to_values().unwrap()[0].as_u64().unwrap();
            noted.0.lock().unwrap().push(number);
            async {}
        });
        numbers
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Checks that each of so many has come once, in order.
    pub(crate) fn check(&self, count: u64) {
        let numbers = self.0.lock().unwrap();
        let expected: Vec<u64> = (0..count).collect();
        assert_eq!(*numbers, expected);
    }
}
