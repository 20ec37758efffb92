//! The names of received and sent events, for completion.

use std::collections::BTreeSet;

use super::command::COMMANDS;

/// Maximum number of names, because a server can send any number of different ones.
const MAX_NAMES: usize = 500;
/// Longer names are not completed.
const MAX_LENGTH: usize = 100;

/// The names for completion.
#[derive(Debug)]
pub(crate) struct Names {
    names: BTreeSet<String>,
    /// The candidates for completion: the commands, then the names as they are typed.
    typed: Vec<String>,
}

impl Default for Names {
    fn default() -> Self {
        let mut names = Self {
            names: BTreeSet::new(),
            typed: Vec::new(),
        };
        names.collect();
        names
    }
}

impl Names {
    pub(crate) fn add(&mut self, name: &str) {
        let is_typed = name.len() <= MAX_LENGTH && !name.chars().any(char::is_control);
        if is_typed && self.names.len() < MAX_NAMES && !self.names.contains(name) {
            self.names.insert(name.to_owned());
            self.collect();
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(crate) fn typed(&self) -> &[String] {
        &self.typed
    }

    fn collect(&mut self) {
        let commands = COMMANDS.iter().map(|(name, _)| (*name).to_owned());
        let names = self.names.iter().map(|name| typed(name));
        self.typed = commands.chain(names).collect();
    }
}

/// Formats a name as it is typed: in quotes if it would be mistaken for something else.
fn typed(name: &str) -> String {
    let is_plain = !name.is_empty()
        && !name.starts_with(['/', '?', '"'])
        && !name.contains(char::is_whitespace);
    if is_plain {
        name.to_owned()
    } else {
        serde_json::Value::from(name).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_they_must_be_typed() {
        let mut names = Names::default();
        for name in ["echo", "chat message", "/x", "echo", "a\u{1b}[2J"] {
            names.add(name);
        }
        assert_eq!(
            names.all().collect::<Vec<_>>(),
            ["/x", "chat message", "echo"]
        );
        assert_eq!(
            names.typed()[COMMANDS.len()..],
            ["\"/x\"", "\"chat message\"", "echo"]
        );
    }

    #[test]
    fn a_server_cannot_make_up_any_number_of_names() {
        let mut names = Names::default();
        for number in 0..10_000 {
            names.add(&number.to_string());
        }
        names.add(&"x".repeat(1000));
        assert_eq!(names.all().count(), MAX_NAMES);
    }
}
