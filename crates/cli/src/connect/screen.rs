//! The terminal of an interactive session: a scrolling log, and below it two fixed lines, the status line and the input line.
//!
//! All output goes through [`Screen`], which erases the two lines, writes, and draws them again.

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

use crate::{output::Output, paint::Paint};

/// In front of the input line.
const PROMPT: &str = "> ";
/// Clears everything below the cursor.
const CLEAR_BELOW: &str = "\x1b[J";

/// Draws on the terminal.
#[derive(Debug)]
pub(crate) struct Screen {
    output: Output,
    paint: Paint,
    width: usize,
    is_drawn: bool,
    /// Additional rows of the status line, because the terminal became narrower.
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

    /// Sets a new width. Terminals wrap lines that were drawn for the old one.
    pub(crate) fn resize(&mut self, width: u16) {
        let drawn = self.width.saturating_sub(1);
        self.width = usize::from(width);
        self.wrapped += wrapped_rows(drawn, self.width);
    }

    /// Returns the columns of the input line.
    pub(crate) fn input_width(&self) -> usize {
        self.width.saturating_sub(PROMPT.len()).max(1)
    }

    /// Writes lines above the two fixed lines, and draws those again.
    pub(crate) fn show(&mut self, lines: &[String], status: &str, input: (String, usize)) {
        let mut text = self.erase();
        for line in lines {
            text.push_str(line);
            text.push_str("\r\n");
        }
        self.draw(&mut text, status, input);
        self.output.screen(text);
    }

    /// Clears the terminal, except the two fixed lines.
    pub(crate) fn clear(&mut self, status: &str, input: (String, usize)) {
        let mut text = String::from("\x1b[H\x1b[2J");
        self.draw(&mut text, status, input);
        self.output.screen(text);
    }

    /// Erases the two fixed lines at the end of the session.
    pub(crate) fn leave(&mut self) {
        let text = self.erase();
        self.output.screen(text);
    }

    /// Returns the sequence that moves the cursor to the start of the status line and clears everything below.
    fn erase(&mut self) -> String {
        let rows = 1 + std::mem::take(&mut self.wrapped);
        if std::mem::take(&mut self.is_drawn) {
            format!("\r\x1b[{rows}A{CLEAR_BELOW}")
        } else {
            format!("\r{CLEAR_BELOW}")
        }
    }

    fn draw(&mut self, text: &mut String, status: &str, (input, column): (String, usize)) {
        // Some terminals wrap a line that fills the width exactly.
        let status = cut(status, self.width.saturating_sub(1));
        let prompt = self.paint.cyan(PROMPT);
        // Writing to a string cannot fail.
        let _ = write!(text, "{}\r\n{prompt}{input}\r", self.paint.reverse(&status));
        let column = PROMPT.len() + column;
        let _ = write!(text, "\x1b[{column}C");
        self.is_drawn = true;
    }
}

/// Returns how many additional rows a line of `columns` takes when it is wrapped.
fn wrapped_rows(columns: usize, width: usize) -> usize {
    columns.saturating_sub(1) / width.max(1)
}

/// Cuts a text to `width` columns, and fills it up with spaces.
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
