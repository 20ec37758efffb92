//! The client's session with a scripted server at its other end: wire text in the tests, on a virtual clock.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kokanee_engineio::{
    ClientOutput, ClientSession, ClientSessionConfig, CloseReason, Message, Outgoing, Revision,
    SendOptions, Transport, encode_payload,
};
use proptest::prelude::*;

const OPEN: &str =
    r#"0{"sid":"sockeye","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100}"#;
const UPGRADES: &str = r#"0{"sid":"sockeye","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
const VOLATILE: SendOptions = SendOptions {
    volatile: true,
    compress: true,
};

/// A session, its clock, and what it has asked for.
struct Client {
    session: ClientSession,
    start: Instant,
    now: Instant,
    messages: Vec<Message>,
    done: Vec<String>,
    closed: Option<(CloseReason, Duration)>,
    is_finished: bool,
    /// Requests that were not answered yet.
    gets: usize,
    posts: usize,
}

impl Client {
    fn new(revision: Revision, transport: Transport) -> Self {
        #[expect(clippy::disallowed_methods, reason = "virtual clock starts somewhere")]
        let start = Instant::now();
        let config = ClientSessionConfig {
            revision,
            ..ClientSessionConfig::default()
        };
        let mut client = Self {
            session: ClientSession::new(Arc::new(config), transport, start),
            start,
            now: start,
            messages: Vec::new(),
            done: Vec::new(),
            closed: None,
            is_finished: false,
            gets: 0,
            posts: 0,
        };
        client.turn();
        client
    }

    /// A session of revision 4 on polling, with this open packet.
    fn polling(open: &str) -> Self {
        let mut client = Self::new(Revision::V4, Transport::Polling);
        assert_eq!(client.outputs(), ["GET"]);
        client.answers(open);
        client
    }

    /// A session of revision 4 on a WebSocket.
    fn websocket() -> Self {
        let mut client = Self::new(Revision::V4, Transport::WebSocket);
        assert!(client.outputs().is_empty());
        client.frame(OPEN);
        assert_eq!(client.outputs(), ["opened"]);
        client
    }

    /// Does what a driver does after every input.
    fn turn(&mut self) {
        while let Some(message) = self.session.poll_message(self.now) {
            self.messages.push(message);
        }
        loop {
            while let Some(output) = self.session.poll_output() {
                self.note(output);
            }
            let Some(packet) = self.session.poll_packet(self.now) else {
                break;
            };
            let frame = packet.packet_text(self.session.revision());
            self.done.push(String::from_utf8(frame.to_vec()).unwrap());
        }
        while let Some(output) = self.session.poll_output() {
            self.note(output);
        }
    }

    fn note(&mut self, output: ClientOutput) {
        assert!(!self.is_finished, "{output:?} behind the end");
        let text = match output {
            ClientOutput::Opened(_) => "opened".to_owned(),
            ClientOutput::Poll => {
                self.gets += 1;
                "GET".to_owned()
            }
            ClientOutput::Post(packets) => {
                self.posts += 1;
                let body = encode_payload(self.session.revision(), &packets, false);
                format!("POST {}", String::from_utf8(body.bytes.to_vec()).unwrap())
            }
            ClientOutput::OpenProbe => "dial".to_owned(),
            ClientOutput::ProbePacket(packet) => {
                let text = packet.packet_text(self.session.revision());
                format!("probe {}", String::from_utf8(text.to_vec()).unwrap())
            }
            ClientOutput::CloseProbe => "drop probe".to_owned(),
            ClientOutput::Upgraded => "upgraded".to_owned(),
            ClientOutput::UpgradeFailed => "upgrade failed".to_owned(),
            ClientOutput::Closed(reason) => {
                assert_eq!(self.closed, None, "closed twice");
                self.closed = Some((reason, self.now - self.start));
                format!("closed: {reason}")
            }
            ClientOutput::CloseWebSocket => "close WebSocket".to_owned(),
            ClientOutput::Finished => {
                self.is_finished = true;
                "finished".to_owned()
            }
        };
        // The protocol's rule for clients: one GET and one POST under way.
        assert!(self.gets <= 1 && self.posts <= 1, "overlapping requests");
        self.done.push(text);
    }

    fn outputs(&mut self) -> Vec<String> {
        std::mem::take(&mut self.done)
    }

    fn messages(&mut self) -> Vec<String> {
        let messages = std::mem::take(&mut self.messages);
        let text = |message| match message {
            Message::Text(text) => text.as_str().to_owned(),
            Message::Binary(bytes) => format!("{bytes:?}"),
        };
        messages.into_iter().map(text).collect()
    }

    fn frame(&mut self, text: &str) {
        let message = Message::Text(text.into());
        self.messages
            .extend(self.session.handle_frame(self.now, message));
        self.turn();
    }

    fn probe_frame(&mut self, text: &str) {
        self.session
            .handle_probe_frame(self.now, Message::Text(text.into()));
        self.turn();
    }

    /// The server answers the pending GET.
    fn answers(&mut self, body: &str) {
        assert_eq!(self.gets, 1, "no GET waits");
        self.gets = 0;
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.session.handle_poll_response(self.now, body, false);
        self.turn();
    }

    /// The server answers the pending POST.
    fn accepts(&mut self) {
        assert_eq!(self.posts, 1, "no POST waits");
        self.posts = 0;
        self.session.handle_post_response(self.now);
        self.turn();
    }

    fn send(&mut self, text: &str) {
        self.send_with(text, SendOptions::default());
    }

    fn send_with(&mut self, text: &str, options: SendOptions) {
        self.session
            .send(self.now, &Outgoing::text(text), &[], options);
        self.turn();
    }

    /// Lets time pass; the session is called at its deadlines.
    fn advance(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        while let Some(at) = self.session.deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            self.turn();
        }
        self.now = end;
    }

    fn closed_at(&self, reason: CloseReason) -> u128 {
        let (found, after) = self.closed.expect("it is closed");
        assert_eq!(found, reason);
        after.as_millis()
    }
}

// Polling.

#[test]
fn one_get_follows_the_other() {
    let mut client = Client::polling(OPEN);
    assert_eq!(client.outputs(), ["opened", "GET"]);
    client.answers("4hello\u{1e}4world");
    assert_eq!(client.messages(), ["hello", "world"]);
    assert_eq!(client.outputs(), ["GET"]);
    client.answers("6");
    assert_eq!(client.outputs(), ["GET"]);
}

#[test]
fn one_post_takes_what_was_sent_while_the_last_was_under_way() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.send("a");
    assert_eq!(client.outputs(), ["POST 4a"]);
    client.send("b");
    client.send("c");
    assert!(client.outputs().is_empty());
    client.accepts();
    assert_eq!(client.outputs(), ["POST 4b\u{1e}4c"]);
    client.accepts();
    assert!(client.outputs().is_empty());
}

#[test]
fn posts_are_cut_to_what_the_server_takes() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.send("first");
    client.outputs();
    let texts: Vec<String> = (0..10).map(|digit| digit.to_string().repeat(30)).collect();
    for text in &texts {
        client.send(text);
    }
    let mut arrived = Vec::new();
    for _ in 0..20 {
        if client.posts == 0 {
            break;
        }
        client.accepts();
        for output in client.outputs() {
            let body = output.strip_prefix("POST ").unwrap();
            assert!(body.len() <= 100, "{} bytes", body.len());
            arrived.extend(body.split('\u{1e}').map(|packet| packet[1..].to_owned()));
        }
    }
    assert_eq!(arrived, texts, "everything, in order");
    // What is too large alone is for the server to refuse.
    client.send(&"x".repeat(200));
    assert_eq!(client.outputs(), [format!("POST 4{}", "x".repeat(200))]);
}

#[test]
fn posts_have_at_most_16_packets() {
    // The limit in bytes is far.
    let mut client = Client::polling(&OPEN.replace("\"maxPayload\":100", "\"maxPayload\":1000000"));
    client.outputs();
    client.send("first");
    for _ in 0..20 {
        client.send("");
    }
    client.outputs();
    client.accepts();
    assert_eq!(
        client.outputs(),
        [format!("POST {}", ["4"; 16].join("\u{1e}"))]
    );
    client.accepts();
    assert_eq!(
        client.outputs(),
        [format!("POST {}", ["4"; 4].join("\u{1e}"))]
    );
}

#[test]
fn attachments_follow_their_message_over_several_posts() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    let attachment = Outgoing::binary(Bytes::from(vec![0; 60]));
    let message = Outgoing::text("52-[\"x\"]");
    let taken = client.session.send(
        client.now,
        &message,
        &[attachment.clone(), attachment],
        SendOptions::default(),
    );
    assert!(taken);
    client.turn();
    client.send("behind");
    let packet = format!("b{}", "A".repeat(80));
    assert_eq!(client.outputs(), ["POST 452-[\"x\"]"]);
    client.accepts();
    assert_eq!(client.outputs(), [format!("POST {packet}")]);
    client.accepts();
    assert_eq!(client.outputs(), [format!("POST {packet}")]);
    client.accepts();
    assert_eq!(client.outputs(), ["POST 4behind"]);
}

#[test]
fn volatile_messages_never_wait() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.send_with("now", VOLATILE);
    assert_eq!(client.outputs(), ["POST 4now"]);
    client.send_with("late", VOLATILE);
    client.accepts();
    assert!(client.outputs().is_empty());
    // Nor is it kept for a session that is not open yet.
    let mut client = Client::new(Revision::V4, Transport::Polling);
    client.send_with("early", VOLATILE);
    client.answers(OPEN);
    assert_eq!(client.outputs(), ["GET", "opened", "GET"]);
}

// The upgrade.

#[test]
fn the_websocket_takes_over_when_nothing_is_under_way() {
    let mut client = Client::polling(UPGRADES);
    assert_eq!(client.outputs(), ["opened", "dial", "GET"]);
    client.send("by polling");
    client.session.handle_probe_opened(client.now);
    client.turn();
    assert_eq!(client.outputs(), ["POST 4by polling", "probe 2probe"]);
    client.probe_frame("3probe");
    // Both requests are waited for, and what is sent meanwhile.
    client.send("by WebSocket");
    assert!(client.outputs().is_empty());
    client.accepts();
    assert!(client.outputs().is_empty());
    client.answers("4last\u{1e}6");
    assert_eq!(client.messages(), ["last"]);
    assert_eq!(client.outputs(), ["probe 5", "upgraded", "4by WebSocket"]);
    client.frame("4first");
    assert_eq!(client.messages(), ["first"]);
    assert_eq!(client.session.transport(), Transport::WebSocket);
}

#[test]
fn a_probe_that_fails_keeps_polling() {
    let fail: [fn(&mut Client); 4] = [
        |client| {
            client.session.handle_probe_closed(client.now);
            client.turn();
        },
        |client| client.probe_frame("4no pong"),
        |client| client.probe_frame("nonsense"),
        |client| client.advance(10_000),
    ];
    for fail in fail {
        let mut client = Client::polling(UPGRADES);
        client.session.handle_probe_opened(client.now);
        client.turn();
        client.outputs();
        fail(&mut client);
        assert_eq!(client.outputs(), ["drop probe", "upgrade failed"]);
        client.send("a");
        client.answers("4b");
        assert_eq!(client.outputs(), ["POST 4a", "GET"]);
        assert_eq!(client.messages(), ["b"]);
        assert_eq!(client.closed, None);
    }
}

#[test]
fn an_upgrade_that_cannot_end_its_requests_is_given_up() {
    let mut client = Client::polling(UPGRADES);
    client.session.handle_probe_opened(client.now);
    client.probe_frame("3probe");
    client.send("kept");
    client.outputs();
    client.advance(10_000);
    assert_eq!(
        client.outputs(),
        ["drop probe", "upgrade failed", "POST 4kept"]
    );
}

// The heartbeat.

#[test]
fn pings_are_answered() {
    let mut client = Client::websocket();
    client.frame("2");
    assert_eq!(client.outputs(), ["3"]);
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.answers("2");
    assert_eq!(client.outputs(), ["GET", "POST 3"]);
    // Many pings while the POST is under way are answered once.
    for _ in 0..100 {
        client.answers("2\u{1e}2");
    }
    client.outputs();
    client.accepts();
    assert_eq!(client.outputs(), ["POST 3"]);
}

#[test]
fn a_server_that_is_silent_is_dead() {
    let mut client = Client::websocket();
    client.advance(44_000);
    client.frame("2");
    client.advance(44_999);
    assert_eq!(client.closed, None);
    client.advance(1);
    assert_eq!(client.closed_at(CloseReason::PingTimeout), 44_000 + 45_000);
    assert!(client.is_finished);
}

#[test]
fn revision_3_clients_ping() {
    let mut client = Client::new(Revision::V3, Transport::WebSocket);
    client.frame(OPEN);
    client.advance(25_000);
    assert_eq!(client.outputs(), ["opened", "2"]);
    client.frame("3");
    client.advance(25_000);
    assert_eq!(client.outputs(), ["2"]);
    client.advance(20_000);
    assert_eq!(client.closed_at(CloseReason::PingTimeout), 70_000);
}

#[test]
fn while_the_client_does_not_read_the_server_is_not_dead() {
    let mut client = Client::websocket();
    client.advance(20_000);
    client.session.set_reading_paused(client.now, true);
    client.advance(1_000_000);
    assert_eq!(client.closed, None);
    client.session.set_reading_paused(client.now, false);
    client.advance(44_999);
    assert_eq!(client.closed, None);
    client.advance(1);
    assert_eq!(client.closed_at(CloseReason::PingTimeout), 1_065_000);
}

#[test]
fn a_suspended_machine_has_missed_its_pings() {
    let mut client = Client::websocket();
    client
        .session
        .handle_resumed(client.now, Duration::from_secs(45));
    client.turn();
    assert_eq!(client.closed, None, "the server may still wait");
    client
        .session
        .handle_resumed(client.now, Duration::from_secs(46));
    client.turn();
    client.closed_at(CloseReason::PingTimeout);
}

// Ends.

#[test]
fn the_servers_close_packet_ends_the_session_on_any_transport() {
    let mut client = Client::websocket();
    client.frame("1");
    assert_eq!(
        client.outputs(),
        ["closed: transport close", "close WebSocket", "finished"]
    );
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.answers("4last\u{1e}1\u{1e}4never");
    assert_eq!(client.messages(), ["last"]);
    assert_eq!(client.outputs(), ["closed: transport close", "finished"]);
}

#[test]
fn closing_sends_what_waits_first() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.send("a");
    client.send("b");
    client.session.close(client.now);
    client.turn();
    assert_eq!(client.outputs(), ["POST 4a", "closed: forced close"]);
    client.accepts();
    assert_eq!(client.outputs(), ["POST 4b\u{1e}1"]);
    client.accepts();
    assert_eq!(client.outputs(), ["finished"]);
    // A server that takes nothing cannot hold it up.
    let mut client = Client::polling(OPEN);
    client.send("a");
    client.session.close(client.now);
    client.turn();
    client.advance(10_000);
    assert!(client.is_finished);
}

#[test]
fn closing_drops_a_probe() {
    let mut client = Client::polling(UPGRADES);
    client.outputs();
    client.session.close(client.now);
    client.turn();
    assert_eq!(
        client.outputs(),
        [
            "drop probe",
            "upgrade failed",
            "closed: forced close",
            "POST 1"
        ]
    );
}

#[test]
fn nothing_but_an_open_packet_begins_a_session() {
    for first in [
        "", "4early", "1", "2", "6", "0", "0{}", "0[]", "x", "96:0{}", "b",
    ] {
        let mut client = Client::new(Revision::V4, Transport::WebSocket);
        client.frame(first);
        assert!(client.closed.is_some() && client.is_finished, "{first:?}");
        assert!(client.messages().is_empty());
    }
}

#[test]
fn what_breaks_the_protocol_ends_an_open_session() {
    for (packet, reason) in [
        (OPEN, CloseReason::TransportError),
        // The server pings in this revision.
        ("3", CloseReason::TransportError),
        ("x", CloseReason::ParseError),
        ("", CloseReason::ParseError),
        ("b!", CloseReason::ParseError),
    ] {
        let mut client = Client::websocket();
        client.frame(packet);
        client.closed_at(reason);
        assert!(client.is_finished, "{packet:?}");
    }
}

// Any server.

/// A life that `script` decides: each byte is something that a server, a network or an application does.
fn live(script: &[u8]) {
    const PACKETS: [&str; 12] = [
        OPEN, UPGRADES, "1", "2", "3", "4text", "5", "6", "bAQID", "3probe", "x", "",
    ];
    let kind = script.first().copied().unwrap_or_default();
    let revision = if kind & 1 == 0 {
        Revision::V4
    } else {
        Revision::V3
    };
    let transport = if kind & 2 == 0 {
        Transport::Polling
    } else {
        Transport::WebSocket
    };
    let mut client = Client::new(revision, transport);
    for &step in script.iter().skip(1) {
        let packet = PACKETS[usize::from(step) % PACKETS.len()];
        match step % 13 {
            0 | 1 if client.gets == 1 => client.answers(packet),
            2 if client.gets == 1 => client.answers(&format!("{packet}\u{1e}4x\u{1e}{packet}")),
            3 if client.posts == 1 => client.accepts(),
            4 => client.probe_frame(packet),
            5 => {
                client.session.handle_probe_opened(client.now);
                client.turn();
            }
            6 => {
                client.session.handle_probe_closed(client.now);
                client.turn();
            }
            7 => client.send("sent"),
            8 => client.send_with("volatile", VOLATILE),
            9 => client.advance(u64::from(step) * 100),
            10 => client.session.set_reading_paused(client.now, step % 2 == 0),
            11 if step > 200 => {
                client.session.close(client.now);
                client.turn();
            }
            _ if client.session.transport() == Transport::WebSocket => client.frame(packet),
            _ => {}
        }
        assert!(client.session.outbound_bytes() <= 1 << 20);
    }
    // Whatever has happened, it can be ended, and then it has ended.
    client.session.set_reading_paused(client.now, false);
    client.session.close(client.now);
    client.turn();
    client.advance(10_000);
    assert!(client.is_finished && client.closed.is_some());
    assert!(!client.session.is_open() && client.session.deadline().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_server_makes_the_session_panic_or_overlap(script in prop::collection::vec(any::<u8>(), 0..200)) {
        live(&script);
    }
}
