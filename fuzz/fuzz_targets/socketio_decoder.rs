//! Messages of any content in any order, for each parser: every decoded packet can be forwarded with both parsers, and
//! arrives unchanged.

#![no_main]

use bytes::Bytes;
use kokanee_engineio::Message;
use kokanee_fuzz::{are_same, messages};
use kokanee_socketio::{
    Args, DecodeError, Decoder, DecoderLimits, EncodedPacket, Packet, ParserKind, Value,
    encode_ack_args, encode_connect, encode_disconnect, encode_event_args, from_json,
    is_reserved_event_name,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((settings, input)) = input.split_first() else {
        return;
    };
    let parser = [
        ParserKind::Default,
        ParserKind::Msgpack,
        ParserKind::Both,
        ParserKind::Both,
    ][usize::from(settings & 3)];
    let limits = if settings & 4 == 0 {
        DecoderLimits::default()
    } else {
        let any_auth = settings & 8 != 0;
        DecoderLimits {
            max_attachments: 2,
            max_attachment_bytes: 20,
            max_depth: 5,
            max_namespace_bytes: 5,
            any_auth,
        }
    };
    let mut decoder = Decoder::new(parser, limits.clone());
    let mut attachments = 0;
    for message in messages(input) {
        match decoder.decode(message) {
            Ok(Some(packet)) => {
                assert!(!decoder.is_waiting());
                check(&packet, decoder.peer_parser(), &limits);
                forward(packet);
                attachments = 0;
            }
            Ok(None) => {
                assert!(decoder.is_waiting());
                attachments += 1;
                assert!(
                    attachments <= limits.max_attachments,
                    "attachments without end"
                );
            }
            Err(_) => {
                assert!(!decoder.is_waiting());
                return;
            }
        }
        assert!(decoder.peer_parser().is_some());
    }
});

fn check(packet: &Packet, parser: Option<ParserKind>, limits: &DecoderLimits) {
    let (Packet::Connect { namespace, .. }
    | Packet::Disconnect { namespace }
    | Packet::Event { namespace, .. }
    | Packet::Ack { namespace, .. }
    | Packet::ConnectError { namespace, .. }) = packet;
    assert!(namespace.starts_with('/'));
    let name = namespace.split('?').next().unwrap_or_default();
    assert!(name.len() <= limits.max_namespace_bytes);
    let args = match packet {
        Packet::Event { event, .. } => {
            assert!(!is_reserved_event_name(event.name()));
            event.args()
        }
        Packet::Ack { args, .. } => args,
        Packet::Connect { auth: json, .. } | Packet::ConnectError { data: json, .. } => {
            if let Some(json) = json {
                assert!(limits.any_auth || json.starts_with(['{', '"']));
                from_json::<Value>(json).expect("every JSON has a value");
            }
            return;
        }
        Packet::Disconnect { .. } => return,
    };
    let attachments = args.attachments();
    if parser == Some(ParserKind::Default) {
        assert!(attachments.len() <= limits.max_attachments);
    }
    let bytes = attachments.iter().map(Bytes::len).sum::<usize>();
    assert!(bytes <= limits.max_attachment_bytes);
    assert!(args.to_values().is_ok(), "every JSON has a value");
    assert_eq!(args.is_empty(), args.json().trim().is_empty());
}

/// Sends a packet to another peer and checks what arrives.
fn forward(packet: Packet) {
    match packet {
        // In the default parser a comma ends a namespace.
        Packet::Event {
            namespace,
            id,
            event,
        } if !namespace.contains(',') => {
            let name = event.name().to_owned();
            let args = event.into_args();
            let encoded = encode_event_args(&namespace, id, &name, &args)
                .expect("received arguments can be sent");
            for packet in [decode_default(&encoded), decode_msgpack(&encoded)] {
                let Ok(Packet::Event {
                    namespace: namespace_again,
                    id: id_again,
                    event,
                }) = packet
                else {
                    // An object that has the key of a placeholder twice, in arguments with bytes.
                    assert_eq!(packet.err(), Some(DecodeError::IllegalPlaceholder));
                    continue;
                };
                assert_eq!((&namespace_again, id_again), (&namespace, id));
                assert_eq!(event.name(), name);
                assert_same(event.args(), &args);
            }
            let shared = encoded.shared();
            assert_eq!(shared.msgpack(), shared.clone().msgpack());
        }
        Packet::Ack {
            namespace,
            id,
            args,
        } if !namespace.contains(',') => {
            let encoded = encode_ack_args(&namespace, id, &args);
            for packet in [decode_default(&encoded), decode_msgpack(&encoded)] {
                let Ok(Packet::Ack {
                    id: id_again,
                    args: again,
                    ..
                }) = packet
                else {
                    // An object that has the key of a placeholder twice, in arguments with bytes.
                    assert_eq!(packet.err(), Some(DecodeError::IllegalPlaceholder));
                    continue;
                };
                assert_eq!(id_again, id);
                assert_same(&again, &args);
            }
        }
        // In the default parser a number is an id.
        Packet::Connect { namespace, auth }
            if !namespace.contains(',')
                && !auth
                    .as_ref()
                    .is_some_and(|auth| auth.starts_with(|first: char| first.is_ascii_digit())) =>
        {
            let encoded = encode_connect(&namespace, auth.as_deref());
            let expected = Packet::Connect { namespace, auth };
            assert_eq!(decode_default(&encoded), Ok(expected));
            let _ = decode_msgpack(&encoded);
        }
        Packet::Disconnect { namespace } if !namespace.contains(',') => {
            let encoded = encode_disconnect(&namespace);
            let expected = Packet::Disconnect { namespace };
            assert_eq!(decode_default(&encoded), Ok(expected.clone()));
            assert_eq!(decode_msgpack(&encoded), Ok(expected));
        }
        _ => {}
    }
}

fn assert_same(again: &Args, args: &Args) {
    assert_eq!(again.len(), args.len());
    if let (Ok(again), Ok(values)) = (again.to_values(), args.to_values()) {
        assert!(are_same(&again, &values), "{values:?} became {again:?}");
    }
}

fn limits() -> DecoderLimits {
    DecoderLimits {
        max_attachments: usize::MAX,
        max_namespace_bytes: 100_000,
        any_auth: true,
        ..DecoderLimits::default()
    }
}

fn decode_default(packet: &EncodedPacket) -> Result<Packet, DecodeError> {
    let mut decoder = Decoder::new(ParserKind::Default, limits());
    let mut decoded = None;
    for frame in packet.default_frames() {
        assert_eq!(decoded, None);
        decoded = decoder.decode(frame.message())?;
    }
    Ok(decoded.expect("the packet is complete"))
}

fn decode_msgpack(packet: &EncodedPacket) -> Result<Packet, DecodeError> {
    let message = packet.msgpack().message();
    assert!(matches!(message, Message::Binary(_)));
    let mut decoder = Decoder::new(ParserKind::Msgpack, limits());
    Ok(decoder
        .decode(message)?
        .expect("msgpack packets are one message"))
}
