//! Bodies of GET and POST in all forms, single packets and handshakes: every decoded value can be encoded, and is then
//! decoded to the same value.

#![no_main]

use bytes::Bytes;
use kokanee_engineio::{
    Handshake, Message, OutPacket, Outgoing, Packet, PayloadDecoder, Revision, Str,
    decode_jsonp_form, encode_jsonp, encode_payload,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((settings, body)) = input.split_first() else {
        return;
    };
    let revision = [Revision::V4, Revision::V3][usize::from(settings & 1)];
    let binary_form = settings & 2 != 0;
    let supports_binary = settings & 4 != 0;
    let body = Bytes::copy_from_slice(body);
    match settings >> 3 & 3 {
        0 => decode_payload(revision, body, binary_form, supports_binary),
        1 => {
            check_jsonp(&body);
            if let Some(payload) = decode_jsonp_form(&body) {
                decode_payload(revision, payload, false, supports_binary);
            }
        }
        2 => decode_packet(revision, &body),
        _ => check_handshake(&body),
    }
});

fn decode_payload(revision: Revision, body: Bytes, binary_form: bool, supports_binary: bool) {
    let size = body.len();
    let mut decoder = PayloadDecoder::new(revision, body, binary_form);
    let mut packets = Vec::new();
    let mut offset = 0;
    while let Some(packet) = decoder.next() {
        let Ok(packet) = packet else {
            assert_eq!(decoder.next(), None, "a packet after an error");
            break;
        };
        assert!(decoder.offset() > offset && decoder.offset() <= size);
        offset = decoder.offset();
        packets.push(packet);
    }
    let (packets, to_send): (Vec<_>, Vec<_>) = packets
        .into_iter()
        .filter_map(|packet| to_send(&packet).map(|to_send| (packet, to_send)))
        // Only other forms allow a separator within a packet.
        .filter(|(_, packet)| revision.is_v3() || !packet.packet_text(revision).contains(&0x1e))
        .unzip();
    if packets.is_empty() {
        return;
    }
    let body = encode_payload(revision, &to_send, supports_binary);
    let again: Result<Vec<_>, _> = PayloadDecoder::new(revision, body.bytes, body.binary).collect();
    assert_eq!(again, Ok(packets));
}

fn decode_packet(revision: Revision, content: &Bytes) {
    let text = Str::from_utf8(content).map(|text| Packet::decode_text(revision, text));
    let binary = Packet::decode_binary(revision, content.clone());
    for packet in text.into_iter().chain([binary]).flatten() {
        let Some(to_send) = to_send(&packet) else {
            continue;
        };
        assert_eq!(
            to_send.packet_text(revision).len(),
            to_send.text_len(revision)
        );
        for base64 in [false, true] {
            let (opcode, content) = to_send.websocket_content(revision, base64);
            let again = match Str::from_utf8(&content) {
                Ok(text) if opcode == kokanee_websocket::OpCode::Text => {
                    Packet::decode_text(revision, text)
                }
                _ => Packet::decode_binary(revision, content.clone()),
            };
            assert_eq!(again.as_ref(), Ok(&packet));
            let frame = to_send.websocket_frame(revision, base64);
            assert!(frame.ends_with(&content) && frame.len() <= content.len() + 10);
        }
    }
}

/// The packet as it would be sent. `None` if such a packet is never sent.
fn to_send(packet: &Packet) -> Option<OutPacket> {
    Some(match packet {
        Packet::Open(_) => return None,
        Packet::Close => OutPacket::Close,
        Packet::Ping(data) => match data.as_bytes() {
            b"" => OutPacket::Ping,
            b"probe" => OutPacket::Probe,
            _ => return None,
        },
        Packet::Pong(data) => OutPacket::pong(data),
        Packet::Message(Message::Text(text)) => OutPacket::Message(Outgoing::text(text)),
        Packet::Message(Message::Binary(bytes)) => {
            OutPacket::Message(Outgoing::binary(bytes.clone()))
        }
        Packet::Upgrade => OutPacket::Upgrade,
        Packet::Noop => OutPacket::Noop,
    })
}

/// The script is a call with the text as its argument.
fn check_jsonp(payload: &[u8]) {
    let Ok(text) = std::str::from_utf8(payload) else {
        return;
    };
    let script = encode_jsonp(text, payload);
    let index: String = text.chars().filter(char::is_ascii_digit).collect();
    let argument = script
        .strip_prefix(format!("___eio[{index}](").as_bytes())
        .and_then(|rest| rest.strip_suffix(b");"))
        .expect("it is a call");
    assert_eq!(
        serde_json::from_slice::<String>(argument).expect("it is a JSON string"),
        text
    );
}

fn check_handshake(json: &[u8]) {
    let Ok(json) = std::str::from_utf8(json) else {
        return;
    };
    let Ok(handshake) = Handshake::decode(json) else {
        return;
    };
    // Durations lose fractions of a millisecond and are limited to a year; a second round changes nothing.
    let Ok(rounded) = Handshake::decode(&handshake.encode()) else {
        return;
    };
    assert_eq!(rounded.sid, handshake.sid);
    assert_eq!(rounded.upgrades, handshake.upgrades);
    assert_eq!(rounded.max_payload, handshake.max_payload);
}
