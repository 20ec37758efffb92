//! Examples in the documentation: how many there are for each 100 public functions, crate by crate.
//!
//! An example is a code block that the documentation tests compile, on an item that users of the crate `kokanee` can name: its
//! crates' re-exports say which. The sources are read line by line, as rustfmt has written them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result, ensure};

use crate::steps::{root, say};

/// The crates with a public API, and the fewest examples for each 100 public functions of each.
const FLOORS: [(&str, usize); 8] = [
    ("bridge", 10),
    ("client", 4),
    ("engineio", 0),
    ("handler", 23),
    ("kokanee", 3),
    ("net", 2),
    ("server", 12),
    ("socketio", 3),
];
/// The fewest of all crates together.
const FLOOR: usize = 8;

/// The crates that users name as modules of `kokanee`: all that they export is public.
const MODULES: [&str; 5] = ["bridge", "client", "kokanee", "net", "server"];

/// The names of each crate that users can name.
type Names = BTreeMap<String, BTreeSet<String>>;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    functions: usize,
    examples: usize,
}

/// Prints the figures and compares them with the floors.
///
/// # Errors
/// A crate has fewer examples than its floor.
pub(crate) fn check() -> Result<()> {
    say("\n── examples in the documentation, for each 100 public functions");
    let source = |krate: &str| root().join("crates").join(krate).join("src");
    let mut names = Names::new();
    for krate in MODULES {
        let lib = fs::read_to_string(source(krate).join("lib.rs")).context("lib.rs")?;
        add_exports(&lib, krate, &mut names);
    }
    let (mut all, mut missing) = (Count::default(), Vec::new());
    for (krate, floor) in FLOORS {
        let mut count = Count::default();
        let names = names.entry(krate.to_owned()).or_default();
        names.extend(MODULES.contains(&krate).then(|| "lib".to_owned()));
        count.add_folder(&source(krate), names, false)?;
        all.functions += count.functions;
        all.examples += count.examples;
        missing.extend(count.report(krate, floor));
    }
    missing.extend(all.report("all", FLOOR));
    ensure!(
        missing.is_empty(),
        "too few examples in the documentation: {}",
        missing.join(", ")
    );
    Ok(())
}

/// Adds the names in a crate's `pub use` and `pub mod`, each to the crate that defines it.
fn add_exports(lib: &str, krate: &str, names: &mut Names) {
    for statement in lib.split(';') {
        let Some((_, tree)) = statement.split_once("\npub ") else {
            continue;
        };
        let mut words = tree.split(|c: char| c != '_' && !c.is_alphanumeric());
        let kind = words.next();
        let mut words = words.filter(|word| !word.is_empty()).peekable();
        let owner = words.peek().and_then(|word| word.strip_prefix("kokanee_"));
        if matches!(kind, Some("use" | "mod")) {
            let owner = owner.unwrap_or(krate).to_owned();
            names
                .entry(owner)
                .or_default()
                .extend(words.map(str::to_owned));
        }
    }
}

impl Count {
    /// Adds all files of a folder. `is_open` if its modules are public.
    fn add_folder(&mut self, folder: &Path, names: &BTreeSet<String>, is_open: bool) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let is_open = is_open || names.contains(&*stem);
            if path.is_dir() {
                self.add_folder(&path, names, is_open)?;
            } else {
                let is_public = |name: &str| is_open || names.contains(name);
                let include = |text: &str| fs::read_to_string(folder.join(text));
                self.add_file(&fs::read_to_string(&path)?, &is_public, &include)?;
            }
        }
        Ok(())
    }

    /// Adds the public items of a file. `include` reads a file whose text is the documentation of an item.
    fn add_file(
        &mut self,
        text: &str,
        is_public: &dyn Fn(&str) -> bool,
        include: &dyn Fn(&str) -> std::io::Result<String>,
    ) -> Result<()> {
        let (mut docs, mut is_hidden, mut in_attribute) = (String::new(), false, false);
        // Whether public functions in this block are reachable, and whether those without `pub` are public.
        let mut block = (false, false);
        for line in text.lines().take_while(|line| *line != "mod tests {") {
            let code = line.trim_start();
            if let Some(doc) = code
                .strip_prefix("///")
                .or_else(|| code.strip_prefix("//!"))
            {
                docs = docs + doc + "\n";
                continue;
            }
            if let Some(file) = code.strip_prefix("#[doc = include_str!(\"") {
                docs += &include(file.trim_end_matches("\")]")).context(file.to_owned())?;
                continue;
            }
            if in_attribute || code.starts_with("#[") {
                is_hidden |= code == "#[doc(hidden)]";
                in_attribute = !code.ends_with(']');
                continue;
            }
            let is_pub = code.starts_with("pub ");
            let code = code.trim_start_matches("pub ");
            let (name, is_function) = name(code);
            let is_reachable = if code.is_empty() {
                // The module's own documentation ends.
                is_public(name)
            } else if line.starts_with(' ') {
                block.0 && (is_pub || block.1)
            } else {
                let (is_impl, is_trait) = (code.starts_with("impl"), code.starts_with("trait"));
                let is_macro = code.starts_with("macro_rules!");
                let opens = is_macro || is_public(name) && (is_impl || is_pub && is_trait);
                block = (opens && !code.contains(" for "), is_trait);
                is_public(name) && (is_impl || is_pub)
            };
            if is_reachable && !is_hidden {
                self.functions += usize::from(is_function);
                self.examples += examples(&docs);
            }
            docs.clear();
            is_hidden = false;
        }
        Ok(())
    }

    /// Prints the figures, and returns a text if there are too few.
    fn report(self, name: &str, floor: usize) -> Option<String> {
        let (functions, examples) = (self.functions, self.examples);
        let rate = examples * 100 / functions.max(1);
        let floor_text = format!("at least {floor}");
        say(&format!(
            "{rate:>5}  {name}: {examples} for {functions}, {floor_text}"
        ));
        (rate < floor).then(|| format!("{name} has {rate}, {floor_text}"))
    }
}

/// Returns the name of the item that a line begins, or of the type that it implements, and whether it is a function.
fn name(code: &str) -> (&str, bool) {
    let mut rest = code;
    if let Some(after) = code.strip_prefix("impl") {
        let mut depth = 0_u32;
        let end = after.find(|c| {
            depth = match c {
                '<' => depth + 1,
                '>' => depth.saturating_sub(1),
                _ => depth,
            };
            depth == 0 && c == ' '
        });
        rest = &after[end.unwrap_or(0)..];
    }
    let mut words = rest.split(|c: char| c != '_' && !c.is_alphanumeric());
    let keywords = ["", "async", "const", "struct", "enum", "trait", "type"];
    let first = words.find(|word| !keywords.contains(word));
    match first {
        Some("fn") => (words.next().unwrap_or_default(), true),
        first => (first.unwrap_or_default(), false),
    }
}

/// Returns the number of code blocks that are compiled.
fn examples(docs: &str) -> usize {
    let fences = docs
        .lines()
        .filter_map(|line| line.trim().strip_prefix("```"));
    let is_compiled = |attributes: &&str| {
        let mut attributes = attributes.split(',').map(str::trim);
        attributes.all(|it| matches!(it, "" | "rust" | "no_run" | "should_panic"))
    };
    fences.step_by(2).filter(is_compiled).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
/// ```
/// ```
/// ```text
/// ```
pub struct Open;

impl<T: Into<String>> Open<T> {
    /// ```no_run
    /// ```
    #[doc(alias = "one")]
    pub async fn one(&self) {}
    #[doc = include_str!("two.md")]
    pub fn two(
        &self,
    ) {}
    /// ```
    /// ```
    #[doc(hidden)]
    pub fn hidden() {}
    pub(crate) fn own() {}
}

impl Display for Open {
    fn fmt() {}
}

pub struct Closed;

impl Closed {
    pub fn unreachable() {}
}
"#;

    #[test]
    fn examples_and_functions_of_public_items_are_counted() {
        let mut count = Count::default();
        let include = |file: &str| {
            assert_eq!(file, "two.md");
            Ok("```\n```\n".to_owned())
        };
        count
            .add_file(FILE, &|name| name == "Open", &include)
            .unwrap();
        let expected = Count {
            functions: 2,
            examples: 3,
        };
        assert_eq!(count, expected);
    }

    #[test]
    fn re_exports_belong_to_the_crate_that_defines_them() {
        let mut names = Names::new();
        let lib = "\nmod a;\npub use self::{\n    a::{B, C},\n};\npub use kokanee_handler::Ack;\n";
        add_exports(lib, "server", &mut names);
        assert!(names["server"].contains("C") && names["handler"].contains("Ack"));
        assert!(!names["server"].contains("Ack"));
    }
}
