//! The event of a run, and the reply to it. Both have a sequence number, which the load tracks. The connections define how
//! both are encoded.

use crate::options::{Options, Relay, Scenario};

/// Number of hexadecimal digits at the start of an event's text argument.
pub(crate) const DIGITS: usize = 8;

/// An event whose last argument is a text, and the reply to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Name of the event.
    pub(crate) event: String,
    /// The argument before the text: the name of the event that the server broadcasts.
    pub(crate) relayed: Option<String>,
    /// The expected reply.
    pub(crate) reply: Reply,
    /// Length of the text in bytes.
    pub(crate) payload: usize,
}

/// The reply to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// An event with this name and the same text, which starts with the number.
    Event(String),
    /// An acknowledgement with any arguments. The number is in its id.
    Ack,
}

impl Message {
    /// Returns the event that a scenario sends, if it sends one.
    pub(crate) fn of(options: &Options) -> Self {
        let payload = options.payload;
        if let Scenario::Echo | Scenario::Polling = options.scenario {
            let event = options.event.clone();
            let reply = if options.ack {
                Reply::Ack
            } else {
                Reply::Event(event.clone())
            };
            return Self {
                event,
                relayed: None,
                reply,
                payload,
            };
        }
        let blast = || "blast".to_owned();
        let (event, relayed) = match options.relay {
            Relay::Blast => (blast(), None),
            Relay::Broadcast => ("broadcast".to_owned(), Some(blast())),
        };
        Self {
            event,
            relayed,
            reply: Reply::Event(blast()),
            payload,
        }
    }

    /// Returns the text after the digits, or all of it if there are none.
    pub(crate) fn filler(&self) -> String {
        let digits = match self.reply {
            Reply::Event(_) => DIGITS,
            Reply::Ack => 0,
        };
        "x".repeat(self.payload.saturating_sub(digits))
    }
}

/// Parses the digits of a text; `None` if they are not digits.
pub(crate) fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(number << 4 | digit)
    })
}
