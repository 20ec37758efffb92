//! Servers, clients, and how they end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kokanee_net::{Backoff, Connection, NetError, TcpClient, TcpServer, blocking};
use tokio::sync::{mpsc, oneshot};

use crate::support::{LIMIT, closed_address, start_echo, within};

#[tokio::test]
async fn an_echo_server_sends_back_what_it_receives() {
    let (address, _) = start_echo(TcpServer::builder()).await;
    let mut conn = TcpClient::new(&address).connect().await.expect("connected");
    assert_eq!(conn.peer().to_string(), address);
    assert!(conn.local().to_string().starts_with("127.0.0.1:"));
    conn.send_all(b"hello world").await.expect("sent");
    let mut answer = [0; 11];
    within(conn.read_exact(&mut answer))
        .await
        .expect("an answer");
    assert_eq!(&answer, b"hello world");
    assert_eq!((conn.sent(), conn.received()), (11, 11));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_are_served_at_the_same_time() {
    const CLIENTS: usize = 1000;
    let (address, handle) = start_echo(TcpServer::builder()).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(TcpClient::new(&address).connect().await.expect("connected"));
    }
    // All of them are open before any of them ends.
    let mut tasks = tokio::task::JoinSet::new();
    for (number, mut conn) in clients.into_iter().enumerate() {
        tasks.spawn(async move {
            for round in 0..10 {
                let text = format!("client {number}, round {round}, {}", "x".repeat(number));
                conn.send_all(text.as_bytes()).await.expect("sent");
                let mut answer = vec![0; text.len()];
                conn.read_exact(&mut answer).await.expect("an answer");
                assert_eq!(answer, text.as_bytes());
            }
            conn
        });
    }
    let open = within(tasks.join_all()).await;
    assert_eq!(open.len(), CLIENTS);
    assert_eq!(handle.connection_count(), CLIENTS);
}

#[tokio::test]
async fn a_side_that_has_closed_still_receives() {
    let server = TcpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().to_string();
    // Replies when the client has sent everything.
    tokio::spawn(server.serve(async |mut conn: Connection| {
        let mut bytes = 0;
        while let Some(data) = conn.recv().await? {
            bytes += data.len();
        }
        conn.send_all(format!("{bytes} bytes").as_bytes()).await
    }));
    let mut conn = TcpClient::new(&address).connect().await.expect("connected");
    conn.send_all(&vec![7; 100_000]).await.expect("sent");
    conn.finish().await.expect("ended");
    let answer = within(conn.recv()).await.expect("an answer");
    assert_eq!(answer.as_deref(), Some(&b"100000 bytes"[..]));
    assert_eq!(within(conn.recv()).await.expect("the end"), None);
    assert!(conn.send_all(b"more").await.is_err(), "this side is closed");
}

#[tokio::test]
async fn ipv6_and_both_at_once() {
    let server = TcpServer::bind("[::]:0").await.expect("IPv6");
    let port = server.local_addr().port();
    let (peers, mut seen) = mpsc::channel(2);
    tokio::spawn(server.serve(move |conn: Connection| {
        let peers = peers.clone();
        async move {
            let _ = peers.send(conn.peer().clone()).await;
        }
    }));
    for (host, start) in [("[::1]", "[::1]:"), ("127.0.0.1", "127.0.0.1:")] {
        let client = TcpClient::new(&format!("{host}:{port}"));
        let conn = client.connect().await.expect("connected");
        let peer = within(seen.recv()).await.expect("a peer");
        assert!(peer.to_string().starts_with(start), "{peer}");
        assert_eq!(peer, *conn.local());
    }

    let builder = TcpServer::builder().with_options(|options| options.only_v6 = true);
    let server = builder.bind("[::]:0").await.expect("IPv6");
    let address = format!("127.0.0.1:{}", server.local_addr().port());
    let refused = TcpClient::new(&address).connect().await;
    assert!(
        matches!(refused, Err(NetError::Refused { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let builder = TcpServer::builder().with_limits(|limits| limits.max_connections = 2);
    let (address, handle) = start_echo(builder).await;
    let client = TcpClient::new(&address);
    let mut first = client.connect().await.expect("connected");
    let mut second = client.connect().await.expect("connected");
    for conn in [&mut first, &mut second] {
        conn.send_all(b"x").await.expect("sent");
        within(conn.recv()).await.expect("served");
    }
    let mut third = client.connect().await.expect("the system accepts it");
    let end = within(third.recv()).await;
    assert!(
        matches!(end, Ok(None) | Err(NetError::Reset { .. })),
        "{end:?}"
    );
    assert_eq!((handle.connection_count(), handle.refused_count()), (2, 1));

    drop(first);
    while handle.connection_count() == 2 {
        tokio::task::yield_now().await;
    }
    let mut fourth = client.connect().await.expect("connected");
    fourth.send_all(b"x").await.expect("sent");
    assert!(within(fourth.recv()).await.expect("served").is_some());
}

#[tokio::test]
async fn a_server_that_closes_lets_its_handlers_finish() {
    let server = TcpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().to_string();
    let handle = server.handle();
    let serving = tokio::spawn(server.serve(async |mut conn: Connection| {
        let mut bytes = 0;
        while let Some(data) = conn.recv().await? {
            bytes += data.len();
            // Slow work: the next data arrives meanwhile.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        conn.send_all(format!("received {bytes}").as_bytes())
            .await?;
        conn.close().await;
        Ok::<_, NetError>(())
    }));
    let mut conn = TcpClient::new(&address).connect().await.expect("connected");
    conn.send_all(b"one").await.expect("sent");
    while handle.connection_count() == 0 {
        tokio::task::yield_now().await;
    }
    conn.send_all(b"two").await.expect("sent");
    let closing = tokio::spawn({
        let handle = handle.clone();
        async move { handle.close(LIMIT).await }
    });
    let answer = within(conn.recv()).await.expect("an answer");
    assert_eq!(answer.as_deref(), Some(&b"received 6"[..]));
    drop(conn);
    assert!(
        within(closing).await.expect("no panic"),
        "all was done in time"
    );
    within(serving).await.expect("serve returns");
    let refused = TcpClient::new(&address).connect().await;
    assert!(
        matches!(refused, Err(NetError::Refused { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_handler_that_does_not_return_is_aborted_at_the_deadline() {
    let server = TcpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().to_string();
    let handle = server.handle();
    tokio::spawn(server.serve(async |_conn: Connection| std::future::pending::<()>().await));
    let mut conn = TcpClient::new(&address).connect().await.expect("connected");
    while handle.connection_count() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!handle.close(Duration::from_millis(50)).await);
    assert_eq!(within(conn.recv()).await.expect("the end"), None);
    while handle.connection_count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_handler_that_panics_ends_only_its_own_connection() {
    let server = TcpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().to_string();
    let handle = server.handle();
    tokio::spawn(server.serve(async |mut conn: Connection| {
        while let Ok(Some(data)) = conn.recv().await {
            assert_ne!(&data[..], b"panic", "as asked");
            let _ = conn.send_all(&data).await;
        }
    }));
    let client = TcpClient::new(&address);
    let mut other = client.connect().await.expect("connected");
    let mut conn = client.connect().await.expect("connected");
    conn.send_all(b"panic").await.expect("sent");
    assert_eq!(within(conn.recv()).await.expect("the end"), None);
    other.send_all(b"hello").await.expect("sent");
    assert_eq!(
        within(other.recv()).await.expect("served").as_deref(),
        Some(&b"hello"[..])
    );
    while handle.connection_count() != 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn connections_can_be_accepted_one_by_one() {
    let server = TcpServer::bind("localhost:0").await.expect("a free port");
    let client = TcpClient::new(&server.local_addr().to_string());
    let (theirs, ours) = tokio::join!(client.connect(), server.accept());
    let (mut theirs, mut ours) = (theirs.expect("connected"), ours.expect("accepted"));
    theirs.send_all(b"one").await.expect("sent");
    let mut received = [0; 3];
    within(ours.read_exact(&mut received))
        .await
        .expect("received");
    drop(theirs);
    let error = within(ours.read_exact(&mut received))
        .await
        .expect_err("the end");
    let text = error.to_string();
    assert!(
        text.ends_with("has closed its side after 0 of 3 bytes"),
        "{text}"
    );
}

#[tokio::test]
async fn a_client_reconnects_after_a_loss() {
    let server = TcpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().to_string();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(server.serve(move |mut conn: Connection| {
        // Ends the first connection at once, and keeps the second.
        let is_first = count.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if !is_first {
                conn.send_all(b"back").await?;
                conn.recv().await?;
            }
            Ok::<_, NetError>(())
        }
    }));
    let backoff = Backoff {
        delay: Duration::from_millis(20),
        ..Backoff::default()
    };
    let mut client = TcpClient::new(&address).reconnecting(backoff);
    let mut conn = within(client.next()).await.expect("connected");
    assert_eq!(within(conn.recv()).await.expect("the end"), None);
    let mut conn = within(client.next()).await.expect("connected again");
    assert_eq!(
        within(conn.recv()).await.expect("data").as_deref(),
        Some(&b"back"[..])
    );
    assert_eq!(accepted.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_client_gives_up_after_its_attempts() {
    let backoff = Backoff {
        delay: Duration::from_millis(1),
        attempts: Some(3),
        ..Backoff::default()
    };
    let (address, _taken) = closed_address();
    let mut client = TcpClient::new(&address).reconnecting(backoff);
    let error = within(client.next()).await.expect_err("nobody listens");
    assert!(matches!(error, NetError::Refused { .. }), "{error}");
    assert_eq!(client.attempts(), 3);
}

#[test]
fn the_blocking_flavour_does_the_same() {
    let server = blocking::TcpServer::bind("127.0.0.1:0").expect("a free port");
    let address = server.local_addr().to_string();
    let handle = server.handle();
    let serving = std::thread::spawn(move || {
        server.serve(|mut conn: blocking::Connection| {
            while let Ok(Some(data)) = conn.recv() {
                if conn.send_all(&data).is_err() {
                    return;
                }
            }
        })
    });
    // Two at a time, so that one thread does not wait for the other.
    let client = blocking::TcpClient::new(&address);
    let mut conns = [
        client.connect().expect("connected"),
        client.connect().expect("connected"),
    ];
    for conn in conns.iter_mut().rev() {
        conn.send_all(b"hello world").expect("sent");
        let mut answer = [0; 11];
        conn.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"hello world");
        conn.finish().expect("ended");
        assert_eq!(conn.recv().expect("the end"), None);
    }
    assert!(blocking::close(&handle, LIMIT).expect("closed"));
    serving.join().expect("no panic").expect("served");

    let server = blocking::UdpServer::bind("127.0.0.1:0").expect("a free port");
    let client = blocking::UdpClient::connect(&server.local_addr().to_string()).expect("a socket");
    client.send(b"ping").expect("sent");
    let (data, peer) = server.recv().expect("a datagram");
    assert_eq!(&data[..], b"ping");
    server.send_to(b"pong", &peer).expect("sent");
    assert_eq!(&client.recv().expect("an answer")[..], b"pong");
}

#[tokio::test]
async fn a_split_connection_works_in_both_directions_at_once() {
    // More than fits into the system's buffers, so that sending first and then receiving would block.
    const BYTES: usize = 32 << 20;
    let (address, _) = start_echo(TcpServer::builder()).await;
    let conn = TcpClient::new(&address).connect().await.expect("connected");
    let (mut reader, mut writer) = conn.into_split();
    let (done, is_done) = oneshot::channel();
    tokio::spawn(async move {
        let piece = vec![1; 1 << 20];
        for _ in 0..BYTES / piece.len() {
            writer.send_all(&piece).await.expect("sent");
        }
        writer.finish().await.expect("ended");
        let _ = done.send(());
    });
    let mut received = 0;
    while let Some(data) = within(reader.recv()).await.expect("data") {
        received += data.len();
    }
    assert_eq!(received, BYTES);
    within(is_done).await.expect("all was sent");
}
