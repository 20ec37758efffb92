//! Servers that are not what the client expects: each has an error of its own, with a hint.

use kokanee_client::{Client, ClientBuilder, ConnectFailure, Revision};
use kokanee_client_interop::{Kind, KokaneeServer, Program, free_port, within};

use crate::support::Way;

const WAYS: [Way; 3] = [Way::Polling, Way::WebSocket, Way::Upgrade];

/// Why this client cannot connect; it does not retry for ever.
async fn failure(client: ClientBuilder, way: Way) -> ConnectFailure {
    within("a failure", way.apply(client).connect())
        .await
        .unwrap_err()
}

#[tokio::test]
async fn nobody_listens() {
    let url = format!("http://127.0.0.1:{}", free_port().await);
    for way in WAYS {
        let failure = failure(Client::builder(&url), way).await;
        assert!(
            matches!(failure, ConnectFailure::Unreachable { .. }),
            "{failure}"
        );
        assert!(
            failure.to_string().contains("does the server run"),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn name_without_an_address() {
    let failure = failure(Client::builder("http://no-such-host.invalid"), Way::Polling).await;
    assert!(matches!(failure, ConnectFailure::Dns { .. }), "{failure}");
}

#[tokio::test]
async fn path_that_is_not_the_servers() {
    let builder = kokanee_server::Server::builder();
    let server = KokaneeServer::start(builder, 0).await;
    for way in WAYS {
        let client = Client::builder(&server.url("/")).path("/elsewhere");
        let failure = failure(client, way).await;
        assert!(
            matches!(failure, ConnectFailure::NotSocketIo { .. }),
            "{failure}"
        );
        assert!(failure.to_string().contains("/elsewhere/"), "{failure}");
    }
    server.stop().await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn path_that_is_not_the_servers_on_node() {
    let server = Program::start(Kind::SocketIo4, &[], 0).await;
    // Node leaves such a request to the application, which has nothing to say here.
    let client = Client::builder(&server.url("/"))
        .path("/elsewhere")
        .connect_timeout(std::time::Duration::from_secs(1));
    let failure = failure(client, Way::Polling).await;
    assert!(
        matches!(
            failure,
            ConnectFailure::NotSocketIo { .. } | ConnectFailure::Timeout { .. }
        ),
        "{failure}"
    );
    server.stop().await;
}

#[tokio::test]
#[ignore = "needs Python"]
async fn server_of_files() {
    let server = Program::start(Kind::Files, &[], 0).await;
    for way in WAYS {
        let failure = failure(Client::builder(&server.url("/")), way).await;
        assert!(
            matches!(failure, ConnectFailure::NotSocketIo { .. }),
            "{failure}"
        );
    }
    server.stop().await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn client_of_revision_3_and_a_server_of_revision_4() {
    let server = Program::start(Kind::SocketIo4, &[], 0).await;
    for way in WAYS {
        let client = Client::builder(&server.url("/")).revision(Revision::V3);
        let failure = failure(client, way).await;
        assert!(
            matches!(failure, ConnectFailure::WrongRevision { .. }),
            "{way:?}: {failure}"
        );
    }
    server.stop().await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn client_of_revision_4_and_a_server_of_revision_3() {
    let server = Program::start(Kind::SocketIo2, &[], 0).await;
    for way in [Way::Polling, Way::Upgrade] {
        let failure = failure(Client::builder(&server.url("/")), way).await;
        assert!(
            matches!(failure, ConnectFailure::WrongRevision { .. }),
            "{way:?}: {failure}"
        );
    }
    server.stop().await;
}

#[tokio::test]
#[ignore = "needs Python and its packages"]
async fn client_of_revision_3_and_a_python_server() {
    let server = Program::start(Kind::Python, &[], 0).await;
    // To a WebSocket uvicorn says 403, whatever is wrong.
    for way in [Way::Polling, Way::Upgrade] {
        let client = Client::builder(&server.url("/")).revision(Revision::V3);
        let failure = failure(client, way).await;
        assert!(
            matches!(failure, ConnectFailure::WrongRevision { .. }),
            "{way:?}: {failure}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn kokanee_without_revision_3_and_its_client() {
    let builder = kokanee_server::Server::builder();
    let server = KokaneeServer::start(builder, 0).await;
    for way in WAYS {
        let client = Client::builder(&server.url("/")).revision(Revision::V3);
        let failure = failure(client, way).await;
        assert!(
            matches!(failure, ConnectFailure::WrongRevision { .. }),
            "{way:?}: {failure}"
        );
    }
    server.stop().await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn transport_that_the_server_does_not_take() {
    let server = Program::start(Kind::SocketIo4, &["--transports", "websocket"], 0).await;
    let failure = failure(Client::builder(&server.url("/")), Way::Polling).await;
    assert!(
        matches!(failure, ConnectFailure::Transport { .. }),
        "{failure}"
    );
    let all = Client::builder(&server.url("/")).try_all_transports(true);
    let socket = within("connected", all.connect()).await.unwrap();
    socket.disconnect().await.unwrap();
    server.stop().await;
}

#[tokio::test]
#[ignore = "needs Node and its packages"]
async fn namespace_that_does_not_exist() {
    let server = Program::start(Kind::SocketIo4, &[], 0).await;
    for way in WAYS {
        let failure = failure(Client::builder(&server.url("/nowhere")), way).await;
        match failure {
            ConnectFailure::Refused { message, .. } => assert_eq!(message, "Invalid namespace"),
            other => panic!("{other}"),
        }
    }
    server.stop().await;
}
