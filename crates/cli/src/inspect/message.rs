//! Decodes Socket.IO packets with the library, and locates their errors.
//!
//! Spec: Socket.IO protocol v5, "Packet encoding".

use kokanee::bytes::Bytes;
use kokanee_engineio::{Message, Str};
use kokanee_socketio::{
    AckId, Args, DecodeError, Decoder, DecoderLimits, Packet, ParserKind, is_reserved_event_name,
};
use serde::de::{Deserialize, IgnoredAny};

use super::record::MessageRecord;
use crate::value::to_json;

/// Larger than the limits of any server, so that every captured packet can be shown; what is valid is as in the protocol.
const LIMITS: DecoderLimits = DecoderLimits {
    max_attachments: 100_000,
    max_attachment_bytes: 1 << 30,
    max_depth: kokanee_socketio::MAX_DEPTH,
    max_namespace_bytes: 1 << 20,
    any_auth: false,
};

/// Decodes the messages of one direction.
#[derive(Debug)]
pub(crate) struct Messages {
    parser: ParserKind,
    decoder: Decoder,
    pending: Option<PendingAttachments>,
}

/// The attachments of a packet that have not all arrived.
#[derive(Debug)]
struct PendingAttachments {
    announced: usize,
    arrived: usize,
}

/// An error in a message, and at which of its bytes it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MessageFault {
    pub(crate) at: usize,
    pub(crate) reason: String,
}

impl Messages {
    pub(crate) fn new(parser: ParserKind) -> Self {
        Self {
            parser,
            decoder: Decoder::new(parser, LIMITS),
            pending: None,
        }
    }

    /// Stops waiting for attachments. Returns an error text if some are missing.
    pub(crate) fn take_missing(&mut self) -> Option<String> {
        let PendingAttachments { announced, arrived } = self.pending.take()?;
        self.decoder = Decoder::new(self.parser, LIMITS);
        let missing = announced - arrived;
        Some(format!(
            "{missing} of {announced} announced attachments are missing here"
        ))
    }

    pub(crate) fn on_text(&mut self, text: &Str) -> Result<MessageRecord, MessageFault> {
        let decoded = self.decoder.decode(Message::Text(text.clone()));
        let head = Head::read(text);
        if let Err(error) = decoded {
            return Err(locate(text, &head, &error));
        }
        let attachments = head.count.filter(|_| self.decoder.is_waiting());
        self.pending = attachments.map(|announced| PendingAttachments {
            announced,
            arrived: 0,
        });
        Ok(head.describe(text, attachments))
    }

    pub(crate) fn on_binary(&mut self, bytes: Bytes) -> Result<MessageRecord, MessageFault> {
        let decoded = self.decoder.decode(Message::Binary(bytes));
        if let Some(PendingAttachments { announced, arrived }) = &mut self.pending {
            *arrived += 1;
            let part = Some((*arrived, *announced));
            if arrived == announced {
                self.pending = None;
            }
            return match decoded {
                Ok(_) => Ok(MessageRecord {
                    part,
                    ..MessageRecord::of("attachment")
                }),
                Err(DecodeError::IllegalPlaceholder) => Err(MessageFault {
                    at: 0,
                    reason: "this is the last attachment, but a placeholder of the packet refers to one that does not exist"
                        .to_owned(),
                }),
                Err(error) => Err(MessageFault { at: 0, reason: error.to_string() }),
            };
        }
        match decoded {
            Ok(Some(packet)) => Ok(describe_msgpack(&packet)),
            // Unreachable: with an attachment outstanding, `pending` is set.
            Ok(None) => Ok(MessageRecord::of("attachment")),
            Err(DecodeError::UnexpectedBinary) => Err(MessageFault {
                at: 0,
                reason:
                    "no packet announced an attachment; use --parser msgpack to decode bytes as packets"
                        .to_owned(),
            }),
            Err(error) => Err(MessageFault {
                at: 0,
                reason: error.to_string(),
            }),
        }
    }
}

/// The head of a text packet, as far as it can be parsed, with the positions of its parts.
#[derive(Debug)]
struct Head<'a> {
    digit: Option<u8>,
    /// Number of announced attachments.
    count: Option<usize>,
    namespace: Option<&'a str>,
    id: Option<u64>,
    id_at: usize,
    payload: usize,
}

impl<'a> Head<'a> {
    fn read(text: &'a str) -> Self {
        let digits = |at: usize| {
            let rest = text.get(at..).unwrap_or_default();
            at + rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len()
        };
        let digit = text.bytes().next();
        let mut at = text.chars().next().map_or(0, char::len_utf8);
        let mut count = None;
        if matches!(digit, Some(b'5' | b'6')) {
            let end = digits(at);
            if text[end..].starts_with('-') {
                count = text[at..end].parse().ok();
                at = end + 1;
            }
        }
        let mut namespace = None;
        if text[at..].starts_with('/') {
            let (name, _) = text[at..]
                .split_once(',')
                .unwrap_or_else(|| (&text[at..], ""));
            namespace = Some(name);
            at = (at + name.len() + 1).min(text.len());
        }
        let payload = digits(at);
        Self {
            digit,
            count,
            namespace,
            id: text[at..payload].parse().ok(),
            id_at: at,
            payload,
        }
    }

    fn kind(&self) -> &'static str {
        match self.digit {
            Some(b'0') => "connect",
            Some(b'1') => "disconnect",
            Some(b'2') => "event",
            Some(b'3') => "ack",
            Some(b'4') => "connect_error",
            Some(b'5') => "binary_event",
            _ => "binary_ack",
        }
    }

    /// Returns the record of a packet that the library accepts.
    fn describe(&self, text: &str, attachments: Option<usize>) -> MessageRecord {
        let json = text.get(self.payload..).unwrap_or_default();
        let value = parse(json);
        let blank = MessageRecord {
            namespace: Some(self.namespace.unwrap_or("/").to_owned()),
            ack: self.id,
            attachments,
            ..MessageRecord::of(self.kind())
        };
        match (self.digit, value) {
            (_, None) if json.is_empty() => blank,
            // The library accepts it, but `serde_json::Value` cannot represent it, such as half a surrogate pair.
            (_, None) => MessageRecord {
                data: Some(json.into()),
                ..blank
            },
            (Some(b'2' | b'5'), Some(serde_json::Value::Array(mut args))) if !args.is_empty() => {
                let name = match args.remove(0) {
                    serde_json::Value::String(name) => name,
                    number => number.to_string(),
                };
                MessageRecord {
                    event: Some(name),
                    args: Some(args),
                    ..blank
                }
            }
            (Some(b'3' | b'6'), Some(serde_json::Value::Array(args))) => MessageRecord {
                args: Some(args),
                ..blank
            },
            (_, data) => MessageRecord { data, ..blank },
        }
    }
}

/// Parses JSON without a limit of depth: the library has its own.
fn parse(json: &str) -> Option<serde_json::Value> {
    let mut parser = serde_json::Deserializer::from_str(json);
    parser.disable_recursion_limit();
    serde_json::Value::deserialize(&mut parser).ok()
}

fn describe_msgpack(packet: &Packet) -> MessageRecord {
    let values = |args: &Args| {
        let values = args.to_values().ok()?;
        Some(values.iter().map(to_json).collect())
    };
    let json = |text: &Option<Str>| text.as_ref().and_then(|text| parse(text));
    let blank = |kind: &'static str, namespace: &Str| MessageRecord {
        namespace: Some(namespace.to_string()),
        ..MessageRecord::of(kind)
    };
    let number = |id: &AckId| id.0;
    match packet {
        Packet::Connect { namespace, auth } => MessageRecord {
            data: json(auth),
            ..blank("connect", namespace)
        },
        Packet::Disconnect { namespace } => blank("disconnect", namespace),
        Packet::Event {
            namespace,
            id,
            event,
        } => MessageRecord {
            ack: id.as_ref().map(number),
            event: Some(event.name().to_owned()),
            args: values(event.args()),
            ..blank("event", namespace)
        },
        Packet::Ack {
            namespace,
            id,
            args,
        } => MessageRecord {
            ack: Some(number(id)),
            args: values(args),
            ..blank("ack", namespace)
        },
        Packet::ConnectError { namespace, data } => MessageRecord {
            data: json(data),
            ..blank("connect_error", namespace)
        },
    }
}

/// Finds the byte that causes an error of the library.
fn locate(text: &str, head: &Head<'_>, error: &DecodeError) -> MessageFault {
    let (at, reason) = match error {
        DecodeError::Empty => (0, "the message is empty: a Socket.IO packet starts with its type".to_owned()),
        DecodeError::UnknownPacketType { .. } => (
            0,
            "a Socket.IO packet starts with its type, a digit from 0 to 6; use --engine-io to show messages undecoded"
                .to_owned(),
        ),
        DecodeError::IllegalAttachmentCount => (
            1,
            "expected the number of attachments (at least 1) and a `-` after the type of a binary packet"
                .to_owned(),
        ),
        DecodeError::TooManyAttachments { max } => (1, format!("more than {max} attachments")),
        DecodeError::InvalidAckId => (
            head.id_at,
            format!("the id of an acknowledgement is at most {}", i64::MAX),
        ),
        DecodeError::InvalidPayload => locate_in_payload(text, head),
        DecodeError::TooDeep { max } => (too_deep(text, head.payload, *max), error.to_string()),
        DecodeError::TextInsteadOfMsgpack => (0, "expected msgpack, found text".to_owned()),
        other => (0, other.to_string()),
    };
    MessageFault { at, reason }
}

fn locate_in_payload(text: &str, head: &Head<'_>) -> (usize, String) {
    let start = head.payload;
    let json = text.get(start..).unwrap_or_default();
    let first = json.bytes().next();
    let kind = head.kind();
    let wrong = |reason: String| (start, reason);
    match head.digit {
        Some(b'3' | b'6') if head.id.is_none() => {
            return wrong("the id of the acknowledgement is missing here".to_owned());
        }
        Some(b'0' | b'1' | b'4') if head.id.is_some() => {
            return (head.id_at, format!("a {kind} packet cannot have an id"));
        }
        Some(b'1') => return wrong("a disconnect packet must end here".to_owned()),
        Some(b'2' | b'3' | b'5' | b'6') if first != Some(b'[') => {
            let what = if kind.ends_with("event") {
                "expected a JSON array with the event's name"
            } else {
                "expected a JSON array"
            };
            return wrong(what.to_owned());
        }
        Some(b'0') if first != Some(b'{') => {
            return wrong("expected a JSON object or the end of the packet".to_owned());
        }
        Some(b'4') if !matches!(first, Some(b'{' | b'"')) => {
            return wrong("expected a JSON object or string".to_owned());
        }
        _ => {}
    }
    if let Err(error) = check_json(json) {
        let reason = error.to_string();
        let reason = match reason.split(" at line ").next().unwrap_or_default() {
            "expected value" => "expected a value",
            "expected ident" => "expected true, false or null",
            other => other,
        };
        return (start + position(json, &error), reason.to_owned());
    }
    // The JSON is valid, so the error is in the name.
    let name_at = start + 1 + json[1..].len() - json[1..].trim_start().len();
    match parse(json).as_ref().and_then(|value| value.get(0)) {
        None => (name_at, "the event's name is missing here".to_owned()),
        Some(serde_json::Value::String(name)) if is_reserved_event_name(name) => (
            name_at,
            format!("{name:?} is reserved and cannot be the name of an event"),
        ),
        Some(serde_json::Value::String(_)) => wrong("invalid payload".to_owned()),
        Some(_) => (name_at, "the event's name must be a string".to_owned()),
    }
}

fn check_json(json: &str) -> Result<(), serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_str(json);
    parser.disable_recursion_limit();
    IgnoredAny::deserialize(&mut parser)?;
    parser.end()
}

/// Returns the position of an error in bytes.
fn position(json: &str, error: &serde_json::Error) -> usize {
    if error.is_eof() {
        return json.len();
    }
    let lines = json
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1));
    let before: usize = lines.map(str::len).sum();
    before + error.column().saturating_sub(1)
}

/// Returns the position where JSON is nested deeper than `max`.
fn too_deep(text: &str, start: usize, max: usize) -> usize {
    let mut depth = 0;
    let mut in_string = false;
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > max {
                    return at;
                }
            }
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (usize, String) {
        let decoded = Messages::new(ParserKind::Default).on_text(&Str::from(text));
        let fault = decoded.expect_err(text);
        (fault.at, fault.reason)
    }

    #[test]
    fn the_position_of_an_error_is_found() {
        for (text, at, reason) in [
            ("", 0, "empty"),
            ("9[]", 0, "0 to 6"),
            ("é", 0, "0 to 6"),
            ("5[\"a\"]", 1, "number of attachments"),
            ("50-[\"a\"]", 1, "number of attachments"),
            ("2/ns,99999999999999999999[\"a\"]", 5, "at most"),
            ("2", 1, "array"),
            ("2{\"a\":1}", 1, "array"),
            ("2[]", 2, "name is missing"),
            ("2[ ]", 3, "name is missing"),
            ("2[{}]", 2, "must be a string"),
            ("2[\"connect\"]", 2, "reserved"),
            ("2[\"a\",]", 6, "expected a value"),
            ("2[\"a\",{\"b\":tru}]", 14, "true, false or null"),
            ("2[\"a\"", 5, "EOF"),
            ("2[\"a\"\n,}", 7, "expected a value"),
            ("3[]", 1, "id of the acknowledgement"),
            ("31{}", 2, "array"),
            ("01", 1, "cannot have an id"),
            ("0[]", 1, "object"),
            ("0{\"a\"}", 5, "expected `:`"),
            ("1{}", 1, "must end here"),
            ("45", 1, "cannot have an id"),
            ("4true", 1, "object or string"),
        ] {
            let (found, why) = fault(text);
            assert!(why.contains(reason), "{text}: {why}");
            assert_eq!(found, at, "{text}: {why}");
        }
    }

    #[test]
    fn the_position_of_too_deep_json_is_found() {
        let deep = format!("2[\"a]\\\"\",{}", "[".repeat(600));
        assert_eq!(fault(&deep).0, 1 + 512 + "\"a]\\\"\",".len());
    }

    #[test]
    fn parts_of_a_packet_are_separated() {
        let mut messages = Messages::new(ParserKind::Default);
        let text = r#"51-/admin,12["up",{"_placeholder":true,"num":0}]"#;
        let record = messages.on_text(&Str::from(text)).expect("a packet");
        assert_eq!(record.kind, "binary_event");
        assert_eq!(record.namespace.as_deref(), Some("/admin"));
        assert_eq!((record.ack, record.attachments), (Some(12), Some(1)));
        assert_eq!(record.event.as_deref(), Some("up"));
        let record = messages
            .on_binary(Bytes::from_static(b"abc"))
            .expect("an attachment");
        assert_eq!(record.part, Some((1, 1)));
        assert_eq!(messages.take_missing(), None);
    }

    #[test]
    fn missing_attachments_are_missed() {
        let mut messages = Messages::new(ParserKind::Default);
        let text = r#"52-["up",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
        messages.on_text(&Str::from(text)).expect("a packet");
        messages.on_binary(Bytes::new()).expect("an attachment");
        let missing = messages.take_missing().expect("one is missing");
        assert!(missing.starts_with("1 of 2"), "{missing}");
        messages
            .on_text(&Str::from("2[\"a\"]"))
            .expect("all is forgotten");
    }

    #[test]
    fn every_error_of_the_library_has_a_position() {
        // Every text of up to four characters of the packets' alphabet.
        let alphabet = [
            "0", "1", "2", "3", "5", "-", "/", ",", "[", "]", "\"", "{", "é",
        ];
        let mut texts = vec![String::new()];
        for _ in 0..4 {
            let longer: Vec<_> = texts
                .iter()
                .flat_map(|text| alphabet.iter().map(move |c| format!("{text}{c}")))
                .collect();
            for text in &longer {
                let mut messages = Messages::new(ParserKind::Default);
                if let Err(fault) = messages.on_text(&Str::from(text.as_str())) {
                    assert!(fault.at <= text.len(), "{text}");
                    assert_ne!(fault.reason, "invalid payload", "{text}");
                }
            }
            texts = longer;
        }
    }
}
