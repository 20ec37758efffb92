//! A small Socket.IO client over WebSocket (Engine.IO revision 4), for tests of the server's API.

use std::{collections::VecDeque, time::Duration};

use serde_json::Value;

use super::{TestServer, WebSocket, WebSocketEnd, opcode, within};

/// A packet that came for a socket of the client: an event, an acknowledgement, or anything else.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Received {
    /// The packet's type: `'0'` CONNECT to `'4'` `CONNECT_ERROR`; binary ones are `'2'` and `'3'`, too.
    pub(crate) kind: char,
    /// The namespace.
    pub(crate) namespace: String,
    /// The id, if an acknowledgement is wanted, or if it is one.
    pub(crate) id: Option<u64>,
    /// What came after it: an array for events and acknowledgements. Attachments are objects with `_placeholder` in it.
    pub(crate) data: Value,
    /// The attachments.
    pub(crate) attachments: Vec<Vec<u8>>,
}

impl Received {
    /// The name of an event.
    pub(crate) fn name(&self) -> &str {
        self.data[0].as_str().unwrap_or_default()
    }

    /// The arguments of an event, after its name.
    pub(crate) fn args(&self) -> &[Value] {
        self.data
            .as_array()
            .and_then(|data| data.get(1..))
            .unwrap_or_default()
    }
}

/// One WebSocket session and its sockets. Pings are answered whenever something is awaited.
#[derive(Debug)]
pub(crate) struct Client {
    websocket: WebSocket,
    /// The session's secret id.
    pub(crate) session: String,
    /// Packets that came while another kind was awaited.
    waiting: VecDeque<Received>,
    next_id: u64,
}

impl Client {
    /// Opens a session without joining anything.
    pub(crate) async fn open(server: &TestServer) -> Self {
        let (websocket, session) = server.open_websocket().await;
        Self {
            websocket,
            session,
            waiting: VecDeque::new(),
            next_id: 0,
        }
    }

    /// Opens a session and joins `/`, which must succeed.
    pub(crate) async fn connect(server: &TestServer) -> Self {
        let mut client = Self::open(server).await;
        client.join("/", None).await.expect("accepted");
        client
    }

    /// Opens a session and joins one namespace, which must succeed. Returns the socket's id, too.
    pub(crate) async fn connect_to(
        server: &TestServer,
        namespace: &str,
        auth: Option<Value>,
    ) -> (Self, String) {
        let mut client = Self::open(server).await;
        let id = client.join(namespace, auth).await.expect("accepted");
        (client, id)
    }

    /// Joins a namespace. Returns the socket's id, or the object of the refusal.
    pub(crate) async fn join(
        &mut self,
        namespace: &str,
        auth: Option<Value>,
    ) -> Result<String, Value> {
        let auth = auth.map(|auth| auth.to_string()).unwrap_or_default();
        self.send_packet('0', namespace, &auth).await;
        let answer = self
            .receive(|packet| matches!(packet.kind, '0' | '4') && packet.namespace == namespace)
            .await;
        match answer.kind {
            '0' => Ok(answer.data["sid"].as_str().expect("a socket id").to_owned()),
            _ => Err(answer.data),
        }
    }

    /// Sends an event to `/`. `args` is an array.
    pub(crate) async fn emit(&mut self, event: &str, args: Value) {
        self.emit_to("/", event, args).await;
    }

    /// Sends an event to a namespace. `args` is an array.
    pub(crate) async fn emit_to(&mut self, namespace: &str, event: &str, args: Value) {
        let data = event_data(event, args);
        self.send_packet('2', namespace, &data).await;
    }

    /// Sends an event with attachments: `args` holds an object `{"_placeholder":true,"num":n}` for each.
    pub(crate) async fn emit_binary(&mut self, event: &str, args: Value, attachments: &[&[u8]]) {
        let data = event_data(event, args);
        self.websocket
            .send(&format!("45{}-{data}", attachments.len()))
            .await;
        for attachment in attachments {
            self.websocket.send_binary(attachment).await;
        }
    }

    /// Sends an event to `/` and waits for its acknowledgement: the array of its arguments.
    pub(crate) async fn emit_with_ack(&mut self, event: &str, args: Value) -> Value {
        self.emit_to_with_ack("/", event, args).await
    }

    /// Sends an event to a namespace and waits for its acknowledgement.
    pub(crate) async fn emit_to_with_ack(
        &mut self,
        namespace: &str,
        event: &str,
        args: Value,
    ) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        let data = format!("{id}{}", event_data(event, args));
        self.send_packet('2', namespace, &data).await;
        let ack = self
            .receive(|packet| {
                packet.kind == '3' && packet.namespace == namespace && packet.id == Some(id)
            })
            .await;
        ack.data
    }

    /// Acknowledges an event that came. `args` is an array.
    pub(crate) async fn ack(&mut self, event: &Received, args: Value) {
        let id = event.id.expect("an event that wants an acknowledgement");
        self.send_packet('3', &event.namespace, &format!("{id}{args}"))
            .await;
    }

    /// The next event of any namespace.
    pub(crate) async fn event(&mut self) -> Received {
        self.receive(|packet| packet.kind == '2').await
    }

    /// The next event, which must have this name. Returns its arguments.
    #[track_caller]
    pub(crate) fn expect_event(&mut self, name: &str) -> impl Future<Output = Vec<Value>> {
        let caller = std::panic::Location::caller();
        async move {
            let event = self.event().await;
            assert_eq!(event.name(), name, "{caller}: {event:?}");
            event.args().to_vec()
        }
    }

    /// Asserts that no event comes for a while.
    pub(crate) async fn expect_no_event(&mut self, time: Duration) {
        let event = tokio::time::timeout(time, self.receive_any(|packet| packet.kind == '2')).await;
        if let Ok(event) = event {
            panic!("no event expected, {event:?} came");
        }
    }

    /// Waits until the server disconnects the client from a namespace.
    pub(crate) async fn expect_disconnect(&mut self, namespace: &str) {
        self.receive(|packet| packet.kind == '1' && packet.namespace == namespace)
            .await;
    }

    /// Leaves a namespace.
    pub(crate) async fn leave(&mut self, namespace: &str) {
        self.send_packet('1', namespace, "").await;
    }

    /// Waits until the server ends the connection.
    pub(crate) async fn end(&mut self) -> WebSocketEnd {
        self.websocket.end().await
    }

    /// Closes the connection as a browser does, and waits for its end.
    pub(crate) async fn close(mut self) {
        self.websocket.send_close(1000).await;
        self.websocket.end().await;
    }

    /// The WebSocket alone, which the test ends in its own way.
    pub(crate) fn into_websocket(self) -> WebSocket {
        self.websocket
    }

    /// The WebSocket, to send what this client would not.
    pub(crate) fn websocket(&mut self) -> &mut WebSocket {
        &mut self.websocket
    }

    /// The first packet for which `wanted` is true; others wait for their turn.
    #[track_caller]
    pub(crate) fn receive(
        &mut self,
        wanted: impl Fn(&Received) -> bool,
    ) -> impl Future<Output = Received> {
        within("a packet", self.receive_any(wanted))
    }

    async fn receive_any(&mut self, wanted: impl Fn(&Received) -> bool) -> Received {
        if let Some(at) = self.waiting.iter().position(&wanted) {
            return self.waiting.remove(at).expect("found above");
        }
        loop {
            let packet = self.read_packet().await;
            if wanted(&packet) {
                return packet;
            }
            self.waiting.push_back(packet);
        }
    }

    async fn read_packet(&mut self) -> Received {
        loop {
            // Safe to be given up while it waits: a frame is taken out of the buffer as a whole.
            let frame = self.websocket.frame().await;
            assert_ne!(
                frame.opcode(),
                opcode::CLOSE,
                "the server closed: {frame:?}"
            );
            let text = frame.text();
            match text.chars().next() {
                Some('2') => self.websocket.send("3").await,
                Some('4') => {
                    let (mut packet, count) = parse(&text[1..]);
                    for _ in 0..count {
                        packet.attachments.push(self.websocket.binary().await);
                    }
                    return packet;
                }
                _ => panic!("unexpected packet {text:?}"),
            }
        }
    }

    async fn send_packet(&mut self, kind: char, namespace: &str, data: &str) {
        let text = match namespace {
            "/" => format!("4{kind}{data}"),
            _ => format!("4{kind}{namespace},{data}"),
        };
        self.websocket.send(&text).await;
    }
}

fn event_data(event: &str, args: Value) -> String {
    let Value::Array(mut args) = args else {
        panic!("arguments are an array, not {args}")
    };
    args.insert(0, event.into());
    Value::Array(args).to_string()
}

/// Reads a Socket.IO packet. Returns the number of its attachments, too.
fn parse(text: &str) -> (Received, usize) {
    let (kind, mut rest) = text.split_at(1);
    let mut kind = kind.chars().next().expect("a type");
    let mut count = 0;
    if matches!(kind, '5' | '6') {
        let (number, after) = rest.split_once('-').expect("a number of attachments");
        count = number.parse().expect("a number of attachments");
        rest = after;
        kind = if kind == '5' { '2' } else { '3' };
    }
    let mut namespace = "/".to_owned();
    if rest.starts_with('/') {
        let (name, after) = rest.split_once(',').unwrap_or((rest, ""));
        name.clone_into(&mut namespace);
        rest = after;
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let id = rest[..digits].parse().ok();
    let data = match &rest[digits..] {
        "" => Value::Null,
        json => serde_json::from_str(json).expect("JSON from the server"),
    };
    (
        Received {
            kind,
            namespace,
            id,
            data,
            attachments: Vec::new(),
        },
        count,
    )
}
