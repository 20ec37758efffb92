//! Talks to the server as plainly as possible: HTTP over a `TcpStream`, Socket.IO over long-polling.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

use serde_json::{Value, json};

pub(crate) use crate::process::{LIMIT, Server, kokanee};

impl Server {
    /// Makes a GET request.
    pub(crate) fn get(&self, path: &str) -> Response {
        request(self.port, &format!("GET {path}"), &[], "")
    }
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields
            .into_iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("text")
    }
}

/// Makes a request on a connection of its own. `what` is method and path.
pub(crate) fn request(port: u16, what: &str, headers: &[&str], body: &str) -> Response {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    let mut fields = headers.join("\r\n");
    if !headers.is_empty() {
        fields.push_str("\r\n");
    }
    let length = body.len();
    let request = format!(
        "{what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the whole answer");
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("the end of the head");
    let head = String::from_utf8(answer[..end].to_vec()).expect("text");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    Response {
        status,
        head,
        body: answer[end + 4..].to_vec(),
    }
}

/// A Socket.IO client over long-polling, in one namespace.
pub(crate) struct Client {
    port: u16,
    sid: String,
    namespace: &'static str,
    /// Packets that came and were not asked for yet.
    packets: Vec<String>,
    pub(crate) id: String,
}

impl Client {
    /// Joins `/`.
    pub(crate) fn open(server: &Server) -> Self {
        let mut client = Self::handshake(server, "/");
        client.connect("");
        let welcome = client.event("welcome");
        assert_eq!(welcome[0]["id"], client.id);
        client
    }

    /// Opens a session for a namespace that is to be joined with [`connect`](Self::connect).
    pub(crate) fn handshake(server: &Server, namespace: &'static str) -> Self {
        let answer = server.get("/socket.io/?EIO=4&transport=polling");
        let open: Value = serde_json::from_str(&answer.text()[1..]).expect("the open packet");
        Self {
            port: server.port,
            sid: open["sid"].as_str().expect("an id").to_owned(),
            namespace,
            packets: Vec::new(),
            id: String::new(),
        }
    }

    /// The session's id, which nobody else may see.
    pub(crate) fn sid(&self) -> &str {
        &self.sid
    }

    fn url(&self) -> String {
        format!("/socket.io/?EIO=4&transport=polling&sid={}", self.sid)
    }

    /// Sends one payload.
    pub(crate) fn post(&self, payload: &str) {
        let answer = request(self.port, &format!("POST {}", self.url()), &[], payload);
        assert_eq!((answer.status, answer.text()), (200, "ok"));
    }

    /// Waits for a packet for which `pick` has a result. Others stay for later.
    fn receive<T>(&mut self, mut pick: impl FnMut(&[String], usize) -> Option<T>) -> T {
        let end = Instant::now() + LIMIT;
        loop {
            for at in 0..self.packets.len() {
                if let Some(picked) = pick(&self.packets, at) {
                    self.packets.remove(at);
                    return picked;
                }
            }
            assert!(Instant::now() < end, "only {:?} came", self.packets);
            let answer = request(self.port, &format!("GET {}", self.url()), &[], "");
            assert_eq!(answer.status, 200, "{}", answer.text());
            for packet in answer.text().split('\x1e') {
                match packet {
                    "2" => self.post("3"),
                    packet => self.packets.push(packet.to_owned()),
                }
            }
        }
    }

    /// What stands between a packet's type and its id or payload.
    fn prefix(&self) -> String {
        match self.namespace {
            "/" => String::new(),
            name => format!("{name},"),
        }
    }

    /// Sends CONNECT and waits to be accepted.
    pub(crate) fn connect(&mut self, auth: &str) {
        let prefix = self.prefix();
        self.post(&format!("40{prefix}{auth}"));
        let start = format!("40{prefix}");
        let accepted: Value = self
            .receive(|packets, at| serde_json::from_str(packets[at].strip_prefix(&start)?).ok());
        accepted["sid"]
            .as_str()
            .expect("the socket's id")
            .clone_into(&mut self.id);
    }

    /// Sends CONNECT and waits to be refused.
    pub(crate) fn refused(&mut self, auth: &str) -> Value {
        let prefix = self.prefix();
        self.post(&format!("40{prefix}{auth}"));
        let start = format!("44{prefix}");
        self.receive(|packets, at| serde_json::from_str(packets[at].strip_prefix(&start)?).ok())
    }

    /// Sends an event.
    pub(crate) fn emit(&self, event: &Value) {
        self.post(&format!("42{}{event}", self.prefix()));
    }

    /// Sends an event that wants an answer.
    pub(crate) fn ask(&self, id: u32, event: &Value) {
        self.post(&format!("42{}{id}{event}", self.prefix()));
    }

    /// Waits for the answer with this id.
    pub(crate) fn answer(&mut self, id: u32) -> Value {
        let start = format!("43{}{id}", self.prefix());
        self.receive(|packets, at| serde_json::from_str(packets[at].strip_prefix(&start)?).ok())
    }

    /// Sends an event and waits for its answer.
    pub(crate) fn call(&mut self, event: &Value) -> Value {
        self.ask(7, event);
        self.answer(7)
    }

    /// Waits for an event and returns its arguments.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        self.numbered_event(name).1
    }

    /// Waits for an event and returns the id of its acknowledgement, if it wants one, and its arguments.
    pub(crate) fn numbered_event(&mut self, name: &str) -> (String, Value) {
        let start = format!("42{}", self.prefix());
        self.receive(|packets, at| {
            let (id, event) = packets[at].strip_prefix(&start)?.split_once('[')?;
            let event: Vec<Value> = serde_json::from_str(&format!("[{event}")).ok()?;
            let (first, args) = event.split_first()?;
            (*first == json!(name)).then(|| (id.to_owned(), json!(args)))
        })
    }

    /// Waits for a packet with one attachment that starts like this, and returns both.
    pub(crate) fn binary(&mut self, start: &str) -> (String, String) {
        let (packet, attachment) = self.receive(|packets, at| {
            let attachment = packets.get(at + 1)?;
            (packets[at].starts_with(start)).then(|| (packets[at].clone(), attachment.clone()))
        });
        self.receive(|packets, at| (packets[at] == attachment).then_some(()));
        (packet, attachment)
    }

    /// Waits until the server has no such session any more.
    pub(crate) fn until_gone(&self) {
        let end = Instant::now() + LIMIT;
        while request(self.port, &format!("GET {}", self.url()), &[], "").status == 200 {
            assert!(Instant::now() < end, "the session lives on");
        }
    }
}
