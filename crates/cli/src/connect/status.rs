//! The status line: namespace, connection state, and latency of acknowledgements.

use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use crate::escape;

/// The connection state of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// Connecting for the first time.
    #[default]
    Connecting,
    Connected,
    /// The connection is lost; the number is that of the attempt to reconnect.
    Reconnecting(u32),
    /// Not connected, and without automatic reconnection.
    Disconnected,
}

/// The content of the status line.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) url: String,
    pub(crate) namespace: String,
    pub(crate) state: State,
    pub(crate) transport: Option<&'static str>,
    /// The socket's id.
    pub(crate) id: Option<String>,
    /// Time until the last acknowledgement.
    pub(crate) latency: Option<Duration>,
    /// Number of joined namespaces.
    pub(crate) namespaces: usize,
    /// Number of reconnections.
    pub(crate) reconnections: u32,
    /// Number of pending acknowledgements.
    pub(crate) pending: usize,
    /// Number of hidden event names.
    pub(crate) muted: usize,
}

impl Status {
    /// Formats the line, cut to `width` columns. The most important parts come first.
    pub(crate) fn line(&self, width: usize) -> String {
        let state = match self.state {
            State::Connecting => "◌ connecting".to_owned(),
            State::Connected => "● connected".to_owned(),
            State::Reconnecting(attempt) => format!("◌ reconnecting, attempt {attempt}"),
            State::Disconnected => "○ disconnected".to_owned(),
        };
        let is_connected = self.state == State::Connected;
        let mut parts = vec![state, escape::text(&self.namespace)];
        parts.extend(self.transport.filter(|_| is_connected).map(str::to_owned));
        parts.extend(
            self.latency
                .map(|latency| format!("ack {:.1} ms", latency.as_secs_f64() * 1000.0)),
        );
        if self.pending > 0 {
            parts.push(format!("{} pending", self.pending));
        }
        if self.reconnections > 0 {
            parts.push(format!("reconnected {}×", self.reconnections));
        }
        if self.namespaces > 1 {
            parts.push(format!("{} namespaces", self.namespaces));
        }
        if self.muted > 0 {
            parts.push(format!("{} muted", self.muted));
        }
        parts.extend(
            self.id
                .as_deref()
                .filter(|_| is_connected)
                .map(escape::text),
        );
        parts.push(escape::text(&self.url));
        let mut line = String::new();
        for part in parts {
            let separator = if line.is_empty() { " " } else { "  " };
            if line.width() + separator.len() + part.width() > width {
                break;
            }
            line.push_str(separator);
            line.push_str(&part);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_most_is_shown_first() {
        let status = Status {
            url: "http://localhost:3000".to_owned(),
            namespace: "/chat".to_owned(),
            state: State::Connected,
            transport: Some("websocket"),
            id: Some("AbCdEf".to_owned()),
            latency: Some(Duration::from_micros(1250)),
            namespaces: 2,
            reconnections: 1,
            pending: 3,
            muted: 1,
        };
        assert_eq!(
            status.line(200),
            " ● connected  /chat  websocket  ack 1.2 ms  3 pending  reconnected 1×  2 namespaces  1 muted  AbCdEf  http://localhost:3000"
        );
        assert_eq!(status.line(25), " ● connected  /chat");
        assert_eq!(status.line(3), "");
    }

    #[test]
    fn what_is_lost_is_not_shown_as_there() {
        let status = Status {
            namespace: "/".to_owned(),
            state: State::Reconnecting(3),
            transport: Some("websocket"),
            id: Some("AbCdEf".to_owned()),
            ..Status::default()
        };
        assert_eq!(status.line(80).trim_end(), " ◌ reconnecting, attempt 3  /");
    }
}
