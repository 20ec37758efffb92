//! How many sessions may be open without a namespace, from which address, and that each session is its own.

use std::time::{Duration, Instant};

use crate::{
    bed::{Bed, Table, assert_alive, error, is_json_error, run},
    support::{Http, LIMIT, Polling, WebSocketEnd, http},
};

#[test]
fn sessions_that_join_nothing_are_limited() {
    run(async {
        let target = "/socket.io/?EIO=4&transport=polling";
        let upgrade = http::upgrade("/socket.io/?EIO=4&transport=websocket", &[]);
        let mut bed = Bed::limited(|limits| {
            limits.max_pending_sessions_per_address = 2;
            limits.ping_interval = Duration::from_millis(400);
            limits.ping_timeout = Duration::from_millis(400);
        })
        .await;
        let (mut first, _second) = (bed.open_polling().await, bed.open_websocket().await);
        let full = "Too many connections from this address";
        let answer = bed.get(target).await;
        bed.check(
            "status",
            answer.status_line.as_str(),
            "HTTP/1.1 429 Too Many Requests",
        );
        bed.check(
            "body",
            answer.text(),
            format!("{{\"code\":3,\"message\":\"{full}\"}}"),
        );
        bed.check("retry", answer.header("retry-after"), Some("5"));
        let answer = bed.request(&upgrade).await;
        bed.check("upgrade", answer.brief(), (429, full.to_owned()));
        first.join().await;
        bed.check("one has joined", bed.get(target).await.status, 200);
        bed.check("full again", bed.get(target).await.status, 429);
        bed.sessions(0).await;
        bed.check(
            "the silent ones have timed out",
            bed.get(target).await.status,
            200,
        );

        let mut bed = Bed::limited(|limits| limits.max_pending_sessions = 1).await;
        let polling = bed.open_polling().await;
        let answer = bed.get(target).await;
        bed.check(
            "server full",
            answer.status_line.as_str(),
            "HTTP/1.1 503 Service Unavailable",
        );
        bed.check(
            "server full",
            answer.text(),
            "{\"code\":3,\"message\":\"Server is full\"}".to_owned(),
        );
        bed.check("server full", answer.header("retry-after"), Some("5"));
        bed.check(
            "upgrade",
            bed.request(&upgrade).await.brief(),
            (503, "Server is full".to_owned()),
        );
        let answer = bed.post(&polling.target, "1").await;
        bed.check("closed", answer.brief(), (200, "ok".to_owned()));
        bed.sessions(0).await;
        bed.check("room again", bed.get(target).await.status, 200);
    });
}

#[test]
fn abandoned_sessions_keep_nobody_out() {
    run(async {
        let target = "/socket.io/?EIO=4&transport=polling";
        let mut table = Table::default();
        table.case("of their address", async move {
            let bed = Bed::limited(|limits| limits.max_pending_sessions_per_address = 2).await;
            frees_its_place(bed, target, 429).await;
        });
        table.case("of the server", async move {
            let bed = Bed::limited(|limits| limits.max_pending_sessions = 2).await;
            frees_its_place(bed, target, 503).await;
        });
        table.finish().await;
    });
}

/// Leaves two sessions alone, and opens others until one is taken: long before the two would have ended by themselves.
async fn frees_its_place(bed: Bed, target: &str, full: u16) {
    let (first, (mut second, _)) = (bed.open_polling().await, bed.open_websocket().await);
    let start = Instant::now();
    loop {
        let answer = bed.get(target).await;
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.status, full);
        assert!(start.elapsed() < LIMIT, "{answer:?}");
        let wait = answer.header("retry-after").and_then(|it| it.parse().ok());
        tokio::time::sleep(Duration::from_secs(wait.expect("seconds"))).await;
    }
    assert_eq!(bed.get(&first.target).await.brief(), (400, error(1)));
    // The other one is as old, and is the next.
    assert_eq!(bed.get(target).await.status, 200);
    second.end().await;
    assert_eq!(bed.get(target).await.status, full);
}

#[test]
fn five_thousand_clients_of_one_address_are_let_in() {
    run(async {
        let bed = Bed::new().await;
        let mut http = bed.http().await;
        for _ in 0..5_000 {
            let answer = http.get("/socket.io/?EIO=4&transport=polling").await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        assert_eq!(bed.io.session_count(), 5_000);
    });
}

#[test]
fn a_server_that_shuts_down_takes_no_sessions() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        // The end of this session waits to be fetched, so the server is not done yet.
        bed.socket().await.emit("news", "last").await.unwrap();
        let io = bed.io.clone();
        let closing = tokio::spawn(async move { io.close(Duration::from_secs(8)).await });
        bed.saw("disconnect: server shutting down").await;
        let answer = bed.get("/socket.io/?EIO=4&transport=polling").await;
        let body = "{\"code\":3,\"message\":\"Server is shutting down\"}".to_owned();
        assert_eq!(answer.brief(), (503, body));
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert_eq!(polling.poll().await, "42[\"news\",\"last\"]");
        assert_eq!(polling.poll().await, "6\x1e1");
        closing.await.unwrap().expect("all was done in time");
    });
}

#[test]
fn session_ids_are_random_and_of_a_fixed_form() {
    run(async {
        let bed = Bed::limited(|limits| limits.max_pending_sessions_per_address = 1000).await;
        let mut seen = std::collections::HashSet::new();
        let mut ends = std::collections::HashSet::new();
        for _ in 0..100 {
            let sid = bed.open_polling().await.sid;
            assert_eq!(sid.len(), 20, "{sid}");
            assert!(
                sid.bytes()
                    .all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c)),
                "{sid}"
            );
            ends.insert(sid[16..].to_owned());
            assert!(seen.insert(sid), "an id came twice");
        }
        // No counter at the end, as the JavaScript server has.
        assert!(ends.len() > 95);
        assert!(!ends.contains("AAAA") || !ends.contains("AAAB"));
    });
}

#[test]
fn two_sessions_open_on_one_pipelined_connection() {
    run(async {
        let bed = Bed::new().await;
        let mut http = Http::connect(bed.address).await;
        let get = http::get("/socket.io/?EIO=4&transport=polling", &[]);
        http.send([get.clone(), get].concat()).await;
        let (first, second) = (http.response().await, http.response().await);
        assert_eq!((first.status, second.status), (200, 200));
        assert_ne!(first.body, second.body);
        assert_eq!(bed.io.session_count(), 2);
    });
}

#[test]
fn sessions_end_alone() {
    run(async {
        let bed = Bed::new().await;
        let mut first = bed.polling().await;
        let mut second = Polling::open(bed.address, "EIO=4").await;
        second.join().await;
        assert!(is_json_error(&first.post("9").await, 3));
        assert_alive(&mut second).await;
        let (mut websocket, _) = bed.open_websocket().await;
        websocket.send("9").await;
        assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
        assert_alive(&mut second).await;
    });
}
