//! Access control.

use kokanee_bridge::Bridge;
use kokanee_client::Client;
use kokanee_net::{TcpClient, TcpServer};
use kokanee_server::{Auth, ConnectError, Server};
use serde::Deserialize;

use crate::support::{Bed, text, within};

#[tokio::test]
async fn nothing_is_dialled_without_an_allow_list() {
    let bed = Bed::start(Bridge::builder()).await;
    let client = bed.client().await;
    for target in [
        &*bed.raw,
        "localhost:1",
        "no-such-host.invalid:80",
        "[::1]:80",
    ] {
        assert_eq!(
            client.fails("dial", target).await,
            format!("target not allowed: {target}")
        );
    }
    assert_eq!(bed.handle.connection_count(), 0);
}

#[tokio::test]
async fn only_targets_on_the_list_are_dialled_in_any_spelling() {
    let allowed = TcpServer::bind("127.0.0.1:0").await.expect("a free port");
    let secret = TcpServer::bind("127.0.0.1:0").await.expect("a free port");
    let (allowed_port, secret_port) = (allowed.local_addr().port(), secret.local_addr().port());
    let secret_handle = secret.handle();
    tokio::spawn(allowed.serve(async |conn: kokanee_net::Connection| conn.close().await));
    tokio::spawn(secret.serve(async |conn: kokanee_net::Connection| conn.close().await));
    let rule = format!("127.0.0.1:{allowed_port}").parse().expect("a rule");
    let bed = Bed::start(Bridge::builder().allow_target(rule)).await;
    let client = bed.client().await;
    for host in ["127.0.0.1", "[::ffff:127.0.0.1]"] {
        let id = client.ask("dial", format!("{host}:{allowed_port}")).await;
        assert!(id.as_str().is_some(), "{host}: {id}");
    }
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "127.1",
        "2130706433",
        "0.0.0.0",
        "[::1]",
    ] {
        let target = format!("{host}:{secret_port}");
        let error = client.fails("dial", &target).await;
        assert_eq!(error, format!("target not allowed: {target}"));
    }
    // Names are not even resolved: no rule has them.
    for host in ["localhost", "no-such-host.invalid"] {
        let target = format!("{host}:{allowed_port}");
        let error = client.fails("dial", &target).await;
        assert_eq!(error, format!("target not allowed: {target}"));
    }
    assert_eq!(
        client.fails("dial", "nonsense").await.split(';').next(),
        Some("not an address: nonsense")
    );
    assert_eq!(secret_handle.connection_count(), 0);
}

#[tokio::test]
async fn there_is_a_limit_on_what_is_dialled() {
    let target = TcpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = target.local_addr().to_string();
    tokio::spawn(
        target.serve(async |mut conn: kokanee_net::Connection| conn.recv().await.map(drop)),
    );
    let builder = Bridge::builder()
        .allow_target(address.parse().expect("a rule"))
        .with_limits(|limits| limits.max_dialled = 2);
    let bed = Bed::start(builder).await;
    let client = bed.client().await;
    for _ in 0..2 {
        assert!(client.ask("dial", &address).await.as_str().is_some());
    }
    let error = client.fails("dial", &address).await;
    assert_eq!(
        error,
        "2 connections are dialled already, which is the limit"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_being_established_count() {
    let target = TcpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = target.local_addr().to_string();
    let handle = target.handle();
    tokio::spawn(
        target.serve(async |mut conn: kokanee_net::Connection| conn.recv().await.map(drop)),
    );
    let builder = Bridge::builder()
        .allow_target(address.parse().expect("a rule"))
        .with_limits(|limits| limits.max_dialled = 2);
    let bed = Bed::start(builder).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(bed.client().await);
    }
    let mut asked = tokio::task::JoinSet::new();
    for client in &clients {
        let (socket, address) = (client.socket.clone(), address.clone());
        asked.spawn(async move {
            within(socket.emit_with_ack::<kokanee_server::Value>("dial", address)).await
        });
    }
    let answers = within(asked.join_all()).await;
    let dialled = answers.iter().flatten().filter(|id| id.as_str().is_some());
    assert_eq!(dialled.count(), 2, "{answers:?}");
    assert!(handle.connection_count() <= 2);
}

#[tokio::test]
async fn a_target_that_refuses_or_is_unknown_is_named() {
    // Bound, so that no other program listens there, but not listening.
    let taken = tokio::net::TcpSocket::new_v4().expect("a socket");
    taken.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let builder = Bridge::builder()
        .allow_target(address.parse().expect("a rule"))
        .allow_target("no-such-host.invalid:80".parse().expect("a rule"));
    let bed = Bed::start(builder).await;
    let client = bed.client().await;
    let error = client.fails("dial", &address).await;
    assert_eq!(
        error,
        format!("connection refused: {address}; nobody listens there")
    );
    let error = client.fails("dial", "no-such-host.invalid:80").await;
    assert!(
        error.starts_with("no such host: no-such-host.invalid"),
        "{error}"
    );
}

#[tokio::test]
async fn the_middleware_of_the_namespace_decides_about_access() {
    #[derive(Deserialize)]
    struct Login {
        token: String,
    }
    let io = Server::new();
    io.of("/tcp")
        .middleware(async |login: Option<Auth<Login>>| match login {
            Some(Auth(login)) if login.token == "secret" => Ok(()),
            _ => Err(ConnectError::new("not authorized")),
        });
    let bed = Bed::start_with(io, TcpServer::bind("127.0.0.1:0").await, Bridge::builder()).await;
    let mut raw = TcpClient::new(&bed.raw).connect().await.expect("connected");
    let url = bed.url("/tcp");
    let stranger = Client::builder(&url)
        .reconnection(false)
        .build()
        .expect("a client");
    let refused = within(stranger.connect()).await.expect_err("refused");
    assert!(refused.to_string().contains("not authorized"), "{refused}");
    assert!(stranger.emit("data", ("1", "intruder")).await.is_err() || !stranger.is_connected());

    let auth = serde_json::json!({ "token": "secret" });
    let friend = Client::builder(&url)
        .auth(&auth)
        .reconnection(false)
        .build()
        .expect("a client");
    within(friend.connect()).await.expect("let in");
    let answer = friend.emit_with_ack::<kokanee_server::Value>("data", ("1", "friend"));
    assert_eq!(text(&within(answer).await.expect("an answer")), "ok");
    // The first message that the peer receives, so the rejected client has sent nothing.
    let mut received = [0; 6];
    within(raw.read_exact(&mut received)).await.expect("data");
    assert_eq!(&received, b"friend");
}
