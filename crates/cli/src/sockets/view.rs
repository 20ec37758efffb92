//! What the commands print: messages as text, in hexadecimal or unchanged, what happened, and totals.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kokanee::{bytes::Bytes, net::Endpoint};
use tokio::task;

use crate::{args::ViewArgs, escape, output::Output, paint::Paint, pretty::plural};

/// Maximum number of bytes shown of a message as text.
const MAX_TEXT_BYTES: usize = 1024;
/// Bytes per line of a hex dump.
const DUMP_BYTES: usize = 16;

/// Prints messages and other facts, and counts messages. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct View(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    output: Output,
    form: Form,
    is_quiet: bool,
    paint: Paint,
    start: Instant,
    connections: AtomicU64,
    received: Count,
    sent: Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Hex,
    Raw,
}

#[derive(Debug, Default)]
struct Count {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Count {
    fn add(&self, bytes: usize) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl View {
    pub(crate) fn new(args: &ViewArgs, output: &Output) -> Self {
        let form = match (args.hex, args.raw) {
            (true, _) => Form::Hex,
            (_, true) => Form::Raw,
            (false, false) => Form::Text,
        };
        let paint = if form == Form::Raw {
            Paint::for_stderr(args.color)
        } else {
            Paint::for_stdout(args.color)
        };
        Self(Arc::new(Inner {
            output: output.clone(),
            form,
            is_quiet: args.quiet,
            paint,
            start: Instant::now(),
            connections: AtomicU64::new(0),
            received: Count::default(),
            sent: Count::default(),
        }))
    }

    /// Prints the address of a server, even with `--quiet`.
    pub(crate) async fn listening(&self, address: impl std::fmt::Display) {
        self.line(format!(
            "listening on {}",
            self.0.paint.bold(&address.to_string())
        ))
        .await;
    }

    /// Prints the peer that connected.
    pub(crate) async fn connected_by(&self, peer: &Endpoint) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        self.fact(&format!("connected by {peer}")).await;
    }

    /// Prints the peer that this command connected to.
    pub(crate) async fn connected_to(&self, peer: &Endpoint) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        self.fact(&format!("connected to {peer}")).await;
    }

    /// Prints that something happened.
    pub(crate) async fn fact(&self, text: &str) {
        if !self.0.is_quiet {
            self.line(self.0.paint.dim(&escape::lines(text))).await;
        }
    }

    /// Prints a received message, and counts it. Waits until there is room in the output.
    pub(crate) async fn received(&self, data: &Bytes, from: Option<&Endpoint>) {
        self.0.received.add(data.len());
        if self.0.form == Form::Raw {
            let (output, data) = (self.0.output.clone(), data.clone());
            // It fails only if the output panics.
            let _ = task::spawn_blocking(move || output.print_bytes(data.to_vec())).await;
            return;
        }
        let text = self.message(data, from);
        self.line(text).await;
    }

    /// Counts a sent message.
    pub(crate) fn sent(&self, bytes: usize) {
        self.0.sent.add(bytes);
    }

    /// Returns the output.
    pub(crate) fn output(&self) -> &Output {
        &self.0.output
    }

    /// Returns whether stdout is closed at the other end.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.output.is_closed()
    }

    /// Returns the number of received messages.
    pub(crate) fn received_count(&self) -> u64 {
        self.0.received.messages.load(Ordering::Relaxed)
    }

    /// Returns the number of connections.
    pub(crate) fn connection_count(&self) -> u64 {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// Prints the totals and rates.
    pub(crate) async fn summary(&self) {
        let (connections, time) = (self.connection_count(), self.0.start.elapsed());
        let mut text = String::new();
        if connections > 0 {
            let _ = write!(text, "{}; ", plural(connections, "connection"));
        }
        let _ = write!(
            text,
            "received {}, sent {}, in {}",
            amount(&self.0.received, time),
            amount(&self.0.sent, time),
            seconds(time),
        );
        self.fact(&text).await;
    }

    fn message(&self, data: &[u8], from: Option<&Endpoint>) -> String {
        let from = from.map_or_else(String::new, |peer| {
            self.0
                .paint
                .dim(&format!(" from {}", escape::lines(&peer.to_string())))
        });
        if self.0.form == Form::Hex {
            return format!(
                "received {}{from}{}",
                plural(data.len() as u64, "byte"),
                dump(data)
            );
        }
        let text = self.0.paint.green(&text(data));
        if data.len() > MAX_TEXT_BYTES {
            format!(
                "received {text}… ({}){from}",
                plural(data.len() as u64, "byte")
            )
        } else {
            format!("received {text}{from}")
        }
    }

    async fn line(&self, text: String) {
        let (output, is_raw) = (self.0.output.clone(), self.0.form == Form::Raw);
        // On another thread: the output may be slow, and signals must be handled meanwhile.
        let print = move || {
            if is_raw {
                output.print_err(text);
            } else {
                output.print(text);
            }
        };
        let _ = task::spawn_blocking(print).await;
    }
}

/// Formats a message as text: line ends and invalid UTF-8 are shown as escapes.
fn text(data: &[u8]) -> String {
    let shown = &data[..data.len().min(MAX_TEXT_BYTES)];
    let mut text = String::with_capacity(shown.len());
    for chunk in shown.utf8_chunks() {
        text.push_str(
            &escape::lines(chunk.valid())
                .replace('\n', "\\n")
                .replace("\\u{d}", "\\r"),
        );
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Formats a message as a hex dump with its printable characters: 16 bytes per line, each line with a line end in front.
fn dump(data: &[u8]) -> String {
    let mut text = String::with_capacity(data.len() * 5);
    for (index, line) in data.chunks(DUMP_BYTES).enumerate() {
        let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let (left, right) = hex.split_at(hex.len().min(DUMP_BYTES / 2));
        let shown = |byte: &u8| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        };
        let characters: String = line.iter().map(shown).collect();
        let _ = write!(
            text,
            "\n  {:08x}  {:23}  {:23}  |{characters}|",
            index * DUMP_BYTES,
            left.join(" "),
            right.join(" "),
        );
    }
    text
}

fn amount(count: &Count, time: Duration) -> String {
    let bytes = count.bytes.load(Ordering::Relaxed);
    let messages = plural(count.messages.load(Ordering::Relaxed), "message");
    format!(
        "{} in {messages} ({})",
        plural(bytes, "byte"),
        rate(bytes, time)
    )
}

fn rate(bytes: u64, time: Duration) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let per_second = bytes as f64 / time.as_secs_f64().max(0.001);
    match per_second {
        rate if rate >= 1e6 => format!("{:.1} MB/s", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} kB/s", rate / 1e3),
        rate => format!("{rate:.0} B/s"),
    }
}

pub(crate) fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_safe_for_a_terminal() {
        assert_eq!(text(b"hello world"), "hello world");
        assert_eq!(text("grüße 🐟".as_bytes()), "grüße 🐟");
        assert_eq!(
            text(b"a\r\n\x1b[31m\xff\0"),
            "a\\r\\n\\u{1b}[31m\\xff\\u{0}"
        );
    }

    #[test]
    fn a_dump_shows_bytes_and_characters() {
        assert_eq!(
            dump(b"hello world\n\0\xff12345"),
            "\n  00000000  68 65 6c 6c 6f 20 77 6f  72 6c 64 0a 00 ff 31 32  |hello world...12|\
             \n  00000010  33 34 35                                          |345|"
        );
        assert_eq!(dump(b""), "");
    }

    #[test]
    fn rates_have_a_unit_that_fits() {
        let second = Duration::from_secs(1);
        assert_eq!(rate(11, second), "11 B/s");
        assert_eq!(rate(1_500, second), "1.5 kB/s");
        assert_eq!(rate(2_500_000, second / 2), "5.0 MB/s");
    }
}
