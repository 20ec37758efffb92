//! A session in memory under tokio's paused clock: its times are that clock's.

use std::time::Duration;

use kokanee_server::{Recovery, Server};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::Instant,
};

/// Reads a frame of at most 125 bytes.
async fn frame(stream: &mut DuplexStream) -> (u8, String) {
    let first = stream.read_u8().await.expect("a frame");
    let length = stream.read_u8().await.expect("its length");
    let mut payload = vec![0; length.into()];
    stream.read_exact(&mut payload).await.expect("its payload");
    (first & 0x0f, String::from_utf8_lossy(&payload).into_owned())
}

/// Sends a text of at most 125 bytes, masked with zeros.
async fn write(stream: &mut DuplexStream, text: &str) {
    let length = u8::try_from(text.len()).expect("a short text");
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    stream.write_all(&frame).await.expect("a stream");
}

/// Opens a session over a WebSocket.
async fn open(server: &Server) -> DuplexStream {
    let (mut client, stream) = tokio::io::duplex(16 * 1024);
    let request = http::Request::get("/socket.io/?EIO=4&transport=websocket")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .expect("a request");
    let server = server.clone();
    tokio::spawn(async move { server.accept(stream, request, &[], None).await });
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.expect("the response"));
    }
    assert!(frame(&mut client).await.1.starts_with("0{"));
    client
}

#[tokio::test(start_paused = true)]
async fn heartbeats_have_the_time_of_a_paused_clock() {
    let server = Server::builder()
        .with_limits(|limits| {
            limits.ping_interval = Duration::from_secs(25);
            limits.ping_timeout = Duration::from_secs(20);
        })
        .build();
    server.on_connect(async || {});
    let mut client = open(&server).await;
    write(&mut client, "40").await;
    assert!(frame(&mut client).await.1.starts_with("40{"));

    let start = Instant::now();
    assert_eq!(frame(&mut client).await, (1, "2".to_owned()));
    assert_eq!(start.elapsed(), Duration::from_secs(25));
    // The client does not answer.
    assert_eq!(frame(&mut client).await.0, 8);
    assert_eq!(start.elapsed(), Duration::from_secs(45));
}

/// Joins `/`, as the client of a secret if there is one. Returns the id, the secret and the connection.
async fn join(server: &Server, pid: Option<&str>) -> (String, String, DuplexStream) {
    let mut client = open(server).await;
    let auth = pid.map(|pid| format!(r#"{{"pid":"{pid}"}}"#));
    write(&mut client, &format!("40{}", auth.unwrap_or_default())).await;
    let accepted: Value = serde_json::from_str(&frame(&mut client).await.1[2..]).expect("JSON");
    let text = |name: &str| accepted[name].as_str().expect("a text").to_owned();
    (text("sid"), text("pid"), client)
}

#[tokio::test(start_paused = true)]
async fn each_client_that_is_lost_has_its_own_time_to_come_back() {
    const TIME: Duration = Duration::from_secs(60);
    let server = Server::builder()
        .with_limits(|limits| limits.ping_interval = 10 * TIME)
        .recovery(Recovery::default().max_disconnection(TIME))
        .build();
    let (first, first_pid, client) = join(&server, None).await;
    let (second, second_pid, second_client) = join(&server, None).await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (sid, _, _client) = join(&server, Some(&first_pid)).await;
    assert_eq!(sid, first);
    tokio::time::sleep(Duration::from_secs(55)).await;
    drop(second_client);
    // The time of the first is over, in which it has come back.
    tokio::time::sleep(Duration::from_secs(55)).await;
    let (sid, _, client) = join(&server, Some(&second_pid)).await;
    assert_eq!(sid, second);
    drop(client);
    tokio::time::sleep(TIME + Duration::from_secs(1)).await;
    let (sid, ..) = join(&server, Some(&second_pid)).await;
    assert_ne!(sid, second);
}
