//! The progress of a run: a bar that is redrawn in a terminal, otherwise one line per second.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use crossterm::terminal;
use kokanee_bench::{Progress, Sample, Scenario};

use super::text::{count, time};
use crate::{args::BenchArgs, output::Output, paint::Paint};

/// Characters of the bar, at most and at least.
const WIDTH: usize = 24;
const MIN_WIDTH: usize = 6;
/// Assumed width of a terminal that does not report it.
const COLUMNS: u16 = 80;

/// Shows the progress on stderr.
pub(crate) struct Reporter {
    output: Output,
    style: Style,
    paint: Paint,
    scenario: Scenario,
    /// Duration of the measurement; `None` if it is not known.
    length: Option<Duration>,
    total: Option<u64>,
    started: Option<Instant>,
    last: (Duration, u64),
    /// The latest rate of messages.
    rate: f64,
    sample: Option<Sample>,
    stage: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Silent,
    Lines,
    Bar,
}

impl Reporter {
    pub(crate) fn new(args: &BenchArgs, output: Output) -> Self {
        let style = match (args.quiet, io::stderr().is_terminal()) {
            (true, _) => Style::Silent,
            (false, true) => Style::Bar,
            (false, false) => Style::Lines,
        };
        let scenario = Scenario::from(args.scenario);
        let is_timed = args.messages.is_none();
        Self {
            output,
            style,
            paint: Paint::for_stderr(args.connection.color),
            scenario,
            length: match scenario {
                Scenario::Echo | Scenario::Broadcast | Scenario::Polling if is_timed => {
                    Some(args.duration)
                }
                Scenario::Idle => Some(args.hold),
                _ => None,
            },
            total: match scenario {
                Scenario::Echo | Scenario::Polling => args.messages.map(Into::into),
                _ => None,
            },
            started: None,
            last: (Duration::ZERO, 0),
            rate: 0.0,
            sample: None,
            stage: String::new(),
        }
    }

    pub(crate) fn on_progress(&mut self, progress: Progress) {
        match progress {
            Progress::Opening { open, total } => self.on_opening(open, total),
            Progress::Started => {
                self.started = Some(Instant::now());
                self.last = (Duration::ZERO, 0);
                self.sample = None;
            }
            Progress::Running { elapsed, messages } => self.on_running(elapsed, messages),
            Progress::Interval(sample) => self.on_sample(sample),
            Progress::Cut { wave, waves } => {
                self.stage = format!("wave {wave} of {waves}");
                if self.style == Style::Lines {
                    self.output
                        .print_err(format!("{}: cutting all connections", self.stage));
                }
            }
            Progress::Finished => {}
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if self.style == Style::Bar {
            self.output.status(String::new());
        }
    }

    fn on_opening(&mut self, open: usize, total: usize) {
        let what = if self.stage.is_empty() {
            "opening connections".to_owned()
        } else {
            format!("{}, reconnecting", self.stage)
        };
        let text = format!("{} of {}", count(open as u64), count(total as u64));
        match self.style {
            Style::Silent => {}
            Style::Lines => self.output.print_err(format!("{what}: {text}")),
            Style::Bar => {
                let share = ratio(open as u64, total as u64);
                self.show(share, &what, &text);
            }
        }
    }

    fn on_running(&mut self, elapsed: Duration, messages: u64) {
        let (last_time, last_messages) = self.last;
        let time = elapsed.saturating_sub(last_time).as_secs_f64();
        // The count restarts at zero after the warm-up.
        if time > 0.0 && messages >= last_messages {
            self.rate = rate(messages - last_messages, time);
        }
        self.last = (elapsed, messages);
        if self.style != Style::Bar {
            return;
        }
        let share = match (self.length, self.total) {
            _ if self.started.is_none() => 0.0,
            (Some(length), _) => elapsed.as_secs_f64() / length.as_secs_f64(),
            (None, Some(total)) => ratio(messages, total),
            (None, None) => 0.0,
        };
        let what = match self.started {
            None => "warming up".to_owned(),
            Some(_) => format!("{} {:.0} s", self.scenario.name(), elapsed.as_secs_f64()),
        };
        let mut text = format!("{}/s", count_of(self.rate));
        if let Some(sample) = self.sample {
            text.push_str(&latencies(&sample));
        }
        self.show(share, &what, &text);
    }

    fn on_sample(&mut self, sample: Sample) {
        self.sample = Some(sample);
        match self.style {
            Style::Silent => {}
            // Skips the empty intervals between the waves of a storm.
            Style::Lines
                if self.scenario == Scenario::Storm
                    && sample.messages == 0
                    && sample.failures == 0 => {}
            Style::Lines => self.output.print_err(line(&sample)),
            Style::Bar if self.scenario == Scenario::Idle => {
                let held = self
                    .length
                    .map_or(0.0, |length| sample.at / length.as_secs_f64());
                let text = format!("{} open{}", count(sample.open), resources(&sample));
                self.show(held, &format!("holding {:.0} s", sample.at), &text);
            }
            Style::Bar => {}
        }
    }

    fn show(&self, share: f64, what: &str, text: &str) {
        let columns = terminal::size().map_or(COLUMNS, |(columns, _)| columns);
        let (bar, text) = fit(columns.into(), share, &format!(" {what}  {text}"));
        self.output
            .status(format!("{}{text}", self.paint.cyan(&bar)));
    }
}

/// Returns the bar and the text after it, in fewer than `columns` columns, because a wrapped line cannot be erased. If the
/// space is short, the bar is left out first.
fn fit(columns: usize, share: f64, text: &str) -> (String, String) {
    let room = columns.saturating_sub(1);
    let cells = room.saturating_sub(text.chars().count() + 2).min(WIDTH);
    let bar = if cells >= MIN_WIDTH {
        bar(share, cells)
    } else {
        String::new()
    };
    let left = room - bar.chars().count();
    let text = if bar.is_empty() {
        text.trim_start()
    } else {
        text
    };
    (bar, text.chars().take(left).collect())
}

/// Formats one interval as a line.
fn line(sample: &Sample) -> String {
    format!(
        "{:6.1} s  {:>9}/s  {} open{}{}",
        sample.at,
        count_of(sample.rate()),
        count(sample.open),
        latencies(sample),
        resources(sample)
    )
}

fn latencies(sample: &Sample) -> String {
    if sample.latency.count == 0 {
        return String::new();
    }
    format!(
        "  p50 {}  p99 {}",
        time(sample.latency.p50),
        time(sample.latency.p99)
    )
}

fn resources(sample: &Sample) -> String {
    let cpu = sample.cpu.map(|cpu| format!("  {cpu:.2} cores"));
    let memory = sample
        .memory
        .map(|bytes| format!("  {}", super::text::bytes(bytes)));
    [cpu, memory].into_iter().flatten().collect()
}

/// Draws a bar with a resolution of an eighth of a character.
fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [&str; 9] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];
    let mut left = (share.clamp(0.0, 1.0) * 8.0 * ratio(width as u64, 1)).round();
    let mut text = String::from("▕");
    let mut cells = 0;
    while left >= 8.0 {
        text.push('█');
        left -= 8.0;
        cells += 1;
    }
    let part = EIGHTHS
        .iter()
        .zip(0_u8..)
        .find(|(_, eighths)| f64::from(*eighths) >= left)
        .map_or("", |(part, _)| *part);
    text.push_str(part);
    cells += usize::from(!part.is_empty());
    text.push_str(&" ".repeat(width.saturating_sub(cells)));
    text.push('▏');
    text
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rate(messages: u64, seconds: f64) -> f64 {
    messages as f64 / seconds
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are positive and far below 2^52"
)]
fn count_of(rate: f64) -> String {
    count(rate.round().max(0.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_always_equally_long() {
        for share in [-1.0, 0.0, 0.01, 0.33, 0.5, 0.999, 1.0, 7.0, f64::NAN] {
            assert_eq!(bar(share, WIDTH).chars().count(), WIDTH + 2, "{share}");
        }
        assert!(bar(1.0, WIDTH).contains(&"█".repeat(WIDTH)));
    }

    #[test]
    fn the_progress_is_one_line_of_any_terminal() {
        let text = " echo 5 s  123,456/s  p50 850 µs  p99 12.0 ms";
        for columns in 0..200 {
            let (bar, shown) = fit(columns, 0.5, text);
            let used = bar.chars().count() + shown.chars().count();
            assert!(used < columns.max(1), "{columns}: {bar}{shown}");
            assert!(columns < 46 || shown.contains("12.0 ms"), "{columns}");
            assert_eq!(columns >= 72, bar.chars().count() == WIDTH + 2, "{columns}");
        }
    }

    #[test]
    fn a_line_has_what_is_known() {
        let mut sample = Sample {
            at: 2.0,
            seconds: 1.0,
            messages: 12_345,
            open: 100,
            ..Sample::default()
        };
        assert_eq!(line(&sample), "   2.0 s     12,345/s  100 open");
        sample.latency.count = 1;
        (sample.latency.p50, sample.latency.p99) = (850.0, 12_000.0);
        (sample.cpu, sample.memory) = (Some(0.5), Some(3 << 20));
        assert!(line(&sample).ends_with("  p50 850 µs  p99 12.0 ms  0.50 cores  3.0 MiB"));
    }
}
