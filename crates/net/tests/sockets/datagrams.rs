//! UDP.

use std::net::Ipv4Addr;

use kokanee_net::{Datagram, Limits, NetError, UdpClient, UdpOptions, UdpServer};

use crate::support::within;

#[tokio::test]
async fn an_echo_server_answers_each_datagram() {
    for host in ["127.0.0.1", "[::1]"] {
        let server = UdpServer::bind(&format!("{host}:0"))
            .await
            .expect("a free port");
        let address = server.local_addr().to_string();
        let handle = server.handle();
        let serving = tokio::spawn(
            server.serve(async |datagram: Datagram| datagram.reply(&datagram.data).await),
        );
        let client = UdpClient::connect(&address).await.expect("a socket");
        for text in ["one", "", "three"] {
            client.send(text.as_bytes()).await.expect("sent");
            assert_eq!(within(client.recv()).await.expect("an answer"), text);
        }
        assert!(handle.close(std::time::Duration::ZERO).await);
        within(serving).await.expect("serve returns");
    }
}

#[tokio::test]
async fn a_dual_stack_server_answers_both_families() {
    let server = UdpServer::bind("[::]:0").await.expect("a free port");
    let port = server.local_addr().port();
    tokio::spawn(server.serve(async |datagram: Datagram| {
        datagram.reply(datagram.peer.to_string().as_bytes()).await
    }));
    for (host, start) in [("127.0.0.1", "127.0.0.1:"), ("[::1]", "[::1]:")] {
        let client = UdpClient::connect(&format!("{host}:{port}"))
            .await
            .expect("a socket");
        client.send(b"who am I?").await.expect("sent");
        let answer = within(client.recv()).await.expect("an answer");
        assert!(answer.starts_with(start.as_bytes()), "{answer:?}");
    }
}

#[tokio::test]
async fn the_largest_datagram_arrives_whole() {
    let server = UdpServer::bind("127.0.0.1:0").await.expect("a free port");
    let client = UdpClient::connect(&server.local_addr().to_string())
        .await
        .expect("a socket");
    client.send(&vec![7; 65_507]).await.expect("sent");
    assert_eq!(
        within(server.recv()).await.expect("a datagram").data.len(),
        65_507
    );
    let error = client.send(&vec![7; 65_508]).await.expect_err("too large");
    assert!(
        matches!(error, NetError::DatagramTooLarge { size: 65_508, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_datagram_over_the_limit_is_reported_not_truncated() {
    let builder = UdpServer::builder().with_limits(|limits| limits.max_datagram_bytes = 100);
    let server = builder.bind("127.0.0.1:0").await.expect("a free port");
    let client = UdpClient::connect(&server.local_addr().to_string())
        .await
        .expect("a socket");
    client.send(&[7; 101]).await.expect("sent");
    client.send(&[8; 100]).await.expect("sent");
    let error = within(server.recv()).await.expect_err("too large");
    assert_eq!(
        error.to_string(),
        format!(
            "datagram from {} exceeds the limit of 100 bytes",
            client.local()
        )
    );
    assert_eq!(
        within(server.recv()).await.expect("the next one").data,
        [8; 100][..]
    );
    assert_eq!(server.over_limit_count(), 1);
}

#[tokio::test]
async fn a_refused_datagram_is_reported() {
    let server = UdpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().to_string();
    drop(server);
    let client = UdpClient::connect(&address).await.expect("a socket");
    client.send(b"hello?").await.expect("sent");
    let error = within(client.recv()).await.expect_err("nobody");
    assert_eq!(
        error.to_string(),
        format!("connection refused: {address}; nobody listens there")
    );
}

#[tokio::test]
async fn a_server_continues_after_the_error_of_one_peer() {
    let server = UdpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve(async |datagram: Datagram| datagram.reply(&datagram.data).await));
    // Closed before the reply arrives, so that the system reports that on the server's socket.
    for _ in 0..10 {
        let client = UdpClient::connect(&address).await.expect("a socket");
        client.send(b"x").await.expect("sent");
    }
    let client = UdpClient::connect(&address).await.expect("a socket");
    client.send(b"still there?").await.expect("sent");
    assert_eq!(
        within(client.recv()).await.expect("an answer"),
        "still there?"
    );
}

#[tokio::test]
async fn members_of_a_multicast_group_receive_what_is_sent_to_it() {
    let loopback = |options: &mut UdpOptions| {
        options.reuse_address = true;
        options.multicast_interface = Some(Ipv4Addr::LOCALHOST);
    };
    let first = UdpServer::builder()
        .with_options(loopback)
        .bind("0.0.0.0:0")
        .await
        .expect("a port");
    let port = first.local_addr().port();
    let group = Ipv4Addr::new(239, 255, 77, 77);
    let address = format!("0.0.0.0:{port}");
    let second = UdpServer::builder().with_options(loopback).bind(&address);
    let second = second.await.expect("a shared port");
    for server in [&first, &second] {
        let joined = server.join_multicast(group.into(), Some(Ipv4Addr::LOCALHOST));
        joined.expect("loopback supports multicast");
    }
    let mut options = UdpOptions::default();
    options.multicast_interface = Some(Ipv4Addr::LOCALHOST);
    let address = format!("{group}:{port}");
    let client = UdpClient::connect_with(&address, &options, Limits::default());
    client
        .await
        .expect("a socket")
        .send(b"to all")
        .await
        .expect("sent");
    for server in [&first, &second] {
        assert_eq!(
            within(server.recv()).await.expect("a datagram").data,
            "to all"
        );
    }
    let error = first
        .join_multicast([127, 0, 0, 1].into(), None)
        .expect_err("no group");
    assert!(
        error
            .to_string()
            .starts_with("cannot join the multicast group 127.0.0.1: "),
        "{error}"
    );
}
