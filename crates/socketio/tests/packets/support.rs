//! Decodes one packet, and shows one that was encoded.

use bytes::Bytes;
use kokanee_engineio::{Message, Outgoing};
use kokanee_socketio::{
    Args, DecodeError, Decoder, DecoderLimits, EncodedPacket, Packet, ParserKind, RawEvent,
};

pub(crate) fn decoder() -> Decoder {
    Decoder::new(ParserKind::Default, DecoderLimits::default())
}

pub(crate) fn text(text: &str) -> Message {
    Message::Text(text.into())
}

pub(crate) fn binary(bytes: &'static [u8]) -> Message {
    Message::Binary(Bytes::from_static(bytes))
}

pub(crate) fn decode(packet: &str) -> Result<Packet, DecodeError> {
    decoder()
        .decode(text(packet))
        .map(|packet| packet.expect("no attachments are outstanding"))
}

pub(crate) fn decode_with(
    packet: &str,
    attachments: &[&'static [u8]],
) -> Result<Packet, DecodeError> {
    let mut decoder = decoder();
    let mut decoded = decoder.decode(text(packet))?;
    for attachment in attachments {
        assert_eq!(decoded, None);
        assert!(decoder.is_waiting());
        decoded = decoder.decode(binary(attachment))?;
    }
    assert!(!decoder.is_waiting());
    Ok(decoded.expect("all attachments are there"))
}

pub(crate) fn event(packet: Packet) -> RawEvent {
    let Packet::Event { event, .. } = packet else {
        panic!("{packet:?} is not an event")
    };
    event
}

pub(crate) fn args(packet: &str) -> Args {
    match decode(packet).expect("a packet") {
        Packet::Event { event, .. } => event.into_args(),
        Packet::Ack { args, .. } => args,
        other => panic!("{other:?} has no arguments"),
    }
}

/// The messages of a packet; text as it is, bytes in brackets.
pub(crate) fn wire(packet: &EncodedPacket) -> Vec<String> {
    let shown = |frame: &Outgoing| match frame.message() {
        Message::Text(text) => text.as_str().to_owned(),
        Message::Binary(bytes) => format!("{bytes:?}"),
    };
    packet.default_frames().map(shown).collect()
}
