//! Handlers that are attached while events come: they change no order, and hold up neither events nor answers.

use std::time::{Duration, Instant};

use kokanee_client::{Ack, Client, Data, Socket, blocking};
use kokanee_server::{BoxError, Server, Socket as Peer};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::{
    early::{Seen, connect, note, note_blocking},
    support::{LIMIT, accepted, journal, serve, within},
};

/// A server that emits ten events, then answers.
fn working_server() -> Server {
    let io = Server::new();
    io.on("work", async |peer: Peer, ack: Ack| {
        for number in 0..10 {
            peer.emit("result", number).await?;
        }
        ack.send("done")?;
        Ok::<(), BoxError>(())
    });
    io.on("ask", async |peer: Peer, Data(number): Data<u32>| {
        peer.emit("reply", number).await
    });
    io
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_comes_after_the_events_before_it() {
    let address = serve(&working_server(), 0).await;
    let url = format!("http://{address}");
    for in_builder in [false, true] {
        let (seen, mut received): (Seen, UnboundedReceiver<u32>) = unbounded_channel();
        let socket = if in_builder {
            let builder = Client::builder(&url).on("result", note(&seen));
            let socket = within("the connection", builder.connect()).await;
            let socket = socket.expect("accepted");
            socket.on_disconnect(async || {});
            socket
        } else {
            let socket = connect(&url).await;
            socket.on("result", note(&seen));
            socket
        };
        let done: String = socket
            .emit_with_ack("work", ())
            .timeout(LIMIT)
            .await
            .expect("an answer");
        assert_eq!(done, "done");
        socket.disconnect().await.expect("flushed");
        let mut numbers = Vec::new();
        while let Ok(number) = received.try_recv() {
            numbers.push(number);
        }
        assert_eq!(
            numbers,
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            "in the builder: {in_builder}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_does_for_blocking_clients() {
    let address = serve(&working_server(), 0).await;
    let run = move || {
        let (seen, mut received): (Seen, UnboundedReceiver<u32>) = unbounded_channel();
        let socket = blocking::Client::connect(&format!("http://{address}")).expect("accepted");
        socket.on("result", note_blocking(&seen));
        let done: String = socket
            .emit_with_ack("work", ())
            .timeout(LIMIT)
            .wait()
            .expect("an answer");
        assert_eq!(done, "done");
        socket.disconnect().expect("flushed");
        // While a handle exists: without one, events that wait for their handlers are dropped.
        let numbers = std::iter::from_fn(|| received.blocking_recv()).take(10);
        let numbers: Vec<_> = numbers.collect();
        drop((socket, seen));
        numbers
    };
    let ran = tokio::task::spawn_blocking(run).await;
    assert_eq!(
        ran.expect("it does not panic"),
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnection_comes_after_the_events_before_it() {
    let io = Server::new();
    io.on_connect(async |peer: Peer| {
        for number in 0..5 {
            peer.emit("number", number).await?;
        }
        // The client has attached its handlers.
        let _: () = peer.emit_with_ack("ready", ()).timeout(LIMIT).await?;
        peer.emit("number", 5).await?;
        peer.disconnect();
        Ok::<(), BoxError>(())
    });
    let address = serve(&io, 0).await;
    let socket = connect(&format!("http://{address}")).await;
    let (note, mut seen) = journal();
    let noted = note.clone();
    socket.on_disconnect(move || {
        noted("disconnect".to_owned());
        async {}
    });
    socket.on("number", move |Data(number): Data<u32>, socket: Socket| {
        note(number.to_string());
        // One more burst, so that what comes next would have to wait.
        socket.on("other", async || {});
        async {}
    });
    socket.on("ready", async |ack: Ack| ack.send(()));
    for expected in ["0", "1", "2", "3", "4", "5", "disconnect"] {
        assert_eq!(seen.next().await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_attached_last_does_not_hold_up_last_words() {
    let io = Server::new();
    io.on("go", async |peer: Peer| {
        peer.emit("unknown", ()).await?;
        peer.emit("bye", 1).await?;
        peer.close_connection();
        Ok::<(), BoxError>(())
    });
    let address = serve(&io, 0).await;
    let (note, mut seen) = journal();
    let noted = note.clone();
    let builder = Client::builder(&format!("http://{address}"))
        .reconnection(false)
        .on("bye", move || {
            note("bye");
            async {}
        })
        .on_disconnect(move || {
            noted("disconnect");
            async {}
        });
    let socket = accepted(builder.connect()).await;
    socket.on("other", async || {});
    socket.emit("go", ()).await.expect("sent");
    assert_eq!(seen.next().await, "bye");
    assert_eq!(seen.next().await, "disconnect");
}

#[tokio::test(flavor = "multi_thread")]
async fn attaching_for_each_request_does_not_hold_up_the_replies() {
    const REQUESTS: u32 = 30;
    let address = serve(&working_server(), 0).await;
    let socket = connect(&format!("http://{address}")).await;
    let (seen, mut received): (Seen, UnboundedReceiver<u32>) = unbounded_channel();
    let start = Instant::now();
    for number in 0..REQUESTS {
        socket.once("reply", note(&seen));
        socket.emit("ask", number).await.expect("sent");
        assert_eq!(within("a reply", received.recv()).await, Some(number));
    }
    // Held up for 100 ms each, they take 2 s at least.
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn attaching_for_others_does_not_hold_up_events_and_answers() {
    let io = working_server();
    let (note_answer, mut answers) = journal();
    io.on("ask me", move |peer: Peer| {
        let note_answer = note_answer.clone();
        async move {
            let asked = peer.emit_with_ack::<u32>("question", ());
            note_answer(
                asked
                    .timeout(LIMIT)
                    .await
                    .map_err(|error| error.to_string()),
            );
        }
    });
    let address = serve(&io, 0).await;
    let (seen, mut received): (Seen, UnboundedReceiver<u32>) = unbounded_channel();
    let builder = Client::builder(&format!("http://{address}"))
        .on("reply", note(&seen))
        .on("question", async |ack: Ack| ack.send(7));
    let socket = accepted(builder.connect()).await;
    let start = Instant::now();
    for number in 0..15 {
        socket.on(&format!("room {number}"), async || {});
        socket.emit("ask", number).await.expect("sent");
        assert_eq!(within("a reply", received.recv()).await, Some(number));
        socket.emit("ask me", ()).await.expect("sent");
        assert_eq!(answers.next().await, Ok(7));
    }
    // Held up for 100 ms each, they take 2 s at least.
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_handler_that_is_removed_may_use_the_socket_as_it_is_dropped() {
    struct Last(Socket);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.on("other", async || {});
        }
    }
    let address = serve(&working_server(), 0).await;
    let socket = connect(&format!("http://{address}")).await;
    let last = Last(socket.clone());
    socket.on("reply", move || {
        let _ = &last;
        async {}
    });
    let run = tokio::task::spawn_blocking(move || drop(socket.off("reply").clone()));
    within("the end of off", run).await.expect("no panic");
}

#[tokio::test]
async fn who_watches_what_is_sent_may_panic() {
    let address = serve(&working_server(), 0).await;
    let (seen, mut received): (Seen, UnboundedReceiver<u32>) = unbounded_channel();
    let socket = connect(&format!("http://{address}")).await;
    socket.on("reply", note(&seen));
    socket.on_any_outgoing(|_| panic!("a panic of the test"));
    socket.emit("ask", 1).await.expect("sent");
    assert_eq!(within("a reply", received.recv()).await, Some(1));
}
