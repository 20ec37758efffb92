//! The structure of the crates: which files import each other in a circle, and which files and functions are too long.
//!
//! `xtask/structure.txt` lists what is allowed. A finding that is not listed fails, and so does an entry that is no longer
//! found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    imports::{self, Circle},
    steps::{root, say},
};

const LIST: &str = "xtask/structure.txt";
/// The most lines of code in a file outside tests.
const MAX_FILE_LINES: usize = 700;
/// The most lines of code in a function.
const MAX_FUNCTION_LINES: usize = 80;

/// Checks all crates of the workspace against the list.
///
/// # Errors
/// A finding is not listed, or a listed one no longer exists.
pub(crate) fn check() -> Result<()> {
    say("\n── structure: circles of imports, long files and functions");
    let list = fs::read_to_string(root().join(LIST)).context(LIST)?;
    let mut found = BTreeMap::new();
    for folder in sources()? {
        for file in ["lib.rs", "main.rs"] {
            if root().join(&folder).join(file).exists() {
                find(&folder, file, &mut found)?;
            }
        }
    }
    let Some(report) = compare(&found, &list) else {
        return Ok(());
    };
    bail!("the structure of the crates does not match {LIST}\n{report}")
}

/// Returns the folders of sources of all crates, relative to the root of the repository.
fn sources() -> Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> = ["bench", "bench/sockets", "xtask"]
        .map(PathBuf::from)
        .into();
    for entry in fs::read_dir(root().join("crates"))? {
        folders.push(Path::new("crates").join(entry?.file_name()));
    }
    folders.sort();
    Ok(folders.iter().map(|folder| folder.join("src")).collect())
}

/// Adds the findings of one crate: the line that would allow each, and its description.
fn find(folder: &Path, file: &str, found: &mut BTreeMap<String, String>) -> Result<()> {
    let text_of = |file: &Path| fs::read_to_string(root().join(folder).join(file)).ok();
    let (krate, sizes) = imports::read(Path::new(file), &text_of)
        .with_context(|| format!("cannot read {}", folder.join(file).display()))?;
    for circle in krate.circles() {
        let files: Vec<_> = circle
            .keys()
            .map(|file| file.display().to_string())
            .collect();
        let entry = format!("circle {}: {}", folder.display(), files.join(" "));
        found.insert(entry, described(&circle));
    }
    for (file, size) in sizes {
        let path = folder.join(file);
        let path = path.display();
        if size.lines > MAX_FILE_LINES {
            let text = format!("  {} lines of code, at most {MAX_FILE_LINES}\n", size.lines);
            found.insert(format!("file {path}"), text);
        }
        for (name, lines) in size.functions {
            if lines > MAX_FUNCTION_LINES {
                let text = format!("  {lines} lines of code, at most {MAX_FUNCTION_LINES}\n");
                found.insert(format!("function {path}: {name}"), text);
            }
        }
    }
    Ok(())
}

/// Returns the ties of a circle, one per line.
fn described(circle: &Circle) -> String {
    let mut text = String::new();
    for (file, needs) in circle {
        for (other, names) in needs {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let _ = writeln!(
                text,
                "  {} needs {} for {}",
                file.display(),
                other.display(),
                names.join(", ")
            );
        }
    }
    text
}

/// Returns a report of findings that are not listed and entries that are not found, if there are any.
fn compare(found: &BTreeMap<String, String>, list: &str) -> Option<String> {
    let listed: BTreeSet<&str> = list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut report = String::new();
    for (entry, text) in found {
        if !listed.contains(entry.as_str()) {
            let _ = write!(report, "\nnot allowed: {entry}\n{text}");
        }
    }
    for entry in listed {
        if !found.contains_key(entry) {
            let _ = writeln!(report, "\nno longer there, take it off the list: {entry}");
        }
    }
    (!report.is_empty()).then_some(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(entries: &[&str]) -> BTreeMap<String, String> {
        let text = |entry: &&str| ((*entry).to_owned(), "  why\n".to_owned());
        entries.iter().map(text).collect()
    }

    #[test]
    fn new_finding_fails_and_is_explained() {
        let report = compare(&found(&["circle a: x.rs y.rs"]), "# all of them\n").unwrap();
        assert_eq!(report, "\nnot allowed: circle a: x.rs y.rs\n  why\n");
    }

    #[test]
    fn entry_that_is_not_found_must_go() {
        let list = "file a.rs\ncircle a: x.rs y.rs\n";
        let report = compare(&found(&["file a.rs"]), list).unwrap();
        assert!(report.contains("no longer there, take it off the list: circle a: x.rs y.rs"));
        assert!(!report.contains("file a.rs"));
    }

    #[test]
    fn circle_that_grows_or_shrinks_is_another_one() {
        let list = "circle a: x.rs y.rs\n";
        let report = compare(&found(&["circle a: x.rs y.rs z.rs"]), list).unwrap();
        assert!(report.contains("not allowed") && report.contains("take it off"));
        assert_eq!(compare(&found(&["circle a: x.rs y.rs"]), list), None);
    }

    #[test]
    fn ties_are_printed_with_their_names() {
        let names = ["A".to_owned(), "B".to_owned()].into();
        let needs = [(PathBuf::from("y.rs"), names)].into();
        let circle = [(PathBuf::from("x.rs"), needs)].into();
        assert_eq!(described(&circle), "  x.rs needs y.rs for A, B\n");
    }
}
