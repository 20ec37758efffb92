//! A random run of a session, driven by bytes, and the invariants of every run.
//!
//! Used by the property test and by the fuzz target. [`Pair`] checks each step; here the whole run is checked: no
//! message is lost, duplicated, split or out of order, and every session ends.

use bytes::Bytes;
use kokanee_engineio::{
    CloseReason, Message, Outgoing, Overflow, Packet, PayloadDecoder, Revision, SendOptions,
    SessionConfig, Str, Transport,
};

use crate::pair::{Pair, VOLATILE, show};

/// Runs a session by `script`.
pub(crate) fn live(script: &[u8]) {
    let mut script = Script(script);
    let kind = script.byte();
    let revision = [Revision::V4, Revision::V3][usize::from(kind & 1)];
    let transport = [Transport::Polling, Transport::WebSocket][usize::from(kind >> 1 & 1)];
    let config = SessionConfig {
        max_outbound_bytes: [1 << 20, 1000, 300, 0][usize::from(kind >> 2 & 3)],
        overflow: [
            Overflow::Disconnect,
            Overflow::DropOldest,
            Overflow::DropNewest,
            Overflow::DropOldest,
        ][usize::from(kind >> 4 & 3)],
        ..SessionConfig::default()
    };
    let overflow = config.overflow;
    let mut life = Life {
        pair: Pair::opening(revision, transport, config, kind & 0x80 != 0),
        revision,
        overflow,
        accepted: Vec::new(),
        refused: 0,
        sent: Vec::new(),
        delivered: Vec::new(),
        count: 0,
    };
    while let Some(op) = script.next() {
        life.step(op, &mut script);
        life.check();
    }
    life.pair.server_pauses_reading(false);
    life.check();
    if kind & 0x40 == 0 {
        life.end_in_order();
    } else {
        // Neither side acts any more.
        life.pair.advance(1_000_000);
    }
    life.check();
    assert!(life.pair.is_finished());
}

/// The remaining bytes; zeros after their end.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }

    /// A few bytes; the first is their number.
    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte() & 31).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }
}

struct Life {
    pair: Pair,
    revision: Revision,
    overflow: Overflow,
    /// The messages that the session has accepted, with their attachments.
    accepted: Vec<Vec<Message>>,
    /// How many messages it has refused because of its limit.
    refused: u64,
    /// The messages that the client has sent.
    sent: Vec<String>,
    /// Those that the server has received.
    delivered: Vec<String>,
    /// Makes every message unique.
    count: u32,
}

impl Life {
    fn step(&mut self, op: u8, script: &mut Script<'_>) {
        let websocket = self.pair.session.transport() == Transport::WebSocket;
        match op % 40 {
            0..=4 => self.server_sends(usize::from(script.byte()), 0, SendOptions::default()),
            5 | 6 => {
                let attachments = 1 + usize::from(script.byte() % 3);
                self.server_sends(9, attachments, SendOptions::default());
            }
            7 => self.server_sends(5, usize::from(script.byte() % 2), VOLATILE),
            8..=11 if !self.pair.is_get_pending() => self.pair.client_polls(),
            12 => drop(self.pair.try_poll()),
            13 => self.pair.client_aborts_poll(),
            14 => {
                self.pair.client_loses_answers(true);
                self.server_sends(3, usize::from(script.byte() % 3), SendOptions::default());
                self.pair.client_loses_answers(false);
            }
            15..=17 => self.client_sends(1 + script.byte() % 4),
            18 if !websocket => self.client_posts(anything(script), script.byte() & 1 == 1),
            19 if self.pair.is_post_pending() => drop(self.pair.try_post("4x", false)),
            20 | 21 => drop(self.pair.probe_opens()),
            22 | 23 => self.pair.probe_sends("2probe"),
            24 | 25 => self.pair.probe_sends("5"),
            26 => self.pair.probe_closes(),
            27 => self.pair.probe_sends_frame(frame(anything(script))),
            28 if websocket => self.client_sends_frame(frame(anything(script))),
            29 | 30 => {
                const TIMES: [u64; 8] = [1, 50, 100, 999, 5_000, 10_000, 25_000, 45_000];
                self.pair.advance(TIMES[usize::from(script.byte() & 7)]);
            }
            31 => self.pair.oversleep(u64::from(script.byte()) * 300),
            32 if websocket => self.pair.client_takes(usize::from(script.byte())),
            33 if websocket => self.pair.client_takes(usize::MAX),
            34 => self.pair.server_pauses_reading(!self.pair.is_paused()),
            35 if script.byte().is_multiple_of(4) => self.pair.server_closes(),
            36 if script.byte().is_multiple_of(8) => {
                self.pair.transport_closes(CloseReason::TransportError);
            }
            37 => self.pair.fire_early(),
            38 if !websocket && self.pair.session.is_open() && !self.pair.is_probing() => {
                self.pair.client_upgrades();
            }
            _ => self.heartbeat(),
        }
    }

    fn server_sends(&mut self, padding: usize, attachments: usize, options: SendOptions) {
        self.count += 1;
        let name = self.count;
        let mut messages = vec![Outgoing::text(&format!("{name}{}", ".".repeat(padding)))];
        messages.extend(
            (0..attachments).map(|index| Outgoing::binary(Bytes::from(format!("{name}+{index}")))),
        );
        let was_open = self.pair.session.is_open();
        if self.pair.server_sends_all(&messages, options) {
            assert!(was_open, "a message was accepted after the end");
            self.accepted
                .push(messages.iter().map(Outgoing::message).collect());
        } else if was_open && !options.volatile && self.overflow != Overflow::Disconnect {
            self.refused += 1;
        }
    }

    fn client_sends(&mut self, messages: u8) {
        let packets: Vec<_> = (0..messages)
            .map(|_| {
                self.count += 1;
                format!("4{}", self.count)
            })
            .collect();
        if self.pair.session.transport() == Transport::WebSocket {
            for packet in packets {
                self.client_sends_frame(Message::Text(packet.as_str().into()));
            }
        } else {
            let body = match self.revision {
                Revision::V4 => packets.join("\x1e"),
                Revision::V3 => packets
                    .iter()
                    .map(|packet| format!("{}:{packet}", packet.len()))
                    .collect::<Vec<_>>()
                    .concat(),
            };
            self.client_posts(body.into(), false);
        }
    }

    fn client_sends_frame(&mut self, frame: Message) {
        let packet = match frame.clone() {
            Message::Text(text) => Packet::decode_text(self.revision, text),
            Message::Binary(bytes) => Packet::decode_binary(self.revision, bytes),
        };
        if let Ok(Packet::Message(message)) = packet {
            self.sent.push(show(&message));
        }
        self.pair.client_sends(frame);
    }

    fn client_posts(&mut self, body: Bytes, binary_form: bool) {
        if self.pair.is_post_pending() {
            return;
        }
        for packet in PayloadDecoder::new(self.revision, body.clone(), binary_form) {
            if let Ok(Packet::Message(message)) = packet {
                self.sent.push(show(&message));
            }
        }
        self.pair.try_post(body, binary_form).unwrap();
    }

    /// The client shows that it is alive.
    fn heartbeat(&mut self) {
        let (packet, body) = match self.revision {
            Revision::V4 => ("3", "3"),
            Revision::V3 => ("2", "1:2"),
        };
        if self.pair.session.transport() == Transport::WebSocket {
            self.pair.client_sends_frame(packet);
        } else {
            self.client_posts(body.into(), false);
        }
    }

    /// Checks that both ends received what was sent, in order.
    fn check(&mut self) {
        self.delivered.extend(self.pair.server_messages());
        assert!(
            self.sent.starts_with(&self.delivered),
            "{:?} sent, {:?} came",
            self.sent,
            self.delivered
        );
        let received = self.pair.received();
        let mut rest = received;
        let mut dropped = 0;
        for messages in &self.accepted {
            if rest.is_empty() {
                break;
            }
            if rest.first() != messages.first() {
                dropped += 1;
                continue;
            }
            let count = messages.len().min(rest.len());
            assert_eq!(
                rest[..count],
                messages[..count],
                "attachments were separated from their message"
            );
            rest = &rest[count..];
        }
        assert_eq!(rest, [], "{:?} sent, {received:?} came", self.accepted);
        assert!(dropped + self.refused <= self.pair.session.dropped());
    }

    /// Checks that all accepted messages have arrived, except dropped ones.
    fn check_complete(&self) {
        let last =
            |messages: &&Vec<Message>| self.pair.received().contains(&messages[messages.len() - 1]);
        let came = self.accepted.iter().filter(last).count() as u64;
        let dropped = self.pair.session.dropped() - self.refused;
        assert_eq!(came + dropped, self.accepted.len() as u64);
    }

    /// Both ends deliver everything that is queued, and close.
    fn end_in_order(&mut self) {
        let was_failed = self.pair.is_finished();
        if self.pair.session.is_open() {
            assert_eq!(
                self.sent.len(),
                self.delivered.len(),
                "something was not read"
            );
        }
        self.drain();
        self.pair.server_closes();
        self.drain();
        if !was_failed {
            self.check_complete();
        }
    }

    fn drain(&mut self) {
        match self.pair.session.transport() {
            Transport::WebSocket => self.pair.client_takes(usize::MAX),
            Transport::Polling => {
                for _ in 0..2 {
                    if !self.pair.is_get_pending() && !self.pair.is_finished() {
                        self.pair.client_polls();
                    }
                }
            }
        }
        assert!(self.pair.session.is_drained());
    }
}

/// A few bytes that are often valid.
fn anything(script: &mut Script<'_>) -> Bytes {
    const TEXTS: [&str; 16] = [
        "",
        "1",
        "2",
        "3",
        "2probe",
        "5",
        "6",
        "4",
        "b",
        "bAQID",
        "b4AQID",
        "1:1",
        "2:4€",
        "4a\x1e1\x1e4b",
        "4a\x1e9",
        "0:1:63:4ab",
    ];
    let kind = script.byte();
    match TEXTS.get(usize::from(kind)) {
        Some(text) => (*text).into(),
        None => Bytes::copy_from_slice(script.bytes()),
    }
}

/// A text frame if the bytes are UTF-8.
fn frame(content: Bytes) -> Message {
    match std::str::from_utf8(&content) {
        Ok(text) => Message::Text(Str::from(text)),
        Err(_) => Message::Binary(content),
    }
}
