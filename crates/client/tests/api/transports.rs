//! How bytes get to the server: keep-alive, cookies, proxies, TLS, Unix sockets, which transport when.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use kokanee_client::{Client, ClientBuilder, ConnectFailure, Transport};
use kokanee_server::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier},
};

use crate::{
    raw::{ACCEPTED, OPEN, Raw, polling},
    support::{accepted, add_echo, echo_server, journal, serve, within},
};

/// Both transports alone, and the one after the other.
const WAYS: [&[Transport]; 3] = [
    &[Transport::Polling],
    &[Transport::WebSocket],
    &[Transport::Polling, Transport::WebSocket],
];

/// Connects and exchanges something, over each transport.
async fn works(builder: impl Fn() -> ClientBuilder) {
    for way in WAYS {
        let socket = builder().transports(way.iter().copied()).connect();
        let socket = accepted(socket).await;
        let text = "x".repeat(50_000);
        let answer = socket.emit_with_ack::<String>("echo", &text);
        let answer = within("an answer", async { answer.await }).await;
        assert_eq!(answer.expect("answered"), text);
        within("the end", socket.disconnect())
            .await
            .expect("all has left");
    }
}

async fn fails(builder: ClientBuilder) -> ConnectFailure {
    let failure = within("a failure", builder.connect()).await;
    failure.expect_err("it cannot be connected")
}

/// Passes connections on to `target`, after `prepare` has had its say with each.
async fn relay<F, Fut, S>(target: SocketAddr, prepare: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Option<S>> + Send + 'static,
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let prepare = Arc::new(prepare);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let prepare = Arc::clone(&prepare);
            tokio::spawn(async move {
                if let Some(mut stream) = prepare(stream).await
                    && let Ok(mut server) = TcpStream::connect(target).await
                {
                    let _ = copy_bidirectional(&mut stream, &mut server).await;
                }
            });
        }
    });
    address
}

// HTTP.

#[tokio::test]
async fn polling_needs_two_connections_however_long_it_lasts() {
    let address = serve(&echo_server(), 0).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let relay = relay(address, move |stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Some(stream) }
    })
    .await;
    let socket = Client::builder(&format!("http://{relay}"))
        .transports([Transport::Polling])
        .connect();
    let socket = accepted(socket).await;
    for number in 0..100 {
        let answer = socket.emit_with_ack::<i32>("echo", number);
        let answer = within("an answer", async { answer.await }).await;
        assert_eq!(answer.expect("answered"), number);
    }
    // One for GETs and one for POSTs, both kept alive.
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_kept_connection_that_the_server_has_closed_is_replaced() {
    let raw = Raw::start().await;
    let builder = Client::builder(&raw.url()).transports([Transport::Polling]);
    let script = async {
        let mut get = raw.accept().await;
        get.request().await;
        get.answer("", OPEN).await;
        get.request().await;
        let mut post = raw.accept().await;
        assert_eq!(post.post().await.1, "40");
        post.answer("", "ok").await;
        // Between two requests, as servers do with connections that are idle.
        drop(post);
        get.answer("", ACCEPTED).await;
        get.request().await;
        let mut post = raw.accept().await;
        assert_eq!(post.post().await.1, "42[\"x\"]");
        post.answer("", "ok").await;
        get
    };
    let client = async {
        let socket = accepted(builder.connect()).await;
        socket.emit("x", ()).await.expect("sent");
        socket
    };
    let (socket, _get) = tokio::join!(client, script);
    assert!(socket.is_connected());
}

#[tokio::test]
async fn cookies_of_the_server_come_back() {
    for keeps in [true, false] {
        let raw = Raw::start().await;
        let builder = Client::builder(&raw.url())
            .cookies(keeps)
            .header("x-own", "1")
            .query("own", "2");
        let open = OPEN.replace("[]", "[\"websocket\"]");
        let script = async {
            let mut get = raw.accept().await;
            let first = get.request().await;
            assert!(!first.contains("cookie: "), "{first}");
            let set = "Set-Cookie: io=secret; Path=/; HttpOnly\r\nSet-Cookie: node=a1\r\n";
            get.answer(set, &open).await;
            // The next GET, the POST and the WebSocket, in any order.
            let mut heads = vec![get.request().await];
            for _ in 0..2 {
                let mut wire = raw.accept().await;
                heads.push(wire.request().await);
            }
            heads
        };
        let connecting = builder.connect();
        let heads = tokio::select! {
            _ = connecting => panic!("nobody has accepted"),
            heads = script => heads,
        };
        assert_eq!(
            heads
                .iter()
                .filter(|head| head.contains("upgrade: websocket"))
                .count(),
            1
        );
        for head in heads {
            let has_cookies = head.contains("cookie: io=secret; node=a1\r\n");
            assert_eq!(has_cookies, keeps, "{head}");
            assert!(
                head.contains("x-own: 1\r\n") && head.contains("own=2"),
                "{head}"
            );
            assert!(head.contains("sid=secret"), "{head}");
        }
    }
}

#[tokio::test]
async fn cookies_may_come_with_any_answer() {
    let raw = Raw::start().await;
    let (socket, mut gets, mut posts) = polling(&raw).await;
    gets.answer("Set-Cookie: node=a\r\n", "2").await;
    assert!(gets.request().await.contains("cookie: node=a\r\n"));
    assert_eq!(posts.post().await.1, "3");
    posts.answer("Set-Cookie: node=b\r\n", "ok").await;
    socket.emit("x", ()).await.expect("sent");
    let (head, body) = posts.post().await;
    assert_eq!(body, "42[\"x\"]");
    assert!(head.contains("cookie: node=b\r\n"), "{head}");
}

#[tokio::test]
async fn headers_of_the_application_are_all_sent_and_its_cookies_too() {
    let raw = Raw::start().await;
    let builder = Client::builder(&raw.url())
        .header("Cookie", "own=1")
        .header("X-Many", "1")
        .header("X-Many", "2")
        .header("Accept", "text/plain");
    let script = async {
        let mut get = raw.accept().await;
        let first = get.request().await;
        get.answer("Set-Cookie: io=secret\r\n", OPEN).await;
        [first, get.request().await]
    };
    let heads = tokio::select! {
        _ = builder.connect() => panic!("nobody has accepted"),
        heads = script => heads,
    };
    for (head, cookies) in heads.iter().zip(["own=1", "own=1; io=secret"]) {
        for line in [
            &format!("cookie: {cookies}"),
            "x-many: 1",
            "x-many: 2",
            "accept: text/plain",
        ] {
            let count = head.lines().filter(|found| found == &line).count();
            assert_eq!(count, 1, "{line} in {head}");
        }
        assert!(!head.contains("*/*"), "{head}");
    }
}

#[tokio::test]
async fn the_path_can_be_any() {
    let io = Server::builder().path("/other/place").build();
    add_echo(&io);
    let address = serve(&io, 0).await;
    works(|| Client::builder(&format!("http://{address}")).path("/other/place")).await;
    let failure = fails(Client::builder(&format!("http://{address}"))).await;
    let text = failure.to_string();
    assert!(
        text.starts_with("not a Socket.IO server: ") && text.contains("/socket.io/"),
        "{text}"
    );
}

#[tokio::test]
async fn the_next_transport_is_tried_on_request_only() {
    let io = Server::builder().transports([Transport::WebSocket]).build();
    add_echo(&io);
    let address = serve(&io, 0).await;
    let builder = || Client::builder(&format!("http://{address}"));
    let failure = fails(builder()).await;
    assert!(
        matches!(
            failure,
            ConnectFailure::Transport {
                transport: "polling"
            }
        ),
        "{failure}"
    );
    let socket = within(
        "the connection",
        builder().try_all_transports(true).connect(),
    )
    .await
    .expect("accepted");
    assert_eq!(socket.transport(), Some(Transport::WebSocket));
}

#[tokio::test]
async fn an_upgrade_that_is_impossible_leaves_polling() {
    // The relay does not pass WebSockets on, as some proxies of companies.
    let address = serve(&echo_server(), 0).await;
    let relay = relay(address, |stream| async {
        let mut head = [0; 1024];
        let read = stream.peek(&mut head).await.ok()?;
        let is_websocket = head[..read]
            .windows(b"transport=websocket".len())
            .any(|part| part == b"transport=websocket");
        (!is_websocket).then_some(stream)
    })
    .await;
    let socket = within(
        "the connection",
        Client::connect(&format!("http://{relay}")),
    )
    .await
    .expect("accepted");
    for number in 0..20 {
        let answer = socket.emit_with_ack::<i32>("echo", number);
        let answer = within("an answer", async { answer.await }).await;
        assert_eq!(answer.expect("answered"), number);
    }
    assert_eq!(socket.transport(), Some(Transport::Polling));
}

// Proxies.

/// Reads until an empty line.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

#[tokio::test]
async fn http_proxies_are_asked_for_a_tunnel() {
    let address = serve(&echo_server(), 0).await;
    let (note, mut heads) = journal();
    let proxy = relay(address, move |mut stream| {
        let note = note.clone();
        async move {
            let head = head(&mut stream).await?;
            let is_known = head.contains("Basic bWU6c2VjcmV0");
            note(head);
            let answer = if is_known {
                "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n"
            } else {
                "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
            };
            stream.write_all(answer.as_bytes()).await.ok()?;
            is_known.then_some(stream)
        }
    })
    .await;
    // The name is for the proxy to find.
    let url = "http://nowhere.invalid:81";
    works(|| Client::builder(url).proxy(&format!("http://me:secret@{proxy}"))).await;
    let asked = heads.next().await;
    assert!(
        asked.starts_with("CONNECT nowhere.invalid:81 HTTP/1.1\r\n"),
        "{asked}"
    );
    let failure = fails(Client::builder(url).proxy(&format!("http://{proxy}"))).await;
    assert_eq!(
        failure.to_string(),
        format!("the proxy {proxy} refused: HTTP/1.1 407 Proxy Authentication Required")
    );
}

#[tokio::test]
async fn socks5_proxies_are_asked_for_a_tunnel() {
    let address = serve(&echo_server(), 0).await;
    let (note, mut asked) = journal();
    let proxy = relay(address, move |mut stream| {
        let note = note.clone();
        async move {
            let mut hello = [0; 2];
            stream.read_exact(&mut hello).await.ok()?;
            let mut methods = vec![0; hello[1].into()];
            stream.read_exact(&mut methods).await.ok()?;
            if !methods.contains(&2) {
                stream.write_all(&[5, 0xff]).await.ok()?;
                return None;
            }
            stream.write_all(&[5, 2]).await.ok()?;
            let mut login = [0; 11];
            stream.read_exact(&mut login).await.ok()?;
            let is_known = &login == b"\x01\x02me\x06secret";
            stream.write_all(&[1, u8::from(!is_known)]).await.ok()?;
            let mut request = [0; 5];
            stream.read_exact(&mut request).await.ok()?;
            assert_eq!(request[..4], [5, 1, 0, 3], "by name");
            let mut name = vec![0; usize::from(request[4]) + 2];
            stream.read_exact(&mut name).await.ok()?;
            note(name);
            stream
                .write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])
                .await
                .ok()?;
            Some(stream)
        }
    })
    .await;
    let url = "http://nowhere.invalid:81";
    works(|| Client::builder(url).proxy(&format!("socks5://me:secret@{proxy}"))).await;
    assert_eq!(asked.next().await, b"nowhere.invalid\0\x51");
    for proxy in [
        format!("socks5://me:wrong!@{proxy}"),
        format!("socks5://{proxy}"),
    ] {
        let failure = fails(Client::builder(url).proxy(&proxy)).await;
        assert!(matches!(failure, ConnectFailure::Proxy { .. }), "{failure}");
    }
}

// TLS.

/// An authority, and what it has signed.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key of this name, in PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// A server behind TLS for `localhost`. With `clients`, only those that it has signed may come.
async fn serve_tls(authority: &Authority, clients: Option<&Authority>) -> String {
    serve_certificate(authority.sign("localhost"), clients).await
}

/// A server behind TLS with this certificate and its key.
async fn serve_certificate((chain, key): (String, String), clients: Option<&Authority>) -> String {
    let address = serve(&echo_server(), 0).await;
    let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let config = match clients {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            let pem = clients.pem();
            let root = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
            roots.add(root).expect("a root");
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
            ServerConfig::builder().with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let config = config
        .with_single_cert(chain, key)
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let relay = relay(address, move |stream| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(stream).await.ok() }
    })
    .await;
    format!("https://localhost:{}", relay.port())
}

#[tokio::test]
async fn an_own_authority_is_trusted_when_it_is_named() {
    let authority = Authority::new();
    let url = serve_tls(&authority, None).await;
    works(|| Client::builder(&url).root_certificate(authority.pem())).await;
    // Others are not.
    for builder in [
        Client::builder(&url),
        Client::builder(&url).root_certificate(Authority::new().pem()),
    ] {
        let failure = fails(builder).await;
        assert!(matches!(failure, ConnectFailure::Tls { .. }), "{failure}");
    }
    // Nor is the right one for another name.
    let other = url.replace("localhost", "127.0.0.1");
    let failure = fails(Client::builder(&other).root_certificate(authority.pem())).await;
    assert!(matches!(failure, ConnectFailure::Tls { .. }), "{failure}");
    // Unless somebody insists.
    works(|| Client::builder(&other).danger_accept_invalid_certificates()).await;
}

#[tokio::test]
async fn clients_show_their_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let url = serve_tls(&authority, Some(&clients)).await;
    let (chain, key) = clients.sign("client");
    works(|| {
        Client::builder(&url)
            .root_certificate(authority.pem())
            .client_certificate(chain.clone(), key.clone())
    })
    .await;
    // With TLS 1.3 the client learns of it when it reads.
    let failure = fails(Client::builder(&url).root_certificate(authority.pem())).await;
    assert!(
        matches!(
            failure,
            ConnectFailure::Tls { .. } | ConnectFailure::Interrupted { .. }
        ),
        "{failure}"
    );
}

#[tokio::test]
async fn certificates_that_are_none_are_named() {
    for builder in [
        Client::builder("https://localhost").root_certificate("no PEM"),
        Client::builder("https://localhost").client_certificate("no PEM", "no PEM"),
    ] {
        let failure = fails(builder).await;
        assert!(
            matches!(failure, ConnectFailure::Option { .. }),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_failure() {
    let address = serve(&echo_server(), 0).await;
    let failure = fails(Client::builder(&format!("https://{address}"))).await;
    assert!(matches!(failure, ConnectFailure::Tls { .. }), "{failure}");
    let failure = fails(Client::builder("http://nowhere.invalid")).await;
    assert!(matches!(failure, ConnectFailure::Dns { .. }), "{failure}");
}

// Unix sockets.

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets_carry_every_transport() {
    let address = serve(&echo_server(), 0).await;
    let path = std::env::temp_dir().join(format!("kokanee-client-{}.sock", std::process::id()));
    // Left by a process of the same number, perhaps.
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(address).await?;
                copy_bidirectional(&mut stream, &mut server).await
            });
        }
    });
    works(|| Client::builder("http://any.name").unix_socket(&path)).await;
    std::fs::remove_file(&path).expect("it is there");
    let failure = fails(Client::builder("http://any.name").unix_socket(&path)).await;
    assert!(
        matches!(failure, ConnectFailure::Unreachable { .. }),
        "{failure}"
    );
}

#[tokio::test]
async fn a_self_signed_certificate_can_be_trusted_if_it_is_no_authoritys() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        params.is_ca = is_ca;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        let url = serve_certificate((certificate.clone(), key.serialize_pem()), None).await;
        let builder = || Client::builder(&url).root_certificate(certificate.as_bytes());
        if is_ca == IsCa::NoCa {
            works(builder).await;
        } else {
            let failure = fails(builder()).await;
            let text = failure.to_string();
            assert!(matches!(failure, ConnectFailure::Tls { .. }), "{text}");
            assert!(
                text.contains("basicConstraints=critical,CA:FALSE"),
                "{text}"
            );
        }
    }
}
