//! What to run: the scenario and its numbers.

use std::time::Duration;

use kokanee_client::ClientBuilder;
use serde::{Deserialize, Serialize};

/// What the connections do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Every connection keeps `window` echoes in flight over WebSocket.
    Echo,
    /// One connection keeps `window` broadcasts to all connections in flight over WebSocket.
    Broadcast,
    /// Every connection repeats POST (an `echo` event) and GET (its answer) over long polling.
    Polling,
    /// Opens WebSocket connections, each with one namespace.
    Connect,
    /// Opens WebSocket connections with one namespace and holds them.
    Idle,
    /// Opens WebSocket connections, cuts all of them at once and lets all of them reconnect, in several waves.
    Storm,
}

impl Scenario {
    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Broadcast => "broadcast",
            Self::Polling => "polling",
            Self::Connect => "connect",
            Self::Idle => "idle",
            Self::Storm => "storm",
        }
    }
}

/// What makes the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Generator {
    /// The raw generator: prebuilt frames on one event loop, Engine.IO 4 over plain HTTP only.
    #[default]
    Raw,
    /// Kokanee's client.
    Client,
}

/// When a load ends. Messages in flight are still awaited then, so all counts are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// After this time.
    Time(Duration),
    /// After this many emitted events (of a broadcast: broadcasts, not deliveries).
    Messages(u64),
}

/// The event that makes the server broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Relay {
    /// `blast` with a text, which the server emits to every socket, including the sender.
    #[default]
    Blast,
    /// The demo server's `broadcast` with a name and a text, which it emits to all other sockets as the event `name`.
    Broadcast,
}

/// A run: where, what, how much. [`Options::new`] fills in the defaults of the scenario.
#[derive(Debug, Clone)]
pub struct Options {
    /// `http://host:port`, with the path of the server if it is not `/socket.io/`. Only for the raw generator.
    pub url: String,
    /// The options of Kokanee's client, with its URL, namespace and `auth`; `None` for the raw generator, to which the
    /// fields `url`, `namespace` and `auth` belong. The client reconnects only in a storm.
    pub client: Option<ClientBuilder>,
    /// What the connections do.
    pub scenario: Scenario,
    /// Number of connections.
    pub connections: usize,
    /// Echoes in flight per connection, or broadcasts in flight in total.
    pub window: usize,
    /// Length of the text argument of an event in bytes, at least 8.
    pub payload: usize,
    /// When the load ends.
    pub bound: Bound,
    /// How long the same load runs before the measurement starts.
    pub warmup: Duration,
    /// The namespace to connect to.
    pub namespace: String,
    /// The `auth` object of the namespace connection.
    pub auth: Option<serde_json::Value>,
    /// The event that makes the server broadcast.
    pub relay: Relay,
    /// The name of the event that is sent as an echo.
    pub event: String,
    /// Whether an echo is an acknowledgement instead of an event with the same arguments.
    pub ack: bool,
    /// Handshakes in flight while connections are opened.
    pub handshakes: usize,
    /// The run fails if nothing arrives for this long.
    pub stall: Duration,
    /// How long `idle` holds the connections, after the burst if there is one.
    pub hold: Duration,
    /// Broadcasts of `payload` bytes that `idle` sends before it holds; 0 for none.
    pub burst: u64,
    /// How many times a storm cuts the connections.
    pub waves: usize,
    /// The time over which the connections of a storm reconnect, evenly; zero for all at once. Only for the raw generator,
    /// as clients have their own back-off.
    pub spread: Duration,
    /// Length of an interval of the timeline.
    pub interval: Duration,
    /// Process id of a server on this machine, whose CPU time and memory are then part of the report (Linux).
    pub pid: Option<u32>,
}

impl Options {
    /// Returns the defaults of a scenario: 100 connections and 64 bytes for echoes, 1,000 connections and 128 bytes
    /// for broadcasts, 1,000 connections to open, 10,000 to hold for 10 s, 1,000 to cut three times; load for 10 s after
    /// 1 s of warm-up. An interval of the timeline is 1 s, in a storm 50 ms.
    pub fn new(url: impl Into<String>, scenario: Scenario) -> Self {
        let (connections, payload) = match scenario {
            Scenario::Echo | Scenario::Polling => (100, 64),
            Scenario::Broadcast => (1_000, 128),
            Scenario::Connect | Scenario::Storm => (1_000, 64),
            Scenario::Idle => (10_000, 4_096),
        };
        Self {
            url: url.into(),
            client: None,
            scenario,
            connections,
            window: 1,
            payload,
            bound: Bound::Time(Duration::from_secs(10)),
            warmup: Duration::from_secs(1),
            namespace: "/".to_owned(),
            auth: None,
            relay: Relay::default(),
            event: "echo".to_owned(),
            ack: false,
            handshakes: 64,
            stall: Duration::from_secs(10),
            hold: Duration::from_secs(10),
            burst: 0,
            waves: 3,
            spread: Duration::ZERO,
            interval: match scenario {
                Scenario::Storm => Duration::from_millis(50),
                _ => Duration::from_secs(1),
            },
            pid: None,
        }
    }

    /// Returns what makes the connections.
    pub fn generator(&self) -> Generator {
        match self.client {
            None => Generator::Raw,
            Some(_) => Generator::Client,
        }
    }
}
