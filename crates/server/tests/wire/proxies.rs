//! Proxies in front of the server: whom they speak for, in headers and in front of the first request.

use std::{net::SocketAddr, time::Duration};

use kokanee_server::{Ack, Limits, PeerAddress, Server, ServerBuilder, Socket, TrustedProxy};
use tokio::task::JoinHandle;

use crate::{
    bed::{Bed, Table, run, run_logged},
    secrets::Recorder,
    support::{Http, WebSocket, http, sid_of},
};

const TARGET: &str = "/socket.io/?EIO=4&transport=polling";
const UPGRADE: &str = "/socket.io/?EIO=4&transport=websocket";

fn trusting() -> ServerBuilder {
    Server::builder().trust_proxies([TrustedProxy::LOOPBACK])
}

/// Answers `who` with the address and the security of the handshake.
fn tell_who(io: &Server) {
    io.on("who", async |socket: Socket, ack: Ack| {
        let handshake = socket.handshake();
        let address = handshake.address().map(|it| it.to_string());
        ack.send((address, handshake.secure()))
    });
}

/// Opens a session with the bytes of `preface` in front and these header fields, and asks it who it is.
async fn who(address: SocketAddr, preface: &[u8], headers: &[(&str, &str)]) -> String {
    let mut http = Http::connect(address).await;
    http.send([preface, &http::get(TARGET, headers)].concat())
        .await;
    let opened = http.response().await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let target = format!("{TARGET}&sid={}", sid_of(&opened.text()));
    let posted = http.post(&target, "40\u{1e}421[\"who\"]").await;
    assert_eq!(posted.status, 200);
    let mut all = String::new();
    loop {
        all.push_str(&http.get(&target).await.text());
        if let Some((_, answer)) = all.split_once("431") {
            return answer.to_owned();
        }
    }
}

#[test]
fn the_client_of_a_trusted_proxy_is_who_it_says() {
    run(async {
        let mut bed = Bed::with(trusting()).await;
        tell_who(&bed.io);
        let rows: &[(&[(&str, &str)], &str)] = &[
            (
                &[("X-Forwarded-For", "192.0.2.7")],
                "[\"192.0.2.7:0\",false]",
            ),
            (
                &[
                    ("X-Forwarded-For", "6.6.6.6, 192.0.2.7"),
                    ("X-Forwarded-Proto", "https"),
                ],
                "[\"192.0.2.7:0\",true]",
            ),
            (
                &[("Forwarded", "for=\"[2001:db8::7]:4711\";proto=https")],
                "[\"[2001:db8::7]:4711\",true]",
            ),
        ];
        for (headers, expected) in rows {
            let is = who(bed.address, b"", headers).await;
            bed.check(format!("{headers:?}"), is.as_str(), *expected);
        }
        for headers in [
            &[][..],
            &[("Forwarded", "for=unknown")],
            &[("X-Forwarded-For", "x")],
        ] {
            let is = who(bed.address, b"", headers).await;
            bed.check(
                format!("{headers:?}"),
                is.starts_with("[\"127.0.0.1:"),
                true,
            );
        }
        let mut doubting = Bed::new().await;
        tell_who(&doubting.io);
        let is = who(doubting.address, b"", &[("X-Forwarded-For", "192.0.2.7")]).await;
        doubting.check("by default", is.starts_with("[\"127.0.0.1:"), true);
    });
}

#[test]
fn the_application_sees_the_client_before_the_session_is_open() {
    run(async {
        let builder =
            trusting().allow_request(async |request: ::http::request::Parts| {
                match request.extensions.get::<PeerAddress>() {
                    Some(PeerAddress(address)) if address.ip().is_loopback() => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            });
        let bed = Bed::with(builder).await;
        assert_eq!(bed.get(TARGET).await.status, 200);
        let far = [("X-Forwarded-For", "192.0.2.7")];
        let answer = bed.request(http::get(TARGET, &far)).await;
        assert_eq!(answer.status, 403);
        assert!(answer.text().contains("192.0.2.7"), "{answer:?}");
    });
}

#[test]
fn limits_of_an_address_are_those_of_the_client() {
    run(async {
        let limit = |limits: &mut Limits| limits.max_pending_sessions_per_address = 1;
        let mut bed = Bed::with(trusting().with_limits(limit)).await;
        let of = |address| http::get(TARGET, &[("X-Forwarded-For", address)]);
        for (name, address, status) in [
            ("one", "192.0.2.7", 200),
            ("the same", "192.0.2.7", 429),
            ("it says so itself", "1.1.1.1, 192.0.2.7", 429),
            ("the same, as IPv6", "::ffff:192.0.2.7", 429),
            ("another", "192.0.2.8", 200),
            ("IPv6", "2001:db8::1", 200),
            ("the same network", "2001:db8::ffff:1", 429),
            ("another network", "2001:db8:0:1::1", 200),
            ("the proxy itself", "unknown", 200),
        ] {
            bed.check(name, bed.request(of(address)).await.status, status);
        }
        bed.check("the proxy itself, again", bed.get(TARGET).await.status, 429);
    });
}

#[test]
fn a_full_server_is_shared_by_all_addresses() {
    run(async {
        let limit = |limits: &mut Limits| limits.max_pending_sessions = 4;
        let bed = Bed::with(trusting().with_limits(limit)).await;
        let of = |address| http::get(TARGET, &[("X-Forwarded-For", address)]);
        let mut greedy = Vec::new();
        for _ in 0..4 {
            let answer = bed.request(of("192.0.2.7")).await;
            greedy.push(sid_of(&answer.text()));
        }
        assert_eq!(bed.request(of("192.0.2.7")).await.status, 503);
        // The others get places of the one that has most, the oldest first, until it has no more than they.
        for address in ["192.0.2.8", "192.0.2.9"] {
            assert_eq!(bed.request(of(address)).await.status, 200);
        }
        bed.sessions(4).await;
        for (sid, status) in greedy.iter().zip([400, 400, 200, 200]) {
            let answer = bed.post(&format!("{TARGET}&sid={sid}"), "6").await;
            assert_eq!(answer.status, status);
        }
        assert_eq!(bed.request(of("192.0.2.7")).await.status, 503);
        assert_eq!(bed.request(of("192.0.2.9")).await.status, 503);
    });
}

#[test]
fn a_limit_that_is_reached_is_logged_with_its_setting_once_in_a_while() {
    let recorder = Recorder::default();
    run_logged(recorder.clone(), async {
        let bed = Bed::limited(|limits| limits.max_pending_sessions_per_address = 1).await;
        let _first = bed.open_polling().await;
        for _ in 0..5 {
            assert_eq!(bed.get(TARGET).await.status, 429);
        }
    });
    let log = recorder.0.lock().unwrap().clone();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("WARN"))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in [
        "limit=\"max_pending_sessions_per_address\"",
        "max=1",
        "address=127.0.0.1",
        "--max-pending-per-address",
        "trust_proxies",
    ] {
        assert!(lines[0].contains(part), "{part}: {lines:?}");
    }
}

/// A server whose listener speaks the PROXY protocol.
async fn behind(builder: ServerBuilder) -> (Server, SocketAddr, JoinHandle<()>) {
    let io = builder.build();
    tell_who(&io);
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let listener = listener.proxy_protocol();
    let address = listener.local_addr();
    (io, address, tokio::spawn(listener.serve()))
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(rest.len()).expect("short").to_be_bytes());
    header.extend(rest);
    header
}

#[test]
fn the_proxy_protocol_names_the_client() {
    run(async {
        let (_io, address, _task) = behind(trusting()).await;
        let v4 = [192, 0, 2, 7, 198, 51, 100, 1, 0x1f, 0x90, 1, 187];
        let mut v6 = [0; 36];
        (v6[0], v6[1], v6[15], v6[33]) = (0x20, 1, 9, 80);
        let many = [&v4[..], &[4, 15, 0], &[0; 3840]].concat();
        for (header, expected) in [
            (
                b"PROXY TCP4 192.0.2.7 198.51.100.1 8080 443\r\n".to_vec(),
                "192.0.2.7:8080",
            ),
            (
                b"PROXY TCP6 2001:db8::7 2001:db8::1 8080 443\r\n".to_vec(),
                "[2001:db8::7]:8080",
            ),
            (v2(0x21, 0x11, &v4), "192.0.2.7:8080"),
            (v2(0x21, 0x11, &many), "192.0.2.7:8080"),
            (v2(0x21, 0x21, &v6), "[2001::9]:80"),
            (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1:"),
            (v2(0x20, 0, b""), "127.0.0.1:"),
        ] {
            let is = who(address, &header, &[]).await;
            assert!(
                is.starts_with(&format!("[\"{expected}")),
                "{is}, not {expected}"
            );
        }
        // Whom the client's own headers name does not matter, unless the client is a trusted proxy itself.
        let says = [("X-Forwarded-For", "6.6.6.6")];
        let is = who(address, &v2(0x21, 0x11, &v4), &says).await;
        assert_eq!(is, "[\"192.0.2.7:8080\",false]");
        let inner = b"PROXY TCP4 127.0.0.9 198.51.100.1 8080 443\r\n";
        assert_eq!(who(address, inner, &says).await, "[\"6.6.6.6:0\",false]");
        // In pieces, and for a WebSocket.
        let mut http = Http::connect(address).await;
        for byte in v2(0x21, 0x11, &v4) {
            http.send([byte]).await;
        }
        http.send(http::upgrade(UPGRADE, &[])).await;
        assert_eq!(http.response().await.status, 101);
    });
}

#[test]
fn without_its_header_a_proxys_connection_is_closed() {
    run(async {
        let mut table = Table::default();
        let request = http::get(TARGET, &[]);
        for (name, bytes) in [
            ("no header", request.clone()),
            (
                "broken",
                [&b"PROXY TCP4 x y 1 2\r\n"[..], &request].concat(),
            ),
            (
                "endless",
                [b"PROXY TCP4 ".to_vec(), vec![b'1'; 1000]].concat(),
            ),
            (
                "too long",
                [v2(0x21, 0x11, &[0; 5000]), request.clone()].concat(),
            ),
            (
                "another version",
                [v2(0x31, 0x11, &[0; 12]), request].concat(),
            ),
            ("half of it", b"PROXY TCP4 192.0.2.7 198".to_vec()),
            ("silence", Vec::new()),
        ] {
            table.case(name, async move {
                let hurry =
                    |limits: &mut Limits| limits.header_timeout = Duration::from_millis(300);
                let (io, address, _task) = behind(trusting().with_limits(hurry)).await;
                let mut http = Http::connect(address).await;
                let _ = http.try_send(bytes).await;
                assert_eq!(http.end().await, b"");
                assert_eq!(io.session_count(), 0);
            });
        }
        table.finish().await;
    });
}

#[test]
fn who_is_not_trusted_does_not_speak_the_proxy_protocol() {
    run(async {
        let far = "192.0.2.0/24".parse().expect("a network");
        let (_io, address, _task) = behind(Server::builder().trust_proxies([far])).await;
        let is = who(address, b"", &[]).await;
        assert!(is.starts_with("[\"127.0.0.1:"), "{is}");
        let mut http = Http::connect(address).await;
        let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 8080 443\r\n".to_vec();
        http.send([header, http::get(TARGET, &[])].concat()).await;
        assert_eq!(http.response().await.status, 400);
        // Nor does anybody where it is not asked for.
        let bed = Bed::with(trusting()).await;
        let answer = bed.request(v2(0x20, 0, b"")).await;
        assert_eq!(answer.status, 400);
        let mut websocket = WebSocket::connect(bed.address, UPGRADE).await;
        websocket.text().await;
    });
}
