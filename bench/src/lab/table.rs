//! A markdown table and the statistics in it.

use std::fmt::Write;

/// Rows of cells; the first row is the head.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// Number of leading columns that are aligned to the left.
    left: usize,
}

impl Table {
    /// Returns a table with a head, whose first `left` columns hold text and the others numbers.
    pub(super) fn new(head: &[&str], left: usize) -> Self {
        Self {
            rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()],
            left,
        }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Renders the table, padded so that it can be read as plain text.
    pub(super) fn render(&self) -> String {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut lines: Vec<String> = self
            .rows
            .iter()
            .map(|row| self.line(row, &widths))
            .collect();
        lines.insert(1, self.rule(&widths));
        lines.concat()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let cells = widths.iter().copied().enumerate().map(|(column, width)| {
            let cell = row.get(column).map_or("", String::as_str);
            if column < self.left {
                format!("| {cell:<width$} ")
            } else {
                format!("| {cell:>width$} ")
            }
        });
        cells.chain(["|\n".to_owned()]).collect()
    }

    /// Returns the line below the head, which says how columns are aligned.
    fn rule(&self, widths: &[usize]) -> String {
        let cells = widths.iter().copied().enumerate().map(|(column, width)| {
            let line = "-".repeat(width + 1);
            if column < self.left {
                format!("|{line}-")
            } else {
                format!("|{line}:")
            }
        });
        cells.chain(["|\n".to_owned()]).collect()
    }
}

/// Median, minimum and maximum of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Returns the spread of the values, or `None` if there are none.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let median = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median, min, max })
    }
}

/// Renders a number with commas between thousands and this many decimals.
pub(super) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (sign, text) = text
        .strip_prefix('-')
        .map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut grouped = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if !fraction.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(grouped, ".{fraction}");
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let mut table = Table::new(&["case", "µs"], 1);
        table.push(vec!["echo".into(), "10.00".into()]);
        table.push(vec!["a".into(), "1.00".into()]);
        assert_eq!(
            table.render(),
            "| case |    µs |\n|------|------:|\n| echo | 10.00 |\n| a    |  1.00 |\n"
        );
    }

    #[test]
    fn thousands_are_separated() {
        assert_eq!(number(1_234_567.25, 1), "1,234,567.2");
        assert_eq!(number(999.0, 0), "999");
        assert_eq!(number(-1_000.0, 0), "-1,000");
    }

    #[test]
    fn median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(
            Spread::of([3.0, 1.0, 2.0, 10.0]),
            Some(Spread {
                median: 2.5,
                min: 1.0,
                max: 10.0
            })
        );
        assert_eq!(Spread::of([]), None);
    }
}
