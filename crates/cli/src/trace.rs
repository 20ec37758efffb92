//! What the libraries report with `tracing`, as lines on stderr.

use std::io;

use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{escape, output::Output};

/// Writes the libraries' reports that pass the filter to stderr.
pub(crate) fn report_traces(filter: &Targets, output: &Output) {
    let output = output.clone();
    let report = fmt::layer()
        .with_ansi(false)
        .with_writer(move || TraceWriter(output.clone()));
    // This program has no other subscriber.
    let _ = tracing_subscriber::registry()
        .with(filter.clone())
        .with(report)
        .try_init();
}

/// Writes one report, at once.
struct TraceWriter(Output);

impl io::Write for TraceWriter {
    fn write(&mut self, report: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(report);
        self.0.err(escape::lines(text.trim_end_matches('\n')));
        Ok(report.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
