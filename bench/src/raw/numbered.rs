//! A sequence number at a fixed place of a prebuilt event: eight hexadecimal digits that begin its text argument, or the
//! ten decimal digits of the id that its acknowledgement has.

use crate::raw::connection;
use crate::raw::target::Target;

/// Number of digits in a text argument.
pub(crate) const DIGITS: usize = 8;

/// Added to a number to make an id of it: all of them have [`ID_DIGITS`] digits.
const FIRST_ID: u64 = 1_000_000_000;

/// Number of digits of an id.
const ID_DIGITS: usize = 10;

/// An event whose text argument starts with a sequence number, as it is sent and as it comes back.
#[derive(Debug)]
pub(crate) struct Numbered {
    wire: Vec<u8>,
    /// Where the digits start in `wire`.
    at: usize,
    /// The answer up to the digits.
    prefix: Vec<u8>,
    /// The answer behind the digits, without what may follow the text argument.
    filler: Vec<u8>,
    /// Whether the number is the id of an acknowledgement.
    is_id: bool,
}

impl Numbered {
    /// Builds an event `[…request, text]` that comes back as `[answer, text]`, with a text of `payload` bytes.
    pub(crate) fn new(target: &Target, request: &[&str], answer: &str, payload: usize) -> Self {
        let names = request
            .iter()
            .flat_map(|name| ["\"", name, "\","])
            .collect::<String>();
        let digits = "0".repeat(DIGITS);
        let filler = "x".repeat(payload.saturating_sub(DIGITS));
        let packet = target.event(&format!("[{names}\"{digits}{filler}\"]"));
        let wire = connection::wire(&packet, target.transport);
        let at = wire.len() - "\"]".len() - filler.len() - DIGITS;
        Self {
            wire,
            at,
            prefix: target.event(&format!("[{answer:?},\"")).into_bytes(),
            filler: format!("{filler}\"").into_bytes(),
            is_id: false,
        }
    }

    /// Builds an event `[event, text]` that is acknowledged, whatever with, and has a text of `payload` bytes.
    pub(crate) fn with_ack(target: &Target, event: &str, payload: usize) -> Self {
        let text = "x".repeat(payload);
        let behind = format!("[{event:?},\"{text}\"]");
        let packet = target.event(&format!("{FIRST_ID}{behind}"));
        let wire = connection::wire(&packet, target.transport);
        let at = wire.len() - behind.len() - ID_DIGITS;
        Self {
            wire,
            at,
            prefix: target.ack(),
            filler: b"[".to_vec(),
            is_id: true,
        }
    }

    /// Returns the event as it is sent; [`Numbered::number`] fills in the digits.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Writes a sequence number into a copy of the wire form.
    pub(crate) fn number(&self, wire: &mut [u8], number: u32) {
        if self.is_id {
            let mut id = FIRST_ID + u64::from(number);
            for digit in wire[self.at..self.at + ID_DIGITS].iter_mut().rev() {
                *digit = b"0123456789"[(id % 10) as usize];
                id /= 10;
            }
            return;
        }
        let digits = &mut wire[self.at..self.at + DIGITS];
        for (index, digit) in digits.iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (4 * index)) as usize & 0xf];
        }
    }

    /// Reads the sequence number of an answer; `None` if the packet is not one.
    pub(crate) fn read(&self, packet: &[u8]) -> Option<u32> {
        let length = if self.is_id { ID_DIGITS } else { DIGITS };
        let (digits, rest) = packet
            .strip_prefix(self.prefix.as_slice())?
            .split_at_checked(length)?;
        if !rest.starts_with(&self.filler) {
            return None;
        }
        if self.is_id {
            let id: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
            return u32::try_from(id.checked_sub(FIRST_ID)?).ok();
        }
        digits.iter().try_fold(0, |number, &digit| {
            let digit = char::from(digit).to_digit(16)?;
            Some(number << 4 | digit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Options, Scenario};
    use crate::raw::target::Transport;

    fn target(transport: Transport) -> Target {
        Target::new(
            &Options::new("http://127.0.0.1:1", Scenario::Echo),
            transport,
        )
        .unwrap()
    }

    #[test]
    fn number_is_the_id_of_an_acknowledgement() {
        let event = Numbered::with_ack(&target(Transport::Polling), "chat", 3);
        let mut wire = event.wire().to_vec();
        event.number(&mut wire, 42);
        assert_eq!(wire, br#"421000000042["chat","xxx"]"#);
        assert_eq!(event.read(br#"431000000042["ok"]"#), Some(42));
        assert_eq!(event.read(br"431000000042"), None);
        assert_eq!(event.read(br"4342[]"), None);
        event.number(&mut wire, u32::MAX);
        assert_eq!(wire, br#"425294967295["chat","xxx"]"#);
        assert_eq!(event.read(br"435294967295[]"), Some(u32::MAX));
    }

    #[test]
    fn number_is_part_of_the_text_argument() {
        let event = Numbered::new(&target(Transport::Polling), &["echo"], "echo", 10);
        let mut wire = event.wire().to_vec();
        event.number(&mut wire, 0x12ab);
        assert_eq!(wire, br#"42["echo","000012abxx"]"#);
        assert_eq!(event.read(&wire), Some(0x12ab));
        assert_eq!(
            event.read(br#"42["echo","000012abxx","offset"]"#),
            Some(0x12ab)
        );
    }

    #[test]
    fn other_events_are_not_answers() {
        let event = Numbered::new(&target(Transport::Polling), &["echo"], "echo", 10);
        for packet in [
            r#"42["echo","000012abyy"]"#,
            r#"42["clock",{}]"#,
            r#"42["echo","000012agxx"]"#,
            r#"42["echo"]"#,
        ] {
            assert_eq!(event.read(packet.as_bytes()), None, "{packet}");
        }
    }

    #[test]
    fn digits_are_found_behind_the_frame_header() {
        let event = Numbered::new(
            &target(Transport::WebSocket),
            &["broadcast", "blast"],
            "blast",
            200,
        );
        let mut wire = event.wire().to_vec();
        event.number(&mut wire, u32::MAX);
        let text = String::from_utf8_lossy(&wire[8..]);
        assert!(
            text.starts_with(r#"42["broadcast","blast","ffffffffxx"#),
            "{text}"
        );
    }
}
