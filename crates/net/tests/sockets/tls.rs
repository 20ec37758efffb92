//! TLS.

use std::{fs, path::PathBuf, time::Duration};

use kokanee_net::{ClientTls, NetError, ServerTls, TcpClient, TcpServer};

use crate::support::{start_echo, within};

struct Certificate {
    server: ServerTls,
    pem: Vec<u8>,
}

fn certificate(name: &str) -> Certificate {
    self_signed(name, rcgen::IsCa::NoCa)
}

fn self_signed(name: &str, is_ca: rcgen::IsCa) -> Certificate {
    let names = vec!["localhost".to_owned()];
    let mut params = rcgen::CertificateParams::new(names).expect("parameters");
    params.is_ca = is_ca;
    let key = rcgen::KeyPair::generate().expect("a key");
    let made = params.self_signed(&key).expect("a certificate");
    let path = |kind| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{kind}.pem"));
    let pem = made.pem();
    fs::write(path("cert"), &pem).expect("a file");
    fs::write(path("key"), key.serialize_pem()).expect("a file");
    Certificate {
        server: ServerTls::from_pem_files(&path("cert"), &path("key")).expect("they fit"),
        pem: pem.into_bytes(),
    }
}

#[tokio::test]
async fn data_is_sent_in_both_directions_and_ends_cleanly() {
    let certificate = certificate("both-ways");
    let (address, _) = start_echo(TcpServer::builder().tls(certificate.server)).await;
    let tls = ClientTls::trusting(&certificate.pem)
        .expect("a certificate")
        .server_name("localhost");
    let mut conn = TcpClient::new(&address)
        .tls(tls)
        .connect()
        .await
        .expect("connected");
    assert!(conn.is_secure());
    let text = vec![b'x'; 300_000];
    let (mut reader, mut writer) = {
        conn.send_all(b"first").await.expect("sent");
        let mut first = [0; 5];
        within(conn.read_exact(&mut first))
            .await
            .expect("an answer");
        conn.into_split()
    };
    let sending = async {
        writer.send_all(&text).await.expect("sent");
        writer.finish().await.expect("ended");
    };
    let receiving = async {
        let mut received = 0;
        while let Some(data) = reader.recv().await.expect("data") {
            received += data.len();
        }
        received
    };
    let (received, ()) = within(async { tokio::join!(receiving, sending) }).await;
    assert_eq!(received, text.len());
}

#[tokio::test]
async fn a_server_with_an_untrusted_certificate_is_refused() {
    let certificate = certificate("unknown");
    let (address, _) = start_echo(TcpServer::builder().tls(certificate.server)).await;
    let connect = |tls: ClientTls| {
        let client = TcpClient::new(&address).tls(tls);
        async move { within(client.connect()).await }
    };
    let error = connect(ClientTls::system().server_name("localhost"))
        .await
        .expect_err("unknown");
    assert!(error.to_string().starts_with("TLS: localhost: "), "{error}");
    // Its name must match, too.
    let trusting = ClientTls::trusting(&certificate.pem).expect("a certificate");
    let error = connect(trusting.server_name("example.org"))
        .await
        .expect_err("another name");
    assert!(matches!(error, NetError::Tls { .. }), "{error}");
    let any = ClientTls::danger_accept_invalid_certificates();
    assert!(connect(any).await.is_ok());
}

#[tokio::test]
async fn a_self_signed_certificate_of_an_authority_has_a_hint() {
    let is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = self_signed("authority", is_ca);
    let (address, _) = start_echo(TcpServer::builder().tls(certificate.server)).await;
    let tls = ClientTls::trusting(&certificate.pem).expect("a certificate");
    let client = TcpClient::new(&address).tls(tls.server_name("localhost"));
    let error = within(client.connect()).await.expect_err("not an end");
    let text = error.to_string();
    assert!(
        text.contains("basicConstraints=critical,CA:FALSE"),
        "{text}"
    );
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let certificate = certificate("slow");
    let builder = TcpServer::builder()
        .tls(certificate.server)
        .with_limits(|limits| limits.handshake_timeout = Duration::from_millis(100));
    let (address, handle) = start_echo(builder).await;
    let mut silent = TcpClient::new(&address).connect().await.expect("connected");
    let end = within(silent.recv()).await;
    assert!(
        matches!(end, Ok(None) | Err(NetError::Reset { .. })),
        "{end:?}"
    );
    while handle.connection_count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let missing = PathBuf::from("no/such/cert.pem");
    let error = ServerTls::from_pem_files(&missing, &missing).expect_err("no file");
    assert_eq!(
        error.to_string(),
        "TLS: no/such/cert.pem: no such file or directory"
    );
    let error = ClientTls::trusting(b"nothing").expect_err("no certificate");
    assert_eq!(
        error.to_string(),
        "TLS: trusted certificates: there is no certificate in it"
    );
}
