//! The payload after the head of a packet: [`Content::parse`] checks that it fits the packet's type,
//! [`Content::into_packet`] builds the packet. Both parsers use it: msgpack is translated to text before.
//!
//! Spec: Socket.IO protocol v5, "Packet encoding".

use kokanee_engineio::Str;

use crate::{
    args::Args,
    error::DecodeError,
    header::{Header, PacketType},
    limits::DecoderLimits,
    packet::{AckId, Name, Packet, RawEvent, is_reserved_event_name},
    scan::{Arguments, MAX_DEPTH, NameSpan, ScanError, scan_ack, scan_event, scan_value, unescape},
};

/// Where the parts of a payload are.
#[derive(Debug)]
pub(crate) enum Content {
    /// Name and arguments.
    Event(Name, Arguments),
    /// The arguments of an acknowledgement.
    Ack(Arguments),
    /// The beginning and end of the JSON, if there is one.
    Connect(Option<(usize, usize)>),
    Disconnect,
    /// As for `Connect`.
    ConnectError(Option<(usize, usize)>),
}

impl Content {
    /// Checks the payload of a packet.
    #[inline]
    pub(crate) fn parse(
        header: Header,
        text: &[u8],
        limits: &DecoderLimits,
    ) -> Result<Self, DecodeError> {
        let max_depth = limits.max_depth;
        let scan_failed = |error| match error {
            ScanError::Invalid => DecodeError::InvalidPayload,
            ScanError::TooDeep => DecodeError::TooDeep {
                max: max_depth.min(MAX_DEPTH),
            },
        };
        let payload = header.payload;
        let json = || {
            let end = scan_value(text, payload, max_depth).map_err(scan_failed)?;
            Ok(Some((payload, end)))
        };
        Ok(match (header.packet_type, header.id) {
            (PacketType::Event, _) => {
                let (span, found) = scan_event(text, payload, max_depth).map_err(scan_failed)?;
                Self::Event(event_name(text, span)?, found)
            }
            (PacketType::Ack, Some(_)) => {
                Self::Ack(scan_ack(text, payload, max_depth).map_err(scan_failed)?)
            }
            (PacketType::Connect, None) => match text.get(payload) {
                None => Self::Connect(None),
                Some(first) if *first == b'{' || limits.any_auth => Self::Connect(json()?),
                Some(_) => return Err(DecodeError::InvalidPayload),
            },
            // An `auth` that is a number looks like an id, and python-socketio reads it as one.
            (PacketType::Connect, Some(_)) if limits.any_auth && payload == text.len() => {
                Self::Connect(None)
            }
            (PacketType::Disconnect, None) if payload == text.len() => Self::Disconnect,
            (PacketType::ConnectError, None) => match text.get(payload) {
                // The specification demands a payload, and a JavaScript client would crash without one; here it is
                // optional.
                None => Self::ConnectError(None),
                Some(b'{' | b'"') => Self::ConnectError(json()?),
                Some(_) => return Err(DecodeError::InvalidPayload),
            },
            _ => return Err(DecodeError::InvalidPayload),
        })
    }

    /// Builds the packet from its parts in `text`.
    pub(crate) fn into_packet(self, namespace: Str, id: Option<AckId>, text: Str) -> Packet {
        let json = |span: Option<(usize, usize)>| span.map(|(start, end)| part(&text, start, end));
        match (self, id) {
            (Self::Event(name, found), id) => Packet::Event {
                namespace,
                id,
                event: RawEvent::received(name, Args::received(text, found)),
            },
            (Self::Ack(found), id) => Packet::Ack {
                namespace,
                // Checked when it was parsed.
                id: id.unwrap_or(AckId(0)),
                args: Args::received(text, found),
            },
            (Self::Connect(span), _) => Packet::Connect {
                namespace,
                auth: json(span),
            },
            (Self::Disconnect, _) => Packet::Disconnect { namespace },
            (Self::ConnectError(span), _) => Packet::ConnectError {
                namespace,
                data: json(span),
            },
        }
    }
}

/// Returns the name of an event. A reserved name is an error, also with escapes.
#[inline]
fn event_name(text: &[u8], span: NameSpan) -> Result<Name, DecodeError> {
    let NameSpan {
        start,
        end,
        escaped,
    } = span;
    let invalid = DecodeError::InvalidPayload;
    if escaped {
        let text = text.get(start..end).unwrap_or_default();
        let name = unescape(std::str::from_utf8(text).map_err(|_| invalid.clone())?);
        return if is_reserved_event_name(name.as_bytes()) {
            Err(invalid)
        } else {
            Ok(Name::Own(name.into()))
        };
    }
    let name = text.get(start..end).unwrap_or_default();
    if is_reserved_event_name(name) {
        Err(invalid)
    } else {
        Ok(Name::InText { start, end })
    }
}

/// Returns a part of `text` between two ASCII characters.
pub(crate) fn part(text: &Str, start: usize, end: usize) -> Str {
    text.slice(start, end)
        .expect("the parser stops at ASCII characters only")
}
