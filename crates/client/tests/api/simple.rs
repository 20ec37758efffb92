//! The simple client.

use std::time::Duration;

use kokanee_client::{AckError, Client, EmitError, ReceiveError, SimpleClient};
use kokanee_server::{Ack, Data, Server, Socket};

use crate::support::{accepted, echo_server, journal, serve, within};

async fn connect(io: &Server) -> SimpleClient {
    let address = serve(io, 0).await;
    let builder =
        Client::builder(&format!("http://{address}")).reconnection_delay(Duration::from_millis(5));
    accepted(SimpleClient::with(builder)).await
}

#[tokio::test]
async fn it_emits_calls_and_receives() {
    let mut client = connect(&echo_server()).await;
    assert_eq!(client.id().map(|id| id.len()), Some(20));
    client.emit("echo", ("a", 1)).await.expect("sent");
    let received = within("an event", client.receive(Duration::MAX))
        .await
        .expect("an event");
    assert_eq!(received.name(), "echo");
    assert_eq!(
        received.data::<(String, i32)>().expect("text and number"),
        ("a".to_owned(), 1)
    );
    let answer: String = within("an answer", client.call("echo", "b"))
        .await
        .expect("answered");
    assert_eq!(answer, "b");
    let after = Duration::from_millis(20);
    let none = client.receive(after).await;
    assert_eq!(none.expect_err("silence"), ReceiveError::Timeout { after });
    within("the end", client.disconnect())
        .await
        .expect("all has left");
}

#[tokio::test]
async fn the_first_event_is_not_missed() {
    let io = Server::new();
    io.on_connect(async |socket: Socket| socket.emit("welcome", "hello").await);
    let mut client = connect(&io).await;
    let received = within("an event", client.receive(Duration::MAX))
        .await
        .expect("an event");
    assert_eq!(received.data::<String>().expect("text"), "hello");
}

#[tokio::test]
async fn events_that_want_an_answer_can_be_answered() {
    let io = Server::new();
    let (note, mut answers) = journal();
    io.on("start", move |socket: Socket| {
        let note = note.clone();
        async move {
            let answer: i32 = socket.emit_with_ack("question", ()).await?;
            note(answer);
            Ok::<_, AckError>(())
        }
    });
    let mut client = connect(&io).await;
    client.emit("start", ()).await.expect("sent");
    let received = within("an event", client.receive(Duration::MAX))
        .await
        .expect("an event");
    received.ack.send(42).expect("sent");
    assert_eq!(answers.next().await, 42);
}

#[tokio::test]
async fn it_waits_over_a_reconnection() {
    let io = echo_server();
    let mut client = connect(&io).await;
    for number in 0..3 {
        let id = client.id();
        client.socket().reconnect();
        // Sent before, in between or after: it arrives, as does what is asked for.
        client.emit("echo", number).await.expect("sent");
        let received = within("an event", client.receive(Duration::MAX))
            .await
            .expect("an event");
        assert_eq!(received.data::<i32>().expect("a number"), number);
        assert_ne!(client.id(), id);
    }
}

#[tokio::test]
async fn when_it_will_not_connect_again_everything_says_so() {
    let io = echo_server();
    io.on("bye", async |socket: Socket, Data(last): Data<String>| {
        socket.emit("last", &last).await?;
        socket.disconnect();
        Ok::<_, EmitError>(())
    });
    let mut client = connect(&io).await;
    client.emit("bye", "words").await.expect("sent");
    // What came before the end is still there.
    let received = within("an event", client.receive(Duration::MAX))
        .await
        .expect("an event");
    assert_eq!(received.data::<String>().expect("text"), "words");
    let end = within("the end", client.receive(Duration::MAX)).await;
    assert_eq!(end.expect_err("the end"), ReceiveError::Disconnected);
    let emit = within("the end", client.emit("echo", 1)).await;
    assert!(matches!(emit, Err(EmitError::Disconnected)), "{emit:?}");
    let call = within("the end", client.call::<()>("echo", 1)).await;
    assert!(
        matches!(call, Err(AckError::Emit(EmitError::Disconnected))),
        "{call:?}"
    );
}

#[tokio::test]
async fn it_says_so_when_it_has_given_up() {
    let io = echo_server();
    let address = serve(&io, 0).await;
    let builder = Client::builder(&format!("http://{address}"))
        .reconnection_delay(Duration::from_millis(5))
        .reconnection_attempts(2);
    let mut client = accepted(SimpleClient::with(builder)).await;
    let _ = io.close(Duration::from_secs(1)).await;
    let end = within("the end", client.receive(Duration::MAX)).await;
    assert_eq!(end.expect_err("the end"), ReceiveError::Disconnected);
}

#[tokio::test]
async fn calls_end_with_their_time() {
    let io = Server::new();
    io.on("silence", async |_: Ack| {});
    let address = serve(&io, 0).await;
    let builder =
        Client::builder(&format!("http://{address}")).ack_timeout(Duration::from_millis(50));
    let client = accepted(SimpleClient::with(builder)).await;
    let call = within("the end of the time", client.call::<()>("silence", ())).await;
    assert!(matches!(call, Err(AckError::Timeout)), "{call:?}");
}

#[tokio::test]
async fn a_call_is_answered_however_many_events_wait() {
    let io = echo_server();
    io.on("flood", async |socket: Socket, Data(count): Data<u32>| {
        for n in 0..count {
            socket.emit("n", n).await?;
        }
        Ok::<(), EmitError>(())
    });
    let mut client = connect(&io).await;
    for _ in 0..2 {
        client.emit("flood", 500).await.expect("sent");
        let answer: String = within("an answer", client.call("echo", "b"))
            .await
            .expect("answered");
        assert_eq!(answer, "b");
    }
    for _ in 0..2 {
        for n in 0..500 {
            let received = within("an event", client.receive(Duration::MAX)).await;
            let number: u32 = received.expect("an event").data().expect("a number");
            assert_eq!(number, n);
        }
    }
    within("the end", client.disconnect())
        .await
        .expect("all has left");
}
