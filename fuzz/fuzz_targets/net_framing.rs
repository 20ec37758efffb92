//! Datagrams of frames in every framing: no frame is larger than allowed, and every decoded frame can be sent again and
//! arrives unchanged.

#![no_main]

use kokanee_net::Framing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [settings, max, rest @ ..] = input else {
        return;
    };
    let max = usize::from(*max);
    let (framing, piece) = match settings & 3 {
        0 => (Framing::Raw, rest),
        1 => (Framing::Lines, rest),
        2 => {
            let prefix_bytes = 1 << (settings >> 2 & 3);
            (Framing::LengthPrefixed { prefix_bytes }, rest)
        }
        _ => {
            let length = 1 + usize::from(settings >> 2 & 3);
            let Some((delimiter, piece)) = rest.split_at_checked(length) else {
                return;
            };
            (Framing::Delimiter(delimiter.to_vec()), piece)
        }
    };
    let name = framing.to_string();
    assert_eq!(name.parse().as_ref(), Ok(&framing), "{name}");
    let Ok(frames) = framing.decode_all(piece, max) else {
        return;
    };
    assert!(frames.iter().map(bytes::Bytes::len).sum::<usize>() <= piece.len());
    if framing == Framing::Raw {
        assert_eq!(frames, [piece]);
        return;
    }
    assert!(frames.iter().all(|frame| frame.len() <= max), "{frames:?}");
    let mut stream = Vec::new();
    let mut again = Vec::new();
    let last = frames.len().saturating_sub(1);
    for (index, frame) in frames.into_iter().enumerate() {
        match framing.encode(&frame) {
            Ok(encoded) => {
                stream.extend_from_slice(&encoded);
                again.push(frame);
            }
            // It had no delimiter, and may end with the beginning of one.
            Err(error) => assert_eq!(index, last, "{error}"),
        }
    }
    // A line that ends with a carriage return gets one more.
    let arrived = framing.decode_all(&stream, max + usize::from(framing == Framing::Lines));
    assert_eq!(arrived.expect("it was encoded"), again);
});
