//! Unix-domain sockets.

use std::{fs, path::PathBuf};

use kokanee_net::{
    Datagram, Limits, NetError, UnixClient, UnixDatagramClient, UnixDatagramServer, UnixServer,
};

use crate::support::{echo, within};

/// A path in a separate directory.
fn path(name: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory");
    directory.join("s")
}

#[tokio::test]
async fn an_echo_server_on_a_path() {
    let path = path("echo");
    let server = UnixServer::bind(&path, Limits::default())
        .await
        .expect("a path");
    let handle = server.handle();
    let serving = tokio::spawn(server.serve(echo));
    let mut conn = UnixClient::new(&path).connect().await.expect("connected");
    assert_eq!(conn.peer().to_string(), path.display().to_string());
    conn.send_all(b"hello").await.expect("sent");
    conn.finish().await.expect("ended");
    let mut answer = [0; 5];
    within(conn.read_exact(&mut answer))
        .await
        .expect("an answer");
    assert_eq!(&answer, b"hello");
    assert_eq!(within(conn.recv()).await.expect("the end"), None);

    assert!(handle.close(std::time::Duration::from_secs(5)).await);
    within(serving).await.expect("serve returns");
    assert!(!path.exists(), "its file is removed");
    let error = UnixClient::new(&path).connect().await.expect_err("gone");
    assert!(matches!(error, NetError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_path_in_use_is_kept_and_a_stale_one_is_replaced() {
    let path = path("in-use");
    let server = UnixServer::bind(&path, Limits::default())
        .await
        .expect("a path");
    let error = UnixServer::bind(&path, Limits::default())
        .await
        .expect_err("in use");
    assert!(
        error
            .to_string()
            .starts_with(&format!("address in use: {}", path.display())),
        "{error}"
    );
    drop(server);

    // As left by a program that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a path"));
    assert!(path.exists());
    UnixServer::bind(&path, Limits::default())
        .await
        .expect("replaced");

    fs::write(&path, "precious").expect("a file");
    let error = UnixServer::bind(&path, Limits::default())
        .await
        .expect_err("a file");
    assert!(matches!(error, NetError::AddressInUse { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
}

#[tokio::test]
async fn datagrams_on_paths() {
    let path = path("datagrams");
    let server = UnixDatagramServer::bind(&path, Limits::default())
        .await
        .expect("a path");
    let own = path.with_extension("client");
    let client = UnixDatagramClient::connect(&path, &own, Limits::default())
        .await
        .expect("a socket");
    tokio::spawn(server.serve(async |datagram: Datagram| datagram.reply(&datagram.data).await));
    client.send(b"hello").await.expect("sent");
    assert_eq!(within(client.recv()).await.expect("an answer"), "hello");
    drop(client);
    assert!(!own.exists(), "its file is removed");
}
