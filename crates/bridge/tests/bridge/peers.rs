//! Peers connect, exchange messages and disconnect.

use std::time::Duration;

use bytes::Bytes;
use kokanee_bridge::Bridge;
use kokanee_net::{Connection, Framing, NetError, TcpClient, TcpServer, UdpClient, UdpServer};
use kokanee_server::Server;

use crate::support::{Bed, LIMIT, bytes, text, within};

#[tokio::test]
async fn a_peer_opens_talks_both_ways_and_closes() {
    let bed = Bed::start(Bridge::builder()).await;
    let mut client = bed.client().await;
    let mut raw = TcpClient::new(&bed.raw).connect().await.expect("connected");
    let (id, facts) = client.open().await;
    assert_eq!(
        facts.get("address").map(text),
        Some(&*raw.local().to_string())
    );
    assert_eq!(facts.get("transport").map(text), Some("tcp"));
    assert_eq!(facts.get("direction").map(text), Some("in"));

    raw.send_all(b"\x00hello\xff").await.expect("sent");
    let data = client.event("data").await;
    assert_eq!(
        (text(&data[0]), &bytes(&data[1])[..]),
        (&*id, &b"\x00hello\xff"[..])
    );

    assert_eq!(text(&client.ask("data", (&id, "text")).await), "ok");
    assert_eq!(
        text(
            &client
                .ask("data", (&id, Bytes::from_static(&[0, 255])))
                .await
        ),
        "ok"
    );
    let mut received = [0; 6];
    within(raw.read_exact(&mut received)).await.expect("data");
    assert_eq!(&received, b"text\x00\xff");

    drop(raw);
    let close = client.event("close").await;
    assert_eq!(
        (text(&close[0]), text(&close[1])),
        (&*id, "ended by the peer")
    );
    assert_eq!(bed.bridge.peer_count(), 0);
    assert_eq!(
        client.fails("data", (&id, "late")).await,
        format!("no such peer: {id}")
    );
}

#[tokio::test]
async fn lines_are_text_and_invalid_utf_8_stays_bytes() {
    let bed = Bed::start(Bridge::builder().framing(Framing::Lines)).await;
    let mut client = bed.client().await;
    let mut raw = TcpClient::new(&bed.raw).connect().await.expect("connected");
    let (id, _) = client.open().await;
    raw.send_all("t=21.5 °C\r\n\nbad \u{0}".as_bytes())
        .await
        .expect("sent");
    raw.send_all(b"\xff\n").await.expect("sent");
    assert_eq!(text(&client.event("data").await[1]), "t=21.5 °C");
    assert_eq!(text(&client.event("data").await[1]), "");
    assert_eq!(&bytes(&client.event("data").await[1])[..], b"bad \x00\xff");

    client.ask("data", (&id, "set 22")).await;
    let mut received = [0; 7];
    within(raw.read_exact(&mut received)).await.expect("data");
    assert_eq!(&received, b"set 22\n");
    let error = client.fails("data", (&id, "a\nb")).await;
    assert!(
        error.starts_with("frame would not arrive unchanged"),
        "{error}"
    );
    assert_eq!(
        client.fails("data", (&id, 7)).await,
        "expected text or bytes"
    );
    let error = client.fails("data", (&id, "x".repeat(300_000))).await;
    assert_eq!(error, "message of 300000 bytes exceeds the limit of 65536");
}

#[tokio::test]
async fn a_peer_with_a_large_message_is_closed_and_its_watchers_are_kept() {
    let bed = Bed::start(Bridge::builder().framing(Framing::Lines)).await;
    let mut client = bed.client().await;
    let mut raw = TcpClient::new(&bed.raw).connect().await.expect("connected");
    let (id, _) = client.open().await;
    // As JSON this is six times as large.
    let mut line = vec![0; 65_536];
    line.push(b'\n');
    for _ in 0..10 {
        raw.send_all(&line).await.expect("sent");
        assert_eq!(text(&client.event("data").await[1]).len(), 65_536);
    }
    line.push(0);
    line.rotate_right(1);
    raw.send_all(&line).await.expect("sent");
    let close = client.event("close").await;
    assert_eq!(text(&close[0]), id);
    assert_eq!(text(&close[1]), "frame exceeds the limit of 65536 bytes");
    assert!(client.socket.is_connected());
}

#[tokio::test]
async fn watching_many_peers_in_succession_is_not_limited() {
    let io = Server::builder()
        .with_limits(|limits| limits.max_rooms = 3)
        .build();
    let server = TcpServer::bind("127.0.0.1:0").await;
    let bed = Bed::start_with(io, server, Bridge::builder()).await;
    let mut client = bed.client().await;
    for _ in 0..5 {
        let raw = TcpClient::new(&bed.raw).connect().await.expect("connected");
        let (id, _) = client.open().await;
        assert_eq!(text(&client.ask("watch", id).await), "ok");
        drop(raw);
        client.event("close").await;
    }
}

#[tokio::test]
async fn a_client_that_joins_later_gets_the_current_peers() {
    let bed = Bed::start(Bridge::builder()).await;
    let mut early = bed.client().await;
    let _one = TcpClient::new(&bed.raw).connect().await.expect("connected");
    let (id, _) = early.open().await;
    let mut late = bed.client_of("/tcp").await;
    let peers = late.event("peers").await;
    assert_eq!(
        text(
            peers[0]
                .get_index(0)
                .and_then(|peer| peer.get("id"))
                .expect("a peer")
        ),
        id
    );
    assert_eq!(late.ask("peers", ()).await, peers[0]);
}

#[tokio::test]
async fn a_client_watches_all_peers_or_some() {
    let bed = Bed::start(Bridge::builder().framing(Framing::Lines)).await;
    let (mut all, mut some) = (bed.client().await, bed.client().await);
    let mut raw = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..2 {
        raw.push(TcpClient::new(&bed.raw).connect().await.expect("connected"));
        ids.push(all.open().await.0);
        some.open().await;
    }
    some.ask("watch", &ids[1]).await;
    some.ask("unwatch", "all").await;
    for (number, conn) in raw.iter_mut().enumerate() {
        conn.send_all(format!("I am {number}\n").as_bytes())
            .await
            .expect("sent");
        assert_eq!(text(&all.event("data").await[1]), format!("I am {number}"));
    }
    let data = some.event("data").await;
    assert_eq!((text(&data[0]), text(&data[1])), (&*ids[1], "I am 1"));
    assert!(some.is_quiet().await);
    assert_eq!(some.fails("watch", "77").await, "no such peer: 77");
}

#[tokio::test]
async fn a_client_closes_a_peer_and_queued_messages_are_sent() {
    let bed = Bed::start(Bridge::builder()).await;
    let mut client = bed.client().await;
    let mut raw = TcpClient::new(&bed.raw).connect().await.expect("connected");
    let (id, _) = client.open().await;
    client.ask("data", (&id, "goodbye")).await;
    client.ask("close", &id).await;
    let mut received = [0; 7];
    within(raw.read_exact(&mut received)).await.expect("data");
    assert_eq!(within(raw.recv()).await.expect("the end"), None);
    assert_eq!(text(&client.event("close").await[1]), "closed by a client");
    assert_eq!(
        client.fails("close", &id).await,
        format!("no such peer: {id}")
    );
}

#[tokio::test]
async fn a_peer_that_has_closed_its_side_can_be_sent_to() {
    let builder = Bridge::builder().with_limits(|limits| limits.half_open_timeout = LIMIT);
    let bed = Bed::start(builder).await;
    let mut client = bed.client().await;
    let mut raw = TcpClient::new(&bed.raw).connect().await.expect("connected");
    let (id, _) = client.open().await;
    raw.send_all(b"question").await.expect("sent");
    raw.finish().await.expect("ended");
    assert_eq!(&bytes(&client.event("data").await[1])[..], b"question");
    assert_eq!(text(&client.event("end").await[0]), id);
    client.ask("data", (&id, "answer")).await;
    client.ask("close", &id).await;
    let mut answer = [0; 6];
    within(raw.read_exact(&mut answer))
        .await
        .expect("an answer");
    assert_eq!(&answer, b"answer");
    assert_eq!(text(&client.event("close").await[0]), id);
}

#[tokio::test]
async fn peers_see_the_end_when_the_server_closes() {
    let bed = Bed::start(Bridge::builder()).await;
    let mut client = bed.client().await;
    let mut raw = TcpClient::new(&bed.raw).connect().await.expect("connected");
    let (id, _) = client.open().await;
    assert!(within(bed.handle.close(LIMIT)).await, "in time");
    assert_eq!(within(raw.recv()).await.expect("the end"), None);
    assert_eq!(text(&client.event("close").await[0]), id);
}

#[tokio::test]
async fn senders_of_datagrams_are_peers_until_they_are_silent() {
    let io = Server::new();
    let builder = Bridge::builder().with_limits(|limits| {
        limits.datagram_idle_timeout = Duration::from_millis(300);
        limits.max_datagram_peers = 1;
    });
    let bed = Bed::start_with(io, TcpServer::bind("127.0.0.1:0").await, Bridge::builder()).await;
    let bridge = builder.attach(&bed.io.of("/udp"));
    let server = UdpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().to_string();
    tokio::spawn(async move { bridge.serve_udp(server).await });
    let mut client = bed.client_of("/udp").await;
    client.event("peers").await;

    let raw = UdpClient::connect(&address).await.expect("a socket");
    raw.send(b"21.5").await.expect("sent");
    let (id, facts) = client.open().await;
    assert_eq!(facts.get("transport").map(text), Some("udp"));
    assert_eq!(&bytes(&client.event("data").await[1])[..], b"21.5");
    raw.send(b"").await.expect("sent");
    assert_eq!(&bytes(&client.event("data").await[1])[..], b"");
    client.ask("data", (&id, "thanks")).await;
    assert_eq!(within(raw.recv()).await.expect("an answer"), "thanks");

    // One peer is allowed.
    let other = UdpClient::connect(&address).await.expect("a socket");
    other.send(b"me, too").await.expect("sent");
    let close = client.event("close").await;
    assert_eq!((text(&close[0]), text(&close[1])), (&*id, "idle"));
    other.send(b"now").await.expect("sent");
    let (id, _) = client.open().await;
    assert_eq!(&bytes(&client.event("data").await[1])[..], b"now");
    client.ask("close", &id).await;
    assert_eq!(text(&client.event("close").await[1]), "closed by a client");
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_a_peer_like_any_other() {
    use kokanee_net::{Limits, UnixClient, UnixServer};

    let bed = Bed::start(Bridge::builder()).await;
    let bridge = Bridge::builder()
        .framing(Framing::Lines)
        .attach(&bed.io.of("/unix"));
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("bridge.sock");
    let server = UnixServer::bind(&path, Limits::default())
        .await
        .expect("a path");
    tokio::spawn(async move { bridge.serve_unix(server).await });
    let mut client = bed.client_of("/unix").await;
    client.event("peers").await;
    let mut raw = UnixClient::new(&path).connect().await.expect("connected");
    let (_, facts) = client.open().await;
    assert_eq!(facts.get("transport").map(text), Some("unix"));
    raw.send_all(b"hello\n").await.expect("sent");
    assert_eq!(text(&client.event("data").await[1]), "hello");
}

#[tokio::test]
async fn a_dialled_peer_belongs_to_the_client_that_asked_for_it() {
    let target = TcpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = target.local_addr().to_string();
    let handle = target.handle();
    tokio::spawn(target.serve(async |mut conn: Connection| {
        conn.send_all(b"welcome").await?;
        while conn.recv().await?.is_some() {}
        Ok::<_, NetError>(())
    }));
    let builder = Bridge::builder().allow_target(address.parse().expect("a rule"));
    let bed = Bed::start(builder).await;
    let (owner, mut other) = (bed.client().await, bed.client().await);
    let id = owner.ask("dial", &address).await;
    let (opened, facts) = other.open().await;
    assert_eq!(text(&id), opened);
    assert_eq!(facts.get("direction").map(text), Some("out"));
    assert_eq!(facts.get("address").map(text), Some(&*address));
    assert_eq!(&bytes(&other.event("data").await[1])[..], b"welcome");
    assert_eq!(handle.connection_count(), 1);
    within(owner.socket.disconnect())
        .await
        .expect("all has left");
    assert_eq!(text(&other.event("close").await[0]), opened);
    while handle.connection_count() > 0 {
        tokio::task::yield_now().await;
    }
}
