//! Line charts as inline SVG, with a grid, round numbers on the axes, and tooltips with the values.
//!
//! The SVG is stretched to the available space. The labels are HTML text beside it, which keeps its size on every screen.
//! Colours come from the page's style sheet (`--series-1` and so on), for light and dark themes.

use std::fmt::Write;

/// Width and height of a chart in units of its view box.
const SIZE: f64 = 1000.0;
/// Width of a label's character on the horizontal axis, as a share of the chart's width: on a wide screen, and on a phone.
const CHARACTER: f64 = 0.013;
const CHARACTER_OF_PHONE: f64 = 0.031;

/// A chart.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    /// A one-line description.
    pub(crate) caption: String,
    pub(crate) series: Vec<Series<'a>>,
    /// Labels of the horizontal axis with their values; `None` for round numbers.
    pub(crate) ticks: Option<Vec<(f64, String)>>,
    /// How a value on the vertical axis is written.
    pub(crate) format_y: fn(f64) -> String,
    /// How a value on the horizontal axis is written.
    pub(crate) format_x: fn(f64) -> String,
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
    /// Returns the measured points.
    fn measured(&self) -> impl Iterator<Item = (f64, f64)> {
        let points = self.points.iter();
        points.filter_map(|&(x, y)| y.map(|y| (x, y)))
    }

    /// Returns the pieces without a gap.
    fn runs(&self) -> impl Iterator<Item = &[(f64, Option<f64>)]> {
        let runs = self.points.split(|(_, y)| y.is_none());
        runs.filter(|run| !run.is_empty())
    }
}

impl Chart<'_> {
    /// Returns the chart with its title and legend, or an empty string if there are fewer than two points.
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

    /// Returns the SVG, and the labels beside it.
    fn plot(&self) -> String {
        let scale = Scale::of(&self.series);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {SIZE} {SIZE}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">\n",
            escape(self.title)
        );
        let mut labels = String::new();
        self.draw_grid(&scale, &mut svg, &mut labels);
        self.label_horizontal_axis(&scale, &mut labels);
        for (index, series) in self.series.iter().enumerate() {
            series.draw_lines(index + 1, &scale, &mut svg);
        }
        for (index, series) in self.series.iter().enumerate() {
            self.draw_dots(index + 1, series, &scale, &mut svg);
        }
        format!("<div class=\"plot\">\n{svg}</svg>\n{labels}</div>\n")
    }

    /// Draws a line at each round value, and the labels of the vertical axis.
    fn draw_grid(&self, scale: &Scale, svg: &mut String, labels: &mut String) {
        let mut value = 0.0;
        while value <= scale.top + scale.step / 2.0 {
            let at = scale.y(value);
            add(
                svg,
                format_args!("<path class=\"grid\" d=\"M0,{:.1}H{SIZE}\"/>\n", at * SIZE),
            );
            add(
                labels,
                format_args!(
                    "<span class=\"y\" style=\"top:{:.2}%\">{}</span>\n",
                    at * 100.0,
                    escape(&(self.format_y)(value))
                ),
            );
            value += scale.step;
        }
    }

    /// Adds the labels that fit on a wide screen. Those that do not fit on a phone have another class.
    fn label_horizontal_axis(&self, scale: &Scale, labels: &mut String) {
        let ticks = self
            .ticks
            .clone()
            .unwrap_or_else(|| round_ticks(scale.left, scale.right, self.format_x));
        let ticks: Vec<_> = ticks
            .into_iter()
            .map(|(tick, label)| (scale.x(tick), label))
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
                labels,
                format_args!(
                    "<span class=\"{class}\" style=\"left:{:.2}%\">{}</span>\n",
                    at * 100.0,
                    escape(&label)
                ),
            );
        }
    }

    /// Draws a dot with a tooltip at each measured value.
    fn draw_dots(&self, number: usize, series: &Series<'_>, scale: &Scale, svg: &mut String) {
        for (x, y) in series.measured() {
            add(
                svg,
                format_args!(
                    "<path class=\"dot s{number}\" d=\"M{}h0\"><title>{}: {} {}</title></path>\n",
                    scale.point(x, y),
                    escape(&(self.format_x)(x)),
                    escape(&(self.format_y)(y)),
                    escape(series.name)
                ),
            );
        }
    }
}

impl Series<'_> {
    /// Draws a line for each piece without a gap, and the area below it.
    fn draw_lines(&self, number: usize, scale: &Scale, svg: &mut String) {
        for run in self.runs() {
            let path: Vec<_> = run
                .iter()
                .filter_map(|&(x, y)| y.map(|y| scale.point(x, y)))
                .collect();
            let path = path.join(" ");
            if let (true, [(first, _), .., (last, _)]) = (self.is_filled, run) {
                let (first, last) = (scale.point(*first, 0.0), scale.point(*last, 0.0));
                add(
                    svg,
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
}

/// The axes: where a value is in the plot.
struct Scale {
    left: f64,
    right: f64,
    /// The value at the top. The vertical axis begins at zero.
    top: f64,
    /// Distance between two lines of the grid.
    step: f64,
}

impl Scale {
    fn of(series: &[Series<'_>]) -> Self {
        let times = || series.iter().flat_map(|series| &series.points);
        let highest = series
            .iter()
            .flat_map(Series::measured)
            .map(|(_, y)| y)
            .fold(0.0, f64::max);
        let step = round_step(highest.max(f64::EPSILON) / 4.0);
        Self {
            // Time begins at zero, even if the first interval ends later.
            left: times().map(|(x, _)| *x).fold(0.0, f64::min),
            right: times().map(|(x, _)| *x).fold(f64::NEG_INFINITY, f64::max),
            top: (highest / step).ceil().max(1.0) * step,
            step,
        }
    }

    /// Returns a horizontal position as a share of the width.
    fn x(&self, value: f64) -> f64 {
        (value - self.left) / (self.right - self.left).max(f64::EPSILON)
    }

    /// Returns a vertical position as a share of the height, from the top.
    fn y(&self, value: f64) -> f64 {
        1.0 - value / self.top
    }

    /// Formats a point in units of the view box.
    fn point(&self, x: f64, y: f64) -> String {
        format!("{:.1},{:.1}", self.x(x) * SIZE, self.y(y) * SIZE)
    }
}

fn add(text: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(part);
}

/// Removes labels that are too close to another one, for this width of a character. The last label stays.
fn spaced(mut labels: Vec<(f64, String)>, character: f64) -> Vec<(f64, String)> {
    let Some(last) = labels.pop() else {
        return labels;
    };
    // Labels are centred: half of each, and two characters between them.
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

/// Rounds up to 1, 2 or 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let scaled = step / power;
    let rounded = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|&round| scaled <= round * 1.000_001);
    rounded.unwrap_or(10.0) * power
}

fn round_ticks(left: f64, right: f64, format: fn(f64) -> String) -> Vec<(f64, String)> {
    let step = round_step(((right - left) / 6.0).max(f64::EPSILON));
    let mut ticks = Vec::new();
    let mut tick = (left / step).ceil() * step;
    while tick <= right + step / 1000.0 {
        ticks.push((tick, format(tick)));
        tick += step;
    }
    ticks
}

/// Escapes text for HTML.
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
            format_y: |value| format!("{value}"),
            format_x: |x| format!("{x} s"),
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
