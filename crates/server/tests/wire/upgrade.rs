//! Moving a session from polling to WebSocket: the probe, what may go wrong with it, and that nothing is lost.

use std::time::{Duration, Instant};

use kokanee_server::Server;
use tokio::io::AsyncReadExt;

use crate::{
    bed::{Bed, RS, Table, assert_alive, assert_websocket_alive, error, run},
    support::{WebSocketEnd, frame, http, opcode, within},
};

#[test]
fn an_upgrade_moves_the_session() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let mut websocket = bed.probed(&polling.sid).await;
        // The session still polls.
        assert_alive(&mut polling).await;
        websocket.send("5").await;
        assert_websocket_alive(&mut websocket).await;
        for answer in [
            bed.get(&polling.target).await,
            bed.post(&polling.target, "41").await,
        ] {
            assert_eq!(answer.brief(), (400, error(3)), "a poll after the upgrade");
        }
        assert_websocket_alive(&mut websocket).await;
        assert_eq!(bed.io.session_count(), 1);
        websocket.send_close(1000).await;
        assert_eq!(websocket.end().await, WebSocketEnd::Code(1000));
        assert_eq!(bed.reason().await, "transport close");
    });
}

#[test]
fn what_comes_behind_the_upgrade_packet_is_read() {
    run(async {
        let bed = Bed::new().await;
        let polling = bed.polling().await;
        let mut websocket = bed.probe(&polling.sid).await;
        let all = ["2probe", "5", "427[\"echo\",1]"].map(|text| frame(0x81, text.as_bytes()));
        websocket.send_raw(all.concat()).await;
        assert_eq!(websocket.text().await, "3probe");
        assert_eq!(websocket.text().await, "437[1]");
    });
}

#[test]
fn a_probe_that_does_not_wait_for_the_handshake_is_answered_behind_it() {
    run(async {
        let bed = Bed::new().await;
        for _ in 0..20 {
            let polling = bed.polling().await;
            let target = format!("/socket.io/?EIO=4&transport=websocket&sid={}", polling.sid);
            let mut http = bed.http().await;
            let all = [http::upgrade(&target, &[]), frame(0x81, b"2probe")];
            http.send(all.concat()).await;
            let answer = http.response().await;
            assert_eq!(answer.status_line, "HTTP/1.1 101 Switching Protocols");
            let (mut stream, mut read) = http.into_parts();
            while read.len() < 8 {
                let count = within("the probe's answer", stream.read_buf(&mut read)).await;
                assert!(count.expect("a stream") > 0);
            }
            assert_eq!(read, b"\x81\x063probe");
        }
    });
}

#[test]
fn a_pending_get_gets_noops_during_an_upgrade() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        polling.pending_poll().await;
        let mut websocket = bed.probed(&polling.sid).await;
        assert_eq!(
            polling.answer().await.brief(),
            (200, "6".to_owned()),
            "the GET that waited"
        );
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(polling.poll().await, "6", "a GET that comes meanwhile");
        }
        assert!(start.elapsed() < Duration::from_secs(3));
        polling.send("427[\"echo\",1]").await;
        // A noop may be on its way already.
        let mut answer = polling.poll().await;
        while answer == "6" {
            answer = polling.poll().await;
        }
        assert_eq!(answer, "437[1]", "messages still travel by polling");
        websocket.send("5").await;
        assert_websocket_alive(&mut websocket).await;
    });
}

#[test]
fn a_get_that_waits_at_the_end_of_the_upgrade_gets_a_noop() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let mut websocket = bed.probed(&polling.sid).await;
        polling.begin_poll().await;
        polling
            .gets()
            .is_silent_for(Duration::from_millis(20))
            .await;
        websocket.send("5").await;
        assert_eq!(polling.answer().await.brief(), (200, "6".to_owned()));
        assert_websocket_alive(&mut websocket).await;
    });
}

#[test]
fn what_waits_is_sent_on_the_websocket() {
    run(async {
        let bed = Bed::new().await;
        let polling = bed.polling().await;
        let mut websocket = bed.probed(&polling.sid).await;
        let socket = bed.socket().await;
        socket.emit("a", 1).await.unwrap();
        socket
            .emit("b", bytes::Bytes::from_static(b"\x01\x02"))
            .await
            .unwrap();
        assert!(websocket.is_silent_for(Duration::from_millis(50)).await);
        websocket.send("5").await;
        assert_eq!(websocket.text().await, "42[\"a\",1]");
        assert_eq!(
            websocket.text().await,
            "451-[\"b\",{\"_placeholder\":true,\"num\":0}]"
        );
        assert_eq!(websocket.binary().await, b"\x01\x02");
    });
}

#[test]
fn nothing_is_lost_or_doubled_by_an_upgrade() {
    run(async {
        let bed = Bed::new().await;
        for round in 0..20 {
            let mut polling = bed.polling().await;
            let mut events = 0;
            let socket = bed.socket().await;
            let emitter = tokio::spawn(async move {
                for n in 0..200 {
                    socket.emit("n", n).await.unwrap();
                    tokio::time::sleep(Duration::from_micros(100)).await;
                }
            });
            let mut check = |packet: &str| {
                if packet != "6" {
                    assert_eq!(packet, format!("42[\"n\",{events}]"), "round {round}");
                    events += 1;
                }
                events
            };
            let mut websocket = bed.probed(&polling.sid).await;
            for _ in 0..round % 4 {
                polling
                    .poll()
                    .await
                    .split(RS)
                    .for_each(|packet| _ = check(packet));
            }
            websocket.send("5").await;
            while check(&websocket.text().await) < 200 {}
            emitter.await.unwrap();
            websocket.send_close(1000).await;
            websocket.end().await;
            bed.sessions(0).await;
        }
    });
}

#[test]
fn whatever_is_not_the_probe_closes_that_websocket_alone() {
    run(async {
        let mut table = Table::default();
        let rows: [(&str, Vec<u8>); 10] = [
            ("message", frame(0x81, b"42[\"a\"]")),
            ("ping without data", frame(0x81, b"2")),
            ("another ping", frame(0x81, b"2probe2")),
            ("pong", frame(0x81, b"3probe")),
            ("noop", frame(0x81, b"6")),
            ("close", frame(0x81, b"1")),
            ("open", frame(0x81, b"0{}")),
            ("garbage", frame(0x81, b"x")),
            ("empty", frame(0x81, b"")),
            ("binary", frame(0x82, b"2probe")),
        ];
        for (name, bytes) in rows {
            table.case(name, async move {
                let bed = Bed::new().await;
                let mut polling = bed.polling().await;
                let mut websocket = bed.probe(&polling.sid).await;
                websocket.send_raw(bytes).await;
                assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
                assert_alive(&mut polling).await;
                // The next one may try again.
                let mut websocket = bed.probed(&polling.sid).await;
                websocket.send("5").await;
                assert_websocket_alive(&mut websocket).await;
                assert_eq!(bed.log(), ["connect", "event echo", "event echo"]);
            });
        }
        table.finish().await;
    });
}

#[test]
fn clients_may_upgrade_without_a_probe_or_with_several() {
    run(async {
        let mut table = Table::default();
        let probe = || frame(0x81, b"2probe");
        let upgrade = || frame(0x81, b"5");
        let event = || frame(0x81, b"42[\"echo\",1]");
        let rows = [
            // Clients for ESP32, ESP8266 and Unity.
            ("upgrade alone", vec![upgrade()], vec![]),
            (
                "upgrade and an event with it",
                vec![[upgrade(), event()].concat()],
                vec!["42[\"echo\",1]"],
            ),
            (
                "probe twice",
                vec![probe(), probe(), upgrade()],
                vec!["3probe", "3probe"],
            ),
            (
                "all at once",
                vec![[probe(), probe(), upgrade(), event()].concat()],
                vec!["3probe", "3probe", "42[\"echo\",1]"],
            ),
        ];
        for (name, pieces, answers) in rows {
            for pending in [false, true] {
                let (pieces, answers) = (pieces.clone(), answers.clone());
                table.case(format!("{name}, GET pending: {pending}"), async move {
                    let bed = Bed::new().await;
                    let mut polling = bed.polling().await;
                    if pending {
                        polling.pending_poll().await;
                    }
                    let mut websocket = bed.probe(&polling.sid).await;
                    for piece in pieces {
                        websocket.send_raw(piece).await;
                    }
                    for answer in answers {
                        assert_eq!(websocket.text().await, answer);
                    }
                    if pending {
                        assert_eq!(polling.answer().await.text(), "6");
                    }
                    assert_websocket_alive(&mut websocket).await;
                });
            }
        }
        table.finish().await;
    });
}

#[test]
fn a_session_that_ends_during_an_upgrade_sends_what_waits_by_websocket() {
    run(async {
        let mut table = Table::default();
        for count in [0, 20] {
            table.case(format!("{count} events"), async move {
                let bed = Bed::new().await;
                let mut polling = bed.polling().await;
                polling.pending_poll().await;
                let mut websocket = bed.probed(&polling.sid).await;
                assert_eq!(polling.answer().await.text(), "6");
                // The client has stopped to poll, as it is about to upgrade.
                for number in 0..count {
                    bed.io.emit("n", number).await.expect("sent");
                }
                bed.socket().await.close_connection();
                assert_eq!(bed.reason().await, "server namespace disconnect");
                websocket.send("5").await;
                for number in 0..count {
                    assert_eq!(websocket.text().await, format!("42[\"n\",{number}]"));
                }
                assert_eq!(websocket.text().await, "41");
                assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
            });
        }
        table.finish().await;
    });
}

#[test]
fn a_probing_websocket_that_ends_leaves_the_session_polling() {
    run(async {
        let mut table = Table::default();
        for (name, probed) in [("before the probe", false), ("after the probe", true)] {
            for how in ["close frame", "end of stream", "reset"] {
                table.case(format!("{how} {name}"), async move {
                    let bed = Bed::new().await;
                    let mut polling = bed.polling().await;
                    let mut websocket = bed.probe(&polling.sid).await;
                    if probed {
                        websocket.send("2probe").await;
                        assert_eq!(websocket.text().await, "3probe");
                    }
                    match how {
                        "close frame" => {
                            websocket.send_close(1001).await;
                            assert_eq!(websocket.end().await, WebSocketEnd::Code(1001));
                        }
                        "reset" => websocket.reset(),
                        _ => drop(websocket),
                    }
                    assert_alive(&mut polling).await;
                    // As soon as the server has seen the end of the first one, another is welcome.
                    within("another probe", async {
                        loop {
                            let mut websocket = bed.probe(&polling.sid).await;
                            let _ = websocket.try_send_raw(frame(0x81, b"2probe")).await;
                            match websocket.try_frame().await {
                                Some(answer) if answer.opcode() == opcode::CLOSE => {}
                                Some(answer) => return assert_eq!(answer.text(), "3probe"),
                                None => {}
                            }
                        }
                    })
                    .await;
                });
            }
        }
        table.finish().await;
    });
}

#[test]
fn a_second_websocket_is_closed_and_the_first_goes_on() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let mut first = bed.probe(&polling.sid).await;
        first.is_read().await;
        let mut second = bed.probe(&polling.sid).await;
        assert_eq!(second.end().await, WebSocketEnd::NoCode, "before the probe");
        first.send("2probe").await;
        assert_eq!(first.text().await, "3probe");
        let mut second = bed.probe(&polling.sid).await;
        assert_eq!(second.end().await, WebSocketEnd::NoCode, "after the probe");
        assert_alive(&mut polling).await;
        first.send("5").await;
        assert_websocket_alive(&mut first).await;
        let mut second = bed.probe(&polling.sid).await;
        second.send("2probe").await;
        assert_eq!(
            second.drain().await,
            (Vec::new(), WebSocketEnd::NoCode),
            "after the upgrade"
        );
        assert_websocket_alive(&mut first).await;

        let (mut direct, sid) = bed.open_websocket().await;
        let mut second = bed.probe(&sid).await;
        assert_eq!(
            second.end().await,
            WebSocketEnd::NoCode,
            "of a session that began so"
        );
        direct.join().await;
    });
}

#[test]
fn an_upgrade_that_takes_too_long_is_given_up() {
    run(async {
        for probed in [false, true] {
            let bed =
                Bed::limited(|limits| limits.upgrade_timeout = Duration::from_millis(250)).await;
            let mut polling = bed.polling().await;
            let mut websocket = bed.probe(&polling.sid).await;
            if probed {
                websocket.send("2probe").await;
                assert_eq!(websocket.text().await, "3probe");
            }
            assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
            assert_alive(&mut polling).await;
            polling.pending_poll().await;
            // No more noops.
            assert!(
                polling
                    .gets()
                    .is_silent_for(Duration::from_millis(250))
                    .await
            );
        }
    });
}

#[test]
fn upgrades_that_are_switched_off_are_refused_before_the_101() {
    run(async {
        let bed = Bed::with(Server::builder().allow_upgrades(false)).await;
        let mut polling = bed.polling().await;
        let target = format!("/socket.io/?EIO=4&transport=websocket&sid={}", polling.sid);
        let answer = bed.request(http::upgrade(&target, &[])).await;
        assert_eq!(answer.brief(), (400, "Bad request".to_owned()));
        assert_alive(&mut polling).await;
        // New sessions by WebSocket are another matter.
        let mut websocket = bed.joined().await;
        assert_websocket_alive(&mut websocket).await;
    });
}

#[test]
fn a_session_that_ends_takes_its_probe_along() {
    run(async {
        let mut table = Table::default();
        for (name, post) in [
            ("closed by the client", "1"),
            ("bad packet", "x"),
            ("closed by the server", "42[\"bye\"]"),
        ] {
            table.case(name, async move {
                let bed = Bed::new().await;
                let mut polling = bed.polling().await;
                let mut websocket = bed.probed(&polling.sid).await;
                polling.post(post).await;
                if name == "closed by the server" {
                    // What waits may go either way; the client chooses this one.
                    assert_eq!(polling.poll().await, "41");
                    assert_eq!(polling.poll().await, format!("6{RS}1"));
                }
                assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
            });
        }
        table.finish().await;
    });
}

#[test]
fn pings_of_the_websocket_protocol_are_answered_while_probing() {
    run(async {
        let bed = Bed::new().await;
        let polling = bed.polling().await;
        let mut websocket = bed.probe(&polling.sid).await;
        websocket.send_raw(frame(0x89, b"are you there")).await;
        let pong = websocket.frame().await;
        assert_eq!(
            (pong.opcode(), &pong.payload[..]),
            (opcode::PONG, &b"are you there"[..])
        );
        websocket
            .send_raw([frame(0x01, b"2pr"), frame(0x89, b""), frame(0x80, b"obe")].concat())
            .await;
        let (mut texts, mut pongs) = (Vec::new(), 0);
        while texts.is_empty() || pongs == 0 {
            let frame = websocket.frame().await;
            if frame.opcode() == opcode::PONG {
                pongs += 1;
            } else {
                texts.push(frame.text());
            }
        }
        assert_eq!((texts, pongs), (vec!["3probe".to_owned()], 1));
    });
}

#[test]
fn posts_are_taken_while_probing_and_across_the_upgrade() {
    run(async {
        let bed = Bed::new().await;
        for _ in 0..20 {
            let mut polling = bed.polling().await;
            let mut websocket = bed.probed(&polling.sid).await;
            polling.send("421[\"echo\",1]").await;
            websocket.send("5").await;
            websocket.send("422[\"echo\",2]").await;
            assert_eq!(websocket.text().await, "431[1]");
            assert_eq!(websocket.text().await, "432[2]");
        }
    });
}

#[test]
fn resets_at_any_byte_of_an_upgrade_request_are_harmless() {
    run(async {
        let bed = Bed::limited(|limits| limits.max_pending_sessions_per_address = 10_000).await;
        let mut polling = bed.polling().await;
        let known = http::upgrade(
            &format!("/socket.io/?EIO=4&transport=websocket&sid={}", polling.sid),
            &[],
        );
        let fresh = http::upgrade("/socket.io/?EIO=4&transport=websocket", &[]);
        let unknown = http::upgrade("/socket.io/?EIO=4&transport=websocket&sid=abc", &[]);
        for request in [known, fresh, unknown] {
            for count in (0..=request.len())
                .step_by(3)
                .chain([request.len() - 1, request.len()])
            {
                let mut http = bed.http().await;
                http.send(&request[..count]).await;
                if count % 2 == 0 {
                    tokio::task::yield_now().await;
                }
                http.reset();
            }
        }
        assert_alive(&mut polling).await;
        bed.sessions(1).await;
    });
}

#[test]
fn bytes_behind_an_upgrade_request_are_harmless() {
    run(async {
        let mut table = Table::default();
        for (name, behind) in [
            ("text", b"test".to_vec()),
            ("zeros", vec![0; 100]),
            ("reserved bits", frame(0xf1, b"x")),
            (
                "another request",
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            ),
            ("ones", vec![0xff; 5000]),
        ] {
            for known in [false, true] {
                let behind = behind.clone();
                table.case(format!("{name}, known session: {known}"), async move {
                    let bed = Bed::new().await;
                    let mut polling = bed.polling().await;
                    let sid = if known {
                        format!("&sid={}", polling.sid)
                    } else {
                        String::new()
                    };
                    let mut request =
                        http::upgrade(&format!("/socket.io/?EIO=4&transport=websocket{sid}"), &[]);
                    request.extend_from_slice(&behind);
                    let mut http = bed.http().await;
                    http.send(request).await;
                    assert_eq!(http.response().await.status, 101);
                    within("the end", http.end()).await;
                    bed.sessions(1).await;
                    assert_alive(&mut polling).await;
                });
            }
        }
        table.finish().await;
    });
}

#[test]
fn frames_sent_together_with_the_request_are_read() {
    run(async {
        let bed = Bed::new().await;
        let mut request = http::upgrade("/socket.io/?EIO=4&transport=websocket", &[]);
        request.extend(frame(0x81, b"40"));
        request.extend(frame(0x81, b"421[\"echo\",1]"));
        let mut http = bed.http().await;
        http.send(request).await;
        assert_eq!(http.response().await.status, 101);
        bed.saw("event echo").await;
    });
}

#[test]
fn a_post_that_ends_after_the_upgrade_is_read_to_its_end() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        // More packets than one turn of the session takes.
        let packets: Vec<String> = (0..500).map(|n| format!("42{n}[\"echo\",{n}]")).collect();
        let body = packets.join(RS);
        let (begin, rest) = body.split_at(5);
        let (target, length) = (polling.target.clone(), body.len());
        let head =
            format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{begin}");
        polling.posts().send(head).await;
        let mut websocket = bed.probed(&polling.sid).await;
        websocket.send("5").await;
        assert_websocket_alive(&mut websocket).await;
        polling.posts().send(rest).await;
        for n in 0..500 {
            assert_eq!(websocket.text().await, format!("43{n}[{n}]"));
        }
        assert_eq!(
            polling.posts().response().await.brief(),
            (200, "ok".to_owned())
        );
    });
}
