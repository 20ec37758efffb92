//! Detects the form of the input (text, hex or bytes; one piece or many lines), and feeds it to the inspector.

use kokanee_engineio::Revision;

use super::{
    decode::{Inspector, Origin},
    record::Direction,
};

/// Separates the packets of a revision 4 payload.
const RECORD_SEPARATOR: u8 = 0x1e;

/// The form of a piece of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// WebSocket frames as bytes or hex.
    Frame,
    /// A long-polling body.
    Payload,
    /// One Engine.IO packet.
    Packet,
    /// One Socket.IO packet.
    Message,
    /// Any of these, one per line.
    Lines,
}

/// Decodes the whole input in this form.
pub(crate) fn feed(inspector: &mut Inspector, input: &[u8], form: Form, revision: Revision) {
    if form == Form::Lines {
        for (index, line) in input.split(|&byte| byte == b'\n').enumerate() {
            let origin = Origin {
                line: Some(index + 1),
                ..Origin::default()
            };
            feed_line(inspector, line, origin, revision);
        }
        let end = Origin {
            direction: Some(Direction::Received),
            ..Origin::default()
        };
        inspector.finish(end, input.len());
    } else {
        feed_piece(inspector, input, form, Origin::default());
        inspector.finish(Origin::default(), input.len());
    }
}

fn feed_line(inspector: &mut Inspector, line: &[u8], origin: Origin, revision: Revision) {
    let (direction, start) = arrow(line);
    let piece = line[start..].trim_ascii_end();
    let origin = Origin {
        direction,
        start,
        ..origin
    };
    if piece.is_empty() || piece[0] == b'#' {
        return;
    }
    // Logs and test code show packets as JSON strings.
    if let Ok(text) = serde_json::from_slice::<String>(piece) {
        let form = guess_line(text.as_bytes(), revision);
        feed_piece(
            inspector,
            text.as_bytes(),
            form,
            Origin { start: 0, ..origin },
        );
    } else {
        feed_piece(inspector, piece, guess_line(piece, revision), origin);
    }
}

fn feed_piece(inspector: &mut Inspector, piece: &[u8], form: Form, origin: Origin) {
    match form {
        Form::Frame => match from_hex(piece) {
            Some(bytes) => inspector.frames(&bytes, origin),
            None => inspector.frames(piece, origin),
        },
        Form::Payload => inspector.payload(piece, is_binary_payload(piece), origin),
        Form::Packet => inspector.packet(piece, origin),
        Form::Message => match from_hex(piece).filter(|bytes| is_msgpack(bytes)) {
            Some(bytes) => inspector.message(&bytes, origin),
            None => inspector.message(piece, origin),
        },
        Form::Lines => {}
    }
}

/// Parses the arrow at the start of a line, if there is one. Returns the direction, and where the rest starts.
fn arrow(line: &[u8]) -> (Option<Direction>, usize) {
    const ARROWS: [(&str, Direction); 8] = [
        (">", Direction::Sent),
        ("→", Direction::Sent),
        ("↑", Direction::Sent),
        ("⬆", Direction::Sent),
        ("<", Direction::Received),
        ("←", Direction::Received),
        ("↓", Direction::Received),
        ("⬇", Direction::Received),
    ];
    let blanks = |from: usize| {
        let rest = &line[from..];
        from + rest.len() - rest.trim_ascii_start().len()
    };
    let start = blanks(0);
    let found = ARROWS
        .iter()
        .find(|(arrow, _)| line[start..].starts_with(arrow.as_bytes()));
    match found {
        Some((arrow, direction)) => (Some(*direction), blanks(start + arrow.len())),
        None => (None, start),
    }
}

/// Detects the form of the whole input.
pub(crate) fn guess(input: &[u8]) -> Form {
    if !is_text(input) {
        return match input {
            _ if is_binary_payload(input) => Form::Payload,
            _ if is_msgpack(input) => Form::Message,
            _ => Form::Frame,
        };
    }
    let lines = input
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty());
    if lines.count() > 1 || arrow(input).0.is_some() {
        return Form::Lines;
    }
    guess_line(input, guess_revision(input))
}

fn guess_line(line: &[u8], revision: Revision) -> Form {
    if from_hex(line).is_some_and(|bytes| is_frame(&bytes)) {
        Form::Frame
    } else if from_hex(line).is_some_and(|bytes| is_msgpack(&bytes)) || is_message(line) {
        Form::Message
    } else if is_counted(line) || !revision.is_v3() || line.contains(&RECORD_SEPARATOR) {
        Form::Payload
    } else {
        Form::Packet
    }
}

/// Detects the revision of the protocol: 4 unless the input has something that only exists in 3.
pub(crate) fn guess_revision(input: &[u8]) -> Revision {
    let mut pieces = input.split(|&byte| byte == b'\n' || byte == RECORD_SEPARATOR);
    let is_old = |piece: &[u8]| {
        let piece = piece[arrow(piece).1..].trim_ascii_end();
        is_counted(piece)
            || is_binary_payload(piece)
            // Clients of revision 3 send a query with the namespace; their servers refuse with a string.
            || (piece.starts_with(b"40/") && piece.contains(&b'?'))
            || piece.starts_with(b"44\"")
            || is_old_base64(piece)
    };
    if pieces.any(is_old) || is_binary_payload(input) {
        Revision::V3
    } else {
        Revision::V4
    }
}

fn is_text(input: &[u8]) -> bool {
    input
        .iter()
        .all(|&byte| byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r' | RECORD_SEPARATOR))
        && str::from_utf8(input).is_ok()
}

/// Returns whether this starts with a length, like text payloads of revision 3.
fn is_counted(piece: &[u8]) -> bool {
    let digits = piece
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    digits > 0 && piece.get(digits) == Some(&b':')
}

/// Returns whether this starts like a binary payload of revision 3: a mark, digits as bytes 0 to 9, 0xff.
fn is_binary_payload(piece: &[u8]) -> bool {
    let Some((0 | 1, rest)) = piece.split_first() else {
        return false;
    };
    let digits = rest.iter().take_while(|&&byte| byte <= 9).count();
    digits > 0 && rest.get(digits) == Some(&0xff)
}

/// Returns whether this is base64 after `b4` (revision 3) that would be invalid after `b` (revision 4).
fn is_old_base64(piece: &[u8]) -> bool {
    piece
        .strip_prefix(b"b4")
        .is_some_and(|base64| base64.len() % 4 == 0 && base64.ends_with(b"="))
}

/// Returns whether this is a Socket.IO packet without the 4 of Engine.IO in front.
fn is_message(piece: &[u8]) -> bool {
    let Some((&kind, rest)) = piece.split_first() else {
        return false;
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match kind {
        b'2' | b'3' => matches!(rest.get(digits), Some(b'[' | b'/')),
        b'5' | b'6' => digits > 0 && rest.get(digits) == Some(&b'-'),
        b'0' | b'1' => rest.first() == Some(&b'/'),
        _ => false,
    }
}

/// Returns whether these bytes start like a frame of a message, or a control frame.
fn is_frame(bytes: &[u8]) -> bool {
    bytes.len() >= 2
        && matches!(
            bytes[0],
            0x01 | 0x02 | 0x81 | 0x82 | 0x88..=0x8a | 0xc1 | 0xc2
        )
        && !is_msgpack(bytes)
}

/// Returns whether this is a map with the keys of a Socket.IO packet.
fn is_msgpack(bytes: &[u8]) -> bool {
    const TYPE: &[u8] = b"\xa4type";
    bytes.first().is_some_and(|first| first & 0xf0 == 0x80)
        && bytes.windows(TYPE.len()).any(|part| part == TYPE)
}

/// Decodes pairs of hex digits, with or without separators: `81 05`, `81:05`, `0x81,0x05`, `\x81\x05`.
fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(text).ok()?;
    let text = text.replace("0x", " ").replace("\\x", " ");
    let mut bytes = Vec::new();
    for part in text.split([' ', ':', ',', '\t', '\r', '\n']) {
        if part.len() % 2 != 0 || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for at in (0..part.len()).step_by(2) {
            bytes.push(u8::from_str_radix(&part[at..at + 2], 16).ok()?);
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_guessed() {
        for (input, form) in [
            (&b"42[\"a\"]"[..], Form::Payload),
            (b"40", Form::Payload),
            (b"41", Form::Payload),
            (b"2probe", Form::Payload),
            (b"2\x1e3", Form::Payload),
            (b"2:40", Form::Payload),
            (b"0{\"sid\":\"a\"}", Form::Payload),
            (b"2[\"a\"]", Form::Message),
            (b"2/ns,1[\"a\"]", Form::Message),
            (b"51-[\"a\"]", Form::Message),
            (b"81 05 48 65 6c 6c 6f", Form::Frame),
            (b"81054865", Form::Frame),
            (b"0x81,0x05", Form::Frame),
            (b"\x81\x05Hello", Form::Frame),
            (b"\x00\x02\xff40", Form::Payload),
            (b"\x82\xa4type\x00\xa3nsp\xa1/", Form::Message),
            (b"40\n42[\"a\"]\n", Form::Lines),
            (b"> 40\n", Form::Lines),
        ] {
            assert_eq!(guess(input), form, "{:?}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn the_revision_is_guessed() {
        for (input, revision) in [
            (&b"42[\"a\"]"[..], Revision::V4),
            (b"b4AQIDBA==", Revision::V3),
            (b"bAQIDBA==", Revision::V4),
            (b"40/admin?token=1", Revision::V3),
            (b"> 40\n< 44\"no\"", Revision::V3),
            (b"\x01\x04\xff\x04abc", Revision::V3),
            (b"44{\"message\":\"no\"}", Revision::V4),
            (b"10:42[\"a\",1]", Revision::V3),
        ] {
            assert_eq!(
                guess_revision(input),
                revision,
                "{:?}",
                String::from_utf8_lossy(input)
            );
        }
    }

    #[test]
    fn hex_is_read_however_it_is_written() {
        for text in [
            "8105",
            "81 05",
            "81:05",
            "0x81, 0x05",
            "\\x81\\x05",
            "81\n05",
        ] {
            assert_eq!(from_hex(text.as_bytes()), Some(vec![0x81, 0x05]), "{text}");
        }
        assert_eq!(from_hex(b"810"), None);
        assert_eq!(from_hex(b"42[]"), None);
        assert_eq!(from_hex(b""), None);
    }

    #[test]
    fn arrows_say_who_sent_a_line() {
        assert_eq!(arrow(b"> 40"), (Some(Direction::Sent), 2));
        assert_eq!(arrow("  ← 40".as_bytes()), (Some(Direction::Received), 6));
        assert_eq!(arrow(b"40"), (None, 0));
    }
}
