//! Servers that send faster than the client's handlers work: it reads no faster than it handles, and still sends.

use kokanee_client::{Ack, Data, Socket};
use kokanee_websocket::{OpCode, encode_header};

use crate::{
    raw::{Raw, Wire, disconnect_while, polling},
    support::{journal, within},
};

/// Sends a message as often as the client takes it. Returns how often: not without bound.
async fn flood(wire: &mut Wire, message: &str) -> usize {
    const LIMIT: usize = 256 << 20;
    let header = encode_header(OpCode::Text, message.len(), None);
    let frame = [header.as_slice(), message.as_bytes()].concat();
    let taken = wire.flood(&frame, LIMIT).await;
    // Some 8 MiB wait in the client, the rest in the buffers of the system.
    assert!(taken < 64 << 20, "{taken} bytes were taken");
    taken / frame.len()
}

#[tokio::test]
async fn a_flood_of_events_is_read_as_fast_as_they_are_handled() {
    let raw = Raw::start().await;
    let socket = raw.socket();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (note, mut seen) = journal();
    let handler_gate = std::sync::Arc::clone(&gate);
    socket.on("x", move |Data(text): Data<String>| {
        let (gate, note) = (std::sync::Arc::clone(&handler_gate), note.clone());
        async move {
            let _permit = gate.acquire().await;
            note(text.len());
        }
    });
    let mut wire = raw.join(&socket).await;
    let event = format!("42[\"x\",\"{}\"]", "x".repeat(100_000));
    let taken = flood(&mut wire, &event).await;
    // It goes on when the handlers do.
    gate.add_permits(1 << 20);
    for _ in 0..taken {
        assert_eq!(seen.next().await, 100_000);
    }
    assert!(socket.is_connected());
}

#[tokio::test]
async fn a_flood_of_questions_is_read_as_fast_as_the_answers() {
    let raw = Raw::start().await;
    let socket = raw.socket();
    socket.on("x", move |Data(text): Data<String>, ack: Ack| async move {
        ack.send(text)
    });
    let mut wire = raw.join(&socket).await;
    let question = format!("421[\"x\",\"{}\"]", "x".repeat(100_000));
    let taken = flood(&mut wire, &question).await;
    // It goes on when they are read.
    let answer = format!("431[\"{}\"]", "x".repeat(100_000));
    for _ in 0..taken {
        assert!(wire.next().await == answer, "another answer");
    }
    assert!(socket.is_connected());
}

#[tokio::test]
async fn a_flood_of_nothing_costs_nothing() {
    let raw = Raw::start().await;
    let socket = raw.socket();
    let (note, mut seen) = journal();
    socket.on("end", move || {
        note(());
        async {}
    });
    let mut wire = raw.join(&socket).await;
    let frames: Vec<u8> = [
        "2",
        "6",
        "4399[]",
        "43999999[1]",
        "40{\"sid\":\"other\"}",
        "40/nowhere,{\"sid\":\"x\"}",
        "44/nowhere,{\"message\":\"no\"}",
        "41/nowhere,",
        "42/nowhere,[\"x\"]",
        "42[\"nobody listens\"]",
    ]
    .iter()
    .flat_map(|text| {
        let header = encode_header(OpCode::Text, text.len(), None);
        [header.as_slice(), text.as_bytes()].concat()
    })
    .collect();
    let reader = async {
        for _ in 0..2000 {
            wire.write(&frames).await;
        }
        wire.text("42[\"end\"]").await;
    };
    within("the flood", reader).await;
    seen.next().await;
    assert!(socket.is_connected());
    assert_eq!(socket.id().as_deref(), Some("public"));
}

#[tokio::test]
async fn a_client_whose_handlers_are_behind_still_posts() {
    let raw = Raw::start().await;
    let (socket, mut gets, mut posts) = polling(&raw).await;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (note, mut seen) = journal();
    socket.on("x", move |socket: Socket| {
        let (gate, note) = (std::sync::Arc::clone(&gate), note.clone());
        async move {
            note(socket.emit("answer", ()).await.is_ok());
            let _never = gate.acquire().await;
        }
    });
    gets.answer("", &vec!["42[\"x\"]"; 2000].join("\u{1e}"))
        .await;
    assert!(seen.next().await);
    assert_eq!(posts.post().await.1, "42[\"answer\"]");
    posts.answer("", "ok").await;
    socket.emit("more", ()).await.expect("sent");
    assert_eq!(posts.post().await.1, "42[\"more\"]");
    posts.answer("", "ok").await;
    let script = async {
        assert_eq!(posts.post().await.1, "41\u{1e}1");
        posts.answer("", "ok").await;
    };
    disconnect_while(&socket, script).await;
}

#[tokio::test]
async fn a_dropped_reader_does_not_hold_up_the_others() {
    let raw = Raw::start().await;
    let socket = raw.socket();
    let (note, mut seen) = journal();
    socket.on("x", move || {
        note(());
        async {}
    });
    let events = socket.events();
    let mut wire = raw.join(&socket).await;
    let header = encode_header(OpCode::Text, 7, None);
    let frame = [header.as_slice(), b"42[\"x\"]"].concat();
    wire.write(&frame.repeat(1000)).await;
    // So many may wait for the reader.
    for _ in 0..256 {
        seen.next().await;
    }
    drop(events);
    for _ in 256..1000 {
        seen.next().await;
    }
}
