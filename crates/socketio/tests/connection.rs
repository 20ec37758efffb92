//! What a client may send in which state, on a clock that only the tests advance: wire text in, [`Input`] out.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use kokanee_engineio::Message;
use kokanee_socketio::{
    Connection, ConnectionConfig, DecodeError, Input, ParserKind, ProtocolError, ProtocolVersion,
    encode_event,
};

/// A connection whose sockets are the names of their namespaces. It has just been opened.
struct Peer {
    connection: Connection<String>,
    config: ConnectionConfig,
    start: Instant,
    now: Instant,
}

impl Peer {
    fn new() -> Self {
        Self::with(ProtocolVersion::V5, ConnectionConfig::default())
    }

    fn v4() -> Self {
        Self::with(ProtocolVersion::V4, ConnectionConfig::default())
    }

    fn with(version: ProtocolVersion, config: ConnectionConfig) -> Self {
        #[expect(clippy::disallowed_methods, reason = "virtual clock starts somewhere")]
        let start = Instant::now();
        Self {
            connection: Connection::new(&config, version, start),
            config,
            start,
            now: start,
        }
    }

    /// A client that has joined these namespaces.
    fn in_namespaces(namespaces: &[&str]) -> Self {
        let mut peer = Self::new();
        for namespace in namespaces {
            peer.joins(&format!("0{namespace},"));
            peer.connection.accept(peer.connection.len() - 1);
        }
        peer
    }

    fn sends(&mut self, text: &str) -> Result<Option<Input>, ProtocolError> {
        self.sends_message(Message::Text(text.into()))
    }

    fn sends_binary(&mut self, bytes: &'static [u8]) -> Result<Option<Input>, ProtocolError> {
        self.sends_message(Message::Binary(Bytes::from_static(bytes)))
    }

    fn sends_message(&mut self, message: Message) -> Result<Option<Input>, ProtocolError> {
        self.connection
            .handle_message(&self.config, self.now, message)
    }

    /// Sends a CONNECT that the server begins to process. Returns the client's auth.
    fn joins(&mut self, text: &str) -> Option<String> {
        let Some(Input::Connect { namespace, auth }) = self.sends(text).unwrap() else {
            panic!("{text} is not a CONNECT");
        };
        let socket = namespace.to_string();
        self.connection.join(namespace, socket);
        auth.map(|auth| auth.to_string())
    }

    /// Sends a packet for a joined namespace. Returns the socket and its input.
    fn delivers(&mut self, text: &str) -> (String, String) {
        let input = self.sends(text).unwrap();
        self.show(input)
    }

    fn show(&mut self, input: Option<Input>) -> (String, String) {
        let (index, content) = match input.unwrap() {
            Input::Event { index, id, event } => {
                let id = id.map(|id| format!(" #{id}")).unwrap_or_default();
                let args = event.args().json();
                (index, format!("{}({args}){id}", event.name()))
            }
            Input::Ack { index, id, args } => (index, format!("ack #{id} ({})", args.json())),
            Input::Disconnect { index } => (index, "disconnect".to_owned()),
            Input::Connect { namespace, .. } => panic!("CONNECT {namespace}"),
        };
        (self.connection.get_mut(index).unwrap().clone(), content)
    }

    fn leaves(&mut self, index: usize) -> Option<String> {
        self.connection.leave(&self.config, self.now, index)
    }

    /// Advances the clock until a deadline is missed, or to the end.
    fn advance(&mut self, milliseconds: u64) -> Result<(), ProtocolError> {
        let end = self.now + Duration::from_millis(milliseconds);
        // Early calls change nothing.
        assert_eq!(self.connection.handle_timeout(self.now), Ok(()));
        if let Some(deadline) = self.connection.deadline().filter(|&at| at <= end) {
            self.now = deadline;
            let missed = self.connection.handle_timeout(self.now);
            assert!(missed.is_err(), "a deadline without an effect");
            return missed;
        }
        self.now = end;
        self.connection.handle_timeout(self.now)
    }

    /// Milliseconds from the beginning until now.
    fn elapsed(&self) -> u128 {
        (self.now - self.start).as_millis()
    }

    fn sockets(&self) -> Vec<&str> {
        self.connection.sockets().map(String::as_str).collect()
    }
}

#[test]
fn a_client_connects() {
    let mut peer = Peer::new();
    assert!(peer.connection.is_empty());
    assert_eq!(peer.joins("0"), None);
    assert_eq!(peer.sockets(), ["/"]);
    peer.connection.accept(0);
    assert_eq!(
        peer.delivers(r#"2["hello",1,"x"]"#),
        ("/".into(), r#"hello(1,"x")"#.into())
    );
    assert_eq!(
        peer.delivers(r#"27["hello"]"#),
        ("/".into(), "hello() #7".into())
    );
    assert_eq!(
        peer.delivers("37[true]"),
        ("/".into(), "ack #7 (true)".into())
    );
    assert_eq!(peer.delivers("1"), ("/".into(), "disconnect".into()));
}

#[test]
fn auth_is_passed_on_unchanged() {
    let mut peer = Peer::new();
    assert_eq!(peer.joins(r#"0{"token": 1}"#).unwrap(), r#"{"token": 1}"#);
    assert_eq!(peer.joins(r#"0/admin,{"a":[]}"#).unwrap(), r#"{"a":[]}"#);
    assert_eq!(peer.joins("0/chat"), None);
    assert_eq!(peer.sockets(), ["/", "/admin", "/chat"]);
}

#[test]
fn each_namespace_has_its_socket() {
    let mut peer = Peer::in_namespaces(&["/", "/admin", "/chat"]);
    assert_eq!(peer.connection.len(), 3);
    assert_eq!(peer.delivers(r#"2["a"]"#).0, "/");
    assert_eq!(peer.delivers(r#"2/chat,["a"]"#).0, "/chat");
    assert_eq!(peer.delivers("3/admin,5[]").0, "/admin");
    assert_eq!(peer.delivers("1/chat,").0, "/chat");
}

#[test]
fn indexes_stay_right_when_one_leaves() {
    let mut peer = Peer::in_namespaces(&["/", "/admin", "/chat"]);
    assert_eq!(peer.leaves(1).unwrap(), "/admin");
    assert_eq!(peer.sockets(), ["/", "/chat"]);
    assert_eq!(peer.delivers(r#"2/chat,["a"]"#).0, "/chat");
    assert_eq!(peer.delivers(r#"2["a"]"#).0, "/");
    assert_eq!(peer.leaves(0).unwrap(), "/");
    assert_eq!(peer.delivers(r#"2/chat,["a"]"#).0, "/chat");
    assert_eq!(peer.leaves(7), None);
    assert_eq!(peer.leaves(0).unwrap(), "/chat");
    assert_eq!(peer.leaves(0), None);
    assert!(peer.connection.is_empty());
    assert_eq!(peer.connection.get_mut(0), None);
}

#[test]
fn a_namespace_that_was_left_may_be_joined_again() {
    let mut peer = Peer::in_namespaces(&["/", "/admin"]);
    peer.leaves(1);
    peer.joins("0/admin,");
    peer.connection.accept(1);
    assert_eq!(peer.delivers(r#"2/admin,["a"]"#).0, "/admin");
}

#[test]
fn events_are_accepted_while_their_socket_joins() {
    let mut peer = Peer::new();
    peer.joins("0/admin,");
    assert_eq!(
        peer.delivers(r#"2/admin,["early"]"#),
        ("/admin".into(), "early()".into())
    );
    assert_eq!(peer.delivers("1/admin,").1, "disconnect");
}

#[test]
fn a_refused_socket_is_removed() {
    let mut peer = Peer::new();
    peer.joins("0/admin,");
    assert_eq!(peer.leaves(0).unwrap(), "/admin");
    assert!(peer.connection.is_empty());
    assert_eq!(
        peer.sends(r#"2/admin,["a"]"#).unwrap_err(),
        ProtocolError::NotJoined
    );
    peer.joins("0/admin,");
}

#[test]
fn a_namespace_is_joined_once() {
    let mut peer = Peer::new();
    peer.joins("0/admin,");
    assert_eq!(
        peer.sends("0/admin,").unwrap_err(),
        ProtocolError::AlreadyJoined
    );
    peer.connection.accept(0);
    assert_eq!(
        peer.sends(r#"0/admin,{"token":1}"#).unwrap_err(),
        ProtocolError::AlreadyJoined
    );
}

#[test]
fn packets_for_a_namespace_that_was_not_joined_are_errors() {
    for packet in [r#"2["a"]"#, r#"2/admin,["a"]"#, "1", "1/admin,", "31[]"] {
        assert_eq!(
            Peer::new().sends(packet).unwrap_err(),
            ProtocolError::NotJoined,
            "{packet}"
        );
    }
    let mut peer = Peer::in_namespaces(&["/admin"]);
    assert_eq!(
        peer.sends(r#"2["a"]"#).unwrap_err(),
        ProtocolError::NotJoined
    );
    assert_eq!(
        peer.sends(r#"2/Admin,["a"]"#).unwrap_err(),
        ProtocolError::NotJoined
    );
}

#[test]
fn clients_do_not_refuse() {
    let mut peer = Peer::in_namespaces(&["/"]);
    assert_eq!(
        peer.sends(r#"4{"message":"no"}"#).unwrap_err(),
        ProtocolError::UnexpectedConnectError
    );
}

#[test]
fn bad_packets_are_errors() {
    let mut peer = Peer::in_namespaces(&["/"]);
    assert_eq!(
        peer.sends("").unwrap_err(),
        ProtocolError::Decode(DecodeError::Empty)
    );
    assert_eq!(
        peer.sends_binary(b"abc").unwrap_err(),
        ProtocolError::Decode(DecodeError::UnexpectedBinary)
    );
}

#[test]
fn the_number_of_namespaces_is_limited() {
    let config = ConnectionConfig {
        max_namespaces: 2,
        ..ConnectionConfig::default()
    };
    let mut peer = Peer::with(ProtocolVersion::V5, config);
    peer.joins("0");
    peer.joins("0/a,");
    assert_eq!(
        peer.sends("0/b,").unwrap_err(),
        ProtocolError::TooManyNamespaces { max: 2 }
    );
    // Leaving one allows another.
    peer.leaves(0);
    peer.joins("0/b,");
}

#[test]
fn a_namespace_must_be_joined_in_time() {
    let mut peer = Peer::new();
    assert_eq!(peer.advance(44_999), Ok(()));
    assert_eq!(peer.advance(1), Err(ProtocolError::ConnectTimeout));
    // Beginning to join is not enough.
    let mut peer = Peer::new();
    peer.advance(40_000).unwrap();
    peer.joins("0");
    assert_eq!(peer.advance(100_000), Err(ProtocolError::ConnectTimeout));
    assert_eq!(peer.elapsed(), 45_000);
    // Nor is being refused.
    let mut peer = Peer::new();
    peer.advance(40_000).unwrap();
    peer.joins("0");
    peer.leaves(0);
    assert_eq!(peer.advance(100_000), Err(ProtocolError::ConnectTimeout));
    assert_eq!(peer.elapsed(), 45_000);
}

#[test]
fn a_connected_client_has_no_deadline() {
    let mut peer = Peer::new();
    peer.advance(44_999).unwrap();
    peer.joins("0");
    peer.connection.accept(0);
    assert_eq!(peer.connection.deadline(), None);
    peer.advance(1_000_000).unwrap();
    // Nor if another namespace refuses it.
    peer.joins("0/admin,");
    peer.leaves(1);
    assert_eq!(peer.connection.deadline(), None);
}

#[test]
fn a_client_that_has_left_all_must_join_in_time_again() {
    let mut peer = Peer::in_namespaces(&["/", "/admin"]);
    peer.advance(100_000).unwrap();
    peer.leaves(0);
    assert_eq!(peer.connection.deadline(), None);
    peer.leaves(0);
    peer.advance(44_999).unwrap();
    peer.joins("0");
    peer.connection.accept(0);
    peer.advance(100_000).unwrap();
    peer.leaves(0);
    let left = peer.elapsed();
    assert_eq!(peer.advance(100_000), Err(ProtocolError::ConnectTimeout));
    assert_eq!(peer.elapsed(), left + 45_000);
}

#[test]
fn a_joining_socket_is_not_connected() {
    let mut peer = Peer::in_namespaces(&["/"]);
    peer.joins("0/admin,");
    peer.leaves(0);
    peer.advance(44_999).unwrap();
    peer.connection.accept(0);
    assert_eq!(peer.connection.deadline(), None);
}

#[test]
fn attachments_come_in_time() {
    let mut peer = Peer::in_namespaces(&["/"]);
    let packet = r#"52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    assert!(peer.sends(packet).unwrap().is_none());
    peer.advance(20_000).unwrap();
    assert!(peer.sends_binary(b"one").unwrap().is_none());
    peer.advance(9_999).unwrap();
    let input = peer.sends_binary(b"two").unwrap();
    let Some(Input::Event { event, .. }) = input else {
        panic!("{input:?}")
    };
    assert_eq!(event.args().attachments(), ["one", "two"]);
    assert_eq!(peer.connection.deadline(), None);
    // Each packet has its own deadline, and one attachment does not extend it.
    peer.sends(packet).unwrap();
    let announced = peer.elapsed();
    peer.advance(20_000).unwrap();
    peer.sends_binary(b"one").unwrap();
    assert_eq!(
        peer.advance(100_000),
        Err(ProtocolError::AttachmentsTimeout)
    );
    assert_eq!(peer.elapsed(), announced + 30_000);
}

#[test]
fn the_earlier_deadline_counts() {
    let mut peer = Peer::new();
    let packet = r#"51-["a",{"_placeholder":true,"num":0}]"#;
    peer.advance(20_000).unwrap();
    assert!(peer.sends(packet).unwrap().is_none());
    assert_eq!(peer.advance(100_000), Err(ProtocolError::ConnectTimeout));
    let mut peer = Peer::new();
    peer.advance(10_000).unwrap();
    assert!(peer.sends(packet).unwrap().is_none());
    assert_eq!(
        peer.advance(100_000),
        Err(ProtocolError::AttachmentsTimeout)
    );
}

#[test]
fn an_event_whose_namespace_was_left_meanwhile_is_not_accepted() {
    let mut peer = Peer::in_namespaces(&["/", "/admin"]);
    assert!(
        peer.sends(r#"51-/admin,["a",{"_placeholder":true,"num":0}]"#)
            .unwrap()
            .is_none()
    );
    peer.leaves(1);
    assert_eq!(
        peer.sends_binary(b"x").unwrap_err(),
        ProtocolError::NotJoined
    );
}

#[test]
fn the_end_of_the_session_removes_all_sockets() {
    let mut peer = Peer::in_namespaces(&["/", "/admin"]);
    peer.joins("0/chat,");
    peer.sends(r#"51-["a",{"_placeholder":true,"num":0}]"#)
        .unwrap();
    assert_eq!(peer.connection.take_all(), ["/", "/admin", "/chat"]);
    assert!(peer.connection.is_empty());
    assert_eq!(peer.connection.deadline(), None);
    assert_eq!(peer.connection.handle_timeout(peer.now), Ok(()));
}

#[test]
fn old_clients_send_their_auth_as_a_query() {
    let mut peer = Peer::v4();
    peer.connection.join("/".into(), "/".to_owned());
    peer.connection.accept(0);
    assert_eq!(
        peer.joins("0/admin?token=a%20b+c&token=d&__proto__=x,")
            .unwrap(),
        r#"{"token":"d","__proto__":"x"}"#
    );
    assert_eq!(peer.joins("0/chat,"), None);
    assert_eq!(peer.sockets(), ["/", "/admin", "/chat"]);
    // Later packets may have the query or not.
    assert_eq!(peer.delivers(r#"2/admin,["a"]"#).0, "/admin");
    assert_eq!(peer.delivers(r#"2/admin?token=d,["a"]"#).0, "/admin");
    assert_eq!(peer.delivers(r#"2["a"]"#).0, "/");
    assert_eq!(
        peer.sends("0/admin?token=other,").unwrap_err(),
        ProtocolError::AlreadyJoined
    );
}

#[test]
fn for_new_clients_a_query_is_a_part_of_the_name() {
    let mut peer = Peer::new();
    assert_eq!(peer.joins("0/admin?token=1,"), None);
    assert_eq!(peer.sockets(), ["/admin?token=1"]);
    assert_eq!(
        peer.sends(r#"2/admin,["a"]"#).unwrap_err(),
        ProtocolError::NotJoined
    );
}

#[test]
fn the_first_packet_decides_the_parser() {
    let config = ConnectionConfig {
        parser: ParserKind::Both,
        ..ConnectionConfig::default()
    };
    let mut peer = Peer::with(ProtocolVersion::V5, config);
    assert_eq!(peer.connection.decoder().peer_parser(), None);
    let connect = kokanee_socketio::encode_connect("/", None);
    let input = peer.sends_message(connect.msgpack().message()).unwrap();
    assert!(matches!(input, Some(Input::Connect { .. })));
    peer.connection.join("/".into(), "/".to_owned());
    assert_eq!(
        peer.connection.decoder().peer_parser(),
        Some(ParserKind::Msgpack)
    );
    let event = encode_event("/", None, "hello", &(1,)).unwrap();
    let input = peer.sends_message(event.msgpack().message()).unwrap();
    assert_eq!(peer.show(input).1, "hello(1)");
    assert!(peer.sends(r#"2["a"]"#).is_err());
}
