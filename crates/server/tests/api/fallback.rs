//! Requests on the server's own listener that are not for the server.

use std::{
    convert::Infallible, future::poll_fn, net::SocketAddr, pin::Pin, sync::Arc, task,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header, request::Parts};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use kokanee_server::{
    Adopter, Body, PeerAddress, Requester, Route, Server, StreamEnd, Taker, TrustedProxy,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Notify, mpsc, oneshot, watch},
};

use crate::{
    hosting::{play, scenario},
    support::{self, Http, within},
};

type Answer = Result<Response<Body>, Infallible>;

async fn serve<F, Fut>(io: Server, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr();
    let listener = listener.fallback(tower::service_fn(answer));
    tokio::spawn(listener.serve());
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_of_axum_beside_the_server() {
    let (io, mut entries) = scenario();
    io.serve_static("/file", "Cargo.toml");
    let app = axum::Router::new().route("/hello", axum::routing::get(async || "hello"));
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr();
    tokio::spawn(listener.fallback(app).serve());
    play(address, &mut entries, Some("127.0.0.1")).await;
    let mut http = Http::connect(address).await;
    let hello = http.get("/hello").await;
    assert_eq!(hello.brief(), (200, "hello".to_owned()));
    assert_eq!(http.get("/other").await.status, 404);
    // Files come first.
    assert!(http.get("/file").await.text().contains("kokanee-server"));
}

/// A body whose pieces are sent by a test.
fn body(pieces: mpsc::Receiver<Bytes>) -> Body {
    let stream = futures_util::stream::unfold(pieces, async |mut pieces| {
        let piece = pieces.recv().await?;
        Some((Ok::<_, std::io::Error>(Frame::data(piece)), pieces))
    });
    Body::stream(StreamBody::new(Box::pin(stream)))
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_streams_both_ways() {
    let address = serve(Server::new(), async |request: Request<Incoming>| {
        let (send, receive) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut incoming = request.into_body();
            while let Some(Ok(frame)) = incoming.frame().await {
                let data = frame.into_data().unwrap_or_default().to_ascii_uppercase();
                let _ = send.send(data.into()).await;
            }
        });
        Ok(Response::new(body(receive)))
    })
    .await;
    let mut http = Http::connect(address).await;
    http.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        .await;
    let mut seen = String::new();
    while !seen.contains("ABC") {
        let mut bytes = [0; 1024];
        let count = within("a piece", http.stream().read(&mut bytes)).await;
        seen += &String::from_utf8_lossy(&bytes[..count.expect("open")]);
    }
    assert!(seen.contains("transfer-encoding: chunked"), "{seen}");
    http.send("2\r\nde\r\n0\r\n\r\n").await;
    let rest = String::from_utf8_lossy(&http.end().await).into_owned();
    assert_eq!(rest, "2\r\nDE\r\n0\r\n\r\n");
}

/// Server-sent events may say nothing for longer than an idle connection lives.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_a_silent_stream_is_not_idle() {
    let io = Server::builder()
        .with_limits(|limits| limits.keep_alive_timeout = Duration::from_millis(50))
        .build();
    let address = serve(io, async |_| {
        let (send, receive) = mpsc::channel(1);
        tokio::spawn(async move {
            for text in ["first", "second"] {
                let _ = send.send(text.into()).await;
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
        });
        Ok(Response::new(body(receive)))
    })
    .await;
    assert_eq!(
        Http::connect(address).await.get("/").await.brief(),
        (200, "firstsecond".to_owned())
    );
}

/// A player that has enough for now reads nothing for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_stop_reading_a_response_for_a_while() {
    const BYTES: usize = 8_000_000;
    let short = Duration::from_millis(100);
    for (response_timeout, is_whole) in [(Duration::from_secs(60), true), (short, false)] {
        let io = Server::builder()
            .with_limits(|limits| {
                limits.write_timeout = short;
                limits.response_timeout = response_timeout;
            })
            .build();
        let address = serve(io, async |_| {
            Ok(Response::new(Body::stream(Full::new(Bytes::from(
                vec![b'x'; BYTES],
            )))))
        })
        .await;
        let mut http = Http::connect(address).await;
        http.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await;
        tokio::time::sleep(short * 10).await;
        let mut read = Vec::new();
        let end = within("the end", http.stream().read_to_end(&mut read)).await;
        assert_eq!(
            end.is_ok() && read.len() > BYTES,
            is_whole,
            "{end:?} {}",
            read.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_is_asked_for_when_the_service_reads_it() {
    let address = serve(Server::new(), async |request: Request<Incoming>| {
        if request.uri() == "/refused" {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::FORBIDDEN;
            return Ok(response);
        }
        let body = request.into_body().collect().await.expect("a body");
        Ok(Response::new(Body::full(body.to_bytes())))
    })
    .await;
    let head = "HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    let mut http = Http::connect(address).await;
    http.send(format!("POST /taken {head}")).await;
    http.may_continue().await;
    http.send("abc").await;
    assert_eq!(http.response().await.brief(), (200, "abc".to_owned()));
    http.send(format!("POST /refused {head}")).await;
    assert_eq!(http.response().await.status, 403);
}

/// Says when it is dropped.
struct Endless(Option<oneshot::Sender<()>>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 4096])))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.take().map(|dropped| dropped.send(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_future_and_the_body_end_with_the_client() {
    for path in ["/future", "/body"] {
        let (dropped, is_dropped) = oneshot::channel();
        let slot = Arc::new(parking_lot::Mutex::new(Some(dropped)));
        let begun = Arc::new(Notify::new());
        let its_begun = Arc::clone(&begun);
        let address = serve(Server::new(), move |request: Request<Incoming>| {
            let begun = Arc::clone(&its_begun);
            let body = Endless(slot.lock().take());
            async move {
                begun.notify_one();
                if request.uri() == "/future" {
                    std::future::pending::<()>().await;
                }
                Ok(Response::new(Body::stream(body)))
            }
        })
        .await;
        let mut http = Http::connect(address).await;
        http.send(support::http::get(path, &[])).await;
        within("the request", begun.notified()).await;
        if path == "/body" {
            let _ = http.stream().read(&mut [0; 100]).await;
        }
        drop(http);
        within(&format!("the drop at {path}"), is_dropped)
            .await
            .expect("it says so");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_may_be_told_of_the_end_of_the_stream_and_answer() {
    let listener = Server::new().bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let address = listener.local_addr();
    let app = tower::service_fn(async |request: Request<Incoming>| -> Answer {
        let end: StreamEnd = request.extensions().get().cloned().expect("an end");
        let has_come = poll_fn(|_| {
            if end.has_come() {
                return task::Poll::Ready(());
            }
            task::Poll::Pending
        });
        has_come.await;
        Ok(Response::new(Body::full("told")))
    });
    tokio::spawn(listener.fallback(app).tell_end().serve());
    let mut http = Http::connect(address).await;
    http.send(support::http::get("/", &[])).await;
    assert!(http.is_silent_for(Duration::from_millis(50)).await);
    http.shutdown().await;
    assert_eq!(http.response().await.brief(), (200, "told".to_owned()));
    assert_eq!(http.end().await, b"");
}

/// Answers with who it is, the path and the body.
async fn answer_as(name: &'static str, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.expect("a body");
    let body = body.to_bytes();
    if path.starts_with("/large") {
        return Ok(Response::new(Body::full(vec![b'x'; 4_000_000])));
    }
    let body = String::from_utf8_lossy(&body);
    Ok(Response::new(Body::full(format!("{name} {path} {body}"))))
}

/// Listens, and has connections with a request for another go there.
async fn listen_and_move(name: &'static str, to: Option<Adopter>) -> (SocketAddr, Adopter) {
    let listener = Server::new().bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let app = tower::service_fn(move |request| answer_as(name, request));
    let runtime = tokio::runtime::Handle::current();
    let mover = move |parts: &mut Parts, address: Option<SocketAddr>| {
        let to = to.clone().filter(|_| parts.uri.path() == "/other")?;
        let runtime = runtime.clone();
        let taker: Taker = Box::new(move |descriptor, read| {
            runtime.spawn(async move { to.serve(descriptor, read, address, false).await });
        });
        Some(taker)
    };
    let listener = listener
        .fallback(app)
        .tell_end()
        .let_move(Duration::from_secs(20), mover);
    let (address, adopter) = (listener.local_addr(), listener.adopter());
    tokio::spawn(listener.serve());
    (address, adopter)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_moves_to_another_listener_with_all_that_is_not_answered() {
    let (_, other) = listen_and_move("other", None).await;
    let (address, _) = listen_and_move("one", Some(other)).await;
    let mut http = Http::connect(address).await;
    assert_eq!(
        http.get("/page").await.brief(),
        (200, "one /page ".to_owned())
    );
    // What the client has not read yet is written first.
    let post = "POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let get = "GET /last HTTP/1.1\r\nHost: a\r\n\r\n";
    http.send(format!("GET /large HTTP/1.1\r\nHost: a\r\n\r\n{post}{get}"))
        .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(http.response().await.body.len(), 4_000_000);
    assert_eq!(
        http.response().await.brief(),
        (200, "other /other abc".to_owned())
    );
    assert_eq!(
        http.response().await.brief(),
        (200, "other /last ".to_owned())
    );
    assert_eq!(
        http.get("/page").await.brief(),
        (200, "other /page ".to_owned())
    );
    http.shutdown().await;
    assert_eq!(http.end().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_can_be_taken_over() {
    let address = serve(Server::new(), async |mut request: Request<Incoming>| {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let stream = upgrade.await.expect("an upgrade");
            let mut stream = hyper_util::rt::TokioIo::new(stream);
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).await.expect("bytes");
            stream.write_all(&bytes.map(|b| b + 1)).await.expect("open");
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let upgrade = http::HeaderValue::from_static("counting");
        response.headers_mut().insert(header::UPGRADE, upgrade);
        Ok(response)
    })
    .await;
    let mut http = Http::connect(address).await;
    http.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: counting\r\n\r\nabcd")
        .await;
    let answer = http.end().await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nbcde"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_learns_who_asks() {
    let io = Server::builder()
        .trust_proxies([TrustedProxy::LOOPBACK])
        .build();
    let address = serve(io, async |request: Request<Incoming>| {
        let peer = request.extensions().get::<PeerAddress>().expect("known");
        let requester = request.extensions().get::<Requester>().expect("known");
        let text = format!(
            "{} {:?} {} {:?}",
            peer.0.ip(),
            requester.address().map(|address| address.ip()),
            requester.is_secure(),
            requester.host()
        );
        Ok(Response::new(Body::full(text)))
    })
    .await;
    let mut http = Http::connect(address).await;
    assert_eq!(
        http.get("/").await.text(),
        "127.0.0.1 Some(127.0.0.1) false Some(\"localhost\")"
    );
    let forwarded = [
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "a.example"),
    ];
    http.send(support::http::get("/", &forwarded)).await;
    assert_eq!(
        http.response().await.text(),
        "127.0.0.1 Some(192.0.2.1) true Some(\"a.example\")"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unsound_requests_do_not_reach_it() {
    let address = serve(Server::new(), async |_| {
        Ok(Response::new(Body::full("reached")))
    })
    .await;
    let mut http = Http::connect(address).await;
    http.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        .await;
    assert_eq!(http.response().await.brief(), (400, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_decides_where_requests_go() {
    let (io, mut entries) = scenario();
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr();
    let app = tower::service_fn(async |request: Request<Incoming>| -> Answer {
        Ok(Response::new(Body::full(request.uri().path().to_owned())))
    });
    let listener = listener.fallback(app).route(|request: &mut Parts| {
        match (request.uri.path(), request.uri.query()) {
            ("/socket.io/", Some(query)) => {
                request.uri = format!("/socket.io/?{query}").parse().expect("a URI");
                Route::Server
            }
            ("/no", _) => Route::Answer(Box::new(Response::new(Body::full("nothing here")))),
            _ => Route::Fallback,
        }
    });
    tokio::spawn(listener.serve());
    play(address, &mut entries, Some("127.0.0.1")).await;
    let mut http = Http::connect(address).await;
    assert_eq!(http.get("/socket.io/").await.text(), "/socket.io/");
    assert_eq!(http.get("/no").await.text(), "nothing here");
    assert_eq!(http.get("/app").await.text(), "/app");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_of_its_own_ends_a_listener_and_not_the_end_of_the_server() {
    let io = Server::new();
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr();
    let app = tower::service_fn(async |_| -> Answer { Ok(Response::new(Body::full("hello"))) });
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(listener.fallback(app).stop_with(stopped).serve());
    let mut kept = Http::connect(address).await;
    assert_eq!(kept.get("/").await.text(), "hello");
    io.close(Duration::from_secs(5)).await.expect("no sessions");
    assert!(io.is_closed());
    assert_eq!(kept.get("/").await.text(), "hello");
    let mut other = Http::connect(address).await;
    assert_eq!(other.get("/").await.text(), "hello");
    let refusal = other.get("/socket.io/?EIO=4&transport=polling").await;
    assert_eq!(refusal.status, 503);
    stop.send_replace(true);
    assert!(kept.end().await.is_empty());
    within("the end of the listener", serving)
        .await
        .expect("no panic");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_and_a_socket_of_another_process() {
    let (io, mut entries) = scenario();
    let bound = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    bound.set_nonblocking(true).expect("an option");
    let passed_on = tokio::net::TcpListener::from_std(bound).expect("a listener");
    let listener = io.listener(passed_on).expect("no files");
    let address = listener.local_addr();
    tokio::spawn(listener.serve());
    play(address, &mut entries, Some("127.0.0.1")).await;

    let directory = std::env::temp_dir().join(format!("kokanee-fallback-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("socket");
    let socket = tokio::net::UnixListener::bind(&path).expect("a path");
    let app = tower::service_fn(async |request: Request<Incoming>| -> Answer {
        let requester = request.extensions().get::<Requester>().expect("known");
        Ok(Response::new(Body::full(format!(
            "{:?}",
            requester.address()
        ))))
    });
    tokio::spawn(io.listener(socket).expect("no files").fallback(app).serve());
    let mut stream = tokio::net::UnixStream::connect(&path)
        .await
        .expect("it listens");
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .expect("open");
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer))
        .await
        .expect("text");
    assert!(answer.ends_with("\r\n\r\nNone"), "{answer}");
    std::fs::remove_dir_all(&directory).expect("the directory");
}

#[test]
fn a_stream_knows_its_size() {
    let full = Body::stream(Full::new(Bytes::from_static(b"abc")));
    assert_eq!(full.size_hint().exact(), Some(3));
    let own = Body::stream(Body::full("ab"));
    assert_eq!(own.size_hint().exact(), Some(2));
}
