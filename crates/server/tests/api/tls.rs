//! TLS on the server's own listener, and errors of its address or files.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use kokanee_server::{Ack, Data, Server, Socket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
};

use crate::{
    hosting::{listener, play, scenario},
    support::{WebSocket, within},
};

/// A self-signed certificate in two files, which go with this.
struct Certificate {
    directory: std::path::PathBuf,
    der: tokio_rustls::rustls::pki_types::CertificateDer<'static>,
}

impl Certificate {
    fn new(name: &str) -> Self {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let directory = std::env::temp_dir().join(format!("kokanee-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join("cert.pem"), made.cert.pem()).expect("a file");
        std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem())
            .expect("a file");
        Self {
            directory,
            der: made.cert.der().clone(),
        }
    }

    fn connector(&self) -> tokio_rustls::TlsConnector {
        let mut roots = tokio_rustls::rustls::RootCertStore::empty();
        roots.add(self.der.clone()).expect("a certificate");
        let config = tokio_rustls::rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tokio_rustls::TlsConnector::from(Arc::new(config))
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        // What stays in the temporary directory is found there.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A TCP port whose connections go on encrypted to `target`, so that clients without TLS can be used.
async fn encrypting(target: SocketAddr, certificate: &Certificate) -> SocketAddr {
    let (listener, address) = listener().await;
    let connector = certificate.connector();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let connector = connector.clone();
            tokio::spawn(async move {
                let tcp = TcpStream::connect(target)
                    .await
                    .expect("the server accepts");
                let name = "localhost".try_into().expect("a name");
                let mut tls = connector.connect(name, tcp).await.expect("TLS");
                // The ends of connections are the test's own affair.
                let _ = copy_bidirectional(&mut stream, &mut tls).await;
            });
        }
    });
    address
}

/// Serves with TLS, and returns the address at which a test speaks without it.
async fn served(io: &Server, certificate: &Certificate) -> SocketAddr {
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let listener = listener
        .tls(
            &certificate.directory.join("cert.pem"),
            &certificate.directory.join("key.pem"),
        )
        .expect("certificate and key fit");
    let target = listener.local_addr();
    tokio::spawn(listener.serve());
    encrypting(target, certificate).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_listener_with_tls() {
    let (io, mut entries) = scenario();
    io.on("secure", async |socket: Socket, ack: Ack| {
        ack.send(socket.handshake().secure())
    });
    let certificate = Certificate::new("listener");
    let address = served(&io, &certificate).await;
    play(address, &mut entries, Some("127.0.0.1")).await;
    let mut websocket = WebSocket::connect(address, "/socket.io/?EIO=4&transport=websocket").await;
    websocket.text().await;
    websocket.join().await;
    websocket.text().await;
    websocket.send("421[\"secure\"]").await;
    assert_eq!(websocket.text().await, "431[true]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_passes_tls_both_ways() {
    let io = Server::new();
    io.on("echo", async |Data(text): Data<String>, ack: Ack| {
        ack.send(text)
    });
    let certificate = Certificate::new("large");
    let address = served(&io, &certificate).await;
    let mut websocket = WebSocket::connect(address, "/socket.io/?EIO=4&transport=websocket").await;
    websocket.text().await;
    websocket.join().await;
    let text = "0123456789".repeat(90_000);
    websocket.send(&format!("421[\"echo\",\"{text}\"]")).await;
    assert_eq!(websocket.text().await, format!("431[\"{text}\"]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_shake_hands_is_cut() {
    let io = Server::builder()
        .with_limits(|limits| limits.header_timeout = Duration::from_millis(100))
        .build();
    let certificate = Certificate::new("silent");
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let listener = listener
        .tls(
            &certificate.directory.join("cert.pem"),
            &certificate.directory.join("key.pem"),
        )
        .expect("certificate and key fit");
    let target = listener.local_addr();
    tokio::spawn(listener.serve());
    for hello in [b"".as_slice(), b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = TcpStream::connect(target)
            .await
            .expect("the server accepts");
        stream.write_all(hello).await.expect("there is room");
        let mut answer = Vec::new();
        // An alert may come before the end, or a reset.
        let read = within("the end of the connection", stream.read_to_end(&mut answer)).await;
        assert!(read.is_err() || !answer.starts_with(b"HTTP"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_certificate_are_an_error() {
    let io = Server::new();
    let certificate = Certificate::new("missing");
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let (missing, key) = (
        certificate.directory.join("none.pem"),
        certificate.directory.join("key.pem"),
    );
    let error = listener
        .tls(&missing, &key)
        .expect_err("there is no such file");
    assert!(
        error.to_string().starts_with("TLS: cannot read "),
        "{error}"
    );
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let error = listener
        .tls(&key, &key)
        .expect_err("a key is no certificate");
    assert!(
        error.to_string().starts_with("TLS: no certificate in "),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_a_helpful_error() {
    let io = Server::new();
    let first = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = first.local_addr().to_string();
    let error = io.bind(&address).await.expect_err("it is in use");
    assert!(
        error
            .to_string()
            .starts_with(&format!("address in use: {address}")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_not_there_are_an_error() {
    let client = Server::builder().serve_client("no/dist").build();
    let error = client.bind("127.0.0.1:0").await.expect_err("no client");
    assert!(
        error.to_string().contains("npm install socket.io-client"),
        "{error}"
    );
    let page = Server::new();
    page.serve_static("/", "no/index.html");
    let error = page.bind("127.0.0.1:0").await.expect_err("no page");
    let text = error.to_string();
    assert!(text.starts_with("cannot serve no/index.html: "), "{text}");
}
