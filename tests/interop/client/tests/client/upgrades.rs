//! Thousands of upgrades with numbered events in both directions: nothing is lost, doubled or reordered.

use kokanee_client::{Revision, Transport};
use kokanee_client_interop::{Kind, KokaneeServer, Program, until, within};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Numbers, Server, Way, call, revision, values};

/// Clients under way at the same time.
const AT_ONCE: usize = 20;

/// Connects and sends and receives numbers all the while, before, during and after the upgrade.
async fn upgrade_under_traffic(server: Server, client: usize) {
    // Different moments of the upgrade have different numbers under way.
    let burst = 1 + client % 40;
    let socket = server.connect(Way::Upgrade).await;
    let numbers = Numbers::of(&socket, "number");
    let bursting = call(&socket, "burst", values(json!([burst])));
    let sending = async {
        let mut sent = 0;
        while sent < burst || socket.transport() != Some(Transport::WebSocket) {
            socket.emit("number", sent).await.unwrap();
            sent += 1;
            tokio::task::yield_now().await;
            if sent % 64 == 0 {
                // Not faster than the other side can take it.
                call(&socket, "report", vec![]).await;
            }
        }
        for _ in 0..burst {
            socket.emit("number", sent).await.unwrap();
            sent += 1;
        }
        sent
    };
    let (_, sent) = within("an upgrade", async { tokio::join!(bursting, sending) }).await;
    let report = call(&socket, "report", vec![]).await;
    assert_eq!(report, values(json!([{ "received": sent, "error": null }])));
    until("the numbers", || numbers.count() >= burst).await;
    numbers.check(burst as u64);
    socket.disconnect().await.unwrap();
}

async fn upgrades_under_traffic(server: Server, upgrades: usize) {
    let mut tasks = JoinSet::new();
    for client in 0..upgrades {
        if tasks.len() == AT_ONCE {
            tasks.join_next().await.unwrap().unwrap();
        }
        tasks.spawn(upgrade_under_traffic(server, client));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

async fn program(kind: Kind, upgrades: usize) {
    let program = Program::start(kind, &[], 0).await;
    let server = Server {
        port: program.port(),
        revision: revision(kind),
        parser: kokanee_client::ParserKind::Default,
    };
    upgrades_under_traffic(server, upgrades).await;
    program.stop().await;
}

async fn kokanee(revision: Revision, upgrades: usize) {
    let builder = kokanee_server::Server::builder().allow_eio3(true);
    let kokanee = KokaneeServer::start(builder, 0).await;
    let server = Server {
        port: kokanee.port(),
        revision,
        parser: kokanee_client::ParserKind::Default,
    };
    upgrades_under_traffic(server, upgrades).await;
    kokanee.stop().await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn nothing_is_lost_over_upgrades_with_socket_io_4() {
    program(Kind::SocketIo4, 2000).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn nothing_is_lost_over_upgrades_with_socket_io_2() {
    program(Kind::SocketIo2, 1000).await;
}

#[tokio::test]
#[ignore = "needs Python and its packages"]
async fn nothing_is_lost_over_upgrades_with_python() {
    program(Kind::Python, 500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes several seconds"]
async fn nothing_is_lost_over_upgrades_with_kokanee() {
    kokanee(Revision::V4, 4000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes several seconds"]
async fn nothing_is_lost_over_upgrades_with_kokanee_and_revision_3() {
    kokanee(Revision::V3, 1000).await;
}
