//! A session with a scripted server as its peer, on a virtual clock.
//!
//! [`Client`] is a driver: after every input it handles all outputs of the session, and it calls `handle_timeout`
//! exactly at the deadline.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kokanee_engineio::{
    ClientOutput, ClientSession, ClientSessionConfig, CloseReason, Message, Outgoing, Revision,
    SendOptions, Transport, encode_payload,
};

pub(crate) const OPEN: &str =
    r#"0{"sid":"sockeye","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100}"#;
pub(crate) const UPGRADES: &str = r#"0{"sid":"sockeye","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
pub(crate) const VOLATILE: SendOptions = SendOptions {
    volatile: true,
    compress: true,
    owed: false,
};

/// A session, its clock, and its outputs.
pub(crate) struct Client {
    pub(crate) session: ClientSession,
    start: Instant,
    pub(crate) now: Instant,
    messages: Vec<Message>,
    done: Vec<String>,
    pub(crate) closed: Option<(CloseReason, Duration)>,
    pub(crate) is_finished: bool,
    /// The WebSocket accepts no bytes.
    pub(crate) is_stalled: bool,
    /// Pending requests.
    pub(crate) gets: usize,
    pub(crate) posts: usize,
}

impl Client {
    pub(crate) fn new(revision: Revision, transport: Transport) -> Self {
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
            is_stalled: false,
            gets: 0,
            posts: 0,
        };
        client.turn();
        client
    }

    /// A session of revision 4 on polling, with this open packet.
    pub(crate) fn polling(open: &str) -> Self {
        let mut client = Self::new(Revision::V4, Transport::Polling);
        assert_eq!(client.outputs(), ["GET"]);
        client.answers(open);
        client
    }

    /// A session of revision 4 on a WebSocket.
    pub(crate) fn websocket() -> Self {
        let mut client = Self::new(Revision::V4, Transport::WebSocket);
        assert!(client.outputs().is_empty());
        client.frame(OPEN);
        assert_eq!(client.outputs(), ["opened"]);
        client
    }

    /// Does what a driver does after every input.
    pub(crate) fn turn(&mut self) {
        while let Some(message) = self.session.poll_message(self.now) {
            self.messages.push(message);
        }
        loop {
            while let Some(output) = self.session.poll_output(self.now) {
                self.note(output);
            }
            let Some(packet) = self.session.poll_packet(self.now) else {
                if !self.is_stalled {
                    self.session.handle_written(self.now, true);
                }
                break;
            };
            let frame = packet.packet_text(self.session.revision());
            self.done.push(String::from_utf8(frame.to_vec()).unwrap());
        }
        while let Some(output) = self.session.poll_output(self.now) {
            self.note(output);
        }
    }

    fn note(&mut self, output: ClientOutput) {
        assert!(!self.is_finished, "{output:?} after the end");
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
            ClientOutput::PingWebSocket => "ping WebSocket".to_owned(),
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
        // The protocol's rule for clients: at most one pending GET and one pending POST.
        assert!(self.gets <= 1 && self.posts <= 1, "overlapping requests");
        self.done.push(text);
    }

    pub(crate) fn outputs(&mut self) -> Vec<String> {
        std::mem::take(&mut self.done)
    }

    pub(crate) fn messages(&mut self) -> Vec<String> {
        let messages = std::mem::take(&mut self.messages);
        let text = |message| match message {
            Message::Text(text) => text.as_str().to_owned(),
            Message::Binary(bytes) => format!("{bytes:?}"),
        };
        messages.into_iter().map(text).collect()
    }

    pub(crate) fn frame(&mut self, text: &str) {
        let message = Message::Text(text.into());
        self.messages
            .extend(self.session.handle_frame(self.now, message));
        self.turn();
    }

    pub(crate) fn probe_frame(&mut self, text: &str) {
        self.session
            .handle_probe_frame(self.now, Message::Text(text.into()));
        self.turn();
    }

    /// The server answers the pending GET.
    pub(crate) fn answers(&mut self, body: &str) {
        assert_eq!(self.gets, 1, "no GET waits");
        self.gets = 0;
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.session.handle_poll_response(self.now, body, false);
        self.turn();
    }

    /// The server answers the pending POST.
    pub(crate) fn accepts(&mut self) {
        assert_eq!(self.posts, 1, "no POST waits");
        self.posts = 0;
        self.session.handle_post_response(self.now);
        self.turn();
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.send_with(text, SendOptions::default());
    }

    pub(crate) fn leave(&mut self, text: &str) {
        self.session
            .send_disconnect(self.now, &Outgoing::text(text));
        self.turn();
    }

    pub(crate) fn join(&mut self, text: &str) {
        self.session.send_connect(self.now, &Outgoing::text(text));
        self.turn();
    }

    pub(crate) fn close(&mut self) {
        self.session.close(self.now);
        self.turn();
    }

    pub(crate) fn pong(&mut self) {
        self.session.handle_pong(self.now);
        self.turn();
    }

    pub(crate) fn send_with(&mut self, text: &str, options: SendOptions) {
        self.session
            .send(self.now, &Outgoing::text(text), &[], options);
        self.turn();
    }

    /// Advances the clock; the session is called at its deadlines.
    pub(crate) fn advance(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        while let Some(at) = self.session.deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            self.turn();
        }
        self.now = end;
    }

    pub(crate) fn closed_at(&self, reason: CloseReason) -> u128 {
        let (found, after) = self.closed.expect("it is closed");
        assert_eq!(found, reason);
        after.as_millis()
    }
}
