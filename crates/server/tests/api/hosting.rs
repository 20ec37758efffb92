//! The same scenario under every host: the own listener, axum, hyper, accepted streams of any kind, TLS.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use kokanee_server::{
    Ack, ConnectError, Cookie, Cors, Data, DisconnectReason, Extension, Handshake, NoUpgrade,
    PeerAddress, Server, Socket, State, TrustedProxy,
};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tower::Service as _;

use crate::{
    journal::{Entries, Journal, journaling},
    support::{Http, Response, WebSocket, sid_of, within},
};

/// The server of the scenario.
fn scenario() -> (Server, Entries) {
    let (builder, _, entries) = journaling();
    let io = builder.build();
    io.on_connect(async |socket: Socket| {
        socket
            .emit(
                "address",
                socket.handshake().address().map(|address| address.ip()),
            )
            .await
    });
    io.on("double", async |Data(number): Data<i64>, ack: Ack| {
        ack.send(number * 2)
    });
    io.on(
        "reverse",
        async |Data(data): Data<Bytes>, socket: Socket| {
            let reversed: Bytes = data.iter().rev().copied().collect();
            socket.emit("reversed", reversed).await
        },
    );
    io.on_disconnect(async |reason: DisconnectReason, journal: State<Journal>| {
        journal.note(reason);
    });
    (io, entries)
}

/// One request on a connection of its own, as some hosts close it behind each answer.
async fn request(address: SocketAddr, method: &str, target: &str, body: &str) -> Response {
    let mut http = Http::connect(address).await;
    let length = body.len();
    http.send(format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
    .await;
    http.response().await
}

/// Plays the scenario: polling, upgrade, events, acknowledgement, binary, the end.
async fn play(address: SocketAddr, entries: &mut Entries, ip: Option<&str>) {
    let path = "/socket.io/?EIO=4&transport=";
    let opened = request(address, "GET", &format!("{path}polling"), "").await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let sid = sid_of(&opened.text());
    let polling = format!("{path}polling&sid={sid}");
    assert_eq!(
        request(address, "POST", &polling, "40").await.brief(),
        (200, "ok".to_owned())
    );
    let joined = request(address, "GET", &polling, "").await.text();
    let (reply, hello) = joined.split_once('\u{1e}').expect("reply and event");
    assert!(reply.starts_with("40{\"sid\":\""), "{reply}");
    let ip = ip.map_or_else(|| "null".to_owned(), |ip| format!("\"{ip}\""));
    assert_eq!(hello, format!("42[\"address\",{ip}]"));
    let posted = request(address, "POST", &polling, "421[\"double\",21]").await;
    assert_eq!(posted.status, 200);
    assert_eq!(
        request(address, "GET", &polling, "").await.text(),
        "431[42]"
    );

    let mut websocket = WebSocket::connect(address, &format!("{path}websocket&sid={sid}")).await;
    websocket.send("2probe").await;
    assert_eq!(websocket.text().await, "3probe");
    websocket.send("5").await;
    websocket.send("422[\"double\",50]").await;
    assert_eq!(websocket.text().await, "432[100]");
    websocket
        .send("451-[\"reverse\",{\"_placeholder\":true,\"num\":0}]")
        .await;
    websocket.send_binary(b"\x01\x02\x03").await;
    assert_eq!(
        websocket.text().await,
        "451-[\"reversed\",{\"_placeholder\":true,\"num\":0}]"
    );
    assert_eq!(websocket.binary().await, b"\x03\x02\x01");
    websocket.send_close(1000).await;
    websocket.end().await;
    assert_eq!(entries.next().await, "transport close");

    let mut direct = WebSocket::connect(address, &format!("{path}websocket")).await;
    assert!(direct.text().await.starts_with("0{\"sid\":"));
    assert!(direct.join().await.starts_with("40{\"sid\":"));
    assert_eq!(direct.text().await, format!("42[\"address\",{ip}]"));
    direct.send("423[\"double\",4]").await;
    assert_eq!(direct.text().await, "433[8]");
    direct.send("41").await;
    assert_eq!(entries.next().await, "client namespace disconnect");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_listener() {
    let (io, mut entries) = scenario();
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr();
    tokio::spawn(listener.serve());
    play(address, &mut entries, Some("127.0.0.1")).await;
    assert_eq!(request(address, "GET", "/elsewhere", "").await.status, 404);
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_of_axum_beside_a_route_and_another_layer() {
    let (io, mut entries) = scenario();
    let cors = tower_http::cors::CorsLayer::permissive();
    let app = axum::Router::new()
        .route("/hello", axum::routing::get(async || "hello"))
        .layer(io.layer())
        .layer(cors);
    let (listener, address) = listener().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    play(address, &mut entries, None).await;
    let hello = request(address, "GET", "/hello", "").await;
    assert_eq!(hello.brief(), (200, "hello".to_owned()));
    assert_eq!(hello.header("access-control-allow-origin"), Some("*"));
    let ours = request(address, "GET", "/socket.io/?EIO=4&transport=polling", "").await;
    assert_eq!(ours.header("access-control-allow-origin"), Some("*"));
    assert_eq!(request(address, "GET", "/elsewhere", "").await.status, 404);
}

/// Serves an application of axum that says who has connected.
#[cfg(feature = "axum")]
async fn serve_axum(app: axum::Router) -> SocketAddr {
    let (listener, address) = listener().await;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// What the server says first to a client that comes with these headers.
async fn greeting(address: SocketAddr, headers: &[(&str, &str)]) -> String {
    let target = "/socket.io/?EIO=4&transport=websocket";
    let mut websocket = WebSocket::connect_with(address, target, headers).await;
    assert!(websocket.text().await.starts_with("0{\"sid\":"));
    websocket.join().await;
    websocket.text().await
}

#[cfg(feature = "axum")]
#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_axums_connect_info() {
    let (io, mut entries) = scenario();
    let layered = axum::Router::new().layer(io.layer());
    let address = serve_axum(layered).await;
    play(address, &mut entries, Some("127.0.0.1")).await;
    let service = axum::Router::new().fallback_service(io);
    let address = serve_axum(service).await;
    play(address, &mut entries, Some("127.0.0.1")).await;
}

#[cfg(feature = "axum")]
#[tokio::test(flavor = "multi_thread")]
async fn proxies_in_front_of_axum_are_believed_if_they_are_trusted() {
    for (trusted, header, value, expected) in [
        (true, "x-forwarded-for", "6.6.6.6, 192.0.2.1", "192.0.2.1"),
        (true, "forwarded", "for=192.0.2.1;proto=https", "192.0.2.1"),
        (true, "x-real-ip", "6.6.6.6", "127.0.0.1"),
        (false, "x-forwarded-for", "6.6.6.6", "127.0.0.1"),
        (false, "forwarded", "for=6.6.6.6", "127.0.0.1"),
    ] {
        let proxies = Some(TrustedProxy::LOOPBACK).filter(|_| trusted);
        let io = Server::builder().trust_proxies(proxies).build();
        io.on_connect(async |socket: Socket, handshake: Handshake| {
            let address = handshake.address().map(|address| address.ip());
            socket.emit("address", address).await
        });
        let address = serve_axum(axum::Router::new().layer(io.layer())).await;
        let greeting = greeting(address, &[(header, value)]).await;
        assert_eq!(greeting, format!("42[\"address\",\"{expected}\"]"));
    }
}

/// What a layer in front of the server knows of the visitor.
#[derive(Clone, Debug, PartialEq)]
struct Visitor(&'static str);

#[tokio::test(flavor = "multi_thread")]
async fn extensions_of_the_host_reach_the_handshake() {
    let io = Server::builder()
        .cors(Cors::any().credentials(true))
        .allow_request(async |request: http::request::Parts| {
            let visitor = request.extensions.get::<Visitor>();
            visitor.map_or_else(|| Err("nobody".to_owned()), |_| Ok(()))
        })
        .build();
    io.on_connect(async |socket: Socket, handshake: Handshake| {
        let visitor = handshake.extensions().get::<Visitor>();
        let peer = handshake.extensions().get::<PeerAddress>();
        let visitor = visitor.map(|Visitor(name)| *name);
        socket.emit("visitor", (visitor, peer.is_some())).await
    });
    let app = axum::Router::new()
        .layer(io.layer())
        .layer(axum::Extension(PeerAddress(([192, 0, 2, 1], 1).into())))
        .layer(axum::Extension(Visitor("Ada")));
    let (listener, address) = listener().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    assert_eq!(
        greeting(address, &[]).await,
        "42[\"visitor\",\"Ada\",false]"
    );
    let own = [("origin", "http://localhost")];
    assert_eq!(
        greeting(address, &own).await,
        "42[\"visitor\",\"Ada\",false]"
    );
    // A page of another site must not speak for its visitor, as the layer has read the cookies.
    let target = "/socket.io/?EIO=4&transport=polling";
    let mut http = Http::connect(address).await;
    http.send(format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n"
    ))
    .await;
    let answer = http.response().await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (403, "{\"code\":4,\"message\":\"nobody\"}")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_layer_logs_in() {
    use tower_sessions::{MemoryStore, Session, SessionManagerLayer};
    let io = Server::new();
    io.middleware(async |socket: Socket, handshake: Handshake| {
        let session = handshake.extensions().get::<Session>().cloned();
        let session = session.expect("the layer is in front");
        let user = session.get::<String>("user").await.unwrap_or_default();
        let user =
            user.ok_or_else(|| ConnectError::new("log in first").data(json!({"status": 401})))?;
        socket.insert(user);
        Ok::<_, ConnectError>(())
    });
    io.on_connect(async |socket: Socket, user: Extension<String>| {
        socket.emit("hello", &*user.0).await
    });
    let login = async |session: Session| session.insert("user", "Ada").await.expect("a store");
    let app = axum::Router::new()
        .route("/login", axum::routing::post(login))
        .layer(io.layer())
        .layer(SessionManagerLayer::new(MemoryStore::default()).with_secure(false));
    let (listener, address) = listener().await;
    tokio::spawn(async move { axum::serve(listener, app).await });

    let target = "/socket.io/?EIO=4&transport=websocket";
    let mut websocket = WebSocket::connect(address, target).await;
    websocket.text().await;
    websocket.send("40").await;
    assert_eq!(
        websocket.text().await,
        "44{\"message\":\"log in first\",\"data\":{\"status\":401}}"
    );
    let answer = request(address, "POST", "/login", "").await;
    let cookie = answer.header("set-cookie").expect("a cookie");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    assert_eq!(
        greeting(address, &[("cookie", &cookie)]).await,
        "42[\"hello\",\"Ada\"]"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_axum() {
    let (io, mut entries) = scenario();
    let app = axum::Router::new()
        .route("/hello", axum::routing::get(async || "hello"))
        .fallback_service(io);
    let (listener, address) = listener().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    play(address, &mut entries, None).await;
    assert_eq!(request(address, "GET", "/hello", "").await.text(), "hello");
    assert_eq!(request(address, "GET", "/elsewhere", "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_hyper_that_tells_the_address() {
    let (io, mut entries) = scenario();
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let io = io.clone();
            let service =
                hyper::service::service_fn(move |mut request: Request<hyper::body::Incoming>| {
                    request.extensions_mut().insert(PeerAddress(peer));
                    io.clone().call(request)
                });
            let stream = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(stream, service)
                    .with_upgrades(),
            );
        }
    });
    play(address, &mut entries, Some("127.0.0.1")).await;
    assert_eq!(request(address, "GET", "/elsewhere", "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_upgrades_offers_none() {
    for (offers, upgrades) in [
        (true, r#""upgrades":["websocket"]"#),
        (false, r#""upgrades":[]"#),
    ] {
        let mut io = Server::new();
        let mut opening = Request::new(http_body_util::Empty::<Bytes>::new());
        *opening.uri_mut() = http::Uri::from_static("/socket.io/?EIO=4&transport=polling");
        if !offers {
            opening.extensions_mut().insert(NoUpgrade);
        }
        let answer = io.call(opening).await.expect("infallible");
        let body = answer.into_body().collect().await.expect("a body");
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        assert!(text.contains(upgrades), "{text}");
    }
}

/// An ordinary client reads nothing before it has sent everything, and must see the refusal all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_before_the_end_of_the_body_can_be_read_under_every_host() {
    let io = Server::new();
    let app = axum::Router::new().fallback_service(io.clone());
    let (axum_listener, on_axum) = listener().await;
    tokio::spawn(async move { axum::serve(axum_listener, app).await });
    let (listener, accepted) = listener().await;
    let served = io.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, peer)) = listener.accept().await {
            // Another server that has read the head, and leaves the body.
            let mut head = [0; 64];
            let _ = stream.read(&mut head).await;
            let request = Request::post("/socket.io/?EIO=4&transport=polling")
                .body(Full::<Bytes>::default())
                .expect("a request");
            served
                .accept(stream, request, b"", Some(peer))
                .await
                .expect("written");
        }
    });
    let session = request(on_axum, "GET", "/socket.io/?EIO=4&transport=polling", "").await;
    let session = format!(
        "/socket.io/?EIO=4&transport=polling&sid={}",
        sid_of(&session.text())
    );
    for (address, target, status) in [
        (on_axum, session.as_str(), 413),
        (on_axum, "/socket.io/?EIO=4&transport=polling", 400),
        (on_axum, "/socket.io/?EIO=4&transport=x", 400),
        (accepted, "/socket.io/?EIO=4&transport=polling", 400),
    ] {
        let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 1200000\r\n\r\n");
        let mut http = Http::connect(address).await;
        http.send_slowly();
        http.send([head.into_bytes(), vec![b'x'; 1_200_000]].concat())
            .await;
        assert_eq!(http.response().await.status, status, "{target}");
        // Who waits to be asked for the body is answered, and need not send it.
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1200000\r\n\r\n"
        );
        let mut http = Http::connect(address).await;
        http.send(head).await;
        assert!(
            matches!(http.response().await.status, 400 | 413),
            "{target}"
        );
    }
}

/// As under HTTP/2, which has no `Host`.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_may_tell_the_address_of_a_proxy() {
    let (builder, _, _entries) = journaling();
    let io = builder
        .trust_proxies([TrustedProxy::PRIVATE])
        .with_limits(|limits| limits.max_pending_sessions_per_address = 1)
        .cookie(Cookie::default())
        .build();
    for (client, origin, status) in [
        ("192.0.2.1", "https://a.example", 200),
        ("192.0.2.1", "https://a.example", 429),
        ("192.0.2.2", "https://a.example", 200),
        ("192.0.2.3", "https://b.example", 403),
    ] {
        let request = Request::get("https://a.example/socket.io/?EIO=4&transport=polling")
            .version(http::Version::HTTP_2)
            .header("x-forwarded-for", client)
            .header("origin", origin)
            .extension(PeerAddress("10.0.0.1:1".parse().expect("an address")))
            .body(Full::<Bytes>::default())
            .expect("a request");
        let answer = io.clone().call(request).await.expect("it never fails");
        assert_eq!(answer.status(), status, "{client} {origin}");
    }
}

/// Reads a request as another server would: head and body, and what came behind them.
async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
) -> Option<(Request<Full<Bytes>>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let mut rest = bytes.split_off(head_end + 4);
    let head = String::from_utf8(bytes).expect("a head of text");
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().expect("a request line").split(' ');
    let mut request = Request::builder()
        .method(first.next().expect("a method"))
        .uri(first.next().expect("a target"));
    let mut length = 0;
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a header field");
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().expect("a length");
        }
        request = request.header(name, value);
    }
    while rest.len() < length {
        if stream.read_buf(&mut rest).await.ok()? == 0 {
            return None;
        }
    }
    let unread = rest.split_off(length);
    Some((request.body(Full::from(rest)).expect("a request"), unread))
}

async fn accept<S>(io: Server, mut stream: S, peer: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if let Some((request, unread)) = read_request(&mut stream).await {
        io.accept(stream, request, &unread, Some(peer))
            .await
            .expect("the stream can be written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_tcp_stream_with_a_parsed_request() {
    let (io, mut entries) = scenario();
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            tokio::spawn(accept(io.clone(), stream, peer));
        }
    });
    play(address, &mut entries, Some("127.0.0.1")).await;
    assert_eq!(request(address, "GET", "/elsewhere", "").await.status, 404);
}

/// Passes what comes on TCP through a pipe in memory, whose other end `serve` gets.
fn through_pipes<F>(
    listener: TcpListener,
    serve: impl Fn(tokio::io::DuplexStream, SocketAddr) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        while let Ok((mut stream, peer)) = listener.accept().await {
            // Small, so that every write is torn.
            let (mut near, far) = tokio::io::duplex(61);
            tokio::spawn(serve(far, peer));
            tokio::spawn(async move { copy_bidirectional(&mut stream, &mut near).await });
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_pipe_with_a_parsed_request() {
    let (io, mut entries) = scenario();
    let (listener, address) = listener().await;
    through_pipes(listener, move |stream, peer| {
        accept(io.clone(), stream, peer)
    });
    play(address, &mut entries, Some("127.0.0.1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_behind_the_request_is_not_lost() {
    let (io, mut entries) = scenario();
    let (mut client, stream) = tokio::io::duplex(4096);
    let request = Request::builder()
        .uri("/socket.io/?EIO=4&transport=websocket")
        .header("connection", "keep-alive, Upgrade")
        .header("upgrade", "WebSocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Full::<Bytes>::default())
        .expect("a request");
    let mut unread = crate::support::frame(0x81, b"40");
    unread.extend(crate::support::frame(0x81, b"41"));
    io.accept(stream, request, &unread, None)
        .await
        .expect("the pipe is open");
    assert_eq!(entries.next().await, "client namespace disconnect");
    let mut answer = vec![0; 12];
    client.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, b"HTTP/1.1 101");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_served_with_http() {
    let (io, mut entries) = scenario();
    let (listener, address) = listener().await;
    through_pipes(listener, move |stream, peer| {
        let io = io.clone();
        async move { io.serve_stream(stream, Some(peer)).await }
    });
    play(address, &mut entries, Some("127.0.0.1")).await;
    assert_eq!(request(address, "GET", "/elsewhere", "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_stream_served_with_http() {
    let (io, mut entries) = scenario();
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let io = io.clone();
            tokio::spawn(async move { io.serve_stream(stream, Some(peer)).await });
        }
    });
    play(address, &mut entries, Some("127.0.0.1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_to_a_poll_that_breaks_off_is_given_again() {
    const LENGTH: usize = 300_000;
    let io = Server::new();
    io.on_connect(async |socket: Socket| socket.emit("long", "x".repeat(LENGTH)).await);
    let (listener, address) = listener().await;
    let own = io.clone();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let io = own.clone();
            tokio::spawn(async move { io.serve_stream(stream, Some(peer)).await });
        }
    });
    let path = "/socket.io/?EIO=4&transport=polling";
    let opened = request(address, "GET", path, "").await;
    let target = format!("{path}&sid={}", sid_of(&opened.text()));
    assert_eq!(request(address, "POST", &target, "40").await.status, 200);
    // What fits in the pipe has left the server, and the client may have had any part of it.
    for taken in [1, 100_000, 290_000] {
        let (mut client, stream) = tokio::io::duplex(4096);
        let served = tokio::spawn({
            let io = io.clone();
            async move { io.serve_stream(stream, None).await }
        });
        let get = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.write_all(get.as_bytes()).await.expect("a pipe");
        let mut answer = vec![0; taken];
        within("a part of the answer", client.read_exact(&mut answer))
            .await
            .expect("an answer");
        drop(client);
        within("the end of the connection", served)
            .await
            .expect("no panic");
    }
    let whole = request(address, "GET", &target, "").await.text();
    let (reply, event) = whole.split_once('\u{1e}').expect("reply and event");
    assert!(reply.starts_with("40{\"sid\":\""), "{reply}");
    assert_eq!(event, format!("42[\"long\",\"{}\"]", "x".repeat(LENGTH)));
}

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

#[tokio::test(flavor = "multi_thread")]
async fn the_own_listener_with_tls() {
    let (io, mut entries) = scenario();
    io.on("secure", async |socket: Socket, ack: Ack| {
        ack.send(socket.handshake().secure())
    });
    let certificate = Certificate::new("listener");
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let listener = listener
        .tls(
            &certificate.directory.join("cert.pem"),
            &certificate.directory.join("key.pem"),
        )
        .expect("certificate and key fit");
    let target = listener.local_addr();
    tokio::spawn(listener.serve());
    let address = encrypting(target, &certificate).await;
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
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let listener = listener
        .tls(
            &certificate.directory.join("cert.pem"),
            &certificate.directory.join("key.pem"),
        )
        .expect("certificate and key fit");
    let target = listener.local_addr();
    tokio::spawn(listener.serve());
    let address = encrypting(target, &certificate).await;
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
