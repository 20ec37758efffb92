//! The msgpack parser by raw bytes: one binary message per packet, and what is none ends the connection.

use kokanee_server::{ParserKind, Server};

use crate::{
    bed::{Bed, Table, run},
    support::{WebSocket, WebSocketEnd},
};

/// `{type, nsp: "/"}` with what follows, of which there are `members`.
fn packet(packet_type: u8, members: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | (2 + members)];
    bytes.extend_from_slice(b"\xa4type");
    bytes.push(packet_type);
    bytes.extend_from_slice(b"\xa3nsp\xa1/");
    bytes.extend_from_slice(rest);
    bytes
}

fn event(data: &[u8]) -> Vec<u8> {
    packet(2, 1, &[b"\xa4data", data].concat())
}

async fn bed() -> Bed {
    Bed::with(Server::builder().parser(ParserKind::Msgpack)).await
}

/// A client that has joined `/`; the server's answer names its socket.
async fn joined(bed: &Bed) -> WebSocket {
    let (mut websocket, _) = bed.open_websocket().await;
    websocket.send_binary(&packet(0, 0, b"")).await;
    let answer = websocket.binary().await;
    // {"type": 0, "data": {"sid": "…20 characters…"}, "nsp": "/"}
    assert_eq!(&answer[..6], b"\x83\xa4type".as_slice());
    assert_eq!(answer[6], 0);
    let sid = answer.windows(5).position(|part| part == b"\xa3sid\xb4");
    assert!(sid.is_some(), "{answer:?}");
    websocket
}

#[test]
fn events_and_acknowledgements_are_answered_in_kind() {
    run(async {
        let bed = bed().await;
        let mut websocket = joined(&bed).await;
        websocket
            .send_binary(&event(b"\x94\xa4echo\x01\xc4\x02\xff\x00\x81\xa1k\xc3"))
            .await;
        let echo = websocket.binary().await;
        let data = b"\x94\xa4echo\x01\xc4\x02\xff\x00\x81\xa1k\xc3";
        assert!(
            echo.windows(data.len()).any(|part| part == data),
            "{echo:?}"
        );
        let id = [b"\xa4data\x92\xa4echo\xa1x\xa2id".as_slice(), &[7]].concat();
        websocket.send_binary(&packet(2, 2, &id)).await;
        let ack = websocket.binary().await;
        assert_eq!(ack[6], 3, "an ACK: {ack:?}");
        assert!(ack.windows(4).any(|part| part == b"\xa2id\x07"), "{ack:?}");
        assert!(ack.windows(3).any(|part| part == b"\x91\xa1x"), "{ack:?}");
    });
}

#[test]
fn faults_close_the_connection() {
    let deep = |open: u8, levels: usize| {
        let mut data = b"\x92\xa4echo".to_vec();
        data.extend(std::iter::repeat_n(open, levels));
        data.push(0xc0);
        event(&data)
    };
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("no map", vec![0x01]),
        ("empty map", vec![0x80]),
        ("array", vec![0x93, 2, 0xa1, b'/', 0x90]),
        ("never used marker", vec![0xc1]),
        ("type 7", packet(7, 0, b"")),
        ("type -1", {
            let mut bytes = packet(0, 0, b"");
            bytes[6] = 0xff;
            bytes
        }),
        (
            "type is a string",
            b"\x82\xa4type\xa12\xa3nsp\xa1/".to_vec(),
        ),
        ("no type", b"\x81\xa3nsp\xa1/".to_vec()),
        (
            "no namespace",
            b"\x82\xa4type\x02\xa4data\x91\xa1a".to_vec(),
        ),
        (
            "namespace is a number",
            b"\x82\xa4type\x02\xa3nsp\x01".to_vec(),
        ),
        (
            "namespace without slash",
            b"\x83\xa4type\x02\xa3nsp\xa1x\xa4data\x91\xa1a".to_vec(),
        ),
        (
            "namespace with comma",
            b"\x83\xa4type\x02\xa3nsp\xa3/,x\xa4data\x91\xa1a".to_vec(),
        ),
        (
            "namespace that was not joined",
            b"\x83\xa4type\x02\xa3nsp\xa2/x\xa4data\x91\xa1a".to_vec(),
        ),
        ("CONNECT twice", packet(0, 0, b"")),
        ("event without data", packet(2, 0, b"")),
        ("event with a map", event(b"\x80")),
        ("event without name", event(b"\x90")),
        ("name nil", event(b"\x91\xc0")),
        ("name reserved", event(b"\x91\xa7connect")),
        ("ACK without id", packet(3, 1, b"\xa4data\x90")),
        (
            "ACK with a negative id",
            packet(3, 2, b"\xa4data\x90\xa2id\xff"),
        ),
        ("cut in a string", event(b"\x92\xa1a\xa5he")),
        ("cut in a map", event(b"\x92\xa1a\x82\xa1k\x01")),
        ("trailing byte", [event(b"\x91\xa1a"), vec![0]].concat()),
        (
            "string of 4 GB announced",
            event(b"\x92\xa1a\xdb\xff\xff\xff\xff"),
        ),
        (
            "bytes of 4 GB announced",
            event(b"\x92\xa1a\xc6\xff\xff\xff\xff"),
        ),
        (
            "array of 4 G announced",
            event(b"\x92\xa1a\xdd\xff\xff\xff\xff"),
        ),
        (
            "map of 4 G announced",
            event(b"\x92\xa1a\xdf\xff\xff\xff\xff"),
        ),
        (
            "extension of 4 GB announced",
            event(b"\x92\xa1a\xc9\xff\xff\xff\xff\x01"),
        ),
        ("string is not UTF-8", event(b"\x92\xa1a\xa2\xff\xfe")),
        ("arrays nested 600 deep", deep(0x91, 600)),
        ("arrays nested 100,000 deep", deep(0x91, 100_000)),
        (
            "1,000,000 times false, which is five times as long in JSON",
            {
                let mut data = b"\x92\xa1a\xdd\x00\x0f\x00\x00".to_vec();
                data.extend(std::iter::repeat_n(0xc2, 0xf_0000));
                event(&data)
            },
        ),
    ];
    run(async {
        let mut table = Table::default();
        for (name, bytes) in rows {
            table.case(name, async move {
                let bed = bed().await;
                let mut websocket = joined(&bed).await;
                websocket.send_binary(&bytes).await;
                assert_eq!(websocket.drain().await, (Vec::new(), WebSocketEnd::NoCode));
                assert_eq!(bed.reason().await, "forced close");
                assert_eq!(bed.log(), ["connect", "disconnect: forced close"]);
                bed.sessions(0).await;
            });
        }
        table.case("text instead of msgpack", async {
            let bed = bed().await;
            let mut websocket = joined(&bed).await;
            websocket.send("42[\"echo\"]").await;
            assert_eq!(websocket.drain().await, (Vec::new(), WebSocketEnd::NoCode));
            assert_eq!(bed.reason().await, "forced close");
        });
        table.finish().await;
    });
}
