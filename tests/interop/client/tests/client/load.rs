//! The load generator on clients, against published servers.

use std::{ops::ControlFlow, time::Duration};

use kokanee_bench::{Bound, Options, Scenario, run};
use kokanee_client::{Client, Revision, Transport};
use kokanee_client_interop::{Kind, Program};

/// Acknowledged echoes, long-polling cycles, connections that are held, and a storm.
async fn loads_are_counted(kind: Kind, revision: Revision) {
    let server = Program::start(kind, &[], 0).await;
    let url = server.url("/");
    let client = Client::builder(&url)
        .revision(revision)
        .transports([Transport::WebSocket])
        .reconnection_delay(Duration::from_millis(50));
    for (scenario, messages) in [
        (Scenario::Echo, 200),
        (Scenario::Polling, 200),
        (Scenario::Connect, 20),
        (Scenario::Storm, 20),
    ] {
        let options = Options {
            client: Some(client.clone()),
            connections: 20,
            ack: true,
            bound: Bound::Messages(200),
            warmup: Duration::ZERO,
            waves: 1,
            ..Options::new(&url, scenario)
        };
        // It blocks its thread.
        let load = move || run(&options, &mut |_| ControlFlow::Continue(()));
        let report = tokio::task::spawn_blocking(load).await.unwrap().unwrap();
        assert_eq!(report.messages, messages, "{scenario:?}");
        assert_eq!(
            (report.out_of_order, report.unexpected, report.failures),
            (0, 0, 0)
        );
    }
    server.stop().await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn loads_on_socket_io_2() {
    loads_are_counted(Kind::SocketIo2, Revision::V3).await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn loads_on_socket_io_4() {
    loads_are_counted(Kind::SocketIo4, Revision::V4).await;
}
