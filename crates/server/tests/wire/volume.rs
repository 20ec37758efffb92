//! Much of everything, within the limits: nobody else may suffer, and memory stays bounded.

use std::time::{Duration, Instant};

use kokanee_server::Server;

use crate::{
    bed::{Bed, RS, assert_alive, assert_websocket_alive, error, resident_bytes, run, run_alone},
    support::{WebSocket, WebSocketEnd, frame, opcode},
};

const MEGABYTE: usize = 1 << 20;

/// What the allocator and the tests themselves may take beside.
const SLACK: usize = 12 * MEGABYTE;

/// Measures how long a client of its own waits for answers until it is told to stop. Returns the longest wait.
async fn neighbour(
    bed: &Bed,
    stop: tokio::sync::oneshot::Receiver<()>,
) -> tokio::task::JoinHandle<Duration> {
    let mut websocket = bed.joined().await;
    tokio::spawn(async move {
        let mut stop = std::pin::pin!(stop);
        let mut longest = Duration::ZERO;
        loop {
            let start = Instant::now();
            assert_websocket_alive(&mut websocket).await;
            longest = longest.max(start.elapsed());
            let pause = tokio::time::sleep(Duration::from_millis(5));
            tokio::select! {
                _ = &mut stop => return longest,
                () = pause => {}
            }
        }
    })
}

#[test]
fn a_post_of_half_a_million_packets_leaves_room_for_others() {
    run_alone(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let neighbour = neighbour(&bed, stopped).await;
        let body = vec!["3"; 500_000].join(RS);
        assert_eq!(body.len(), 999_999);
        let before = resident_bytes();
        for _ in 0..5 {
            polling.send(&body).await;
        }
        let grown = resident_bytes().saturating_sub(before);
        stop.send(()).unwrap();
        let longest = neighbour.await.unwrap();
        assert!(
            longest < Duration::from_secs(1),
            "another client waited {longest:?}"
        );
        assert!(grown < 4 * MEGABYTE + SLACK, "{grown} bytes more");
        assert_alive(&mut polling).await;
    });
}

#[test]
fn many_events_in_one_post_are_all_delivered() {
    run_alone(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let neighbour = neighbour(&bed, stopped).await;
        let body = vec!["42[\"a\"]"; 100_000].join(RS);
        polling.send(&body).await;
        stop.send(()).unwrap();
        let longest = neighbour.await.unwrap();
        assert!(
            longest < Duration::from_secs(1),
            "another client waited {longest:?}"
        );
        let count = bed.log().iter().filter(|line| *line == "event a").count();
        assert_eq!(count, 100_000);
    });
}

#[test]
fn a_megabyte_of_separators_costs_nothing() {
    run_alone(async {
        let bed = Bed::new().await;
        let separators = vec![0x1e; 1_000_000];
        let before = resident_bytes();
        for _ in 0..20 {
            let mut polling = bed.polling().await;
            let start = Instant::now();
            assert_eq!(polling.post(&separators).await.brief(), (400, error(3)));
            assert!(start.elapsed() < Duration::from_secs(1));
        }
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 4 * MEGABYTE + SLACK, "{grown} bytes more");
    });
}

#[test]
fn ten_thousand_connects_are_answered_or_refused() {
    run_alone(async {
        let bed = Bed::new().await;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let neighbour = neighbour(&bed, stopped).await;
        let before = resident_bytes();
        let (websocket, _) = bed.open_websocket().await;
        let all: Vec<u8> = (0..10_000)
            .flat_map(|n| frame(0x81, format!("40/n{n},").as_bytes()))
            .collect();
        let (answers, end) = send_and_read(websocket, all).await;
        let grown = resident_bytes().saturating_sub(before);
        stop.send(()).unwrap();
        assert!(neighbour.await.unwrap() < Duration::from_secs(1));
        assert!(grown < 4 * MEGABYTE + SLACK, "{grown} bytes more");
        for (n, answer) in answers.iter().enumerate() {
            assert_eq!(
                *answer,
                format!("44/n{n},{{\"message\":\"Invalid namespace\"}}")
            );
        }
        // All are answered, unless the server has had enough and says so.
        assert!(
            answers.len() == 10_000 || end == Some(WebSocketEnd::Code(1008)),
            "{} answers, {end:?}",
            answers.len()
        );
    });
}

/// Sends while it reads. Reads until 10,000 messages have come or the server has ended.
async fn send_and_read(
    mut websocket: WebSocket,
    bytes: Vec<u8>,
) -> (Vec<String>, Option<WebSocketEnd>) {
    let mut answers = Vec::new();
    for part in bytes.chunks(1000) {
        if websocket.try_send_raw(part).await.is_err() {
            break;
        }
        while !websocket.is_silent_for(Duration::ZERO).await {
            match websocket.try_frame().await {
                Some(frame) if frame.opcode() == opcode::TEXT => answers.push(frame.text()),
                Some(frame) => return (answers, Some(end_of(&frame.payload))),
                None => return (answers, Some(WebSocketEnd::Dropped)),
            }
        }
    }
    while answers.len() < 10_000 {
        match websocket.try_frame().await {
            Some(frame) if frame.opcode() == opcode::TEXT => answers.push(frame.text()),
            Some(frame) => return (answers, Some(end_of(&frame.payload))),
            None => return (answers, Some(WebSocketEnd::Dropped)),
        }
    }
    (answers, None)
}

fn end_of(payload: &[u8]) -> WebSocketEnd {
    payload.first_chunk().map_or(WebSocketEnd::NoCode, |code| {
        WebSocketEnd::Code(u16::from_be_bytes(*code))
    })
}

#[test]
fn floods_of_pings_that_nobody_reads_cost_nothing() {
    run_alone(async {
        let bed = Bed::limited(|limits| limits.write_timeout = Duration::from_millis(500)).await;
        let mut websocket = bed.joined().await;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let neighbour = neighbour(&bed, stopped).await;
        let pings = frame(0x89, &[7; 125]).repeat(2000);
        let before = resident_bytes();
        // Until the server reads no more, or has read 50 MB.
        for _ in 0..200 {
            let sent =
                tokio::time::timeout(Duration::from_millis(500), websocket.try_send_raw(&pings))
                    .await;
            if !matches!(sent, Ok(Ok(()))) {
                break;
            }
        }
        let grown = resident_bytes().saturating_sub(before);
        stop.send(()).unwrap();
        assert!(neighbour.await.unwrap() < Duration::from_secs(1));
        assert!(grown < 4 * MEGABYTE + SLACK, "{grown} bytes more");
    });
}

#[test]
fn announced_sizes_allocate_nothing() {
    run_alone(async {
        let bed = Bed::limited(|limits| {
            limits.max_message_bytes = 100_000_000;
            limits.max_pending_sessions_per_address = 1000;
        })
        .await;
        let before = resident_bytes();
        let mut kept = Vec::new();
        for _ in 0..20 {
            let (mut websocket, _) = bed.open_websocket().await;
            websocket
                .send_raw(crate::support::websocket::header(0x82, 99_000_000, true))
                .await;
            websocket.send_raw([0; 14]).await;
            let polling = bed.open_polling().await;
            let target = polling.target.clone();
            let (_, mut posts) = polling.into_connections();
            let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 99000000");
            posts.send(format!("{head}\r\n\r\nabc")).await;
            kept.push((websocket, posts));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 4 * MEGABYTE + SLACK, "{grown} bytes more");
    });
}

#[test]
fn fragments_take_no_more_than_their_bytes() {
    run_alone(async {
        let bed = Bed::limited(|limits| limits.max_fragments = 1_000_000).await;
        let mut websocket = bed.joined().await;
        let before = resident_bytes();
        let mut all = frame(0x01, b"4");
        all.extend(frame(0x00, b"x").repeat(200_000));
        all.extend(frame(0x00, b"").repeat(200_000));
        websocket.send_raw(&all).await;
        drop(all);
        websocket.send_raw(frame(0x89, b"")).await;
        assert_eq!(websocket.frame().await.opcode(), opcode::PONG);
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 4 * MEGABYTE + SLACK, "{grown} bytes more");
    });
}

#[test]
fn deep_nesting_is_refused_quickly_and_echoed_where_allowed() {
    run(async {
        let bed = Bed::new().await;
        let mut quiet = bed.joined().await;
        for depth in [1000, 100_000, 400_000] {
            let mut websocket = bed.joined().await;
            let start = Instant::now();
            websocket
                .send(&format!(
                    "421[\"echo\",{}{}]",
                    "[".repeat(depth),
                    "]".repeat(depth)
                ))
                .await;
            assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
            assert!(start.elapsed() < Duration::from_secs(2));
            let mut polling = bed.polling().await;
            polling
                .post(format!("421[\"echo\",{}", "{\"a\":".repeat(depth / 3)))
                .await;
            assert!(matches!(polling.get().await.status, 200 | 400));
        }
        assert_websocket_alive(&mut quiet).await;
    });
}

#[test]
fn sessions_that_come_and_go_leave_nothing() {
    run_alone(async {
        let bed = Bed::limited(|limits| limits.max_pending_sessions_per_address = 100_000).await;
        let cycle = async |count: usize| {
            for n in 0..count {
                if n % 2 == 0 {
                    let mut polling = bed.polling().await;
                    polling.send("1").await;
                } else {
                    drop(bed.joined().await);
                }
            }
            bed.sessions(0).await;
        };
        cycle(300).await;
        let before = resident_bytes();
        cycle(1500).await;
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 2 * MEGABYTE + SLACK / 2, "{grown} bytes more");
        let left = bed
            .log()
            .iter()
            .filter(|line| line.starts_with("disconnect: transport close"))
            .count();
        assert_eq!(left, 1800, "every socket that joined has left, once");
    });
}

#[test]
fn five_hundred_resets_at_once_are_noticed() {
    run_alone(async {
        let bed = Bed::with(Server::builder()).await;
        let mut websockets = Vec::new();
        for _ in 0..500 {
            websockets.push(bed.joined().await);
        }
        assert_eq!(bed.io.session_count(), 500);
        websockets.into_iter().for_each(WebSocket::reset);
        bed.sessions(0).await;
        let start = Instant::now();
        while bed
            .log()
            .iter()
            .filter(|line| line.starts_with("disconnect: "))
            .count()
            < 500
        {
            assert!(start.elapsed() < Duration::from_secs(2));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}
