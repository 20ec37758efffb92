//! Compressed messages of any kind: round trips, and agreement with another implementation of DEFLATE.

use kokanee_websocket::{
    Compressor, DecodeError, Decoder, DeflateOptions, Limits, Role, WindowBits,
};
use miniz_oxide::{
    DataFormat, MZFlush, MZStatus,
    deflate::{
        core::{CompressorOxide, create_comp_flags_from_zip_params},
        stream::deflate,
    },
    inflate::stream::{InflateState, inflate},
};
use proptest::prelude::*;

use crate::{
    deflate::{agreement, noise},
    frames::{Event, Frame, ROLES, binary, encode, end, feed_in_chunks, middle, text},
};

/// Typical text, runs of one byte, and noise.
fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec("[a-z]{1,6}|\\{\"id\":[0-9]{1,4},\"name\":\"[a-c]{3}\"\\}|é€", 0..200)
            .prop_map(|words| words.concat().into_bytes()),
        2 => (any::<u8>(), 0_usize..70_000).prop_map(|(byte, len)| vec![byte; len]),
        2 => prop::collection::vec(any::<u8>(), 0..2000),
        // Compressed, these are about as long as the compressor's own buffer, or a multiple of it.
        1 => (any::<u32>(), prop_oneof![0_usize..80_000, 65_400_usize..65_700, 130_800_usize..131_300])
            .prop_map(|(seed, len)| noise(seed, len)),
    ]
}

fn event(content: Vec<u8>) -> Event {
    match String::from_utf8(content) {
        Ok(text) => Event::Text(text),
        Err(error) => Event::Binary(error.into_bytes()),
    }
}

fn event_frame(event: &Event) -> Frame {
    match event {
        Event::Text(content) => text(content),
        Event::Binary(content) => binary(content),
        other => panic!("{other:?} is not a data message"),
    }
}

/// The frames of a message with this compressed payload, cut in two or three.
fn fragments(event: &Event, payload: &[u8], cut: usize) -> Vec<Frame> {
    let first = match event {
        Event::Text(_) => 0x01,
        _ => 0x02,
    };
    if cut == 0 {
        return vec![Frame::new(0x80 | first, payload).compressed()];
    }
    let (start, rest) = payload.split_at(payload.len() / (cut + 1));
    let (between, last) = rest.split_at(rest.len() / 2);
    vec![
        Frame::new(first, start).compressed(),
        middle(between),
        end(last),
    ]
}

/// Compresses the content of a message with the other implementation.
fn compress_with_miniz(state: &mut CompressorOxide, content: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; content.len() + content.len() / 100 + 100];
    let result = deflate(state, content, &mut payload, MZFlush::Sync);
    assert_eq!(
        (result.status, result.bytes_consumed),
        (Ok(MZStatus::Ok), content.len())
    );
    payload.truncate(result.bytes_written);
    assert!(payload.ends_with(&[0, 0, 0xff, 0xff]));
    payload.truncate(result.bytes_written - 4);
    payload
}

/// Inflates the payload of a message with the other implementation.
fn inflate_with_miniz(state: &mut InflateState, payload: &[u8]) -> Result<Vec<u8>, ()> {
    let payload = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut content = Vec::new();
    let mut rest = payload.as_slice();
    let mut room = vec![0; 50_000];
    loop {
        let result = inflate(state, rest, &mut room, MZFlush::None);
        rest = &rest[result.bytes_consumed..];
        content.extend_from_slice(&room[..result.bytes_written]);
        match result.status {
            Ok(MZStatus::Ok) | Err(miniz_oxide::MZError::Buf) => {}
            _ => return Err(()),
        }
        if rest.is_empty() && result.bytes_written < room.len() {
            return Ok(content);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_messages_come_back(
        contents in prop::collection::vec((content(), 0_usize..3), 1..8),
        sizes in prop::collection::vec(1_usize..3000, 1..20),
        role in prop::sample::select(&ROLES[..]),
        keep in any::<bool>(),
        level in 0_u8..=9,
        bits in 8_u8..=15,
        threshold_bytes in prop::sample::select(vec![0_usize, 100, 1024]),
    ) {
        let options = DeflateOptions {
            threshold_bytes,
            level,
            keep_own_context: keep,
            keep_peer_context: keep,
            own_window: WindowBits::new(bits).unwrap(),
            peer_window: WindowBits::new(bits.max(9)).unwrap(),
        };
        let (server, answer) = options.accept_offer([options.offer().as_str()]).unwrap();
        let client = options.accept_answer([answer.as_str()]).unwrap().unwrap();
        let (receiver, sender) = match role {
            Role::Server => (server, client),
            Role::Client => (client, server),
        };
        let mut compressor = Compressor::new(sender);
        let mut decoder = Decoder::with_deflate(role, Limits::default(), &receiver);
        let mut frames = Vec::new();
        let mut events = Vec::new();
        for (content, cut) in contents {
            let payload = compressor.compress(&content);
            if !keep && let Some(payload) = &payload {
                prop_assert!(payload.len() < content.len());
            }
            let event = event(content);
            match payload {
                Some(payload) => frames.extend(fragments(&event, &payload, cut)),
                None => frames.push(event_frame(&event)),
            }
            events.push(event);
        }
        let outcome = feed_in_chunks(&mut decoder, &encode(&frames, role), &sizes);
        prop_assert_eq!(outcome.error, None);
        prop_assert!(outcome.events == events);
    }

    #[test]
    fn other_implementation_inflates_the_same(
        contents in prop::collection::vec(content(), 1..6),
        keep in any::<bool>(),
    ) {
        let mut compressor = Compressor::new(agreement(keep));
        let mut state = InflateState::new(DataFormat::Raw);
        for content in contents {
            let Some(payload) = compressor.compress(&content) else { continue };
            if !keep {
                state = InflateState::new(DataFormat::Raw);
            }
            prop_assert_eq!(inflate_with_miniz(&mut state, &payload), Ok(content));
        }
    }

    #[test]
    fn compressed_by_the_other_implementation_is_inflated(
        contents in prop::collection::vec((content(), 0_usize..3), 1..6),
        sizes in prop::collection::vec(1_usize..3000, 1..20),
        role in prop::sample::select(&ROLES[..]),
        keep in any::<bool>(),
        level in 1_i32..10,
    ) {
        let flags = create_comp_flags_from_zip_params(level, -15, 0);
        let mut state = CompressorOxide::new(flags);
        let mut decoder = Decoder::with_deflate(role, Limits::default(), &agreement(keep));
        let mut frames = Vec::new();
        let mut events = Vec::new();
        for (content, cut) in contents {
            if content.is_empty() {
                continue;
            }
            if !keep {
                state = CompressorOxide::new(flags);
            }
            let payload = compress_with_miniz(&mut state, &content);
            let event = event(content);
            frames.extend(fragments(&event, &payload, cut));
            events.push(event);
        }
        let outcome = feed_in_chunks(&mut decoder, &encode(&frames, role), &sizes);
        prop_assert_eq!(outcome.error, None);
        prop_assert!(outcome.events == events);
    }

    #[test]
    fn damaged_payload_is_refused_or_inflates_as_the_other_implementation_does(
        content in content(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let Some(mut payload) = Compressor::new(agreement(false)).compress(&content) else {
            return Ok(());
        };
        for (at, byte) in damage {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        let mut decoder = Decoder::with_deflate(Role::Client, Limits::default(), &agreement(false));
        let bytes = encode(&[binary(&payload).compressed()], Role::Client);
        let outcome = feed_in_chunks(&mut decoder, &bytes, &[bytes.len()]);
        match (outcome.events.as_slice(), outcome.error) {
            ([Event::Binary(ours)], None) => {
                let theirs = inflate_with_miniz(&mut InflateState::new(DataFormat::Raw), &payload);
                // The other implementation stops at a final block.
                prop_assert!(theirs.as_ref() == Ok(ours) || theirs.is_err());
            }
            ([], Some(DecodeError::InvalidCompression | DecodeError::TooLarge { .. })) => {}
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
