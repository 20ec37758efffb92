//! The event of a run: what a connection emits, and what comes back. Both carry a sequence number, of which a load keeps
//! count; how they look on the wire is the matter of the connections.

use crate::options::{Options, Relay, Scenario};

/// Number of hexadecimal digits that the text argument of an event begins with.
pub(crate) const DIGITS: usize = 8;

/// An event whose last argument is a text, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Name of the event.
    pub(crate) event: String,
    /// The argument before the text: the event that a relay is asked for.
    pub(crate) relayed: Option<String>,
    /// What comes back.
    pub(crate) answer: Answer,
    /// Length of the text in bytes.
    pub(crate) payload: usize,
}

/// What comes back for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An event of this name with the same text, which begins with the number.
    Event(String),
    /// An acknowledgement, whatever with. The number is in its id.
    Ack,
}

impl Message {
    /// Returns the event that a scenario sends, if it sends one.
    pub(crate) fn of(options: &Options) -> Self {
        let payload = options.payload;
        if let Scenario::Echo | Scenario::Polling = options.scenario {
            let event = options.event.clone();
            let answer = if options.ack {
                Answer::Ack
            } else {
                Answer::Event(event.clone())
            };
            return Self {
                event,
                relayed: None,
                answer,
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
            answer: Answer::Event(blast()),
            payload,
        }
    }

    /// Returns the text behind the digits, or all of it if there are none.
    pub(crate) fn filler(&self) -> String {
        let digits = match self.answer {
            Answer::Event(_) => DIGITS,
            Answer::Ack => 0,
        };
        "x".repeat(self.payload.saturating_sub(digits))
    }
}

/// Reads the digits of a text; `None` if they are none.
pub(crate) fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(number << 4 | digit)
    })
}
