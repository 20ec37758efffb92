//! What happens when the connection is lost, over real connections. The rules are tested without them in `src/driver/tests`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kokanee_client::{
    AckError, Attempt, Client, ConnectFailure, Data, DisconnectReason, Socket, Transport,
};
use kokanee_server::{Ack, Server};

use crate::support::{accepted, add_echo, echo_server, journal, serve, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_is_found_again_and_what_was_sent_meanwhile_arrives() {
    for transports in [
        vec![Transport::WebSocket],
        vec![Transport::Polling, Transport::WebSocket],
    ] {
        let io = echo_server();
        let address = serve(&io, 0).await;
        let socket = Client::builder(&format!("http://{address}"))
            .transports(transports)
            .reconnection_delay(Duration::from_millis(20))
            .build()
            .expect("usable options");
        let (note, mut seen) = journal();
        let noted = note.clone();
        socket.on_disconnect(move |reason: DisconnectReason| {
            noted(format!("disconnect {reason}"));
            async {}
        });
        let noted = note.clone();
        socket.on_reconnect_attempt(move |Attempt(number): Attempt| {
            if number == 1 {
                noted("attempt 1".to_owned());
            }
            async {}
        });
        let noted = note.clone();
        socket.on_reconnect(move |socket: Socket| {
            noted(format!("reconnect {}", socket.is_connected()));
            async {}
        });
        socket.on("echo", move |Data(text): Data<String>| {
            note(text);
            async {}
        });
        accepted(socket.connect()).await;
        let _ = io.close(Duration::from_secs(1)).await;
        let reason = seen.next().await;
        assert!(reason.starts_with("disconnect transport "), "{reason}");
        socket.emit("echo", "meanwhile").await.expect("kept");
        assert_eq!(seen.next().await, "attempt 1");
        let again = echo_server();
        serve(&again, address.port()).await;
        assert_eq!(seen.next().await, "reconnect true");
        assert_eq!(seen.next().await, "meanwhile");
        socket.disconnect().await.expect("all has left");
    }
}

#[tokio::test]
async fn the_first_connection_is_retried_on_request() {
    // A port that is free, most likely.
    let io = echo_server();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let socket = Client::builder(&format!("http://127.0.0.1:{port}"))
        .reconnection_delay(Duration::from_millis(5))
        .retry_first_connect(true)
        .build()
        .expect("usable options");
    let (note, mut seen) = journal();
    socket.on_reconnect_attempt(move |Attempt(number): Attempt| {
        note(number);
        async {}
    });
    let waiting = tokio::spawn({
        let socket = socket.clone();
        async move { socket.connect().await }
    });
    assert_eq!(seen.next().await, 1);
    serve(&io, port).await;
    within("the connection", waiting)
        .await
        .expect("no panic")
        .expect("accepted");
    // Giving up while it waits is possible at any time.
    let _ = io.close(Duration::from_secs(1)).await;
    within("the end", socket.disconnect())
        .await
        .expect("all has left");
    let mut connecting = std::pin::pin!(socket.connect());
    tokio::select! {
        biased;
        result = &mut connecting => panic!("nobody listens, but {result:?}"),
        attempt = seen.next() => assert!(attempt >= 1),
    }
    within("the end", socket.disconnect())
        .await
        .expect("all has left");
    let failure = within("the failure", connecting).await;
    assert!(
        matches!(failure, Err(ConnectFailure::GivenUp)),
        "{failure:?}"
    );
}

#[tokio::test]
async fn with_retries_every_event_arrives_in_order() {
    let io = Server::new();
    let (note, mut seen) = journal();
    let calls = Arc::new(AtomicUsize::new(0));
    io.on("job", move |Data(number): Data<u64>, ack: Ack| {
        let note = note.clone();
        // Every third call is not acknowledged: the client must send that event again.
        let lost = calls.fetch_add(1, Ordering::Relaxed) % 3 == 2;
        async move {
            if lost {
                return Ok(());
            }
            note(number);
            ack.send("done")
        }
    });
    add_echo(&io);
    let address = serve(&io, 0).await;
    let socket = Client::builder(&format!("http://{address}"))
        .retries(5)
        .ack_timeout(Duration::from_millis(50))
        .connect();
    let socket = accepted(socket).await;
    for number in 0..10_u64 {
        socket.emit("job", number).await.expect("taken");
    }
    let mut last = 0;
    while last < 9 {
        // At least once: when an answer is late, the event comes again. But none is left out or overtaken.
        let number = seen.next().await;
        assert!(
            number == last || number == last + 1,
            "{number} behind {last}"
        );
        last = number;
    }
    let answer: String = within("an answer", async {
        socket.emit_with_ack("job", 10_u64).await.expect("answered")
    })
    .await;
    assert_eq!(answer, "done");
}

#[tokio::test]
async fn retries_outlive_the_connection() {
    let io = Server::new();
    let (note, mut seen) = journal();
    io.on("job", move |Data(number): Data<u64>, ack: Ack| {
        note(number);
        async move { ack.send(()) }
    });
    let address = serve(&io, 0).await;
    let socket = Client::builder(&format!("http://{address}"))
        .retries(100)
        .reconnection_delay(Duration::from_millis(5))
        .connect();
    let socket = accepted(socket).await;
    for number in 0..200_u64 {
        socket.emit("job", number).await.expect("taken");
        if number % 50 == 25 {
            socket.reconnect();
        }
    }
    let mut last = 0;
    while last < 199 {
        let number = seen.next().await;
        assert!(
            number == last || number == last + 1,
            "{number} behind {last}"
        );
        last = number;
    }
}

#[tokio::test]
async fn a_wait_with_retries_ends_when_the_caller_says_so() {
    let io = Server::new();
    io.on("job", async |_: Ack| {});
    let address = serve(&io, 0).await;
    let socket = Client::builder(&format!("http://{address}"))
        .retries(1_000_000)
        .ack_timeout(Duration::from_millis(20))
        .connect();
    let socket = accepted(socket).await;
    let asking = socket.emit_with_ack::<()>("job", ());
    let asking = asking.timeout(Duration::from_millis(100)).args();
    let failed = within("the end", asking).await;
    assert!(matches!(failed, Err(AckError::Timeout)), "{failed:?}");
}

#[tokio::test]
async fn a_cut_transport_is_replaced() {
    let io = echo_server();
    let address = serve(&io, 0).await;
    let socket = Client::builder(&format!("http://{address}"))
        .reconnection_delay(Duration::from_millis(5))
        .remember_upgrade(true)
        .build()
        .expect("usable options");
    let (note, mut seen) = journal();
    let upgraded = note.clone();
    socket.on_upgrade(move |_: Socket| {
        upgraded("upgrade");
        async {}
    });
    let again = note.clone();
    socket.on_reconnect(move |_: Socket| {
        again("reconnect");
        async {}
    });
    accepted(socket.connect()).await;
    assert_eq!(seen.next().await, "upgrade");
    let first = socket.id();
    socket.reconnect();
    assert_eq!(seen.next().await, "reconnect");
    assert_ne!(socket.id(), first);
    assert_eq!(socket.transport(), Some(Transport::WebSocket), "remembered");
}
