//! The event log: one line for each thing that happens to a socket, as text or JSON.
//!
//! [`watch`](EventLog::watch) logs what is received. The demo's handlers log what they send: acknowledgements with [`Reply`],
//! events with [`sent`](EventLog::sent).

use std::{
    fmt::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kokanee::{
    Ack, Args, DisconnectReason, EmitError, EventName, ExtractError, FromContext, Handshake,
    Namespace, RawEvent, Socket, SocketId, State, Transport, Value,
    server::extract::{Context, OnEvent},
};
use serde::Serialize;

use crate::{escape, output::Output, paint::Paint};

/// Longer arguments are cut, in JSON lines too.
const MAX_JSON_BYTES: usize = 4096;
/// Number of characters shown of a socket's id.
const SHORT_ID: usize = 6;

/// Writes the log. A cheap handle, and part of the server's state, so that every handler can use it.
#[derive(Debug, Clone)]
pub(crate) struct EventLog {
    output: Output,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Nothing is written.
    Silent,
    Plain,
    Colored,
    Json,
}

/// The recipients of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum To {
    /// The socket itself.
    Sender,
    /// The others in a room.
    Room,
    /// All others.
    Others,
    /// All sockets of the namespace.
    All,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
enum What<'a> {
    Connect {
        transport: Transport,
        address: &'a str,
    },
    Refuse {
        message: &'a str,
    },
    Disconnect {
        reason: DisconnectReason,
        transport: Transport,
        lasted: Duration,
    },
    Receive {
        name: &'a str,
        args: &'a Args,
        wants_ack: bool,
    },
    Answer {
        name: &'a str,
        args: &'a Args,
    },
    Send {
        to: To,
        name: &'a str,
        args: &'a Args,
    },
    Fail {
        message: &'a str,
    },
}

impl EventLog {
    pub(crate) fn new(output: Output, format: Format) -> Self {
        Self { output, format }
    }

    /// Logs what the sockets of a namespace receive. Call it before other handlers are added to the namespace, because
    /// handlers run in the order in which they were added.
    pub(crate) fn watch(&self, namespace: &Namespace) {
        if self.format == Format::Silent {
            return;
        }
        namespace.on_connect(
            async |socket: Socket, handshake: Handshake, log: State<Self>| {
                let address = handshake
                    .address()
                    // The port is 0 if a proxy did not report it.
                    .map_or_else(
                        || "?".to_owned(),
                        |address| match address.port() {
                            0 => address.ip().to_string(),
                            _ => address.to_string(),
                        },
                    );
                let transport = socket.transport();
                let address = &address;
                log.write(&socket, What::Connect { transport, address });
            },
        );
        namespace.on_any(
            async |socket: Socket, event: RawEvent, ack: Ack, log: State<Self>| {
                let (name, args, wants_ack) = (event.name(), event.args(), ack.is_wanted());
                log.write(
                    &socket,
                    What::Receive {
                        name,
                        args,
                        wants_ack,
                    },
                );
            },
        );
        namespace.on_disconnect(
            async |socket: Socket, reason: DisconnectReason, log: State<Self>| {
                let transport = socket.transport();
                // The time is negative if the clock was set back.
                let lasted = socket.handshake().issued().elapsed().unwrap_or_default();
                log.write(
                    &socket,
                    What::Disconnect {
                        reason,
                        transport,
                        lasted,
                    },
                );
            },
        );
        let log = self.clone();
        namespace.on_error(move |socket, error| {
            let message = &error.to_string();
            log.write(socket, What::Fail { message });
        });
    }

    /// Logs that a socket was refused.
    pub(crate) fn refused(&self, socket: &Socket, message: &str) {
        self.write(socket, What::Refuse { message });
    }

    /// Logs that an event was sent by a handler of `socket`.
    pub(crate) fn sent<T: Serialize>(&self, socket: &Socket, to: To, name: &str, args: &T) {
        if self.format == Format::Silent {
            return;
        }
        // Arguments that cannot be encoded were not sent, and the handler has the error.
        if let Ok(args) = Args::from_serialize(args) {
            let args = &args;
            self.write(socket, What::Send { to, name, args });
        }
    }

    fn write(&self, socket: &Socket, what: What<'_>) {
        let namespace = socket.namespace().name();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let line = match self.format {
            Format::Silent => return,
            Format::Plain => text(now, namespace, socket.id(), what, Paint(false)),
            Format::Colored => text(now, namespace, socket.id(), what, Paint(true)),
            Format::Json => json(now, namespace, socket.id(), what),
        };
        self.output.out(line);
    }
}

/// An [`Ack`] that logs what it sends.
#[derive(Debug)]
pub(crate) struct Reply {
    ack: Ack,
    socket: Socket,
    name: EventName,
    log: State<EventLog>,
}

impl FromContext<OnEvent> for Reply {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(Self {
            ack: <Ack as FromContext<OnEvent>>::from_context(context)?,
            socket: context.socket().clone(),
            name: <EventName as FromContext<OnEvent>>::from_context(context)?,
            log: <State<EventLog> as FromContext<OnEvent>>::from_context(context)?,
        })
    }
}

impl Reply {
    /// Returns whether the client asked for an acknowledgement.
    pub(crate) fn is_wanted(&self) -> bool {
        self.ack.is_wanted()
    }

    /// Sends the acknowledgement, like [`Ack::send`].
    pub(crate) fn send<T: Serialize>(&self, args: T) -> Result<(), EmitError> {
        self.send_args(&Args::from_serialize(&args)?)
    }

    /// Sends the acknowledgement with received arguments, like [`Ack::send_args`].
    pub(crate) fn send_args(&self, args: &Args) -> Result<(), EmitError> {
        if self.is_wanted() {
            let name = &self.name.0;
            self.log.write(&self.socket, What::Answer { name, args });
        }
        self.ack.send_args(args)
    }
}

/// Formats the time of day in UTC, of a time since 1970.
pub(crate) fn clock(now: Duration) -> String {
    let seconds = now.as_secs() % 86_400;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!(
        "{hours:02}:{minutes:02}:{seconds:02}.{:03}Z",
        now.subsec_millis()
    )
}

/// Formats a text line.
fn text(now: Duration, namespace: &str, socket: SocketId, what: What<'_>, paint: Paint) -> String {
    let time = clock(now);
    let id = socket.as_str();
    let short = id.get(..SHORT_ID).unwrap_or(id);
    let (sign, who) = match what {
        What::Connect { .. } => (paint.green("+"), short),
        What::Disconnect { .. } => (paint.yellow("-"), short),
        What::Refuse { .. } | What::Fail { .. } => (paint.red("!"), short),
        What::Receive { .. } => (paint.cyan("→"), short),
        What::Answer { .. } | What::Send { to: To::Sender, .. } => (paint.magenta("←"), short),
        What::Send { to, .. } => (paint.magenta("←"), to.name()),
    };
    let who = paint.by_id(id, &format!("{who:SHORT_ID$}"));
    let mut line = format!("{}  {sign}  {namespace:8}  {who}  ", paint.dim(&time));

    let write_event = |line: &mut String, name: &str, args: &Args| {
        line.push_str(&paint.bold(&escape::name(name)));
        if !args.is_empty() {
            line.push(' ');
            line.push_str(&escape::args(args));
        }
    };
    // Writing to a string cannot fail.
    let _ = match what {
        What::Connect { transport, address } => {
            write!(line, "connected by {} from {address}", transport.as_str())
        }
        What::Refuse { message } => write!(line, "refused: {}", escape::text(message)),
        What::Disconnect {
            reason,
            transport,
            lasted,
        } => {
            let seconds = lasted.as_secs_f64();
            write!(
                line,
                "disconnected: {reason} ({}, {seconds:.1} s)",
                transport.as_str()
            )
        }
        What::Receive {
            name,
            args,
            wants_ack,
        } => {
            write_event(&mut line, name, args);
            line.push_str(&if wants_ack {
                paint.dim(" (ack)")
            } else {
                String::new()
            });
            Ok(())
        }
        What::Answer { name, args } => {
            line.push_str(&paint.dim("ack of "));
            write_event(&mut line, name, args);
            Ok(())
        }
        What::Send { name, args, .. } => {
            write_event(&mut line, name, args);
            Ok(())
        }
        What::Fail { message } => write!(line, "{}", escape::text(message)),
    };
    line
}

impl To {
    fn name(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Room => "room",
            Self::Others => "others",
            Self::All => "all",
        }
    }
}

/// A line as JSON, without fields that do not apply.
#[derive(Serialize)]
struct Record<'a> {
    event: &'static str,
    /// Milliseconds since 1970.
    time: u64,
    namespace: &'a str,
    socket: SocketId,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<To>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The arguments, with `<3 bytes>` for binary data.
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Vec<serde_json::Value>>,
    /// The beginning of arguments that are too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    args_cut: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ack: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn json(now: Duration, namespace: &str, socket: SocketId, what: What<'_>) -> String {
    let blank = Record {
        event: "",
        time: millis(now),
        namespace,
        socket,
        to: None,
        name: None,
        args: None,
        args_cut: None,
        ack: None,
        transport: None,
        address: None,
        reason: None,
        ms: None,
        message: None,
    };
    let record = match what {
        What::Connect { transport, address } => Record {
            event: "connect",
            transport: Some(transport.as_str()),
            address: Some(address),
            ..blank
        },
        What::Refuse { message } => Record {
            event: "refuse",
            message: Some(escape::text(message)),
            ..blank
        },
        What::Disconnect {
            reason,
            transport,
            lasted,
        } => Record {
            event: "disconnect",
            transport: Some(transport.as_str()),
            reason: Some(reason.as_str()),
            ms: Some(millis(lasted)),
            ..blank
        },
        What::Receive {
            name,
            args,
            wants_ack,
        } => Record {
            event: "receive",
            ack: Some(wants_ack),
            ..blank.event(name, args)
        },
        What::Answer { name, args } => Record {
            event: "answer",
            ..blank.event(name, args)
        },
        What::Send { to, name, args } => Record {
            event: "send",
            to: Some(to),
            ..blank.event(name, args)
        },
        What::Fail { message } => Record {
            event: "fail",
            message: Some(escape::text(message)),
            ..blank
        },
    };
    json_line(&record)
}

/// Formats an object as one line of JSON.
pub(crate) fn json_line(object: &impl Serialize) -> String {
    let line = serde_json::to_string(object)
        .unwrap_or_else(|error| format!("{{\"event\":\"fail\",\"message\":\"{error}\"}}"));
    escape::json(&line)
}

impl Record<'_> {
    /// Adds an event. The name is cut but not escaped, because JSON does that.
    fn event(mut self, name: &str, args: &Args) -> Self {
        self.name = Some(name.chars().take(escape::MAX_SHOWN).collect());
        let is_short = args.json().len() <= MAX_JSON_BYTES;
        self.args = is_short
            .then(|| args.to_values().ok())
            .flatten()
            .map(|args| args.iter().map(json_value).collect());
        self.args_cut = self.args.is_none().then(|| escape::args(args));
        self
    }
}

fn json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Binary(bytes) => format!("<{} bytes>", bytes.len()).into(),
        Value::Array(elements) => elements.iter().map(json_value).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, member)| (key.clone(), json_value(member)))
            .collect(),
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => number.clone().into(),
        Value::String(text) => text.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use kokanee::bytes::Bytes;

    use super::*;

    const NOW: Duration = Duration::from_millis(1_700_000_000_123);

    fn socket() -> SocketId {
        "AbCdEf0123456789_-xy".parse().expect("an id")
    }

    fn plain(what: What<'_>) -> String {
        text(NOW, "/", socket(), what, Paint(false))
    }

    fn args<T: Serialize>(value: T) -> Args {
        Args::from_serialize(&value).expect("it can be encoded")
    }

    #[test]
    fn a_line_has_time_direction_namespace_socket_and_event() {
        let line = plain(What::Receive {
            name: "echo",
            args: &args(("hi", Bytes::from_static(b"abc"))),
            wants_ack: true,
        });
        assert_eq!(
            line,
            r#"22:13:20.123Z  →  /         AbCdEf  echo "hi", <3 bytes> (ack)"#
        );
        let line = plain(What::Send {
            to: To::All,
            name: "chat message",
            args: &args("hi"),
        });
        assert_eq!(
            line,
            r#"22:13:20.123Z  ←  /         all     chat message "hi""#
        );
    }

    #[test]
    fn clients_cannot_write_lines_or_colours() {
        let evil = "x\r\n22:13:20.123Z  +  /  \u{1b}[31m\u{202e}";
        for what in [
            What::Receive {
                name: evil,
                args: &args((evil, [evil])),
                wants_ack: false,
            },
            What::Fail { message: evil },
            What::Refuse { message: evil },
        ] {
            for line in [plain(what), json(NOW, "/", socket(), what)] {
                assert!(
                    !line.contains(|c: char| c.is_control() || c == '\u{202e}'),
                    "{line:?}"
                );
            }
        }
    }

    #[test]
    fn long_arguments_are_cut() {
        let long = args("x".repeat(10_000));
        let what = What::Answer {
            name: "echo",
            args: &long,
        };
        assert!(plain(what).chars().count() < 200);
        let record: serde_json::Value =
            serde_json::from_str(&json(NOW, "/", socket(), what)).expect("JSON");
        assert_eq!(record.get("args"), None);
        assert_eq!(
            record["args_cut"].as_str().map(|cut| cut.chars().count()),
            Some(escape::MAX_SHOWN + 1)
        );
    }

    #[test]
    fn a_json_line_has_what_is_known() {
        let what = What::Receive {
            name: "\u{9b}1m",
            args: &args((1, Bytes::from_static(b"abc"))),
            wants_ack: false,
        };
        assert_eq!(
            json(NOW, "/private", socket(), what),
            r#"{"event":"receive","time":1700000000123,"namespace":"/private","socket":"AbCdEf0123456789_-xy","name":"\u009b1m","args":[1,"<3 bytes>"],"ack":false}"#
        );
    }

    #[test]
    fn colours_are_only_used_when_asked_for() {
        let what = What::Disconnect {
            reason: DisconnectReason::ClientNamespaceDisconnect,
            transport: Transport::Polling,
            lasted: Duration::from_millis(4321),
        };
        let line = plain(what);
        assert!(
            !line.contains('\u{1b}')
                && line.ends_with("disconnected: client namespace disconnect (polling, 4.3 s)")
        );
        assert!(text(NOW, "/", socket(), what, Paint(true)).contains("\u{1b}["));
    }
}
