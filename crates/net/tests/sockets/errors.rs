//! Errors state what failed, where, and what to do.

use std::time::Duration;

use kokanee_net::{NetError, TcpClient, TcpServer, UdpServer};

use crate::support::{closed_address, within};

#[tokio::test]
async fn an_address_in_use_is_named() {
    let server = TcpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().to_string();
    let error = TcpServer::bind(&address).await.expect_err("in use");
    assert!(matches!(error, NetError::AddressInUse { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "address in use: {address}; choose another one, or stop the program that listens there"
        )
    );
    let server = UdpServer::bind("127.0.0.1:0").await.expect("a free port");
    let error = UdpServer::bind(&server.local_addr().to_string())
        .await
        .expect_err("in use");
    assert!(matches!(error, NetError::AddressInUse { .. }), "{error}");
}

#[tokio::test]
async fn a_port_may_be_shared_if_both_allow_it() {
    let share = || TcpServer::builder().with_options(|options| options.reuse_port = true);
    let first = share().bind("127.0.0.1:0").await.expect("a free port");
    let address = first.local_addr().to_string();
    assert!(share().bind(&address).await.is_ok());
    assert!(TcpServer::bind(&address).await.is_err());
}

#[tokio::test]
async fn a_port_is_free_at_once_after_its_server() {
    let server = TcpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().to_string();
    let client = TcpClient::new(&address);
    let (theirs, ours) = tokio::join!(client.connect(), server.accept());
    // The server's side ends first, so the system keeps the connection in TIME-WAIT.
    ours.expect("accepted").finish().await.expect("ended");
    let mut theirs = theirs.expect("connected");
    assert_eq!(within(theirs.recv()).await.expect("the end"), None);
    drop((theirs, server));
    TcpServer::bind(&address).await.expect("free again");
}

#[tokio::test]
async fn a_target_where_nobody_listens_is_named() {
    let (address, _taken) = closed_address();
    let error = TcpClient::new(&address)
        .connect()
        .await
        .expect_err("refused");
    assert_eq!(
        error.to_string(),
        format!("connection refused: {address}; nobody listens there")
    );
}

#[tokio::test]
async fn an_unreachable_target_is_named() {
    // No machine connects to a broadcast address.
    let error = TcpClient::new("255.255.255.255:9")
        .connect()
        .await
        .expect_err("unreachable");
    let text = error.to_string();
    assert!(text.contains("255.255.255.255:9"), "{text}");
    assert!(!text.contains("os error"), "{text}");

    // A listener whose queue is full does not answer, like a machine that is off.
    let builder = TcpServer::builder().with_options(|options| options.backlog = 0);
    let server = builder.bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().to_string();
    let client = TcpClient::new(&address)
        .with_limits(|limits| limits.connect_timeout = Duration::from_millis(200));
    let mut queued = Vec::new();
    let error = loop {
        match within(client.connect()).await {
            Ok(conn) => queued.push(conn),
            Err(error) => break error,
        }
        assert!(queued.len() < 100, "the queue is never full");
    };
    assert!(matches!(error, NetError::ConnectTimeout { .. }), "{error}");
    assert!(
        error
            .to_string()
            .starts_with(&format!("no answer from {address} within 200ms")),
        "{error}"
    );
}

#[tokio::test]
async fn unknown_names_and_invalid_addresses_are_distinguished() {
    for wrong in ["localhost", "", "::1:80", "localhost:http"] {
        let error = TcpClient::new(wrong)
            .connect()
            .await
            .expect_err("no address");
        assert!(matches!(error, NetError::NotAnAddress { .. }), "{error}");
    }
    let error = TcpClient::new("no-such-host.invalid:80")
        .connect()
        .await
        .expect_err("no host");
    assert_eq!(
        error.to_string(),
        "no such host: no-such-host.invalid; check the name, or the network"
    );
    let error = TcpServer::bind("192.0.2.1:0").await.expect_err("not ours");
    assert!(
        matches!(error, NetError::AddressNotAvailable { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_reset_connection_is_reported() {
    let server = TcpServer::bind("127.0.0.1:0").await.expect("a free port");
    let client = TcpClient::new(&server.local_addr().to_string())
        .with_options(|options| options.linger = Some(Duration::ZERO));
    let (theirs, ours) = tokio::join!(client.connect(), server.accept());
    // With a linger time of zero, closing is a reset.
    drop(theirs.expect("connected"));
    let error = within(ours.expect("accepted").recv())
        .await
        .expect_err("reset");
    assert!(matches!(error, NetError::Reset { .. }), "{error}");
    assert!(
        error.to_string().ends_with("has reset the connection"),
        "{error}"
    );
}
