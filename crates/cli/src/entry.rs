//! Log lines of a client, as text or JSON: the log of `connect` and the output of `listen`.
//!
//! → is sent to the server, ← is received from it, as seen by the client.

use std::{fmt::Write, time::Duration};

use kokanee::Args;
use serde::Serialize;

use crate::{
    escape,
    log::{clock, json_line, millis},
    paint::Paint,
    pretty::compact,
    value::to_json,
};

/// Characters of arguments in a text line; the rest is cut.
const MAX_SHOWN: usize = 2000;

/// Something that happened in a namespace.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Since 1970.
    pub(crate) time: Duration,
    pub(crate) namespace: String,
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// The namespace accepted this client.
    Connect {
        id: String,
        transport: &'static str,
        recovered: bool,
    },
    /// The connection moved to another transport.
    Upgrade { transport: &'static str },
    /// The namespace was left, or the connection lost.
    Disconnect { reason: String },
    /// The connection failed.
    Error {
        message: String,
        data: Option<serde_json::Value>,
    },
    /// An attempt to reconnect.
    Reconnecting { attempt: u32 },
    /// An event was received. `ack` is the number to acknowledge it by.
    Receive {
        name: String,
        args: Args,
        ack: Option<u64>,
    },
    /// An event was sent. `ack` is the number that its acknowledgement will have.
    Send {
        name: String,
        args: Args,
        ack: Option<u64>,
    },
    /// An acknowledgement was received.
    Answer {
        name: String,
        number: u64,
        args: Args,
        elapsed: Duration,
    },
    /// An event was acknowledged by this client.
    Answered { number: u64, args: Args },
    /// No acknowledgement was received, or an event could not be sent.
    Failure { name: String, reason: String },
}

impl Entry {
    /// Returns the line as text.
    pub(crate) fn text(&self, paint: Paint) -> String {
        let (sign, text) = self.parts(paint);
        format!(
            "{}  {sign}  {}  {text}",
            paint.dim(&clock(self.time)),
            paint.by_id(
                &self.namespace,
                &format!("{:8}", escape::text(&self.namespace))
            )
        )
    }

    /// Returns the leading sign, and the text.
    fn parts(&self, paint: Paint) -> (String, String) {
        match &self.what {
            What::Connect {
                id,
                transport,
                recovered,
            } => {
                let how = if *recovered { "recovered" } else { "connected" };
                let text = format!("{how} by {transport} as {}", escape::name(id));
                (paint.green("+"), text)
            }
            What::Upgrade { transport } => (paint.green("+"), format!("upgraded to {transport}")),
            What::Disconnect { reason } => {
                let text = format!("disconnected: {}", escape::text(reason));
                (paint.yellow("-"), text)
            }
            What::Error { message, data } => {
                let mut text = paint.red(&cut(&escape::lines(message).replace('\n', " ")));
                if let Some(data) = data {
                    text.push(' ');
                    text.push_str(&compact(data, paint));
                }
                (paint.red("!"), text)
            }
            What::Reconnecting { attempt } => (
                paint.yellow("…"),
                paint.dim(&format!("reconnecting, attempt {attempt}")),
            ),
            What::Receive { name, args, ack } => {
                let mut text = event(name, args, paint);
                if let Some(number) = ack {
                    text.push_str(&paint.yellow(&format!("  (asks for an ack: /ack {number})")));
                }
                (paint.cyan("←"), text)
            }
            What::Send { name, args, ack } => {
                let mut text = event(name, args, paint);
                if let Some(number) = ack {
                    text.push_str(&paint.dim(&format!("  (ack {number})")));
                }
                (paint.magenta("→"), text)
            }
            What::Answer {
                name,
                number,
                args,
                elapsed,
            } => {
                let time = elapsed.as_secs_f64() * 1000.0;
                let head = format!("ack {number} of {} after {time:.1} ms:", escape::name(name));
                (
                    paint.cyan("←"),
                    format!("{} {}", paint.dim(&head), shown(args, paint)),
                )
            }
            What::Answered { number, args } => {
                let head = paint.dim(&format!("answer to {number}:"));
                (paint.magenta("→"), format!("{head} {}", shown(args, paint)))
            }
            What::Failure { name, reason } => {
                let text = format!("{}: {}", escape::name(name), escape::text(reason));
                (paint.red("!"), paint.red(&text))
            }
        }
    }

    /// Returns the line as JSON.
    pub(crate) fn json(&self) -> String {
        json_line(&self.record())
    }

    fn record(&self) -> Record<'_> {
        let blank = Record {
            time: millis(self.time),
            namespace: &self.namespace,
            ..Record::default()
        };
        match &self.what {
            What::Connect {
                id,
                transport,
                recovered,
            } => Record {
                event: "connect",
                id: Some(id),
                transport: Some(transport),
                recovered: Some(*recovered),
                ..blank
            },
            What::Upgrade { transport } => Record {
                event: "upgrade",
                transport: Some(transport),
                ..blank
            },
            What::Disconnect { reason } => Record {
                event: "disconnect",
                reason: Some(reason),
                ..blank
            },
            What::Error { message, data } => Record {
                event: "error",
                reason: Some(message),
                data: data.as_ref(),
                ..blank
            },
            What::Reconnecting { attempt } => Record {
                event: "reconnecting",
                attempt: Some(*attempt),
                ..blank
            },
            What::Receive { name, args, ack } => Record {
                event: "receive",
                name: Some(name),
                args: Some(values(args)),
                ack: *ack,
                ..blank
            },
            What::Send { name, args, ack } => Record {
                event: "send",
                name: Some(name),
                args: Some(values(args)),
                ack: *ack,
                ..blank
            },
            What::Answer {
                name,
                number,
                args,
                elapsed,
            } => Record {
                event: "answer",
                name: Some(name),
                args: Some(values(args)),
                ack: Some(*number),
                ms: Some(elapsed.as_secs_f64() * 1000.0),
                ..blank
            },
            What::Answered { number, args } => Record {
                event: "answered",
                args: Some(values(args)),
                ack: Some(*number),
                ..blank
            },
            What::Failure { name, reason } => Record {
                event: "failure",
                name: Some(name),
                reason: Some(reason),
                ..blank
            },
        }
    }
}

/// Converts arguments to JSON. If that fails, the result is their source as one string.
pub(crate) fn values(args: &Args) -> Vec<serde_json::Value> {
    match args.to_values() {
        Ok(values) => values.iter().map(to_json).collect(),
        Err(_) => vec![args.json().into()],
    }
}

fn event(name: &str, args: &Args, paint: Paint) -> String {
    let mut text = paint.bold(&escape::name(name));
    if !args.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(text, " {}", shown(args, paint));
    }
    text
}

fn shown(args: &Args, paint: Paint) -> String {
    let values = values(args);
    let join = |paint| {
        let shown: Vec<_> = values.iter().map(|value| compact(value, paint)).collect();
        shown.join(", ")
    };
    let plain = join(Paint(false));
    if plain.chars().count() > MAX_SHOWN {
        cut(&plain)
    } else {
        join(paint)
    }
}

fn cut(text: &str) -> String {
    let mut rest = text.chars();
    let mut shown: String = rest.by_ref().take(MAX_SHOWN).collect();
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

/// The JSON of an entry, without fields that do not apply.
#[derive(Default, Serialize)]
struct Record<'a> {
    event: &'static str,
    /// Milliseconds since 1970.
    time: u64,
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Vec<serde_json::Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ack: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use kokanee::bytes::Bytes;

    use super::*;

    fn entry(what: What) -> Entry {
        Entry {
            time: Duration::from_millis(1_700_000_000_123),
            namespace: "/".to_owned(),
            what,
        }
    }

    fn args<T: Serialize>(value: T) -> Args {
        Args::from_serialize(&value).expect("it can be encoded")
    }

    fn text(what: What) -> String {
        entry(what).text(Paint(false))
    }

    #[test]
    fn a_line_has_time_direction_namespace_and_event() {
        let sent = What::Send {
            name: "chat message".to_owned(),
            args: args(("hi", Bytes::from_static(b"abc"))),
            ack: Some(3),
        };
        assert_eq!(
            text(sent),
            r#"22:13:20.123Z  →  /         chat message "hi", <3 bytes: 61 62 63>  (ack 3)"#
        );
        let answer = What::Answer {
            name: "echo".to_owned(),
            number: 3,
            args: args(1),
            elapsed: Duration::from_micros(1250),
        };
        assert_eq!(
            text(answer),
            "22:13:20.123Z  ←  /         ack 3 of echo after 1.2 ms: 1"
        );
    }

    #[test]
    fn a_json_line_loses_nothing() {
        let received = What::Receive {
            name: "up".to_owned(),
            args: args((1, Bytes::from_static(&[1, 2, 3]))),
            ack: None,
        };
        assert_eq!(
            entry(received).json(),
            r#"{"event":"receive","time":1700000000123,"namespace":"/","name":"up","args":[1,{"_binary":"AQID"}]}"#
        );
    }

    #[test]
    fn servers_cannot_write_lines_or_colours() {
        let evil = "x\r\n\u{1b}[31m\u{202e}".to_owned();
        let all = [
            What::Connect {
                id: evil.clone(),
                transport: "websocket",
                recovered: true,
            },
            What::Disconnect {
                reason: evil.clone(),
            },
            What::Error {
                message: evil.clone(),
                data: Some(evil.clone().into()),
            },
            What::Receive {
                name: evil.clone(),
                args: args(&evil),
                ack: None,
            },
            What::Failure {
                name: evil.clone(),
                reason: evil,
            },
        ];
        for what in all {
            for line in [text(what.clone()), entry(what).json()] {
                let is_bad = |c: char| c.is_control() || c == '\u{202e}';
                assert!(!line.contains(is_bad), "{line:?}");
            }
        }
    }
}
