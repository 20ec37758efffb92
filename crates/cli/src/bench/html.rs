//! The result as a self-contained page: key figures, charts and the timeline as a table.

use std::{
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use kokanee_bench::{Generator, Options, Quantile, Report, Sample, Scenario};

use super::{
    chart::{Chart, Series, escape},
    text::{bytes, count, generator, headline, latency_of, number, time, unit, warnings},
};

const STYLE: &str = include_str!("report.css");

/// Returns the page.
pub(crate) fn page(report: &Report, options: &Options) -> String {
    let title = headline(report);
    let mut body = format!(
        "<header><h1>{}</h1><p>{} · {}</p></header>\n",
        escape(&title),
        escape(&report.url),
        date()
    );
    for warning in warnings(report) {
        add(
            &mut body,
            format_args!("<p class=\"note\">{}</p>\n", escape(&warning)),
        );
    }
    body.push_str(&tiles(report));
    body.push_str("<main>\n");
    for chart in charts(report) {
        body.push_str(&chart.figure());
    }
    body.push_str("</main>\n");
    body.push_str(&table(report));
    body.push_str(&settings(report, options));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n{body}<footer>Kokanee {}</footer>\n</body>\n</html>\n",
        escape(&title),
        env!("CARGO_PKG_VERSION")
    )
}

fn add(text: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(part);
}

/// The key figures.
fn tiles(report: &Report) -> String {
    let latency = &report.latency;
    let mut tiles = vec![
        (
            number(report.rate),
            format!("{} per second", unit(report.scenario)),
        ),
        (
            count(report.messages),
            format!("in {:.1} s", report.elapsed_seconds),
        ),
        (time(latency.p50), "median latency".to_owned()),
        (time(latency.p99), "99th percentile".to_owned()),
        (time(latency.max), "slowest".to_owned()),
    ];
    if let Some(server) = &report.server {
        tiles.push((
            format!("{:.1} µs", server.cpu_per_message),
            "server CPU per message".to_owned(),
        ));
    }
    if let Some(memory) = &report.memory {
        tiles.push((
            format!("{:.1} KiB", memory.open_per_connection / 1024.0),
            "server memory per connection".to_owned(),
        ));
    }
    let mut html = String::from("<section class=\"tiles\">\n");
    for (value, what) in tiles {
        add(
            &mut html,
            format_args!(
                "<div><strong>{}</strong><span>{}</span></div>\n",
                escape(&value),
                escape(&what)
            ),
        );
    }
    html.push_str("</section>\n");
    html
}

fn charts(report: &Report) -> Vec<Chart<'static>> {
    let samples = &report.timeline;
    let series =
        |name: &'static str, is_filled: bool, value: &dyn Fn(&Sample) -> Option<f64>| Series {
            name,
            points: samples
                .iter()
                .map(|sample| (sample.at, value(sample)))
                .collect(),
            is_filled,
        };
    let latency = |name, value: fn(&Sample) -> f64| {
        series(name, false, &move |sample: &Sample| {
            (sample.latency.count > 0).then(|| value(sample))
        })
    };
    let seconds: fn(f64) -> String = |x| format!("{} s", trim(x));
    let over_time = |title, caption: String, series, format_y| Chart {
        title,
        caption,
        series,
        ticks: None,
        format_y,
        format_x: seconds,
    };
    let mut charts = vec![over_time(
        "Rate",
        format!("{} per second", unit(report.scenario)),
        vec![series("per second", true, &|sample| Some(sample.rate()))],
        short,
    )];
    charts.push(over_time(
        "Latency",
        format!("{}, per interval", latency_of(report.scenario)),
        vec![
            latency("median", |sample| sample.latency.p50),
            latency("99 %", |sample| sample.latency.p99),
            latency("slowest", |sample| sample.latency.max),
        ],
        time_label,
    ));
    charts.push(distribution(report));
    let are_connections_of_interest = matches!(
        report.scenario,
        Scenario::Idle | Scenario::Storm | Scenario::Connect
    );
    if are_connections_of_interest {
        charts.push(over_time(
            "Connections",
            "open at the end of each interval".to_owned(),
            vec![series("open", true, &|sample| Some(whole(sample.open)))],
            short,
        ));
    }
    charts.push(over_time(
        "CPU of the server",
        "cores in use".to_owned(),
        vec![series("cores", true, &|sample| sample.cpu)],
        trim,
    ));
    charts.push(over_time(
        "Memory of the server",
        "resident, in MiB".to_owned(),
        vec![series("MiB", true, &|sample| {
            sample.memory.map(|bytes| whole(bytes) / 1_048_576.0)
        })],
        trim,
    ));
    charts
}

/// The latency by quantile; each further nine has the same width.
fn distribution(report: &Report) -> Chart<'static> {
    let nines = |point: &Quantile, end: f64| match point.quantile {
        quantile if quantile >= 1.0 => end,
        quantile => -(1.0 - quantile).log10(),
    };
    let points = &report.distribution;
    // The maximum is drawn a little after the last known quantile.
    let known = points.iter().filter(|point| point.quantile < 1.0);
    let end = known.map(|point| nines(point, 0.0)).fold(0.0, f64::max) + 0.3;
    let labels = [
        (0.0, "0 %"),
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
        (0.999_99, "99.999 %"),
    ];
    let mut ticks: Vec<_> = labels
        .into_iter()
        .map(|(quantile, label)| (-(1.0_f64 - quantile).log10(), label.to_owned()))
        .filter(|(at, _)| *at < end)
        .collect();
    ticks.push((end, "max".to_owned()));
    Chart {
        title: "Latency distribution",
        caption: "share of messages that are at least as fast".to_owned(),
        series: vec![Series {
            name: "",
            points: points
                .iter()
                .map(|point| (nines(point, end), Some(point.micros)))
                .collect(),
            is_filled: true,
        }],
        ticks: Some(ticks),
        format_y: time_label,
        format_x: |nines| format!("{} %", trim((1.0 - 10_f64.powf(-nines)) * 100.0)),
    }
}

/// The timeline as a table.
fn table(report: &Report) -> String {
    let has_cpu = report.timeline.iter().any(|sample| sample.cpu.is_some());
    let mut html = String::from(
        "<details><summary>Timeline</summary>\n<div class=\"scroll\"><table>\n<tr><th>until</th><th>messages</th>\
         <th>per second</th><th>open</th><th>failed</th><th>p50</th><th>p90</th><th>p99</th><th>max</th>",
    );
    if has_cpu {
        html.push_str("<th>cores</th><th>memory</th>");
    }
    html.push_str("</tr>\n");
    for sample in &report.timeline {
        let latency = &sample.latency;
        let quantile = |micros: f64| match latency.count {
            0 => "–".to_owned(),
            _ => time(micros),
        };
        let mut cells = vec![
            format!("{:.1} s", sample.at),
            count(sample.messages),
            number(sample.rate()),
            count(sample.open),
            count(sample.failures),
            quantile(latency.p50),
            quantile(latency.p90),
            quantile(latency.p99),
            quantile(latency.max),
        ];
        if has_cpu {
            cells.push(
                sample
                    .cpu
                    .map_or_else(String::new, |cpu| format!("{cpu:.2}")),
            );
            cells.push(sample.memory.map_or_else(String::new, bytes));
        }
        html.push_str("<tr>");
        for cell in cells {
            add(&mut html, format_args!("<td>{}</td>", escape(&cell)));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></div></details>\n");
    html
}

/// The settings, and the totals of the run.
fn settings(report: &Report, options: &Options) -> String {
    let mut rows = vec![
        ("Scenario", report.scenario.name().to_owned()),
        ("Namespace", options.namespace.clone()),
        ("Connections", count(report.connections as u64)),
        ("Generator", generator(report.generator).to_owned()),
    ];
    match report.scenario {
        Scenario::Echo | Scenario::Polling | Scenario::Broadcast => {
            rows.push(("In flight", count(report.window as u64)));
            rows.push(("Payload", format!("{} bytes", report.payload_bytes)));
            rows.push(("Warm-up", format!("{:.1} s", options.warmup.as_secs_f64())));
        }
        Scenario::Storm => {
            rows.push(("Waves", count(options.waves as u64)));
            if report.generator == Generator::Raw {
                rows.push(("Spread", format!("{:.1} s", options.spread.as_secs_f64())));
            }
            rows.push(("Failed attempts", count(report.failures)));
        }
        Scenario::Idle => rows.push(("Held for", format!("{:.1} s", options.hold.as_secs_f64()))),
        Scenario::Connect => rows.push(("Concurrent handshakes", count(options.handshakes as u64))),
    }
    if let Some(busy) = report.load_busy {
        rows.push(("Load generator", format!("{:.0} % of a core", busy * 100.0)));
    }
    if let Some(server) = &report.server {
        rows.push(("Server CPU", format!("{:.2} s", server.cpu_seconds)));
        rows.push((
            "in user space",
            format!("{:.0} %", server.user_share * 100.0),
        ));
    }
    if let Some(memory) = &report.memory {
        rows.push(("Server memory before", bytes(memory.before)));
        rows.push(("with all connections", bytes(memory.open)));
        rows.push(("at the end", bytes(memory.after)));
    }
    rows.push(("Out of order", count(report.out_of_order)));
    let mut html = String::from("<details open><summary>Settings and totals</summary>\n<dl>\n");
    for (name, value) in rows {
        add(
            &mut html,
            format_args!("<dt>{name}</dt><dd>{}</dd>\n", escape(&value)),
        );
    }
    html.push_str("</dl></details>\n");
    html
}

/// Formats a number without trailing zeros.
fn trim(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Formats a number for an axis.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", trim(value / 1e6)),
        value if value >= 1e4 => format!("{}k", trim(value / 1e3)),
        value => trim(value),
    }
}

/// Formats a latency for an axis.
fn time_label(micros: f64) -> String {
    match micros {
        0.0 => "0".to_owned(),
        micros if micros < 1e3 => format!("{} µs", trim(micros)),
        micros if micros < 1e6 => format!("{} ms", trim(micros / 1e3)),
        micros => format!("{} s", trim(micros / 1e6)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a chart needs no more digits")]
fn whole(number: u64) -> f64 {
    number as f64
}

/// Formats the current date and time in UTC.
fn date() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let (year, month, day) = civil(now.as_secs() / 86_400);
    let minutes = now.as_secs() / 60 % 1440;
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02} UTC",
        minutes / 60,
        minutes % 60
    )
}

/// Converts a number of days since 1970 to year, month and day of the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counts from March of the year 0, so that the leap day is the last day of a year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = year_of_era + era * 400;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_in_the_calendar() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(19_783), (2024, 3, 1));
        assert_eq!(civil(20_818), (2026, 12, 31));
    }

    #[test]
    fn axis_numbers_are_short() {
        assert_eq!(short(50_000.0), "50k");
        assert_eq!(short(2_500_000.0), "2.5M");
        assert_eq!(short(0.0), "0");
        assert_eq!(time_label(2_500.0), "2.5 ms");
    }
}
