//! Charts as inline SVG: lines over a common axis, with a grid, round numbers on the axes and values to be pointed at.
//!
//! The SVG is stretched to whatever room there is, and the labels are text beside it, which keeps its size on every screen.
//! Colours come from the page's style sheet (`--series-1` and so on), so that a chart fits light and dark.

use std::fmt::Write;

/// Size of a chart in units of its view box, both ways.
const SIZE: f64 = 1000.0;
/// Room for a character of the horizontal axis, as a share of the width: of a wide screen, and of a phone.
const CHARACTER: f64 = 0.013;
const CHARACTER_OF_PHONE: f64 = 0.031;

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
    /// From left to right; `None` where nothing was measured.
    pub(crate) points: Vec<(f64, Option<f64>)>,
    /// Whether the area below is filled.
    pub(crate) is_filled: bool,
}

impl Series<'_> {
    /// What was measured.
    fn measured(&self) -> impl Iterator<Item = (f64, f64)> {
        let points = self.points.iter();
        points.filter_map(|&(x, y)| y.map(|y| (x, y)))
    }

    /// The same in pieces without a gap.
    fn runs(&self) -> impl Iterator<Item = &[(f64, Option<f64>)]> {
        let runs = self.points.split(|(_, y)| y.is_none());
        runs.filter(|run| !run.is_empty())
    }
}

impl Chart<'_> {
    /// The chart with its title and legend. Nothing if there are fewer than two points.
    pub(crate) fn figure(&self) -> String {
        if self
            .series
            .iter()
            .all(|series| series.measured().count() < 2)
        {
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
        html.push_str(&self.plot());
        html.push_str("</figure>\n");
        html
    }

    fn plot(&self) -> String {
        let times = || self.series.iter().flat_map(|series| &series.points);
        // Time begins at zero, even if the first interval ends later, and ends for all charts at once.
        let left = times().map(|(x, _)| *x).fold(0.0, f64::min);
        let right = times().map(|(x, _)| *x).fold(f64::NEG_INFINITY, f64::max);
        let measured = || self.series.iter().flat_map(Series::measured);
        let highest = measured().map(|(_, y)| y).fold(0.0, f64::max);
        let step = round_step(highest.max(f64::EPSILON) / 4.0);
        let top = (highest / step).ceil().max(1.0) * step;
        let span = (right - left).max(f64::EPSILON);
        // As shares of the width and the height.
        let x = |value: f64| (value - left) / span;
        let y = |value: f64| 1.0 - value / top;

        let mut svg = format!(
            "<svg viewBox=\"0 0 {SIZE} {SIZE}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">\n",
            escape(self.title)
        );
        let mut labels = String::new();
        let mut value = 0.0;
        while value <= top + step / 2.0 {
            let at = y(value);
            add(
                &mut svg,
                format_args!("<path class=\"grid\" d=\"M0,{:.1}H{SIZE}\"/>\n", at * SIZE),
            );
            add(
                &mut labels,
                format_args!(
                    "<span class=\"y\" style=\"top:{:.2}%\">{}</span>\n",
                    at * 100.0,
                    escape(&(self.format)(value))
                ),
            );
            value += step;
        }
        let ticks = self
            .ticks
            .clone()
            .unwrap_or_else(|| round_ticks(left, right, self.place));
        let ticks: Vec<_> = ticks
            .into_iter()
            .map(|(tick, label)| (x(tick), label))
            .collect();
        let ticks = spaced(ticks, CHARACTER);
        let on_phone = spaced(ticks.clone(), CHARACTER_OF_PHONE);
        for tick in ticks {
            let class = if on_phone.contains(&tick) {
                "x"
            } else {
                "x wide"
            };
            let (at, label) = tick;
            add(
                &mut labels,
                format_args!(
                    "<span class=\"{class}\" style=\"left:{:.2}%\">{}</span>\n",
                    at * 100.0,
                    escape(&label)
                ),
            );
        }
        let point = |px: f64, py: f64| format!("{:.1},{:.1}", x(px) * SIZE, y(py) * SIZE);
        for (index, series) in self.series.iter().enumerate() {
            let number = index + 1;
            for run in series.runs() {
                let path: Vec<_> = run
                    .iter()
                    .filter_map(|&(px, py)| py.map(|py| point(px, py)))
                    .collect();
                let path = path.join(" ");
                if let (true, [(first, _), .., (last, _)]) = (series.is_filled, run) {
                    let (first, last) = (point(*first, 0.0), point(*last, 0.0));
                    add(
                        &mut svg,
                        format_args!(
                            "<polygon class=\"area s{number}\" points=\"{first} {path} {last}\"/>\n"
                        ),
                    );
                }
                // A single point is a dot.
                let start = path.split(' ').next().unwrap_or_default();
                let line = if run.len() > 1 {
                    format!("<polyline class=\"line s{number}\" points=\"{path}\"/>\n")
                } else {
                    format!("<path class=\"line alone s{number}\" d=\"M{start}h0\"/>\n")
                };
                svg.push_str(&line);
            }
        }
        for (index, series) in self.series.iter().enumerate() {
            for (px, py) in series.measured() {
                add(
                    &mut svg,
                    format_args!(
                        "<path class=\"dot s{}\" d=\"M{}h0\"><title>{}: {} {}</title></path>\n",
                        index + 1,
                        point(px, py),
                        escape(&(self.place)(px)),
                        escape(&(self.format)(py)),
                        escape(series.name)
                    ),
                );
            }
        }
        format!("<div class=\"plot\">\n{svg}</svg>\n{labels}</div>\n")
    }
}

fn add(text: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(part);
}

/// Leaves out labels that are too near to another one, if a character takes this much room. The last one stays.
fn spaced(mut labels: Vec<(f64, String)>, character: f64) -> Vec<(f64, String)> {
    let Some(last) = labels.pop() else {
        return labels;
    };
    // Half of each, and two characters between them.
    let fit = |(left, a): &(f64, String), (right, b): &(f64, String)| {
        let characters = u32::try_from(a.chars().count() + b.chars().count()).unwrap_or(u32::MAX);
        right - left >= (f64::from(characters) / 2.0 + 2.0) * character
    };
    let mut kept: Vec<(f64, String)> = Vec::new();
    for label in labels {
        if fit(&label, &last) && kept.last().is_none_or(|before| fit(before, &label)) {
            kept.push(label);
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
        chart_with_gaps(points.into_iter().map(|(x, y)| (x, Some(y))).collect())
    }

    fn chart_with_gaps(points: Vec<(f64, Option<f64>)>) -> String {
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
    fn there_is_no_line_where_nothing_was_measured() {
        let at = |x: f64, y: f64| (x, Some(y));
        let points = vec![
            at(0.0, 1.0),
            at(1.0, 2.0),
            (2.0, None),
            (3.0, None),
            at(4.0, 2.0),
        ];
        let html = chart_with_gaps(points);
        assert!(
            html.contains("class=\"line s1\" points=\"0.0,500.0 250.0,0.0\""),
            "{html}"
        );
        assert_eq!(html.matches("<polyline").count(), 1, "{html}");
        assert_eq!(html.matches("<polygon").count(), 1, "{html}");
        assert!(
            html.contains("class=\"line alone s1\" d=\"M1000.0,0.0h0\""),
            "{html}"
        );
        assert_eq!(html.matches("class=\"dot ").count(), 3, "{html}");
    }

    #[test]
    fn labels_have_room_on_a_phone_too() {
        let labels: Vec<_> = (0..=10_u8)
            .map(|tenth| (f64::from(tenth) / 10.0, tenth.to_string()))
            .collect();
        let at = |character| -> Vec<_> {
            let kept = spaced(labels.clone(), character).into_iter();
            kept.map(|(_, label)| label).collect()
        };
        assert_eq!(at(CHARACTER).len(), 11);
        assert_eq!(at(CHARACTER_OF_PHONE).len(), 10);
        assert_eq!(at(0.05), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(at(0.09), ["0", "3", "6", "10"]);
    }

    #[test]
    fn names_are_text_not_markup() {
        let html = chart(vec![(0.0, 1.0), (1.0, 2.0)]);
        assert!(html.contains("A &amp; B") && html.contains("&lt;b&gt;") && !html.contains("<b>"));
    }
}
