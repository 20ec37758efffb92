//! What the libraries report by `tracing`, as lines on stderr.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::{escape, output::Output};

/// Writes the library's own reports to stderr.
pub(crate) fn report_traces(level: &str, output: &Output) {
    let output = output.clone();
    let report = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_ansi(false)
        .with_writer(move || TraceWriter(output.clone()));
    // There is no other subscriber in this program.
    let _ = report.try_init();
}

/// Takes one report, which is written at once.
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
