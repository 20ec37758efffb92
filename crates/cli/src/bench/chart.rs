//! Charts as inline SVG: lines over a common axis, with a grid, round numbers on the axes and values to be pointed at.
//!
//! Colours come from the page's style sheet (`--series-1` and so on), so that a chart fits light and dark.

use std::fmt::Write;

/// Size of a chart in units of its view box.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;
/// Room for the labels of the axes.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;
/// Room for a label of the horizontal axis.
const LABEL: f64 = 56.0;

/// A chart.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    /// One line on what is shown.
    pub(crate) caption: String,
    pub(crate) series: Vec<Series<'a>>,
    /// Labels of the horizontal axis and where they are; none for round numbers of seconds.
    pub(crate) ticks: Option<Vec<(f64, String)>>,
    /// How a value is written.
    pub(crate) format: fn(f64) -> String,
    /// How a place on the horizontal axis is written.
    pub(crate) place: fn(f64) -> String,
}

/// One line of a chart.
pub(crate) struct Series<'a> {
    pub(crate) name: &'a str,
    /// From left to right.
    pub(crate) points: Vec<(f64, f64)>,
    /// Whether the area below is filled.
    pub(crate) is_filled: bool,
}

impl Chart<'_> {
    /// The chart with its title and legend. Nothing if there are fewer than two points.
    pub(crate) fn figure(&self) -> String {
        if self.series.iter().all(|series| series.points.len() < 2) {
            return String::new();
        }
        let mut html = format!(
            "<figure>\n<figcaption><h2>{}</h2><p>{}</p></figcaption>\n",
            escape(self.title),
            escape(&self.caption)
        );
        if self.series.len() > 1 {
            html.push_str("<ul class=\"legend\">");
            for (index, series) in self.series.iter().enumerate() {
                let number = index + 1;
                add(
                    &mut html,
                    format_args!("<li class=\"s{number}\">{}</li>", escape(series.name)),
                );
            }
            html.push_str("</ul>\n");
        }
        html.push_str(&self.svg());
        html.push_str("</figure>\n");
        html
    }

    fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        // Time begins at zero, even if the first interval ends later.
        let left = points().map(|(x, _)| *x).fold(0.0, f64::min);
        let right = points().map(|(x, _)| *x).fold(f64::NEG_INFINITY, f64::max);
        let highest = points().map(|(_, y)| *y).fold(0.0, f64::max);
        let step = round_step(highest.max(f64::EPSILON) / 4.0);
        let top = (highest / step).ceil().max(1.0) * step;
        let span = (right - left).max(f64::EPSILON);
        let x = |value: f64| LEFT + (value - left) / span * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);

        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escape(self.title)
        );
        let mut value = 0.0;
        while value <= top + step / 2.0 {
            let at = y(value);
            add(
                &mut svg,
                format_args!(
                    "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                    WIDTH - RIGHT,
                    LEFT - 8.0,
                    at + 4.0,
                    escape(&(self.format)(value))
                ),
            );
            value += step;
        }
        let ticks = self
            .ticks
            .clone()
            .unwrap_or_else(|| round_ticks(left, right, self.place));
        for (at, label) in spaced(
            ticks
                .into_iter()
                .map(|(tick, label)| (x(tick), label))
                .collect(),
        ) {
            add(
                &mut svg,
                format_args!(
                    "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                    at,
                    HEIGHT - 8.0,
                    escape(&label)
                ),
            );
        }
        for (index, series) in self.series.iter().enumerate() {
            let number = index + 1;
            let path: Vec<_> = series
                .points
                .iter()
                .map(|&(px, py)| format!("{:.1},{:.1}", x(px), y(py)))
                .collect();
            if let (true, Some(first), Some(last)) = (
                series.is_filled,
                series.points.first(),
                series.points.last(),
            ) {
                let floor = y(0.0);
                add(
                    &mut svg,
                    format_args!(
                        "<polygon class=\"area s{number}\" points=\"{:.1},{floor:.1} {} {:.1},{floor:.1}\"/>\n",
                        x(first.0),
                        path.join(" "),
                        x(last.0)
                    ),
                );
            }
            add(
                &mut svg,
                format_args!(
                    "<polyline class=\"line s{number}\" points=\"{}\"/>\n",
                    path.join(" ")
                ),
            );
        }
        for (index, series) in self.series.iter().enumerate() {
            for &(px, py) in &series.points {
                add(
                    &mut svg,
                    format_args!(
                        "<circle class=\"dot s{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"><title>{}: {} {}</title></circle>\n",
                        index + 1,
                        x(px),
                        y(py),
                        escape(&(self.place)(px)),
                        escape(&(self.format)(py)),
                        escape(series.name)
                    ),
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn add(text: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(part);
}

/// Leaves out labels that are too near to another one. The last one stays.
fn spaced(mut labels: Vec<(f64, String)>) -> Vec<(f64, String)> {
    let Some(last) = labels.pop() else {
        return labels;
    };
    let mut kept: Vec<(f64, String)> = Vec::new();
    for (at, label) in labels {
        let previous = kept.last().map_or(f64::NEG_INFINITY, |(at, _)| *at);
        if at - previous >= LABEL && last.0 - at >= LABEL {
            kept.push((at, label));
        }
    }
    kept.push(last);
    kept
}

/// The next of 1, 2, 5, 10, … times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let scaled = step / power;
    let rounded = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|&round| scaled <= round * 1.000_001);
    rounded.unwrap_or(10.0) * power
}

fn round_ticks(left: f64, right: f64, place: fn(f64) -> String) -> Vec<(f64, String)> {
    let step = round_step(((right - left) / 6.0).max(f64::EPSILON));
    let mut ticks = Vec::new();
    let mut tick = (left / step).ceil() * step;
    while tick <= right + step / 1000.0 {
        ticks.push((tick, place(tick)));
        tick += step;
    }
    ticks
}

/// Text within HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> String {
        let series = Series {
            name: "<b>",
            points,
            is_filled: true,
        };
        Chart {
            title: "A & B",
            caption: String::new(),
            series: vec![series],
            ticks: None,
            format: |value| format!("{value}"),
            place: |place| format!("{place} s"),
        }
        .figure()
    }

    #[test]
    fn steps_are_round() {
        for (step, round) in [
            (0.9, 1.0),
            (1.1, 2.0),
            (3.0, 5.0),
            (7.0, 10.0),
            (0.03, 0.05),
            (1200.0, 2000.0),
        ] {
            assert!((round_step(step) - round).abs() < round * 1e-9, "{step}");
        }
    }

    #[test]
    fn no_number_in_a_chart_is_broken() {
        for points in [
            vec![(0.0, 0.0), (1.0, 0.0)],
            vec![(1.0, 1e12), (1.0, 5.0)],
            vec![(0.0, 1e-9), (100.0, 3.0)],
        ] {
            let html = chart(points);
            assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
            assert!(html.contains("<polyline") && html.ends_with("</figure>\n"));
        }
    }

    #[test]
    fn a_chart_without_a_line_is_left_out() {
        assert_eq!(chart(vec![(1.0, 1.0)]), "");
    }

    #[test]
    fn names_are_text_not_markup() {
        let html = chart(vec![(0.0, 1.0), (1.0, 2.0)]);
        assert!(html.contains("A &amp; B") && html.contains("&lt;b&gt;") && !html.contains("<b>"));
    }
}
