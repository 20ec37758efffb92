//! A sequence number at a fixed position in a prebuilt event: the eight hexadecimal digits at the start of its text argument,
//! or the ten decimal digits of its acknowledgement id.

use super::connection;
use super::outbox::Outbox;
use super::target::Target;
use crate::load::{DIGITS, Emit, Message, Reply, number};

/// Added to a number to make an id of it: all of them have [`ID_DIGITS`] digits.
const FIRST_ID: u64 = 1_000_000_000;

/// Number of digits of an id.
const ID_DIGITS: usize = 10;

/// The wire form of a [`Message`] and of the reply to it.
#[derive(Debug)]
pub(super) struct Numbered {
    wire: Vec<u8>,
    /// Where the digits start in `wire`.
    at: usize,
    /// The reply up to the digits.
    prefix: Vec<u8>,
    /// The reply after the digits, up to the end of the text argument.
    filler: Vec<u8>,
    /// Whether the number is the id of an acknowledgement.
    is_id: bool,
}

impl Numbered {
    /// Builds an event `[…, text]` whose reply is `[name, text]` or an acknowledgement.
    pub(super) fn new(target: &Target, message: &Message) -> Self {
        let names: String = [Some(&message.event), message.relayed.as_ref()]
            .into_iter()
            .flatten()
            .map(|name| json(name) + ",")
            .collect();
        let filler = message.filler();
        match &message.reply {
            Reply::Event(name) => {
                let digits = "0".repeat(DIGITS);
                let packet = target.event(&format!("[{names}\"{digits}{filler}\"]"));
                let wire = connection::wire(&packet, target.transport);
                let at = wire.len() - "\"]".len() - filler.len() - DIGITS;
                Self {
                    wire,
                    at,
                    prefix: target.event(&format!("[{},\"", json(name))).into_bytes(),
                    filler: format!("{filler}\"").into_bytes(),
                    is_id: false,
                }
            }
            Reply::Ack => {
                let rest = format!("[{names}\"{filler}\"]");
                let packet = target.event(&format!("{FIRST_ID}{rest}"));
                let wire = connection::wire(&packet, target.transport);
                let at = wire.len() - rest.len() - ID_DIGITS;
                Self {
                    wire,
                    at,
                    prefix: target.ack(),
                    filler: b"[".to_vec(),
                    is_id: true,
                }
            }
        }
    }

    /// Appends the event with its number to the bytes to send.
    pub(super) fn send(&self, emit: Emit, outbox: &mut Outbox) {
        self.number(outbox.send(emit.connection, &self.wire), emit.number);
    }

    /// Writes a sequence number into a copy of the wire form.
    fn number(&self, wire: &mut [u8], number: u32) {
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

    /// Reads the sequence number of a reply; `None` if the packet is not one.
    pub(super) fn read(&self, packet: &[u8]) -> Option<u32> {
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
        number(digits)
    }
}

/// Returns a name as JSON.
fn json(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Options, Relay, Scenario};
    use crate::raw::target::Transport;

    fn options(scenario: Scenario, payload: usize) -> Options {
        Options {
            payload,
            ..Options::new("http://127.0.0.1:1", scenario)
        }
    }

    fn numbered(options: &Options, transport: Transport) -> Numbered {
        let target = Target::new(options, transport).unwrap();
        Numbered::new(&target, &Message::of(options))
    }

    #[test]
    fn number_is_the_id_of_an_acknowledgement() {
        let options = Options {
            event: "chat".to_owned(),
            ack: true,
            ..options(Scenario::Echo, 3)
        };
        let event = numbered(&options, Transport::Polling);
        let mut wire = event.wire.clone();
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
        let event = numbered(&options(Scenario::Echo, 10), Transport::Polling);
        let mut wire = event.wire.clone();
        event.number(&mut wire, 0x12ab);
        assert_eq!(wire, br#"42["echo","000012abxx"]"#);
        assert_eq!(event.read(&wire), Some(0x12ab));
        assert_eq!(
            event.read(br#"42["echo","000012abxx","offset"]"#),
            Some(0x12ab)
        );
    }

    #[test]
    fn other_events_are_not_replies() {
        let event = numbered(&options(Scenario::Echo, 10), Transport::Polling);
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
        let options = Options {
            relay: Relay::Broadcast,
            ..options(Scenario::Broadcast, 200)
        };
        let event = numbered(&options, Transport::WebSocket);
        let mut wire = event.wire.clone();
        event.number(&mut wire, u32::MAX);
        let text = String::from_utf8_lossy(&wire[8..]);
        assert!(
            text.starts_with(r#"42["broadcast","blast","ffffffffxx"#),
            "{text}"
        );
    }
}
