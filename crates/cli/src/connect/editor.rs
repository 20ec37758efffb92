//! The input line: handles keys, and has the text, the cursor, the history and the completion of names.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_width::UnicodeWidthChar;

use super::history::History;

/// The result of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// The line may look different.
    Edited,
    /// A line is finished.
    Line(String),
    /// Ctrl-C or Ctrl-D on an empty line.
    Quit,
    /// Ctrl-L.
    Clear,
    /// The candidates of an ambiguous completion.
    Candidates(Vec<String>),
}

/// A line with a cursor.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    text: Vec<char>,
    cursor: usize,
    history: History,
    /// The line of the history that is shown, and the text that was typed before.
    recalled: Option<(usize, Vec<char>)>,
}

impl Editor {
    pub(crate) fn new(history: History) -> Self {
        Self {
            history,
            ..Self::default()
        }
    }

    pub(crate) fn into_history(self) -> History {
        self.history
    }

    /// Inserts text. Line ends in it become spaces.
    pub(crate) fn paste(&mut self, text: &str) {
        let text = text.trim_end_matches(['\r', '\n']);
        for c in text.chars() {
            self.insert(if c.is_control() { ' ' } else { c });
        }
    }

    /// Handles a key. `names` are the candidates for completion.
    pub(crate) fn on_key(&mut self, key: KeyEvent, names: &[String]) -> Reaction {
        let has = |modifier| key.modifiers.contains(modifier);
        let is_control = has(KeyModifiers::CONTROL);
        let is_word = is_control || has(KeyModifiers::ALT);
        match key.code {
            KeyCode::Char('c') if is_control && self.text.is_empty() => return Reaction::Quit,
            KeyCode::Char('d') if is_control && self.text.is_empty() => return Reaction::Quit,
            KeyCode::Char('c') if is_control => self.replace(Vec::new()),
            KeyCode::Char('l') if is_control => return Reaction::Clear,
            KeyCode::Char('a') if is_control => self.cursor = 0,
            KeyCode::Char('e') if is_control => self.cursor = self.text.len(),
            KeyCode::Char('b') if is_control => self.left(),
            KeyCode::Char('f') if is_control => self.right(),
            KeyCode::Char('d') if is_control => self.delete(),
            KeyCode::Char('h') if is_control => self.backspace(),
            KeyCode::Char('k') if is_control => self.text.truncate(self.cursor),
            KeyCode::Char('u') if is_control => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('w') if is_control => self.delete_word(),
            KeyCode::Char('p') if is_control => self.recall_older(),
            KeyCode::Char('n') if is_control => self.recall_newer(),
            KeyCode::Char('j' | 'm') if is_control => return self.finish(),
            KeyCode::Char('b') if is_word => self.cursor = self.word_start(),
            KeyCode::Char('f') if is_word => self.cursor = self.word_end(),
            KeyCode::Char(_) if is_control => {}
            KeyCode::Char(c) => self.insert(c),
            KeyCode::Enter => return self.finish(),
            KeyCode::Backspace if is_word => self.delete_word(),
            KeyCode::Backspace => self.backspace(),
            KeyCode::Delete => self.delete(),
            KeyCode::Left if is_word => self.cursor = self.word_start(),
            KeyCode::Right if is_word => self.cursor = self.word_end(),
            KeyCode::Left => self.left(),
            KeyCode::Right => self.right(),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            KeyCode::Up => self.recall_older(),
            KeyCode::Down => self.recall_newer(),
            KeyCode::Tab => return self.complete(names),
            _ => {}
        }
        Reaction::Edited
    }

    /// Returns the part of the line that fits into `width` columns, and the column of the cursor in it.
    pub(crate) fn view(&self, width: usize) -> (String, usize) {
        let column = |c: &char| c.width().unwrap_or(0);
        let before: usize = self.text[..self.cursor].iter().map(column).sum();
        let mut start = 0;
        let mut skipped = 0;
        // One column is for the cursor after the text.
        while before - skipped >= width.max(1) {
            skipped += column(&self.text[start]);
            start += 1;
        }
        let mut used = 0;
        let shown = self.text[start..].iter().take_while(|c| {
            used += column(c);
            used < width.max(1)
        });
        (shown.collect(), before - skipped)
    }

    fn finish(&mut self) -> Reaction {
        let line: String = std::mem::take(&mut self.text).into_iter().collect();
        self.cursor = 0;
        self.recalled = None;
        self.history.add(&line);
        Reaction::Line(line)
    }

    fn insert(&mut self, c: char) {
        self.text.insert(self.cursor, c);
        self.cursor += 1;
    }

    fn replace(&mut self, text: Vec<char>) {
        self.cursor = text.len();
        self.text = text;
    }

    fn left(&mut self) {
        self.cursor = self.cursor.saturating_sub(1);
    }

    fn right(&mut self) {
        self.cursor = (self.cursor + 1).min(self.text.len());
    }

    fn backspace(&mut self) {
        if self.cursor > 0 {
            self.left();
            self.delete();
        }
    }

    fn delete(&mut self) {
        if self.cursor < self.text.len() {
            self.text.remove(self.cursor);
        }
    }

    fn delete_word(&mut self) {
        let start = self.word_start();
        self.text.drain(start..self.cursor);
        self.cursor = start;
    }

    fn word_start(&self) -> usize {
        let before = &self.text[..self.cursor];
        let is_space = |c: &&char| c.is_whitespace();
        let blanks = before.iter().rev().take_while(is_space).count();
        let word = before.iter().rev().skip(blanks);
        self.cursor - blanks - word.take_while(|c| !c.is_whitespace()).count()
    }

    fn word_end(&self) -> usize {
        let after = &self.text[self.cursor..];
        let blanks = after.iter().take_while(|c| c.is_whitespace()).count();
        let word = after.iter().skip(blanks);
        self.cursor + blanks + word.take_while(|c| !c.is_whitespace()).count()
    }

    fn recall_older(&mut self) {
        let (at, draft) = match self.recalled.take() {
            Some((at, draft)) => (at.saturating_sub(1), draft),
            None if self.history.lines().is_empty() => return,
            None => (self.history.lines().len() - 1, self.text.clone()),
        };
        self.replace(self.history.lines()[at].chars().collect());
        self.recalled = Some((at, draft));
    }

    fn recall_newer(&mut self) {
        let Some((at, draft)) = self.recalled.take() else {
            return;
        };
        match self.history.lines().get(at + 1) {
            Some(line) => {
                self.replace(line.chars().collect());
                self.recalled = Some((at + 1, draft));
            }
            None => self.replace(draft),
        }
    }

    /// Completes the name at the start of the line, or after a command that takes one.
    fn complete(&mut self, names: &[String]) -> Reaction {
        let typed: String = self.text[..self.cursor].iter().collect();
        let (mark, start) = ["?", "/mute ", "/unmute "]
            .into_iter()
            .find_map(|mark| Some((mark, typed.strip_prefix(mark)?)))
            .unwrap_or(("", &typed));
        let fitting: Vec<&String> = names
            .iter()
            .filter(|name| name.starts_with(start))
            .collect();
        let Some(first) = fitting.first() else {
            return Reaction::Edited;
        };
        let mut common = first.chars().count();
        for name in &fitting {
            let equal = name.chars().zip(first.chars()).take_while(|(a, b)| a == b);
            common = common.min(equal.count());
        }
        let mut completed: Vec<char> = mark.chars().chain(first.chars().take(common)).collect();
        let is_complete = fitting.len() == 1;
        if is_complete && self.text.get(self.cursor) != Some(&' ') {
            completed.push(' ');
        }
        let has_grown = completed.len() > self.cursor;
        let rest = self.text.split_off(self.cursor);
        self.replace(completed);
        self.text.extend(rest);
        if is_complete || has_grown {
            Reaction::Edited
        } else {
            Reaction::Candidates(fitting.into_iter().cloned().collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(editor: &mut Editor, code: KeyCode, modifiers: KeyModifiers) -> Reaction {
        let names = ["/join", "/leave", "chat message", "chat", "clock"].map(str::to_owned);
        editor.on_key(KeyEvent::new(code, modifiers), &names)
    }

    fn control(editor: &mut Editor, c: char) -> Reaction {
        press(editor, KeyCode::Char(c), KeyModifiers::CONTROL)
    }

    fn plain(editor: &mut Editor, code: KeyCode) -> Reaction {
        press(editor, code, KeyModifiers::NONE)
    }

    fn typed(text: &str) -> Editor {
        let mut editor = Editor::default();
        for c in text.chars() {
            plain(&mut editor, KeyCode::Char(c));
        }
        editor
    }

    fn text(editor: &Editor) -> String {
        editor.text.iter().collect()
    }

    #[test]
    fn keys_edit_the_line_at_the_cursor() {
        let mut editor = typed("hello wörld");
        control(&mut editor, 'w');
        assert_eq!(text(&editor), "hello ");
        plain(&mut editor, KeyCode::Home);
        plain(&mut editor, KeyCode::Delete);
        plain(&mut editor, KeyCode::Char('j'));
        plain(&mut editor, KeyCode::End);
        plain(&mut editor, KeyCode::Backspace);
        assert_eq!(text(&editor), "jello");
        press(&mut editor, KeyCode::Left, KeyModifiers::CONTROL);
        control(&mut editor, 'k');
        assert_eq!(text(&editor), "");
        for key in [
            KeyCode::Backspace,
            KeyCode::Delete,
            KeyCode::Left,
            KeyCode::Right,
        ] {
            assert_eq!(plain(&mut editor, key), Reaction::Edited);
        }
    }

    #[test]
    fn enter_finishes_and_is_remembered() {
        let mut editor = typed("one");
        assert_eq!(
            plain(&mut editor, KeyCode::Enter),
            Reaction::Line("one".to_owned())
        );
        editor.paste("two\n");
        plain(&mut editor, KeyCode::Enter);
        editor.paste("draft");
        plain(&mut editor, KeyCode::Up);
        plain(&mut editor, KeyCode::Up);
        plain(&mut editor, KeyCode::Up);
        assert_eq!(text(&editor), "one");
        plain(&mut editor, KeyCode::Down);
        assert_eq!(text(&editor), "two");
        plain(&mut editor, KeyCode::Down);
        assert_eq!(text(&editor), "draft");
        plain(&mut editor, KeyCode::Down);
        assert_eq!(text(&editor), "draft");
    }

    #[test]
    fn an_interrupt_clears_the_line_before_it_ends_the_program() {
        let mut editor = typed("x");
        assert_eq!(control(&mut editor, 'c'), Reaction::Edited);
        assert_eq!(control(&mut editor, 'c'), Reaction::Quit);
        assert_eq!(control(&mut editor, 'd'), Reaction::Quit);
        let mut editor = typed("x");
        control(&mut editor, 'd');
        assert_eq!(text(&editor), "x");
    }

    #[test]
    fn names_are_completed() {
        let mut editor = typed("cl");
        plain(&mut editor, KeyCode::Tab);
        assert_eq!(text(&editor), "clock ");
        let mut editor = typed("?ch");
        plain(&mut editor, KeyCode::Tab);
        assert_eq!(text(&editor), "?chat");
        let candidates = ["chat message", "chat"].map(str::to_owned).to_vec();
        assert_eq!(
            plain(&mut editor, KeyCode::Tab),
            Reaction::Candidates(candidates)
        );
        let mut editor = typed("/j");
        plain(&mut editor, KeyCode::Tab);
        assert_eq!(text(&editor), "/join ");
        let mut editor = typed("nothing");
        assert_eq!(plain(&mut editor, KeyCode::Tab), Reaction::Edited);
        assert_eq!(text(&editor), "nothing");
    }

    #[test]
    fn a_long_line_is_scrolled_to_its_cursor() {
        let mut editor = typed("0123456789");
        assert_eq!(editor.view(20), ("0123456789".to_owned(), 10));
        assert_eq!(editor.view(5), ("6789".to_owned(), 4));
        plain(&mut editor, KeyCode::Home);
        assert_eq!(editor.view(5), ("0123".to_owned(), 0));
        let wide = typed("鮭鮭鮭");
        assert_eq!(wide.view(5), ("鮭鮭".to_owned(), 4));
        assert_eq!(wide.view(0).1, 0);
    }

    #[test]
    fn pasted_lines_become_one() {
        let mut editor = Editor::default();
        editor.paste("echo 1\n2\u{1b}[31m\n");
        assert_eq!(text(&editor), "echo 1 2 [31m");
    }
}
