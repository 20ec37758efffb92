//! The terminal of an interactive session: a log that scrolls as any other output, and below it two lines that stay, the
//! status and the line that is typed.
//!
//! Whatever is shown goes through [`Screen`], which takes the two lines away, writes, and draws them again.

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

use crate::{output::Output, paint::Paint};

/// In front of the line that is typed.
const PROMPT: &str = "> ";
/// Rows that stay.
const CLEAR_BELOW: &str = "\x1b[J";

/// Draws on the terminal.
#[derive(Debug)]
pub(crate) struct Screen {
    output: Output,
    paint: Paint,
    width: usize,
    is_drawn: bool,
    /// Rows that the status takes beside its own, because the terminal has become narrower.
    wrapped: usize,
}

impl Screen {
    pub(crate) fn new(output: Output, paint: Paint, width: u16) -> Self {
        Self {
            output,
            paint,
            width: usize::from(width),
            is_drawn: false,
            wrapped: 0,
        }
    }

    /// Takes note of another width. Terminals wrap what was drawn for the old one.
    pub(crate) fn resize(&mut self, width: u16) {
        let drawn = self.width.saturating_sub(1);
        self.width = usize::from(width);
        self.wrapped += wrapped_rows(drawn, self.width);
    }

    /// Columns for the line that is typed.
    pub(crate) fn input_width(&self) -> usize {
        self.width.saturating_sub(PROMPT.len()).max(1)
    }

    /// Writes lines above the two that stay, which are then drawn anew.
    pub(crate) fn show(&mut self, lines: &[String], status: &str, input: (String, usize)) {
        let mut text = self.erase();
        for line in lines {
            text.push_str(line);
            text.push_str("\r\n");
        }
        self.draw(&mut text, status, input);
        self.output.screen(text);
    }

    /// Clears the terminal, but for the two lines.
    pub(crate) fn clear(&mut self, status: &str, input: (String, usize)) {
        let mut text = String::from("\x1b[H\x1b[2J");
        self.draw(&mut text, status, input);
        self.output.screen(text);
    }

    /// Takes the two lines away for good.
    pub(crate) fn leave(&mut self) {
        let text = self.erase();
        self.output.screen(text);
    }

    /// The cursor is on the last of the two rows: back to the beginning of the first, and nothing below.
    fn erase(&mut self) -> String {
        let rows = 1 + std::mem::take(&mut self.wrapped);
        if std::mem::take(&mut self.is_drawn) {
            format!("\r\x1b[{rows}A{CLEAR_BELOW}")
        } else {
            format!("\r{CLEAR_BELOW}")
        }
    }

    fn draw(&mut self, text: &mut String, status: &str, (input, column): (String, usize)) {
        // A line that fills the width exactly would wrap in some terminals.
        let status = cut(status, self.width.saturating_sub(1));
        let prompt = self.paint.cyan(PROMPT);
        // Writing to a string cannot fail.
        let _ = write!(text, "{}\r\n{prompt}{input}\r", self.paint.reverse(&status));
        let column = PROMPT.len() + column;
        let _ = write!(text, "\x1b[{column}C");
        self.is_drawn = true;
    }
}

/// Rows that a line of `columns` takes beyond its first.
fn wrapped_rows(columns: usize, width: usize) -> usize {
    columns.saturating_sub(1) / width.max(1)
}

/// As much of a text as fits into `width` columns, filled up with spaces.
fn cut(text: &str, width: usize) -> String {
    let mut used = 0;
    let mut shown = String::new();
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if used + columns > width {
            break;
        }
        used += columns;
        shown.push(c);
    }
    shown.push_str(&" ".repeat(width - used));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrower_terminal_wraps_what_was_drawn() {
        assert_eq!(wrapped_rows(99, 100), 0);
        assert_eq!(wrapped_rows(99, 99), 0);
        assert_eq!(wrapped_rows(99, 98), 1);
        assert_eq!(wrapped_rows(99, 40), 2);
        assert_eq!(wrapped_rows(0, 0), 0);
    }

    #[test]
    fn the_status_has_exactly_the_width() {
        assert_eq!(cut("abc", 5), "abc  ");
        assert_eq!(cut("abcdef", 5), "abcde");
        assert_eq!(cut("鮭鮭鮭", 5), "鮭鮭 ");
        assert_eq!(cut("x", 0), "");
    }
}
