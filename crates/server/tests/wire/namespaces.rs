//! Namespaces: how CONNECT is answered, what is sent close to it, and how many one client may join.

use std::{sync::Arc, time::Duration};

use kokanee_server::ConnectError;
use tokio::sync::Notify;

use crate::{
    bed::{Bed, RS, Table, assert_websocket_alive, run},
    support::{WebSocketEnd, frame},
};

#[test]
fn the_auth_of_all_namespaces_together_is_bounded() {
    run(async {
        let bed = Bed::limited(|limits| limits.max_message_bytes = 10_000).await;
        for name in ["/a", "/b", "/c"] {
            bed.io.of(name);
        }
        let (mut websocket, _) = bed.open_websocket().await;
        let auth = |bytes: usize| format!("{{\"token\":\"{}\"}}", "x".repeat(bytes));
        let join = |name: &str, bytes| format!("40{name},{}", auth(bytes));
        websocket.send(&join("/a", 8_000)).await;
        assert!(websocket.text().await.starts_with("40/a,{"));
        websocket.send(&join("/b", 8_000)).await;
        assert_eq!(
            websocket.text().await,
            "44/b,{\"message\":\"auth too large\"}"
        );
        websocket.send(&join("/b", 100)).await;
        assert!(websocket.text().await.starts_with("40/b,{"));
        websocket.send("41/a,").await;
        websocket.send(&join("/c", 8_000)).await;
        assert!(websocket.text().await.starts_with("40/c,{"));
    });
}

#[test]
fn connects_are_answered() {
    run(async {
        let mut table = Table::default();
        let rows: [(&str, &str); 12] = [
            ("40", "40{\"sid\":\"*\"}"),
            ("40{\"token\":\"x\"}", "40{\"sid\":\"*\"}"),
            ("40{}", "40{\"sid\":\"*\"}"),
            ("40/,", "40{\"sid\":\"*\"}"),
            ("40/other,", "40/other,{\"sid\":\"*\"}"),
            ("40/other", "40/other,{\"sid\":\"*\"}"),
            ("40/other,{\"token\":\"x\"}", "40/other,{\"sid\":\"*\"}"),
            ("40/nope,", "44/nope,{\"message\":\"Invalid namespace\"}"),
            ("40/nope", "44/nope,{\"message\":\"Invalid namespace\"}"),
            (
                "40/nope,{\"token\":1}",
                "44/nope,{\"message\":\"Invalid namespace\"}",
            ),
            ("40/OTHER,", "44/OTHER,{\"message\":\"Invalid namespace\"}"),
            ("40/é\"\\,", "44/é\"\\,{\"message\":\"Invalid namespace\"}"),
        ];
        for (sent, expected) in rows {
            table.case(sent, async move {
                let bed = Bed::new().await;
                bed.io.of("/other");
                let (mut websocket, _) = bed.open_websocket().await;
                websocket.send(sent).await;
                let answer = websocket.text().await;
                if let Some((before, after)) = expected.split_once('*') {
                    let id = answer
                        .strip_prefix(before)
                        .and_then(|rest| rest.strip_suffix(after));
                    let id = id.unwrap_or_else(|| panic!("{answer:?}"));
                    assert_eq!(id.len(), 20);
                } else {
                    assert_eq!(answer, expected);
                    // The connection stays, so that another one can be tried.
                    websocket.join().await;
                }
            });
        }
        table.finish().await;
    });
}

#[test]
fn refusals_carry_message_and_data() {
    run(async {
        let bed = Bed::new().await;
        bed.io
            .of("/plain")
            .middleware(async || Err::<(), _>("no \"entry\""));
        bed.io.of("/data").middleware(async || {
            Err::<(), _>(ConnectError::new("no").data(serde_json::json!({"code": 1})))
        });
        let (mut websocket, _) = bed.open_websocket().await;
        websocket.send("40/plain,").await;
        assert_eq!(
            websocket.text().await,
            "44/plain,{\"message\":\"no \\\"entry\\\"\"}"
        );
        websocket.send("40/data,").await;
        assert_eq!(
            websocket.text().await,
            "44/data,{\"message\":\"no\",\"data\":{\"code\":1}}"
        );
        // It was not joined, so it can be tried again, and gets no events.
        websocket.send("40/data,").await;
        websocket.text().await;
        websocket.send("42/data,[\"a\"]").await;
        assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
    });
}

#[test]
fn an_event_right_behind_connect_is_delivered_after_the_acceptance() {
    run(async {
        let mut table = Table::default();
        for slow in [false, true] {
            for by_polling in [false, true] {
                table.case(
                    format!("slow middleware: {slow}, polling: {by_polling}"),
                    async move {
                        let bed = Bed::new().await;
                        bed.io.middleware(move || async move {
                            if slow {
                                tokio::time::sleep(Duration::from_millis(100)).await;
                            }
                            Ok::<(), ConnectError>(())
                        });
                        let sent = ["40", "421[\"echo\",1]", "422[\"echo\",2]"];
                        let mut got = Vec::new();
                        if by_polling {
                            let mut polling = bed.open_polling().await;
                            polling.send(&sent.join(RS)).await;
                            while got.len() < 3 {
                                got.extend(polling.poll().await.split(RS).map(str::to_owned));
                            }
                        } else {
                            let (mut websocket, _) = bed.open_websocket().await;
                            websocket
                                .send_raw(sent.map(|text| frame(0x81, text.as_bytes())).concat())
                                .await;
                            while got.len() < 3 {
                                got.push(websocket.text().await);
                            }
                        }
                        assert!(got[0].starts_with("40{\"sid\":"), "{got:?}");
                        assert_eq!(got[1..], ["431[1]", "432[2]"]);
                        assert_eq!(bed.log(), ["connect", "event echo", "event echo"]);
                    },
                );
            }
        }
        table.finish().await;
    });
}

#[test]
fn an_event_behind_a_refused_connect_is_never_delivered() {
    run(async {
        let bed = Bed::new().await;
        let decide = Arc::new(Notify::new());
        let wait = Arc::clone(&decide);
        bed.io.middleware(move || {
            let wait = Arc::clone(&wait);
            async move {
                wait.notified().await;
                Err::<(), _>("refused")
            }
        });
        let (mut websocket, _) = bed.open_websocket().await;
        websocket
            .send_raw(
                ["40", "42[\"secret\"]", "421[\"echo\",1]"]
                    .map(|text| frame(0x81, text.as_bytes()))
                    .concat(),
            )
            .await;
        assert!(websocket.is_silent_for(Duration::from_millis(100)).await);
        decide.notify_one();
        assert_eq!(websocket.text().await, "44{\"message\":\"refused\"}");
        assert!(websocket.is_silent_for(Duration::from_millis(100)).await);
        assert_eq!(bed.log(), Vec::<String>::new());

        // A second CONNECT while the first is being decided is one too many.
        websocket
            .send_raw(
                ["40", "40"]
                    .map(|text| frame(0x81, text.as_bytes()))
                    .concat(),
            )
            .await;
        assert_eq!(websocket.drain().await, (Vec::new(), WebSocketEnd::NoCode));
        assert_eq!(bed.log(), Vec::<String>::new());
    });
}

#[test]
fn a_client_that_leaves_while_it_is_being_let_in_is_gone() {
    run(async {
        let bed = Bed::new().await;
        let decide = Arc::new(Notify::new());
        let wait = Arc::clone(&decide);
        bed.io.middleware(move || {
            let wait = Arc::clone(&wait);
            async move {
                wait.notified().await;
                Ok::<(), ConnectError>(())
            }
        });
        let (mut websocket, _) = bed.open_websocket().await;
        websocket
            .send_raw(
                ["40", "42[\"secret\"]", "41"]
                    .map(|text| frame(0x81, text.as_bytes()))
                    .concat(),
            )
            .await;
        websocket.is_read().await;
        decide.notify_one();
        assert!(websocket.is_silent_for(Duration::from_millis(100)).await);
        assert_eq!(bed.log(), Vec::<String>::new());
        assert_eq!(bed.io.fetch_sockets().await.len(), 0);
    });
}

#[test]
fn namespaces_are_left_and_joined_again() {
    run(async {
        let bed = Bed::new().await;
        bed.io.of("/other");
        let mut websocket = bed.joined().await;
        websocket.send("40/other,").await;
        assert!(websocket.text().await.starts_with("40/other,{"));
        websocket.send("41").await;
        assert_eq!(bed.reason().await, "client namespace disconnect");
        websocket.join().await;
        assert_websocket_alive(&mut websocket).await;
        websocket.send("41/other,").await;
        websocket.send("41").await;
        websocket.send("42[\"late\"]").await;
        assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
        assert!(!bed.log().contains(&"event late".to_owned()));
    });
}

#[test]
fn a_hundred_namespaces_are_the_limit() {
    run(async {
        let bed = Bed::new().await;
        for n in 0..101 {
            bed.io.of(&format!("/n{n}"));
        }
        let (mut websocket, _) = bed.open_websocket().await;
        for n in 0..100 {
            websocket.send(&format!("40/n{n},")).await;
            assert!(websocket.text().await.starts_with(&format!("40/n{n},{{")));
        }
        websocket.send("40/n100,").await;
        assert_eq!(
            websocket.drain().await,
            (Vec::new(), WebSocketEnd::Code(1008))
        );
        bed.sessions(0).await;
    });
}
