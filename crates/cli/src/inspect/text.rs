//! Formats records as text: one line each, long content indented below, errors with a pointer.

use std::fmt::Write;

use super::record::{Direction, FrameRecord, HandshakeRecord, MessageRecord, PacketRecord, Record};
use crate::{
    escape,
    paint::Paint,
    pretty::{compact, describe_bytes, pretty},
};

/// Columns of the position and the arrow, before the text.
const INDENT: usize = 10;
/// Maximum number of characters of arguments on the line of their packet.
const SHORT: usize = 70;

/// Formats a record as lines.
pub(crate) fn lines(record: &Record, paint: Paint) -> Vec<String> {
    let position = match record.line {
        Some(line) => format!("{line:>5}:"),
        None => format!("{:>6}", record.offset),
    };
    let arrow = match record.direction {
        Some(Direction::Sent) => paint.magenta("→"),
        Some(Direction::Received) => paint.cyan("←"),
        None => " ".to_owned(),
    };
    let mut parts = Vec::new();
    if let Some(frame) = &record.frame {
        parts.push(frame_text(frame, paint));
    }
    if let Some(packet) = &record.packet {
        parts.push(packet_text(packet, paint));
    }
    let mut below = Vec::new();
    if let Some(message) = &record.message {
        let (text, more) = message_text(message, paint);
        parts.push(text);
        below = more;
    }
    let mut lines = Vec::new();
    if !parts.is_empty() {
        let separator = paint.dim(" › ");
        lines.push(format!(
            "{}  {arrow} {}",
            paint.dim(&position),
            parts.join(&separator)
        ));
    }
    let pad = " ".repeat(INDENT);
    lines.extend(
        below
            .iter()
            .flat_map(|text| text.lines())
            .map(|line| format!("{pad}{line}")),
    );
    if let Some(fault) = &record.fault {
        let mut fault = fault.lines(paint).into_iter();
        if lines.is_empty() {
            let head = fault.next().unwrap_or_default();
            lines.push(format!("{}  {arrow} {head}", paint.dim(&position)));
        }
        lines.extend(fault.map(|line| format!("{pad}{line}")));
    }
    lines
}

// Writing to a string cannot fail, so the results are ignored below.

fn frame_text(frame: &FrameRecord, paint: Paint) -> String {
    let mut text = format!("{} frame", frame.opcode);
    if !frame.fin {
        text.push_str(", fragment");
    }
    if frame.compressed {
        text.push_str(", compressed");
    }
    if let Some(mask) = &frame.mask {
        text.push_str(", mask ");
        text.push_str(mask);
    }
    let _ = write!(text, ", {} bytes", frame.payload);
    let mut text = paint.dim(&text);
    if let Some(close) = &frame.close {
        let _ = write!(text, " code {}", close.code);
        if !close.reason.is_empty() {
            let _ = write!(text, " {}", escape::name(&close.reason));
        }
    }
    text
}

fn packet_text(packet: &PacketRecord, paint: Paint) -> String {
    let kind = paint.yellow(&packet.kind);
    if let Some(handshake) = &packet.handshake {
        return format!("{kind}  {}", handshake_text(handshake));
    }
    let text = packet
        .text
        .as_deref()
        .map(|text| escape::json(&serde_json::Value::from(text).to_string()));
    let bytes = packet.base64.as_deref().map(|base64| {
        let bytes = base64_simd::STANDARD.decode_to_vec(base64);
        describe_bytes(&bytes.unwrap_or_default())
    });
    match text.or(bytes) {
        Some(content) => format!("{kind} {content}"),
        None => kind,
    }
}

fn handshake_text(handshake: &HandshakeRecord) -> String {
    let mut text = format!(
        "sid {}, ping every {} ms, pong within {} ms",
        escape::name(&handshake.sid),
        handshake.ping_interval_ms,
        handshake.ping_timeout_ms
    );
    if let Some(max) = handshake.max_payload {
        let _ = write!(text, ", bodies up to {max} bytes");
    }
    if !handshake.upgrades.is_empty() {
        let upgrades: Vec<_> = handshake
            .upgrades
            .iter()
            .map(|name| escape::name(name))
            .collect();
        let _ = write!(text, ", upgrades to {}", upgrades.join(", "));
    }
    text
}

/// Returns the line of a packet, and the content that does not fit on it.
fn message_text(message: &MessageRecord, paint: Paint) -> (String, Vec<String>) {
    let mut text = paint.green(message.kind);
    if let Some((part, parts)) = message.part {
        let _ = write!(text, " {part} of {parts}");
    }
    if let Some(name) = &message.event {
        text.push(' ');
        text.push_str(&paint.bold(&escape::name(name)));
    }
    let mut facts = Vec::new();
    if let Some(namespace) = message.namespace.as_deref().filter(|&name| name != "/") {
        facts.push(format!("namespace {}", escape::text(namespace)));
    }
    if let Some(id) = message.ack {
        facts.push(format!("ack id {id}"));
    }
    match message.attachments {
        Some(1) => facts.push("1 attachment follows".to_owned()),
        Some(count) => facts.push(format!("{count} attachments follow")),
        None => {}
    }
    if !facts.is_empty() {
        text.push_str(&paint.dim(&format!("  {}", facts.join(", "))));
    }
    let values: Vec<_> = message.args.iter().flatten().chain(&message.data).collect();
    let join = |paint: Paint| {
        let shown: Vec<_> = values.iter().map(|value| compact(value, paint)).collect();
        shown.join(", ")
    };
    if values.is_empty() {
        (text, Vec::new())
    } else if join(Paint(false)).chars().count() <= SHORT {
        (format!("{text}  {}", join(paint)), Vec::new())
    } else {
        let below = values.iter().map(|value| pretty(value, INDENT, paint));
        (text, below.map(|shown| unindent(&shown)).collect())
    }
}

/// Removes the indentation, because the caller indents all lines.
fn unindent(text: &str) -> String {
    let pad = " ".repeat(INDENT);
    let lines: Vec<_> = text
        .lines()
        .map(|line| line.strip_prefix(&pad).unwrap_or(line))
        .collect();
    lines.join("\n")
}
