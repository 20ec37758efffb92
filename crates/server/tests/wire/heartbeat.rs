//! Pings, pongs and the other times of a session, with short settings. Only orders and generous bounds are asserted.

use std::time::{Duration, Instant};

use kokanee_server::Limits;

use crate::{
    bed::{Bed, RS, Table, assert_gone, assert_websocket_alive, run},
    support::{WebSocketEnd, opcode},
};

const INTERVAL: Duration = Duration::from_millis(300);

fn quick(limits: &mut Limits) {
    limits.ping_interval = INTERVAL;
    limits.ping_timeout = INTERVAL;
}

#[test]
fn the_first_ping_comes_one_interval_after_the_handshake() {
    run(async {
        let bed = Bed::limited(quick).await;
        let mut polling = bed.polling().await;
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(polling.poll().await, "2");
            polling.send("3").await;
        }
        assert!(
            start.elapsed() >= INTERVAL * 5 / 2,
            "three pings in {:?}",
            start.elapsed()
        );

        let mut websocket = bed.joined().await;
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(websocket.text().await, "2");
            websocket.send("3").await;
        }
        assert!(
            start.elapsed() >= INTERVAL * 5 / 2,
            "three pings in {:?}",
            start.elapsed()
        );
    });
}

#[test]
fn a_client_without_pongs_is_given_up() {
    run(async {
        let mut table = Table::default();
        table.case("websocket", async {
            let bed = Bed::limited(quick).await;
            let mut websocket = bed.joined().await;
            let (frames, end) = websocket.drain().await;
            assert_eq!(frames.len(), 1, "one ping: {frames:?}");
            assert_eq!(end, WebSocketEnd::NoCode);
            assert_eq!(bed.reason().await, "ping timeout");
        });
        table.case("websocket before anything was joined", async {
            let bed = Bed::limited(quick).await;
            let (mut websocket, _) = bed.open_websocket().await;
            assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
            bed.sessions(0).await;
        });
        table.case("polling with a pending GET", async {
            let bed = Bed::limited(quick).await;
            let mut polling = bed.polling().await;
            assert_eq!(polling.poll().await, "2");
            assert_eq!(polling.poll().await, "1");
            assert_eq!(bed.reason().await, "ping timeout");
            assert_gone(&bed, &polling).await;
        });
        table.case("polling without any GET", async {
            let bed = Bed::limited(quick).await;
            let polling = bed.polling().await;
            assert_eq!(bed.reason().await, "ping timeout");
            assert_gone(&bed, &polling).await;
        });
        table.case("polling before anything was joined", async {
            let bed = Bed::limited(quick).await;
            let polling = bed.open_polling().await;
            bed.sessions(0).await;
            assert_gone(&bed, &polling).await;
        });
        table.case(
            "a client that reads a ping and answers another packet for ever",
            async {
                let bed = Bed::limited(quick).await;
                let mut websocket = bed.joined().await;
                for _ in 0..100 {
                    if websocket
                        .try_send_raw(crate::support::frame(0x81, b"42[\"busy\"]"))
                        .await
                        .is_err()
                    {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    if bed.io.session_count() == 0 {
                        break;
                    }
                }
                assert_eq!(bed.reason().await, "ping timeout");
            },
        );
        table.finish().await;
    });
}

#[test]
fn blind_pongs_do_not_keep_a_polling_client_alive() {
    run(async {
        let bed = Bed::limited(quick).await;
        let mut polling = bed.polling().await;
        for _ in 0..100 {
            if polling.post("3").await.status != 200 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        assert_eq!(bed.reason().await, "ping timeout");
        assert_gone(&bed, &polling).await;
    });
}

#[test]
fn blind_pongs_do_not_keep_a_websocket_alive_that_is_not_read() {
    run(async {
        let bed = Bed::limited(|limits| {
            quick(limits);
            limits.write_timeout = Duration::from_millis(500);
        })
        .await;
        let mut websocket = bed.joined().await;
        let socket = bed.socket().await;
        let emitter = tokio::spawn(async move {
            let text = "x".repeat(100_000);
            // As much as no system buffers by itself.
            for _ in 0..1000 {
                if socket.emit("flood", &text).await.is_err() {
                    return;
                }
            }
            panic!("100 MB were taken for a client that reads nothing");
        });
        let start = Instant::now();
        while bed.io.session_count() > 0 && start.elapsed() < Duration::from_secs(8) {
            let pong = crate::support::frame(0x81, b"3");
            let _ =
                tokio::time::timeout(Duration::from_millis(50), websocket.try_send_raw(pong)).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        // Its ping has never left, so what counts is that nothing leaves.
        assert_eq!(bed.reason().await, "slow consumer");
        emitter.await.expect("it has stopped");
    });
}

#[test]
fn a_polling_client_that_does_not_fetch_is_a_slow_consumer() {
    run(async {
        let bed = Bed::limited(|limits| limits.max_outbound_bytes = 10_000).await;
        let polling = bed.polling().await;
        let socket = bed.socket().await;
        let flood = async {
            for _ in 0..100 {
                let emit = socket.emit("flood", "x".repeat(1000));
                if !matches!(
                    tokio::time::timeout(Duration::from_millis(20), emit).await,
                    Ok(Ok(()))
                ) {
                    break;
                }
            }
            // A broadcast does not wait for anybody.
            for _ in 0..20 {
                bed.io.emit("flood", "x".repeat(1000)).await.unwrap();
            }
        };
        flood.await;
        assert_eq!(bed.reason().await, "slow consumer");
        assert_gone(&bed, &polling).await;
    });
}

#[test]
fn a_client_must_join_something_in_time() {
    run(async {
        let mut table = Table::default();
        let hurry = |limits: &mut Limits| limits.connect_timeout = Duration::from_millis(250);
        table.case("websocket", async move {
            let bed = Bed::limited(hurry).await;
            let (mut websocket, _) = bed.open_websocket().await;
            assert_eq!(websocket.drain().await, (Vec::new(), WebSocketEnd::NoCode));
            bed.sessions(0).await;
        });
        table.case("polling with a pending GET", async move {
            let bed = Bed::limited(hurry).await;
            let mut polling = bed.open_polling().await;
            assert_eq!(polling.poll().await, "1");
            assert_gone(&bed, &polling).await;
        });
        table.case("polling without GET", async move {
            let bed = Bed::limited(hurry).await;
            let mut polling = bed.open_polling().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(polling.poll().await, format!("6{RS}1"));
            assert_gone(&bed, &polling).await;
        });
        table.case("unknown namespaces do not count", async move {
            let bed = Bed::limited(hurry).await;
            let (mut websocket, _) = bed.open_websocket().await;
            websocket.send("40/nope,").await;
            assert_eq!(
                websocket.text().await,
                "44/nope,{\"message\":\"Invalid namespace\"}"
            );
            assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
        });
        table.case("joined: no limit", async move {
            let bed = Bed::limited(hurry).await;
            let mut websocket = bed.joined().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_websocket_alive(&mut websocket).await;
        });
        table.case("left again: the limit is back", async move {
            let bed = Bed::limited(hurry).await;
            let mut websocket = bed.joined().await;
            websocket.send("41").await;
            assert_eq!(bed.reason().await, "client namespace disconnect");
            websocket.join().await;
            websocket.send("41").await;
            assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
            bed.sessions(0).await;
        });
        table.finish().await;
    });
}

#[test]
fn the_heartbeat_goes_on_after_an_upgrade() {
    run(async {
        let bed = Bed::limited(quick).await;
        let mut polling = bed.polling().await;
        let mut websocket = bed.probed(&polling.sid).await;
        websocket.send("5").await;
        for _ in 0..3 {
            assert_eq!(websocket.text().await, "2");
            websocket.send("3").await;
        }
        assert_eq!(websocket.text().await, "2");
        assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
        assert_eq!(bed.reason().await, "ping timeout");

        // A ping that is out when the session moves is still owed.
        let bed = Bed::limited(quick).await;
        polling = bed.polling().await;
        assert_eq!(polling.poll().await, "2");
        let mut websocket = bed.probe(&polling.sid).await;
        websocket.send("2probe").await;
        websocket.send("5").await;
        let (_, end) = websocket.drain().await;
        assert_eq!(end, WebSocketEnd::NoCode);
        assert_eq!(bed.reason().await, "ping timeout");
    });
}

#[test]
fn a_pong_may_come_on_the_other_transport() {
    run(async {
        let bed = Bed::limited(quick).await;
        let mut polling = bed.polling().await;
        assert_eq!(polling.poll().await, "2");
        let mut websocket = bed.probed(&polling.sid).await;
        websocket.send("5").await;
        websocket.send("3").await;
        assert_eq!(websocket.text().await, "2");
        websocket.send("3").await;
        assert_eq!(websocket.text().await, "2");
    });
}

#[test]
fn a_silent_websocket_is_cut_off_after_the_close_frame() {
    run(async {
        let bed = Bed::limited(|limits| {
            quick(limits);
            limits.close_handshake_timeout = Duration::from_millis(200);
        })
        .await;
        let (mut websocket, _) = bed.open_websocket().await;
        assert_eq!(websocket.text().await, "2");
        assert_eq!(websocket.frame().await.opcode(), opcode::CLOSE);
        assert_eq!(websocket.try_frame().await, None);
    });
}
