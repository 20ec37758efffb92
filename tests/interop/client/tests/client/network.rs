//! What happens to networks and servers: cuts, restarts, and many clients that come back at once.

use std::time::{Duration, Instant};

use kokanee_client::{Client, Socket};
use kokanee_client_interop::{Kind, KokaneeServer, Program, Relay, free_port, until, within};
use serde_json::json;

use tokio::time::sleep;

use crate::support::{Numbers, Way, call, revision, values};

const SHORT: Duration = Duration::from_millis(20);
const LONGER: Duration = Duration::from_millis(100);

/// Cuts the connection again and again while the server, which keeps the state of lost connections, emits a numbered event
/// every few milliseconds. After a cut of long-polling, the client is away for `away`.
async fn recovers_over_cuts(port: u16, way: Way, away: Duration) {
    const TICKS: usize = 400;
    let relay = Relay::start(port).await;
    let client = way
        .apply(Client::builder(&relay.url("/")))
        .reconnection_delay(SHORT)
        .reconnection_delay_max(LONGER);
    let socket = within("connected", client.connect()).await.unwrap();
    assert!(!socket.is_recovered());
    let id = socket.id();
    let ticks = Numbers::of(&socket, "tick");
    call(&socket, "ticks", values(json!([TICKS, 5]))).await;
    for cut in 1..=6 {
        until("ticks between cuts", || ticks.count() >= cut * 50).await;
        relay.refuse(true);
        relay.cut();
        until("the loss is noticed", || !socket.is_connected()).await;
        if way == Way::Polling {
            sleep(away).await;
        }
        relay.refuse(false);
        until("connected again", || socket.is_connected()).await;
        assert!(socket.is_recovered());
        assert_eq!(socket.id(), id);
    }
    until("all ticks", || ticks.count() >= TICKS).await;
    ticks.check(TICKS as u64);
    socket.disconnect().await.unwrap();
}

async fn original_recovers_over_cuts(way: Way) {
    let options = ["--ping-interval", "500", "--ping-timeout", "500"];
    let options = [&["--recovery", "60000"], &options[..]].concat();
    let program = Program::start(Kind::SocketIo4, &options, 0).await;
    // Between two GETs the original server sees a cut by its heartbeat alone, and until then it does not let the session be
    // recovered.
    recovers_over_cuts(program.port(), way, Duration::from_millis(1200)).await;
    program.stop().await;
}

/// The server of this project gives the socket to the new connection at once, also if it believes the old one alive.
#[tokio::test]
#[ignore = "takes seconds"]
async fn cuts_are_recovered_from_with_this_server() {
    let builder = kokanee_server::Server::builder().recovery(kokanee_server::Recovery::default());
    let server = KokaneeServer::start(builder, 0).await;
    for way in [Way::Polling, Way::WebSocket, Way::Upgrade] {
        recovers_over_cuts(server.port(), way, Duration::ZERO).await;
    }
    assert_eq!(server.server().recovered_sockets(), 18);
    server.stop().await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn cuts_are_recovered_from_over_polling() {
    original_recovers_over_cuts(Way::Polling).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn cuts_are_recovered_from_over_websocket() {
    original_recovers_over_cuts(Way::WebSocket).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn cuts_are_recovered_from_over_an_upgrade() {
    original_recovers_over_cuts(Way::Upgrade).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn server_without_recovery_gives_a_new_id_after_a_cut() {
    let program = Program::start(Kind::SocketIo4, &[], 0).await;
    let relay = Relay::start(program.port()).await;
    let client = Client::builder(&relay.url("/")).reconnection_delay(SHORT);
    let socket = within("connected", client.connect()).await.unwrap();
    let id = socket.id();
    relay.cut();
    until("the loss is noticed", || !socket.is_connected()).await;
    until("connected again", || socket.is_connected()).await;
    assert!(!socket.is_recovered());
    assert_ne!(socket.id(), id);
    socket.disconnect().await.unwrap();
    program.stop().await;
}

/// A server that comes back on the port that it had.
enum Restarting {
    Program(Box<Program>),
    Kokanee(KokaneeServer),
}

impl Restarting {
    async fn start(kind: Option<Kind>, port: u16) -> Self {
        match kind {
            Some(kind) => Self::Program(Box::new(Program::start(kind, &[], port).await)),
            None => {
                let builder = kokanee_server::Server::builder();
                Self::Kokanee(KokaneeServer::start(builder, port).await)
            }
        }
    }

    async fn stop(self, abruptly: bool) {
        match self {
            Self::Program(program) if abruptly => program.kill().await,
            Self::Program(program) => program.stop().await,
            Self::Kokanee(kokanee) => kokanee.stop().await,
        }
    }
}

/// Connects again when the server is back, and sends what was emitted meanwhile.
async fn survives_restarts(kind: Option<Kind>, way: Way) {
    const ROUNDS: usize = 4;
    let port = free_port().await;
    let mut server = Restarting::start(kind, port).await;
    let client = Client::builder(&format!("http://127.0.0.1:{port}/"))
        .reconnection_delay(SHORT)
        .reconnection_delay_max(LONGER);
    let client = match kind {
        Some(kind) => client.revision(revision(kind)),
        None => client,
    };
    let socket = within("connected", way.apply(client).connect())
        .await
        .unwrap();
    let said = Numbers::of(&socket, "said");
    for round in 0..ROUNDS {
        server.stop(round % 2 == 0).await;
        until("the loss is noticed", || !socket.is_connected()).await;
        // Buffered, as in JavaScript.
        within("buffered", socket.emit("say", round)).await.unwrap();
        server = Restarting::start(kind, port).await;
        until("connected again", || socket.is_connected()).await;
        until("what was buffered", || said.count() > round).await;
    }
    said.check(ROUNDS as u64);
    socket.disconnect().await.unwrap();
    server.stop(false).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn restarts_of_socket_io_4_are_survived() {
    for way in [Way::Polling, Way::WebSocket, Way::Upgrade] {
        survives_restarts(Some(Kind::SocketIo4), way).await;
    }
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn restarts_of_socket_io_2_are_survived() {
    for way in [Way::Polling, Way::WebSocket, Way::Upgrade] {
        survives_restarts(Some(Kind::SocketIo2), way).await;
    }
}

#[tokio::test]
#[ignore = "needs Python and its packages"]
async fn restarts_of_python_are_survived() {
    for way in [Way::Polling, Way::WebSocket, Way::Upgrade] {
        survives_restarts(Some(Kind::Python), way).await;
    }
}

#[tokio::test]
async fn restarts_of_kokanee_are_survived() {
    for way in [Way::Polling, Way::WebSocket, Way::Upgrade] {
        survives_restarts(None, way).await;
    }
}

/// Cuts a thousand clients off at once, and looks at when they try again.
#[tokio::test]
#[ignore = "takes several seconds and a thousand connections"]
async fn thousand_clients_come_back_spread_over_time() {
    const CLIENTS: usize = 1000;
    let builder = kokanee_server::Server::builder();
    let server = KokaneeServer::start(builder, 0).await;
    let relay = Relay::start(server.port()).await;
    let mut sockets: Vec<Socket> = Vec::new();
    for _ in 0..CLIENTS {
        let client = Way::WebSocket.apply(Client::builder(&relay.url("/")));
        let client = client.reconnection_delay(Duration::from_secs(2));
        sockets.push(within("connected", client.connect()).await.unwrap());
    }
    let cut = Instant::now();
    relay.cut();
    until("the loss is noticed", || {
        sockets.iter().all(|socket| !socket.is_connected())
    })
    .await;
    until("connected again", || {
        sockets.iter().all(Socket::is_connected)
    })
    .await;
    // By the formula of the reference: 2 s, half of it left to chance, so 1 s to 3 s.
    let mut attempts: Vec<Instant> = relay.accepted();
    attempts.retain(|at| *at > cut);
    attempts.sort();
    assert_eq!(attempts.len(), CLIENTS);
    let (first, last) = (attempts[0], attempts[CLIENTS - 1]);
    assert!(first - cut >= Duration::from_secs(1), "too early");
    assert!(last - first >= Duration::from_millis(1500), "too close");
    // Evenly spread, each fifth of a second has 100 of them.
    let most = attempts
        .iter()
        .enumerate()
        .map(|(index, at)| {
            let slot = &attempts[index..];
            slot.partition_point(|other| *other - *at < Duration::from_millis(200))
        })
        .max();
    assert!(most < Some(300), "a spike of {most:?}");
    for socket in sockets {
        socket.disconnect().await.unwrap();
    }
    server.stop().await;
}
