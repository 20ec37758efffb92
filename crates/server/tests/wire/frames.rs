//! The WebSocket protocol against its rules: which bytes end the connection, with which close code, in every phase of a
//! session; and Engine.IO packets in frames.

use std::time::Duration;

use crate::{
    bed::{Bed, Table, assert_alive, assert_websocket_alive, run},
    support::{WebSocket, WebSocketEnd, frame, opcode, websocket::header},
};

/// Frames that break the protocol: name, bytes, close code. The limit of messages is 1,000,000 bytes.
fn faults() -> Vec<(String, Vec<u8>, u16)> {
    let mut rows: Vec<(String, Vec<u8>, u16)> = Vec::new();
    let mut row = |name: &str, bytes: Vec<u8>, code| rows.push((name.to_owned(), bytes, code));
    row(
        "unmasked text",
        [header(0x81, 2, false), b"40".to_vec()].concat(),
        1002,
    );
    row("unmasked ping", header(0x89, 0, false), 1002);
    row("RSV1", frame(0xc1, b"40"), 1002);
    row("RSV2", frame(0xa1, b"40"), 1002);
    row("RSV3", frame(0x91, b"40"), 1002);
    row("RSV1 of a ping", frame(0xc9, b""), 1002);
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        row(
            &format!("opcode {opcode:#x}"),
            frame(0x80 | opcode, b"x"),
            1002,
        );
    }
    row("ping of 126 bytes", frame(0x89, &[0; 126]), 1002);
    row("pong of 70,000 bytes", header(0x8a, 70_000, true), 1002);
    row(
        "close of 126 bytes",
        frame(0x88, &[0x03, 0xe8, 0x20].repeat(42)),
        1002,
    );
    row("fragmented ping", frame(0x09, b"x"), 1002);
    row("fragmented close", frame(0x08, b"\x03\xe8"), 1002);
    row("stray continuation", frame(0x80, b"x"), 1002);
    row("stray continuation without end", frame(0x00, b"x"), 1002);
    row(
        "text inside a text",
        [frame(0x01, b"4"), frame(0x81, b"0")].concat(),
        1002,
    );
    row(
        "binary inside a text",
        [frame(0x01, b"4"), frame(0x82, b"0")].concat(),
        1002,
    );
    row("close of one byte", frame(0x88, b"\x03"), 1002);
    for code in [
        0u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ] {
        row(
            &format!("close {code}"),
            frame(0x88, &code.to_be_bytes()),
            1002,
        );
    }
    row(
        "close with a reason that is not UTF-8",
        frame(0x88, b"\x03\xe8\xff"),
        1007,
    );
    row("invalid UTF-8", frame(0x81, b"42[\"\xff\"]"), 1007);
    row("surrogate", frame(0x81, b"42[\"\xed\xa0\x80\"]"), 1007);
    row("overlong NUL", frame(0x81, b"42[\"\xc0\x80\"]"), 1007);
    row(
        "beyond Unicode",
        frame(0x81, b"42[\"\xf4\x90\x80\x80\"]"),
        1007,
    );
    row(
        "half a character at the end",
        frame(0x81, b"42[\"\xe2\x82"),
        1007,
    );
    row(
        "invalid UTF-8 in the first fragment",
        frame(0x01, b"4\xc3\x28"),
        1007,
    );
    row(
        "invalid UTF-8 across fragments",
        [frame(0x01, b"42[\"\xe2\x82"), frame(0x00, b"\x28")].concat(),
        1007,
    );
    row(
        "half a character at the last fragment",
        [frame(0x01, b"42"), frame(0x80, b"\xe2\x82")].concat(),
        1007,
    );
    row(
        "1,000,001 bytes, announced",
        header(0x81, 1_000_001, true),
        1009,
    );
    row(
        "15 MB, announced",
        [header(0x82, 15_000_000, true), vec![0; 10]].concat(),
        1009,
    );
    row(
        "2^62 bytes",
        [header(0x82, 1 << 62, true), vec![0; 10]].concat(),
        1009,
    );
    row("2^62 bytes of text", header(0x81, 1 << 62, true), 1009);
    row(
        "fragments above the limit",
        [frame(0x02, &vec![4; 600_000]), header(0x80, 400_001, true)].concat(),
        1009,
    );
    row(
        "16,385 fragments",
        [frame(0x02, b"x"), frame(0x00, b"x").repeat(16_384)].concat(),
        1008,
    );
    row(
        "16,385 empty fragments",
        [frame(0x01, b""), frame(0x00, b"").repeat(16_384)].concat(),
        1008,
    );
    rows
}

#[test]
fn faults_of_a_joined_client_end_its_session() {
    run(async {
        let mut table = Table::default();
        for (name, bytes, code) in faults() {
            table.case(name, async move {
                let bed = Bed::new().await;
                let mut websocket = bed.joined().await;
                let _ = websocket.try_send_raw(bytes).await;
                assert_eq!(
                    websocket.drain().await,
                    (Vec::new(), WebSocketEnd::Code(code))
                );
                assert_eq!(bed.reason().await, "transport error");
                bed.sessions(0).await;
            });
        }
        table.finish().await;
    });
}

#[test]
fn faults_before_anything_was_joined_end_the_session() {
    run(async {
        let mut table = Table::default();
        for (name, bytes, code) in faults() {
            table.case(name, async move {
                let bed = Bed::new().await;
                let (mut websocket, _) = bed.open_websocket().await;
                let _ = websocket.try_send_raw(bytes).await;
                assert_eq!(
                    websocket.drain().await,
                    (Vec::new(), WebSocketEnd::Code(code))
                );
                bed.sessions(0).await;
            });
        }
        table.finish().await;
    });
}

#[test]
fn faults_of_a_probing_websocket_leave_the_session_polling() {
    run(async {
        let mut table = Table::default();
        for probed in [false, true] {
            for (name, bytes, code) in faults() {
                // Two complete empty fragments are no packet, so only these rows depend on the phase.
                table.case(format!("{name}, probed: {probed}"), async move {
                    let bed = Bed::new().await;
                    let mut polling = bed.polling().await;
                    let mut websocket = bed.probe(&polling.sid).await;
                    if probed {
                        websocket.send("2probe").await;
                        assert_eq!(websocket.text().await, "3probe");
                    }
                    let _ = websocket.try_send_raw(bytes).await;
                    assert_eq!(
                        websocket.drain().await,
                        (Vec::new(), WebSocketEnd::Code(code))
                    );
                    assert_alive(&mut polling).await;
                });
            }
        }
        table.finish().await;
    });
}

#[test]
fn faults_after_an_upgrade_end_the_session() {
    run(async {
        let mut table = Table::default();
        for (name, bytes, code) in faults() {
            table.case(name, async move {
                let bed = Bed::new().await;
                let polling = bed.polling().await;
                let mut websocket = bed.probed(&polling.sid).await;
                websocket.send("5").await;
                assert_websocket_alive(&mut websocket).await;
                let _ = websocket.try_send_raw(bytes).await;
                assert_eq!(
                    websocket.drain().await,
                    (Vec::new(), WebSocketEnd::Code(code))
                );
                assert_eq!(bed.reason().await, "transport error");
            });
        }
        table.finish().await;
    });
}

#[test]
fn a_fault_behind_good_messages_lets_them_through() {
    run(async {
        let bed = Bed::new().await;
        let mut websocket = bed.joined().await;
        websocket
            .send_raw(
                [
                    frame(0x81, b"42[\"a\"]"),
                    frame(0x81, b"42[\"b\"]"),
                    frame(0xf1, b""),
                ]
                .concat(),
            )
            .await;
        assert_eq!(websocket.end().await, WebSocketEnd::Code(1002));
        bed.saw("disconnect: transport error").await;
        assert_eq!(
            bed.log(),
            [
                "connect",
                "event a",
                "event b",
                "disconnect: transport error"
            ]
        );
    });
}

#[test]
fn close_frames_are_answered_with_their_code() {
    run(async {
        let mut table = Table::default();
        for code in [
            1000u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999,
            4000, 4999,
        ] {
            table.case(format!("close {code}"), async move {
                let bed = Bed::new().await;
                let mut websocket = bed.joined().await;
                let payload = [&code.to_be_bytes()[..], "Grüße".as_bytes()].concat();
                websocket.send_raw(frame(0x88, &payload)).await;
                assert_eq!(websocket.end().await, WebSocketEnd::Code(code));
                assert_eq!(bed.reason().await, "transport close");
            });
        }
        table.case("without code", async {
            let bed = Bed::new().await;
            let mut websocket = bed.joined().await;
            websocket.send_raw(frame(0x88, b"")).await;
            assert_eq!(websocket.end().await, WebSocketEnd::NoCode);
            assert_eq!(bed.reason().await, "transport close");
        });
        table.case("with frames after it", async {
            let bed = Bed::new().await;
            let mut websocket = bed.joined().await;
            websocket
                .send_raw([frame(0x88, b"\x03\xe8"), frame(0x81, b"42[\"late\"]")].concat())
                .await;
            assert_eq!(websocket.end().await, WebSocketEnd::Code(1000));
            bed.saw("disconnect: transport close").await;
            assert_eq!(bed.log(), ["connect", "disconnect: transport close"]);
        });
        table.case("inside a fragmented message", async {
            let bed = Bed::new().await;
            let mut websocket = bed.joined().await;
            websocket
                .send_raw([frame(0x01, b"42[\"a"), frame(0x88, b"\x03\xe8")].concat())
                .await;
            assert_eq!(websocket.end().await, WebSocketEnd::Code(1000));
            assert_eq!(bed.reason().await, "transport close");
        });
        table.case("end of the stream", async {
            let bed = Bed::new().await;
            let websocket = bed.joined().await;
            drop(websocket);
            assert_eq!(bed.reason().await, "transport close");
        });
        table.case("reset", async {
            let bed = Bed::new().await;
            bed.joined().await.reset();
            assert_eq!(bed.reason().await, "transport error");
        });
        table.finish().await;
    });
}

#[test]
fn well_formed_messages_are_understood_however_they_come() {
    run(async {
        let mut bed = Bed::new().await;
        let mut websocket = bed.joined().await;
        let text = "421[\"echo\",\"é€😀\"]";
        let bytes = text.as_bytes();
        let long_form = |length: Vec<u8>| {
            let mut frame = vec![0x81];
            frame.extend(length);
            frame.extend([0; 4]);
            frame.extend_from_slice(bytes);
            frame
        };
        let count = u8::try_from(bytes.len()).unwrap();
        let mut single = vec![frame(0x01, b"")];
        single.extend(bytes.iter().map(|byte| frame(0x00, &[*byte])));
        single.push(frame(0x80, b""));
        let pings: Vec<u8> = [
            frame(0x01, &bytes[..5]),
            frame(0x89, b"p"),
            frame(0x8a, b"q"),
            frame(0x80, &bytes[5..]),
        ]
        .concat();
        let rows: Vec<(&str, Vec<Vec<u8>>)> = vec![
            ("one frame", vec![frame(0x81, bytes)]),
            (
                "two frames",
                vec![[frame(0x01, &bytes[..14]), frame(0x80, &bytes[14..])].concat()],
            ),
            ("a frame for each byte", vec![single.concat()]),
            (
                "byte by byte",
                frame(0x81, bytes).iter().map(|byte| vec![*byte]).collect(),
            ),
            (
                "frames byte by byte",
                single.concat().iter().map(|byte| vec![*byte]).collect(),
            ),
            ("a control frame between fragments", vec![pings]),
            (
                "a length of 16 bits that fits 7",
                vec![long_form(vec![0xfe, 0, count])],
            ),
            (
                "a length of 64 bits that fits 7",
                vec![long_form(vec![0xff, 0, 0, 0, 0, 0, 0, 0, count])],
            ),
        ];
        for (name, pieces) in rows {
            for piece in pieces {
                websocket.send_raw(piece).await;
            }
            let mut frame = websocket.frame().await;
            if frame.opcode() == opcode::PONG {
                assert_eq!(frame.payload, b"p");
                frame = websocket.frame().await;
            }
            bed.check(name, frame.text(), "431[\"é€😀\"]".to_owned());
        }
        for length in [
            0, 1, 100, 111, 112, 113, 125, 126, 127, 65_520, 65_535, 65_536, 999_985,
        ] {
            let text = "x".repeat(length);
            websocket.send(&format!("421[\"echo\",\"{text}\"]")).await;
            let answer = websocket.text().await;
            bed.check(
                format!("{length} characters"),
                answer == format!("431[\"{text}\"]"),
                true,
            );
        }
        let fragments = [
            frame(0x01, b"421[\"echo\",\""),
            frame(0x00, b"x").repeat(16_382),
            frame(0x80, b"\"]"),
        ]
        .concat();
        websocket.send_raw(fragments).await;
        bed.check("16,384 fragments", websocket.text().await.len(), 16_382 + 7);
        let largest = format!("421[\"echo\",\"{}\"]", "x".repeat(1_000_000 - 14));
        assert_eq!(largest.len(), 1_000_000);
        websocket.send(&largest).await;
        bed.check(
            "exactly the limit",
            websocket.text().await.len(),
            1_000_000 - 7,
        );
    });
}

#[test]
fn pings_are_answered_with_their_payload() {
    run(async {
        let mut bed = Bed::new().await;
        let mut websocket = bed.joined().await;
        for length in [0, 1, 125] {
            websocket.send_raw(frame(0x89, &vec![7; length])).await;
            let pong = websocket.frame().await;
            bed.check(
                format!("{length} bytes"),
                (pong.first_byte, pong.payload),
                (0x8a, vec![7; length]),
            );
        }
        websocket.send_raw(frame(0x8a, b"unasked")).await;
        assert_websocket_alive(&mut websocket).await;
        // Only the newest of many needs an answer.
        let many: Vec<u8> = (0..1000u16)
            .flat_map(|n| frame(0x89, &n.to_be_bytes()))
            .collect();
        websocket.send_raw(many).await;
        let mut last = 0;
        let mut count = 0;
        while last != 999 {
            let pong = websocket.frame().await;
            assert_eq!(pong.opcode(), opcode::PONG);
            last = u16::from_be_bytes([pong.payload[0], pong.payload[1]]);
            count += 1;
        }
        bed.check("not more answers than pings", count <= 1000, true);
        assert_websocket_alive(&mut websocket).await;
    });
}

#[test]
fn engine_io_packets_in_frames() {
    run(async {
        let mut table = Table::default();
        // Name, frame, reason; the WebSocket is closed without a code.
        let ends: [(&str, Vec<u8>, &str); 12] = [
            ("close packet", frame(0x81, b"1"), "transport close"),
            (
                "close packet with more",
                frame(0x81, b"1x"),
                "transport close",
            ),
            ("ping of revision 3", frame(0x81, b"2"), "transport error"),
            ("probe", frame(0x81, b"2probe"), "transport error"),
            ("empty text", frame(0x81, b""), "parse error"),
            ("unknown type", frame(0x81, b"7"), "parse error"),
            ("letter", frame(0x81, b"x"), "parse error"),
            ("separator", frame(0x81, b"\x1e"), "parse error"),
            ("not ASCII", frame(0x81, "é".as_bytes()), "parse error"),
            ("not base64", frame(0x81, b"b=!="), "parse error"),
            (
                "binary out of turn",
                frame(0x82, b"\x04\x01"),
                "forced close",
            ),
            ("empty binary out of turn", frame(0x82, b""), "forced close"),
        ];
        for (name, bytes, reason) in ends {
            table.case(name, async move {
                let bed = Bed::new().await;
                let mut websocket = bed.joined().await;
                websocket.send_raw(bytes).await;
                assert_eq!(websocket.drain().await, (Vec::new(), WebSocketEnd::NoCode));
                assert_eq!(bed.reason().await, reason);
                bed.sessions(0).await;
            });
        }
        for packet in ["0", "0{}", "5", "6", "3", "3probe"] {
            table.case(format!("ignored: {packet}"), async move {
                let bed = Bed::new().await;
                let mut websocket = bed.joined().await;
                websocket.send(packet).await;
                assert_websocket_alive(&mut websocket).await;
            });
        }
        table.finish().await;
    });
}

#[test]
fn the_handshake_on_a_websocket_is_exact() {
    run(async {
        let bed = Bed::new().await;
        let mut websocket = bed.websocket("EIO=4").await;
        let open = websocket.text().await;
        let sid = crate::support::sid_of(&open);
        assert_eq!(
            open,
            format!(
                "0{{\"sid\":\"{sid}\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}}"
            )
        );
        assert!(websocket.is_silent_for(Duration::from_millis(50)).await);
        let joined = websocket.join().await;
        let id = crate::support::sid_of(&joined);
        assert_eq!(joined, format!("40{{\"sid\":\"{id}\"}}"));
        assert_eq!(id.len(), 20);
        assert_ne!(id, sid, "the secret id is not the public one");
    });
}

#[test]
fn binary_travels_as_binary_unless_the_client_cannot() {
    run(async {
        let bed = Bed::new().await;
        let event = "451-[\"echo\",{\"_placeholder\":true,\"num\":0}]";
        let mut websocket = bed.joined().await;
        websocket.send(event).await;
        websocket.send_binary(b"\x01\x02\x03\x04").await;
        assert_eq!(websocket.text().await, event);
        assert_eq!(websocket.binary().await, b"\x01\x02\x03\x04");
        // Base64 is understood from anybody.
        websocket.send(event).await;
        websocket.send("bAQIDBA==").await;
        assert_eq!(websocket.text().await, event);
        assert_eq!(websocket.binary().await, b"\x01\x02\x03\x04");

        let (mut websocket, _) = bed.open_websocket_with("EIO=4&b64=1").await;
        websocket.join().await;
        websocket.send(event).await;
        websocket.send("bAQIDBA==").await;
        assert_eq!(websocket.text().await, event);
        assert_eq!(websocket.text().await, "bAQIDBA==");
    });
}

#[test]
fn a_message_that_never_ends_is_given_up() {
    run(async {
        let mut table = Table::default();
        let rows: [(&str, Vec<u8>); 4] = [
            ("half a header", vec![0x81]),
            ("announced, not sent", header(0x81, 100, true)),
            ("half a payload", frame(0x81, &[b'4'; 100])[..50].to_vec()),
            ("fragments without end", frame(0x01, b"42[\"a\"")),
        ];
        for (name, bytes) in rows {
            table.case(name, async move {
                let bed =
                    Bed::limited(|limits| limits.message_timeout = Duration::from_millis(300))
                        .await;
                let mut websocket = bed.joined().await;
                websocket.send_raw(bytes).await;
                assert_eq!(websocket.end().await, WebSocketEnd::Code(1008));
                assert_eq!(bed.reason().await, "transport error");
            });
        }
        table.case("dripping does not help", async {
            let bed =
                Bed::limited(|limits| limits.message_timeout = Duration::from_millis(300)).await;
            let mut websocket = bed.joined().await;
            for byte in frame(0x81, &[b'4'; 300]) {
                if websocket.try_send_raw([byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
                if bed.log().len() > 1 {
                    break;
                }
            }
            assert_eq!(bed.reason().await, "transport error");
        });
        table.case("a whole message in time is fine", async {
            let bed =
                Bed::limited(|limits| limits.message_timeout = Duration::from_millis(300)).await;
            let mut websocket = bed.joined().await;
            let message = frame(0x81, b"42[\"a\"]");
            for part in message.chunks(4) {
                websocket.send_raw(part).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            bed.saw("event a").await;
            tokio::time::sleep(Duration::from_millis(400)).await;
            assert_websocket_alive(&mut websocket).await;
        });
        table.finish().await;
    });
}

#[test]
fn a_peer_that_does_not_answer_the_close_frame_is_cut_off() {
    run(async {
        let bed =
            Bed::limited(|limits| limits.close_handshake_timeout = Duration::from_millis(300))
                .await;
        let mut websocket: WebSocket = bed.joined().await;
        websocket.send("42[\"bye\"]").await;
        assert_eq!(websocket.text().await, "41");
        let close = websocket.frame().await;
        assert_eq!((close.opcode(), close.payload.len()), (opcode::CLOSE, 0));
        // Nothing is answered, the stream is held open: the server ends it in time all the same.
        assert_eq!(websocket.try_frame().await, None);
        assert_eq!(bed.reason().await, "server namespace disconnect");
    });
}
