//! The result as text.

use kokanee_bench::{Generator, Report, Scenario};

use crate::{escape, paint::Paint, pretty::plural};

/// Characters of the longest bar.
const BAR: usize = 40;
/// Maximum number of characters of the line of rates.
const SPARKS: usize = 60;

/// Formats a result as lines.
pub(crate) fn lines(report: &Report, paint: Paint) -> Vec<String> {
    let mut lines = vec![
        paint.bold(&headline(report)),
        String::new(),
        format!(
            "{} {} in {:.2} s, {} per second",
            paint.bold(&count(report.messages)),
            unit(report.scenario),
            report.elapsed_seconds,
            paint.bold(&number(report.rate)),
        ),
    ];
    lines.extend(waves(report));
    lines.extend(distribution(report, paint));
    lines.extend(sparkline(report, paint));
    lines.extend(resources(report));
    let warnings = warnings(report).into_iter();
    lines.extend(warnings.map(|warning| format!("{} {warning}", paint.yellow("note:"))));
    lines
}

/// Describes the run.
pub(crate) fn headline(report: &Report) -> String {
    let connections = count(report.connections as u64);
    let name = report.scenario.name();
    let bytes = report.payload_bytes;
    let load = match report.scenario {
        Scenario::Echo => format!(", {} in flight on each, {bytes} bytes", report.window),
        Scenario::Broadcast => {
            let broadcasts = plural(report.window as u64, "broadcast");
            format!(", {broadcasts} in flight, {bytes} bytes")
        }
        Scenario::Polling => format!(", {bytes} bytes"),
        Scenario::Storm => format!(", {}", plural(report.waves.len() as u64, "wave")),
        Scenario::Idle | Scenario::Connect => String::new(),
    };
    let connections = match report.generator {
        Generator::Raw => format!("{connections} connections"),
        made_by @ Generator::Client => {
            format!("{connections} connections of {}", generator(made_by))
        }
    };
    format!("{name} on {connections}{load}")
}

/// Names what made the connections.
pub(crate) fn generator(generator: Generator) -> &'static str {
    match generator {
        Generator::Raw => "the raw generator",
        Generator::Client => "Kokanee's client",
    }
}

/// Names what is counted.
pub(crate) fn unit(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Echo => "echoes",
        Scenario::Polling => "polling cycles",
        Scenario::Broadcast => "deliveries",
        Scenario::Connect | Scenario::Idle => "connections opened",
        Scenario::Storm => "reconnections",
    }
}

/// Describes what the latency measures.
pub(crate) fn latency_of(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Echo | Scenario::Polling => "from an event to its echo",
        Scenario::Broadcast => "from an event to its last delivery",
        Scenario::Connect | Scenario::Idle => {
            "from the start of a connection to the accepted namespace"
        }
        Scenario::Storm => "from the cut to the accepted namespace",
    }
}

fn waves(report: &Report) -> Vec<String> {
    let line = |(index, wave): (usize, &kokanee_bench::Wave)| {
        format!(
            "  wave {}: all reconnected after {}, half after {}, {} failed attempts",
            index + 1,
            time(wave.seconds * 1e6),
            time(wave.latency.p50),
            count(wave.failures)
        )
    };
    report.waves.iter().enumerate().map(line).collect()
}

/// The latency as bars.
fn distribution(report: &Report, paint: Paint) -> Vec<String> {
    let latency = &report.latency;
    if latency.count == 0 {
        return Vec::new();
    }
    let head = format!("Latency, {}:", latency_of(report.scenario));
    let rows = [
        ("min", latency.min),
        ("p50", latency.p50),
        ("p90", latency.p90),
        ("p99", latency.p99),
        ("p99.9", latency.p999),
        ("max", latency.max),
    ];
    let row = |(name, micros): (&str, f64)| {
        let bar = paint.cyan(&"█".repeat(cells(micros, latency.max)));
        format!("  {name:>6}  {:>9}  {bar}", time(micros))
    };
    let rows = rows.into_iter().map(row);
    [String::new(), head].into_iter().chain(rows).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "from 0 to the length of a bar"
)]
fn cells(value: f64, max: f64) -> usize {
    (value / max.max(f64::EPSILON) * BAR as f64)
        .round()
        .clamp(0.0, BAR as f64) as usize
}

/// The rate over time.
fn sparkline(report: &Report, paint: Paint) -> Vec<String> {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let samples = &report.timeline;
    if samples.len() < 2 {
        return Vec::new();
    }
    let group = samples.len().div_ceil(SPARKS);
    let rates: Vec<f64> = samples
        .chunks(group)
        .map(|chunk| {
            let messages: f64 = chunk
                .iter()
                .map(|sample| sample.rate() * sample.seconds)
                .sum();
            messages
                / chunk
                    .iter()
                    .map(|sample| sample.seconds)
                    .sum::<f64>()
                    .max(f64::EPSILON)
        })
        .collect();
    let max = rates.iter().copied().fold(0.0, f64::max);
    let level = |rate: &f64| LEVELS[(cells(*rate, max) * (LEVELS.len() - 1)).div_ceil(BAR)];
    let line: String = rates.iter().map(level).collect();
    let end = samples.last().map_or(0.0, |sample| sample.at);
    vec![
        String::new(),
        format!("Rate over {end:.1} s, at most {} per second:", number(max)),
        format!("  {}", paint.cyan(&line)),
    ]
}

fn resources(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(server) = &report.server {
        lines.push(format!(
            "Server: {:.2} µs of CPU time per message, {:.0} % of it in user space, {:.2} s in total",
            server.cpu_per_message,
            server.user_share * 100.0,
            server.cpu_seconds
        ));
    }
    if let Some(memory) = &report.memory {
        lines.push(format!(
            "Server memory: {} before, {} with all connections ({:.0} bytes each), {} at the end",
            bytes(memory.before),
            bytes(memory.open),
            memory.open_per_connection,
            bytes(memory.after)
        ));
    } else if let Some(memory) = report.timeline.last().and_then(|sample| sample.memory) {
        lines.push(format!("Server memory: {} at the end", bytes(memory)));
    }
    if let Some(busy) = report.load_busy {
        lines.push(format!(
            "Load: {}, {:.0} % of a core",
            generator(report.generator),
            busy * 100.0
        ));
    }
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

/// Returns what makes the figures questionable.
pub(crate) fn warnings(report: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    if report.out_of_order > 0 {
        warnings.push(format!(
            "{} messages arrived out of order",
            count(report.out_of_order)
        ));
    }
    if report.load_busy.is_some_and(|busy| busy > 0.9) {
        warnings.push(
            "the load generator used almost a whole core, so it may limit the rate".to_owned(),
        );
    }
    if report.failures > 0 {
        let reasons = report.failure_reasons.iter();
        let reasons: Vec<_> = reasons
            .map(|(reason, times)| format!("{} × {}", count(*times), escape::text(reason)))
            .collect();
        warnings.push(format!(
            "{} connection attempts failed and were retried: {}",
            count(report.failures),
            reasons.join(", ")
        ));
    }
    let limited = report.failure_reasons.iter();
    let limited = limited.filter(|(reason, _)| is_address_limit(reason));
    let limited: u64 = limited.map(|(_, times)| times).sum();
    if limited > 0 {
        warnings.push(format!(
            "{} of them were refused by {ADDRESS_LIMIT}",
            count(limited)
        ));
    }
    warnings
}

/// The limit that refuses many connections from one machine, and what to do about it.
pub(crate) const ADDRESS_LIMIT: &str = "the server's limit for one address, which all these connections come from; to measure \
    without it, raise it (kokanee serve --max-pending-per-address, Limits::max_pending_sessions_per_address)";

/// Returns whether a server refused a connection because of its limit for one address.
pub(crate) fn is_address_limit(reason: &str) -> bool {
    // Both the raw generator and the client report the status in this form.
    reason.contains("429 Too Many Requests")
}

/// Formats a count with separators.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number with three significant digits, or all digits before the point.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is positive and far below 2^52"
)]
pub(crate) fn number(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => count(value.round() as u64),
    }
}

/// Formats a time in microseconds with a suitable unit.
pub(crate) fn time(micros: f64) -> String {
    match micros {
        micros if micros < 1_000.0 => format!("{micros:.0} µs"),
        micros if micros < 10_000.0 => format!("{:.2} ms", micros / 1e3),
        micros if micros < 100_000.0 => format!("{:.1} ms", micros / 1e3),
        micros if micros < 1_000_000.0 => format!("{:.0} ms", micros / 1e3),
        micros => format!("{:.2} s", micros / 1e6),
    }
}

/// Formats a size with a suitable unit.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(crate) fn bytes(size: u64) -> String {
    match size {
        size if size < 1 << 10 => format!("{size} B"),
        size if size < 1 << 20 => format!("{:.1} KiB", size as f64 / 1024.0),
        size if size < 1 << 30 => format!("{:.1} MiB", size as f64 / 1_048_576.0),
        size => format!("{:.2} GiB", size as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(number(2.345), "2.35");
        assert_eq!(number(99_999.6), "100,000");
        assert_eq!(time(12.4), "12 µs");
        assert_eq!(time(1_234.0), "1.23 ms");
        assert_eq!(time(2_500_000.0), "2.50 s");
        assert_eq!(bytes(1536), "1.5 KiB");
    }
}
