//! Decodes frames, payloads and packets, layer by layer. Keeps the state for later input: fragments, compression, announced
//! attachments.

use kokanee::bytes::Bytes;
use kokanee_engineio::{DecodeError, Handshake, Message, Packet, PayloadDecoder, Revision, Str};
use kokanee_socketio::ParserKind;
use kokanee_websocket::{
    CloseFrame, Decoder as WebSocketDecoder, DeflateOptions, Limits, Message as Unpacked, OpCode,
    Role, apply_mask, encode_header,
};
use serde::de::{Deserialize, IgnoredAny};

use super::{
    fault::Fault,
    frame::Frame,
    message::Messages,
    record::{CloseRecord, Direction, HandshakeRecord, PacketRecord, Record},
};
use crate::value::base64;

/// The last layer that is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    Engineio,
    Socketio,
}

/// Where a piece of the input is from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Origin {
    pub(crate) line: Option<usize>,
    pub(crate) direction: Option<Direction>,
    /// Offset of the piece in the input or line.
    pub(crate) start: usize,
}

/// Decodes one input.
#[derive(Debug)]
pub(crate) struct Inspector {
    revision: Revision,
    layer: Layer,
    sent: Stream,
    received: Stream,
    records: Vec<Record>,
}

/// The state of one direction.
#[derive(Debug)]
struct Stream {
    messages: Messages,
    assembly: Option<Assembly>,
    inflater: WebSocketDecoder,
}

/// The fragments of a message.
#[derive(Debug)]
struct Assembly {
    opcode: OpCode,
    compressed: bool,
    content: Vec<u8>,
}

/// The content of a packet, and its position in the input.
#[derive(Clone, Copy)]
struct Content<'a> {
    bytes: &'a [u8],
    start: usize,
}

impl Content<'_> {
    fn fault(self, at: usize, reason: impl Into<String>) -> Fault {
        Fault::new(reason, self.bytes, at, self.start)
    }
}

impl Stream {
    fn new(parser: ParserKind) -> Self {
        // Keeps both contexts, which also decodes peers that keep none.
        let deflate = DeflateOptions {
            keep_own_context: true,
            keep_peer_context: true,
            ..DeflateOptions::default()
        };
        let limits = Limits {
            max_message_bytes: 1 << 30,
            ..Limits::default()
        };
        let inflater = match deflate.accept_answer(["permessage-deflate"]) {
            Ok(Some(agreement)) => WebSocketDecoder::with_deflate(Role::Client, limits, &agreement),
            _ => WebSocketDecoder::new(Role::Client, limits),
        };
        Self {
            messages: Messages::new(parser),
            assembly: None,
            inflater,
        }
    }

    /// Inflates a message.
    fn inflate(&mut self, opcode: OpCode, content: &[u8]) -> Result<Vec<u8>, String> {
        let header = encode_header(opcode, content.len(), None).compressed();
        let mut frame = [header.as_slice(), content].concat();
        let mut input = frame.as_mut_slice();
        match self.inflater.decode(&mut input) {
            Ok(Some(Unpacked::Text(text))) => Ok(text.as_bytes().to_vec()),
            Ok(Some(Unpacked::Binary(bytes))) => Ok(bytes.to_vec()),
            Ok(_) => Err("the compressed message is incomplete".to_owned()),
            Err(error) => Err(format!(
                "{error}; a message may refer to earlier ones, which must then be part of the input"
            )),
        }
    }
}

impl Inspector {
    pub(crate) fn new(revision: Revision, layer: Layer, parser: ParserKind) -> Self {
        Self {
            revision,
            layer,
            sent: Stream::new(parser),
            received: Stream::new(parser),
            records: Vec::new(),
        }
    }

    /// Takes the records that were found so far.
    pub(crate) fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// Handles the end of the input of this `length`: reports incomplete messages.
    pub(crate) fn finish(&mut self, origin: Origin, length: usize) {
        for direction in [Direction::Sent, Direction::Received] {
            let origin = Origin {
                direction: origin.direction.map(|_| direction),
                start: length,
                ..origin
            };
            let stream = self.stream(Some(direction));
            let fragments = stream
                .assembly
                .take()
                .map(|_| "the rest of a fragmented message is missing here".to_owned());
            let attachments = stream.messages.take_missing();
            for reason in fragments.into_iter().chain(attachments) {
                self.push_fault(origin, 0, Fault::new(reason, b"", 0, length));
            }
        }
    }

    fn stream(&mut self, direction: Option<Direction>) -> &mut Stream {
        match direction {
            Some(Direction::Sent) => &mut self.sent,
            Some(Direction::Received) | None => &mut self.received,
        }
    }

    fn push_fault(&mut self, origin: Origin, length: usize, fault: Fault) {
        self.records.push(Record {
            fault: Some(fault),
            ..Self::blank(origin, origin.start, length)
        });
    }

    fn blank(origin: Origin, offset: usize, length: usize) -> Record {
        Record {
            line: origin.line,
            direction: origin.direction,
            offset,
            length,
            ..Record::default()
        }
    }

    /// Decodes a long-polling body.
    pub(crate) fn payload(&mut self, body: &[u8], binary_form: bool, origin: Origin) {
        let mut packets =
            PayloadDecoder::new(self.revision, Bytes::copy_from_slice(body), binary_form);
        let mut start = 0;
        while let Some(packet) = packets.next() {
            match packet {
                Ok(packet) => {
                    let end = packets.offset();
                    let (from, to) = self.content_of(body, start, end, binary_form);
                    let content = Content {
                        bytes: &body[from..to],
                        start: origin.start + from,
                    };
                    let mut record = Self::blank(origin, origin.start + from, to - from);
                    self.describe_packet(packet, content, origin.direction, &mut record);
                    self.records.push(record);
                    start = end;
                }
                Err(error) => {
                    let (at, reason) = locate(&error, body);
                    let origin = Origin {
                        start: origin.start + start,
                        ..origin
                    };
                    let fault = Fault::new(reason, body, at, origin.start - start);
                    self.push_fault(origin, body.len() - start, fault);
                }
            }
        }
    }

    /// Returns the range of a packet's content, of a packet that the decoder found between `start` and `end`.
    fn content_of(
        &self,
        body: &[u8],
        start: usize,
        end: usize,
        binary_form: bool,
    ) -> (usize, usize) {
        if !self.revision.is_v3() {
            let is_last = end == body.len() && body.last() != Some(&0x1e);
            return (start, if is_last { end } else { end - 1 });
        }
        let mark = if binary_form { 0xff } else { b':' };
        let mut from = start;
        // The last length before the content: packets of length 0 were skipped.
        while let Some(length_end) = body[from..end].iter().position(|&byte| byte == mark) {
            let digits = &body[from..from + length_end];
            from += length_end + 1;
            if digits.iter().any(|digit| !matches!(digit, 0 | b'0')) {
                // The first byte of the binary form is a mark, not a digit.
                let is_zero = binary_form && digits.iter().skip(1).all(|&digit| digit == 0);
                if !is_zero {
                    break;
                }
            }
        }
        (from, end)
    }

    /// Decodes one packet in text form, the content of a text frame.
    pub(crate) fn packet(&mut self, text: &[u8], origin: Origin) {
        let record = Self::blank(origin, origin.start, text.len());
        let content = Content {
            bytes: text,
            start: origin.start,
        };
        let record = self.text_packet(content, record);
        self.records.push(record);
    }

    /// Decodes one Socket.IO packet as text, or as bytes: an attachment or msgpack.
    pub(crate) fn message(&mut self, message: &[u8], origin: Origin) {
        let mut record = Self::blank(origin, origin.start, message.len());
        let content = Content {
            bytes: message,
            start: origin.start,
        };
        let message = match Str::from_utf8(message) {
            Ok(text) => Message::Text(text),
            Err(_) => Message::Binary(Bytes::copy_from_slice(message)),
        };
        self.describe_message(&message, content, 0, origin.direction, &mut record);
        self.records.push(record);
    }

    fn text_packet(&mut self, content: Content<'_>, mut record: Record) -> Record {
        let text = match str::from_utf8(content.bytes) {
            Ok(text) => Str::from(text),
            Err(error) => {
                let at = error.valid_up_to();
                record.fault = Some(content.fault(at, "invalid UTF-8"));
                return record;
            }
        };
        match Packet::decode_text(self.revision, text) {
            Ok(packet) => self.describe_packet(packet, content, record.direction, &mut record),
            Err(error) => {
                let (at, reason) = locate(&error, content.bytes);
                record.fault = Some(content.fault(at, reason));
            }
        }
        record
    }

    /// Decodes consecutive WebSocket frames.
    pub(crate) fn frames(&mut self, bytes: &[u8], origin: Origin) {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let start = origin.start + at;
            let frame = match Frame::read(rest) {
                Ok(frame) => frame,
                Err(fault) => {
                    let fault = Fault::new(fault.reason, rest, fault.at, start);
                    self.push_fault(Origin { start, ..origin }, rest.len(), fault);
                    return;
                }
            };
            let by_mask = match frame.key {
                Some(_) => Direction::Sent,
                None => Direction::Received,
            };
            let origin = Origin {
                direction: Some(origin.direction.unwrap_or(by_mask)),
                start,
                ..origin
            };
            self.frame(&frame, rest, origin);
            at += frame.end;
        }
    }

    fn frame(&mut self, frame: &Frame, bytes: &[u8], origin: Origin) {
        let mut payload = bytes[frame.start..frame.end].to_vec();
        if let Some(key) = frame.key {
            apply_mask(&mut payload, key, 0);
        }
        let mut record = Self::blank(origin, origin.start, frame.end);
        record.frame = Some(frame.record());
        let start = origin.start + frame.start;
        let content = Content {
            bytes: &payload,
            start,
        };
        match frame.opcode {
            OpCode::Close => close_frame(content, &mut record),
            OpCode::Ping | OpCode::Pong => {}
            OpCode::Continuation => match self.stream(origin.direction).assembly.take() {
                None => {
                    let fault = Fault::new(
                        "this frame continues a message, but none was started",
                        bytes,
                        0,
                        origin.start,
                    );
                    record.fault = Some(fault);
                }
                Some(mut assembly) => {
                    assembly.content.extend_from_slice(&payload);
                    record = self.continue_message(assembly, frame.fin, start, record);
                }
            },
            opcode => {
                if self.stream(origin.direction).assembly.take().is_some() {
                    let reason = "a new message starts here, but the last one is incomplete";
                    record.fault = Some(Fault::new(reason, bytes, 0, origin.start));
                }
                let assembly = Assembly {
                    opcode,
                    compressed: frame.compressed,
                    content: payload,
                };
                record = self.continue_message(assembly, frame.fin, start, record);
            }
        }
        self.records.push(record);
    }

    /// Decodes the message if this was its last frame.
    fn continue_message(
        &mut self,
        assembly: Assembly,
        fin: bool,
        start: usize,
        mut record: Record,
    ) -> Record {
        let stream = self.stream(record.direction);
        if !fin {
            stream.assembly = Some(assembly);
            return record;
        }
        let mut bytes = assembly.content;
        if assembly.compressed {
            match stream.inflate(assembly.opcode, &bytes) {
                Ok(inflated) => bytes = inflated,
                Err(reason) => {
                    record.fault = Some(Fault::new(reason, &bytes, 0, start));
                    return record;
                }
            }
        }
        let content = Content {
            bytes: &bytes,
            start,
        };
        if assembly.opcode == OpCode::Text {
            return self.text_packet(content, record);
        }
        match Packet::decode_binary(self.revision, Bytes::copy_from_slice(&bytes)) {
            Ok(packet) => self.describe_packet(packet, content, record.direction, &mut record),
            Err(error) => {
                let (at, reason) = locate(&error, &bytes);
                record.fault = Some(content.fault(at, reason));
            }
        }
        record
    }

    /// Describes a packet, and the message in it.
    fn describe_packet(
        &mut self,
        packet: Packet,
        content: Content<'_>,
        direction: Option<Direction>,
        record: &mut Record,
    ) {
        let mut shown = PacketRecord {
            kind: packet.kind().to_string(),
            revision: if self.revision.is_v3() { 3 } else { 4 },
            handshake: None,
            text: None,
            base64: None,
        };
        match packet {
            Packet::Open(json) => match Handshake::decode(&json) {
                Ok(handshake) => shown.handshake = Some(HandshakeRecord::from(handshake)),
                Err(error) => {
                    let (at, reason) = locate_in_json(&json, &error.to_string());
                    record.fault = Some(content.fault(1 + at, reason));
                }
            },
            Packet::Ping(data) | Packet::Pong(data) if !data.is_empty() => {
                shown.text = Some(data.to_string());
            }
            Packet::Message(message) => {
                match &message {
                    Message::Text(text) if self.layer == Layer::Engineio => {
                        shown.text = Some(text.to_string());
                    }
                    Message::Text(_) => {}
                    Message::Binary(bytes) => shown.base64 = Some(base64(bytes)),
                }
                if self.layer == Layer::Socketio {
                    let head = usize::from(matches!(message, Message::Text(_)));
                    self.describe_message(&message, content, head, direction, record);
                }
            }
            _ => {}
        }
        record.packet = Some(shown);
    }

    /// Describes a Socket.IO packet that starts `head` bytes after the start of `content`.
    fn describe_message(
        &mut self,
        message: &Message,
        content: Content<'_>,
        head: usize,
        direction: Option<Direction>,
        record: &mut Record,
    ) {
        let messages = &mut self.stream(direction).messages;
        let decoded = match message {
            Message::Text(text) => {
                if let Some(reason) = messages.take_missing() {
                    record.fault = Some(content.fault(0, reason));
                }
                messages.on_text(text)
            }
            Message::Binary(bytes) => messages.on_binary(bytes.clone()),
        };
        match decoded {
            Ok(message) => record.message = Some(message),
            Err(fault) => record.fault = Some(content.fault(head + fault.at, fault.reason)),
        }
    }
}

fn close_frame(content: Content<'_>, record: &mut Record) {
    match CloseFrame::decode(content.bytes) {
        Ok(close) => {
            if let Some(frame) = &mut record.frame {
                frame.close = close.map(|close| CloseRecord {
                    code: close.code.as_u16(),
                    reason: close.reason.to_owned(),
                });
            }
        }
        Err(error) => record.fault = Some(content.fault(0, error.to_string())),
    }
}

/// Returns the position of an Engine.IO error in `body`, and its text.
fn locate(error: &DecodeError, body: &[u8]) -> (usize, String) {
    match *error {
        DecodeError::EmptyPacket { offset } => (
            offset,
            "a packet is missing here: it starts with its type".to_owned(),
        ),
        DecodeError::UnknownType { offset, .. } => (
            offset,
            "a packet starts with its type: a digit from 0 to 6, or b before base64".to_owned(),
        ),
        DecodeError::InvalidBase64 { offset, size } => locate_in_base64(body, offset, size),
        DecodeError::InvalidUtf8 { offset } => (offset, "invalid UTF-8".to_owned()),
        DecodeError::InvalidLength { offset } => (
            offset,
            "expected the length of a packet, followed by a colon".to_owned(),
        ),
        DecodeError::LengthMismatch {
            announced,
            available,
            offset,
        } => (
            offset,
            format!("the length of this packet is {announced}, but only {available} bytes follow"),
        ),
        DecodeError::UnknownForm { offset, .. } => (
            offset,
            "expected the start of a packet: 0 (text) or 1 (binary)".to_owned(),
        ),
        DecodeError::BinaryBody { .. } => {
            (0, "binary bodies do not exist in revision 4".to_owned())
        }
    }
}

fn locate_in_base64(body: &[u8], offset: usize, size: usize) -> (usize, String) {
    let text = body.get(offset..offset + size).unwrap_or_default();
    let is_fine = |byte: u8| {
        byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte) || byte.is_ascii_whitespace()
    };
    let content = text.len() - text.iter().rev().take_while(|&&byte| byte == b'=').count();
    match text[..content].iter().position(|&byte| !is_fine(byte)) {
        Some(at) => (offset + at, "this is not a base64 character".to_owned()),
        None => (
            offset + text.len(),
            format!("base64 of {content} characters cannot end here"),
        ),
    }
}

/// Returns the position of an error in a handshake's JSON, if the JSON is invalid.
fn locate_in_json(json: &str, reason: &str) -> (usize, String) {
    let mut parser = serde_json::Deserializer::from_str(json);
    parser.disable_recursion_limit();
    let checked = IgnoredAny::deserialize(&mut parser).and_then(|_| parser.end());
    let reason = reason
        .split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned();
    match checked {
        Ok(()) => (0, reason),
        Err(error) if error.is_eof() => (json.len(), reason),
        Err(error) => (error.column().saturating_sub(1), reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspector(revision: Revision) -> Inspector {
        Inspector::new(revision, Layer::Socketio, ParserKind::Default)
    }

    fn payload(revision: Revision, body: &[u8], binary_form: bool) -> Vec<Record> {
        let mut inspector = inspector(revision);
        inspector.payload(body, binary_form, Origin::default());
        inspector.finish(Origin::default(), body.len());
        inspector.take_records()
    }

    /// Offset, length and what was found, in short.
    fn summary(records: &[Record]) -> Vec<String> {
        let describe = |record: &Record| {
            let packet = record.packet.as_ref().map(|packet| packet.kind.as_str());
            let message = record.message.as_ref().map(|message| message.kind);
            let fault = record
                .fault
                .as_ref()
                .map(|fault| format!("!{}", fault.offset));
            let parts = [
                packet.unwrap_or("-"),
                message.unwrap_or("-"),
                fault.as_deref().unwrap_or("-"),
            ];
            format!("{}+{} {}", record.offset, record.length, parts.join(" "))
        };
        records.iter().map(describe).collect()
    }

    #[test]
    fn packets_of_a_revision_4_payload_have_their_positions() {
        let records = payload(
            Revision::V4,
            "2\x1e42[\"é\"]\x1ebAQID\x1e6".as_bytes(),
            false,
        );
        assert_eq!(
            summary(&records),
            [
                "0+1 ping - -",
                "2+8 message event -",
                "11+5 message - !11",
                "17+1 noop - -"
            ]
        );
    }

    #[test]
    fn an_empty_packet_at_the_end_is_a_fault() {
        assert_eq!(
            summary(&payload(Revision::V4, b"2\x1e", false)),
            ["0+1 ping - -", "2+0 - - !2"]
        );
    }

    #[test]
    fn packets_of_a_revision_3_payload_have_their_positions() {
        let body = "1:20:7:42[\"é\"]2:40".as_bytes();
        assert_eq!(
            summary(&payload(Revision::V3, body, false)),
            [
                "2+1 ping - -",
                "7+8 message event -",
                "17+2 message connect -"
            ]
        );
        assert_eq!(
            summary(&payload(Revision::V3, b"1:29:2", false)),
            ["2+1 ping - -", "3+3 - - !5"]
        );
    }

    #[test]
    fn a_binary_revision_3_payload_is_read() {
        let mut body = vec![0, 4, 6, 0xff];
        let packet = br#"451-["a",{"_placeholder":true,"num":0}]"#;
        body[1] = u8::try_from(packet.len() / 10).expect("a digit");
        body[2] = u8::try_from(packet.len() % 10).expect("a digit");
        body.extend_from_slice(packet);
        body.extend_from_slice(&[1, 4, 0xff, 4, 1, 2, 3]);
        let found = summary(&payload(Revision::V3, &body, true));
        assert_eq!(
            found,
            ["4+39 message binary_event -", "46+4 message attachment -"]
        );
    }

    #[test]
    fn frames_are_unmasked_joined_and_decoded() {
        let mut inspector = inspector(Revision::V4);
        let mut bytes = vec![0x01, 0x02, b'4', b'2'];
        bytes.extend_from_slice(&[0x89, 0x80, 1, 2, 3, 4]);
        bytes.extend_from_slice(&[0x80, 0x05]);
        bytes.extend_from_slice(b"[\"a\"]");
        bytes.extend_from_slice(&[0x88, 0x02, 0x03, 0xe8]);
        inspector.frames(&bytes, Origin::default());
        let records = inspector.take_records();
        assert_eq!(
            summary(&records),
            [
                "0+4 - - -",
                "4+6 - - -",
                "10+7 message event -",
                "17+4 - - -"
            ]
        );
        assert_eq!(records[1].direction, Some(Direction::Sent));
        let close = records[3]
            .frame
            .as_ref()
            .and_then(|frame| frame.close.as_ref());
        assert_eq!(close.map(|close| close.code), Some(1000));
    }

    #[test]
    fn compressed_frames_are_inflated() {
        // RFC 7692, 7.2.3.1: "Hello" with the shared context, twice.
        let first = [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let second = [0xc1, 0x05, 0xf2, 0x00, 0x11, 0x00, 0x00];
        let mut inspector = inspector(Revision::V4);
        inspector.frames(&[&first[..], &second[..]].concat(), Origin::default());
        for record in inspector.take_records() {
            let fault = record.fault.expect("Hello is no packet");
            assert_eq!(fault.context, b"Hello");
        }
    }

    #[test]
    fn faults_in_masked_frames_are_at_their_byte() {
        let mut inspector = inspector(Revision::V4);
        let key = [7, 8, 9, 10];
        let mut payload = b"42[\"a\",]".to_vec();
        apply_mask(&mut payload, key, 0);
        let mut bytes = encode_header(OpCode::Text, payload.len(), Some(key))
            .as_slice()
            .to_vec();
        bytes.extend_from_slice(&payload);
        inspector.frames(&bytes, Origin::default());
        assert_eq!(summary(&inspector.take_records()), ["0+14 message - !13"]);
    }

    #[test]
    fn base64_is_pointed_at_where_it_is_wrong() {
        assert_eq!(
            summary(&payload(Revision::V4, b"bAQ!D", false)),
            ["0+5 - - !3"]
        );
        assert_eq!(
            summary(&payload(Revision::V4, b"bA", false)),
            ["0+2 - - !2"]
        );
    }

    #[test]
    fn what_was_announced_and_does_not_come_is_missed() {
        let body = br#"451-["a",{"_placeholder":true,"num":0}]"#;
        assert_eq!(
            summary(&payload(Revision::V4, body, false)),
            ["0+39 message binary_event -", "39+0 - - !39"]
        );
        let body = [&body[..], b"\x1e42[\"b\"]"].concat();
        assert_eq!(
            summary(&payload(Revision::V4, &body, false)),
            ["0+39 message binary_event -", "40+7 message event !40"]
        );
    }

    #[test]
    fn a_handshake_is_shown_or_found_wrong() {
        let records = payload(
            Revision::V4,
            br#"0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#,
            false,
        );
        let packet = records[0].packet.as_ref();
        let handshake = packet.and_then(|packet| packet.handshake.as_ref());
        assert_eq!(
            handshake.map(|handshake| handshake.ping_interval_ms),
            Some(25_000)
        );
        assert_eq!(
            summary(&payload(Revision::V4, b"0{\"sid\":}", false)),
            ["0+9 open - !8"]
        );
        assert_eq!(
            summary(&payload(Revision::V4, b"0{}", false)),
            ["0+3 open - !1"]
        );
    }
}
