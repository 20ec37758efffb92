//! [`Recovery`]: what a server needs to restore a socket's state. Spec: Socket.IO, "Connection state recovery".

use kokanee_engineio::Str;
use kokanee_socketio::{AckId, RawEvent};
use serde_json::{Map, Value};

/// Longest text that is taken for an offset of a server that recovers connections.
const MAX_OFFSET_BYTES: usize = 64;

/// What a server has said of the state that it keeps of a socket.
#[derive(Default)]
pub(super) struct Recovery {
    /// The private id. `None` if the server keeps no state.
    pid: Option<Str>,
    /// The offset of the last event that was received.
    offset: Option<Str>,
}

impl Recovery {
    /// Notes the private id that came with the acceptance. Returns whether the server has restored the state.
    pub(super) fn on_connected(&mut self, pid: Option<Str>) -> bool {
        // As in JavaScript: the same private id again says so.
        let recovered = pid.is_some() && self.pid == pid;
        if !recovered {
            self.offset = None;
        }
        self.pid = pid;
        recovered
    }

    /// Notes the offset of an event. Servers append it to the arguments, except those of events with an acknowledgement.
    pub(super) fn on_event(&mut self, id: Option<AckId>, event: &RawEvent) {
        if self.pid.is_some()
            && id.is_none()
            && let Some(offset) = offset_of(event)
        {
            self.offset = Some(offset);
        }
    }

    /// Forgets the state: the socket has left its namespace, so the server does not keep it.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the `auth` to be sent with CONNECT. Null is nothing.
    pub(super) fn auth(&self, auth: Value) -> Option<Value> {
        let Some(pid) = &self.pid else {
            return (!auth.is_null()).then_some(auth);
        };
        let mut object = match auth {
            Value::Object(object) => object,
            _ => Map::new(),
        };
        object.insert("pid".to_owned(), pid.as_str().into());
        if let Some(offset) = &self.offset {
            object.insert("offset".to_owned(), offset.as_str().into());
        }
        Some(Value::Object(object))
    }
}

/// Returns the last argument if it can be an offset: a short text without spaces. Any other text, taken for one, would cost
/// the recovery.
fn offset_of(event: &RawEvent) -> Option<Str> {
    let is_offset = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let rest = event.args().json().strip_suffix('"')?;
    let (before, text) = rest.rsplit_once('"')?;
    let is_whole = before.is_empty() || before.ends_with(',');
    (is_whole && !text.is_empty() && text.len() <= MAX_OFFSET_BYTES && text.bytes().all(is_offset))
        .then(|| Str::from(text))
}

#[cfg(test)]
mod tests {
    use kokanee_socketio::{Args, Value};

    use super::*;

    fn offset(args: &[Value]) -> Option<String> {
        let args = Args::from_values(args.iter().cloned()).expect("values");
        offset_of(&RawEvent::new("x", args)).map(|offset| offset.as_str().to_owned())
    }

    #[test]
    fn an_offset_is_a_short_text_after_the_arguments() {
        assert_eq!(offset(&["Q84fHBt".into()]).as_deref(), Some("Q84fHBt"));
        assert_eq!(
            offset(&[1.into(), "1700-0".into()]).as_deref(),
            Some("1700-0")
        );
        assert_eq!(
            offset(&["a b".into(), "x.0".into()]).as_deref(),
            Some("x.0")
        );
        for text in ["", "two words", "quote\"", "end\\", "ä", &"x".repeat(65)] {
            assert_eq!(offset(&[text.into()]), None, "{text}");
        }
        assert_eq!(offset(&[]), None);
        assert_eq!(offset(&[1.into()]), None);
        assert_eq!(offset(&["x".into(), 1.into()]), None);
    }
}
