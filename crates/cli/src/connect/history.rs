//! The history of typed lines, saved between runs in a file in the user's state directory.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Maximum number of lines.
const MAX_LINES: usize = 1000;

/// Typed lines, the newest last.
#[derive(Debug, Default)]
pub(crate) struct History {
    lines: Vec<String>,
}

impl History {
    /// Reads the file. If that fails, the history is empty.
    pub(crate) fn load(path: &Path) -> Self {
        let content = fs::read_to_string(path).unwrap_or_default();
        let mut history = Self::default();
        for line in content.lines() {
            history.add(line);
        }
        history
    }

    /// Writes the file, readable only by its owner because typed lines may be secret.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut content = self.lines.join("\n");
        content.push('\n');
        options.open(path)?.write_all(content.as_bytes())
    }

    /// Adds a line, unless it is empty or equal to the last one.
    pub(crate) fn add(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() || self.lines.last().is_some_and(|last| last == line) {
            return;
        }
        self.lines.push(line.to_owned());
        if self.lines.len() > MAX_LINES {
            self.lines.remove(0);
        }
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// Returns the path of the file: `$XDG_STATE_HOME/kokanee/history`, by default below `~/.local/state`; on Windows in the
/// local application data. `None` if none of these is known.
pub(crate) fn path() -> Option<PathBuf> {
    let directory = |name: &str| {
        let path = PathBuf::from(env::var_os(name)?);
        // "All paths set in these environment variables must be absolute", others are to be ignored.
        path.is_absolute().then_some(path)
    };
    let state = directory("XDG_STATE_HOME")
        .or_else(|| directory("LOCALAPPDATA").filter(|_| cfg!(windows)))
        .or_else(|| Some(directory("HOME")?.join(".local").join("state")))?;
    Some(state.join("kokanee").join("history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_in_the_file() {
        let directory = env::temp_dir().join(format!("kokanee-history-{}", std::process::id()));
        let path = directory.join("state").join("history");
        let mut history = History::default();
        for line in ["one", "two", "two", "  ", "one"] {
            history.add(line);
        }
        history.save(&path).expect("saved");
        assert_eq!(History::load(&path).lines(), ["one", "two", "one"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path)
                .expect("it is there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::remove_dir_all(directory).expect("it is there");
        assert!(History::load(&path).lines().is_empty());
    }

    #[test]
    fn only_so_many_lines_are_kept() {
        let mut history = History::default();
        for number in 0..MAX_LINES + 5 {
            history.add(&number.to_string());
        }
        assert_eq!(history.lines().len(), MAX_LINES);
        assert_eq!(history.lines()[0], "5");
    }
}
