//! The pages of `docs/` and the README name what there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What a public type is declared with.
const TYPES: [&str; 4] = ["pub struct ", "pub enum ", "pub trait ", "pub type "];
/// Types of other crates that pages name with one of their functions.
const FOREIGN: [&str; 2] = ["Duration", "Router"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The name that a text begins with.
fn name(text: &str) -> &str {
    text.split(|c| !is_in_name(c)).next().unwrap_or_default()
}

fn is_type(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
}

/// Returns what a line declares after one of the words, such as `Socket` of `pub struct Socket`.
fn declared<'a>(line: &'a str, words: &[&str]) -> Option<&'a str> {
    let line = line.trim_start();
    words
        .iter()
        .find_map(|word| line.strip_prefix(word))
        .map(name)
}

/// The public types with their methods, fields and variants.
#[derive(Default)]
struct Types {
    members: BTreeMap<String, BTreeSet<String>>,
    /// Where each type is declared. Server and client have types of the same names.
    files: BTreeMap<String, Vec<PathBuf>>,
}

impl Types {
    /// Of all crates.
    fn of_all_crates() -> Self {
        let mut types = Self::default();
        for entry in fs::read_dir(root().join("crates")).expect("a directory") {
            types.read_directory(&entry.expect("an entry").path().join("src"));
        }
        // A server has the methods of its namespace `/`, by `Deref`.
        let namespace = types.members["Namespace"].clone();
        types
            .members
            .entry("Server".to_owned())
            .or_default()
            .extend(namespace);
        types
    }

    fn read_directory(&mut self, directory: &Path) {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                self.read_directory(&path);
            } else {
                let source = fs::read_to_string(&path).expect("text");
                let path = fs::canonicalize(path).expect("a path");
                for declared in source.lines().filter_map(|line| declared(line, &TYPES)) {
                    let files = self.files.entry(declared.to_owned()).or_default();
                    files.push(path.clone());
                }
                self.read_source(&source);
            }
        }
    }

    fn read_source(&mut self, source: &str) {
        // Methods that a macro defines for several types are not in an `impl`.
        let mut of: Vec<&str> = if source.contains("macro_rules! attach_methods") {
            vec!["Socket", "ClientBuilder"]
        } else {
            Vec::new()
        };
        // The methods of a trait are public without saying so.
        let mut is_trait = false;
        for line in source.lines() {
            if let Some(declared) = declared(line, &TYPES) {
                of = vec![declared];
                is_trait = line.starts_with("pub trait ");
                self.members.entry(declared.to_owned()).or_default();
            } else if line.starts_with("impl") {
                is_trait = line.contains(" for ");
                let target = line.rsplit(" for ").next().unwrap_or_default();
                let target = target.strip_prefix("impl").unwrap_or(target);
                let without_generics = if target.starts_with('<') {
                    target.split_once("> ").map_or("", |(_, rest)| rest)
                } else {
                    target.trim_start()
                };
                of = vec![name(without_generics)];
            } else {
                let public = [
                    "pub fn ",
                    "pub async fn ",
                    "pub const fn ",
                    "pub const ",
                    "pub ",
                ];
                let variant = || Some(name(line.trim_start())).filter(|name| is_type(name));
                let member = declared(line, &public)
                    .or_else(|| declared(line, &["fn ", "async fn "]).filter(|_| is_trait))
                    .or_else(variant);
                for of in &of {
                    let members = self.members.entry((*of).to_owned()).or_default();
                    members.extend(member.map(str::to_owned));
                }
            }
        }
    }

    /// Returns whether there is such a member, or such a type.
    fn has(&self, of: &str, member: &str) -> bool {
        if !is_type(of) {
            return self.members.contains_key(member);
        }
        let members = self.members.get(of);
        members.is_some_and(|members| members.contains(member))
    }
}

/// The README and the pages of `docs/`.
fn pages() -> Vec<(PathBuf, String)> {
    let pages = fs::read_dir(root().join("docs")).expect("a directory");
    let mut paths = vec![root().join("README.md")];
    paths.extend(pages.map(|entry| entry.expect("an entry").path()));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("text");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// The text without its fenced code.
fn prose(text: &str) -> String {
    let parts: Vec<_> = text.split("```").step_by(2).collect();
    parts.join("\n")
}

/// The texts between backticks.
fn code(prose: &str) -> impl Iterator<Item = &str> {
    prose.split('`').skip(1).step_by(2)
}

/// The last two names of each path in a piece of code: `Socket` and `join` of `socket::Socket::join(…)`.
fn named(code: &str) -> impl Iterator<Item = (&str, &str)> {
    let paths = code.split(|c| !is_in_name(c) && c != ':');
    paths.filter_map(|path| {
        let path = path.trim_end_matches(':');
        let (of, member) = path.rsplit_once("::")?;
        Some((of.rsplit("::").next().unwrap_or(of), member))
    })
}

#[test]
fn named_items_exist() {
    let types = Types::of_all_crates();
    let (mut count, mut missing) = (0, Vec::new());
    for (path, text) in pages() {
        let prose = prose(&text);
        for (of, member) in code(&prose).flat_map(named) {
            // A type of a crate of ours, or a member of a type.
            let is_ours = is_type(of) && !FOREIGN.contains(&of)
                || is_type(member) && ["client", "server", "kokanee"].contains(&of);
            if is_ours {
                count += 1;
                if !types.has(of, member) {
                    missing.push(format!("{}: {of}::{member}", path.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "these do not exist: {missing:#?}");
    assert!(count > 200, "{count} items were found");
}

#[test]
fn types_are_in_the_files_that_they_link_to() {
    let types = Types::of_all_crates();
    let (mut count, mut missing) = (0, Vec::new());
    for (path, text) in pages() {
        let prose = prose(&text);
        let links = prose.match_indices("](").filter_map(|(at, _)| {
            let text = &prose[prose[..at].rfind('[')?..at];
            Some((text, prose[at + 2..].split(')').next()?))
        });
        for (text, target) in links.filter(|(_, target)| target.rsplit('.').next() == Some("rs")) {
            let file = fs::canonicalize(path.with_file_name(target)).unwrap_or_default();
            for linked in code(text).filter(|code| is_type(code)) {
                count += 1;
                let files = types.files.get(linked).map_or(&[][..], Vec::as_slice);
                if !files.contains(&file) {
                    let page = path.display();
                    missing.push(format!(
                        "{page}: {linked} is not in {target}, but in {files:?}"
                    ));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count > 30, "{count} links were found");
}

#[test]
fn the_programs_of_all_pages_are_run() {
    let included = include_str!("../src/lib.rs");
    for (path, text) in pages() {
        let page = path.strip_prefix(root()).expect("below the root").display();
        let is_included = included.contains(&format!("\"../../../{page}\""));
        assert_eq!(text.contains("```rust"), is_included, "{page}");
    }
}

#[test]
fn all_methods_of_the_table_from_javascript_exist() {
    let types = Types::of_all_crates();
    // And one of another crate.
    let mut names: BTreeSet<&str> = types
        .members
        .values()
        .flatten()
        .map(String::as_str)
        .collect();
    names.insert("from_secs");
    let table = fs::read_to_string(root().join("docs/from-javascript.md")).expect("text");
    let mut count = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        let ours = row
            .trim_end_matches(" |")
            .rsplit(" | ")
            .next()
            .unwrap_or_default();
        for code in code(ours) {
            // `.name(`, `::name(`, or alone `name`.
            for (at, _) in code.match_indices('(') {
                let called = code[..at].trim_end_matches("::<T>");
                let start = called.rfind(|c| !is_in_name(c)).map_or(0, |at| at + 1);
                let is_method = called[..start].ends_with(['.', ':']);
                if is_method {
                    count += 1;
                    assert!(
                        names.contains(&called[start..]),
                        "{} in {row}",
                        &called[start..]
                    );
                }
            }
        }
    }
    assert!(count > 60, "{count} calls were found");
}

#[test]
fn members_are_those_of_their_type() {
    let mut types = Types::default();
    types.read_source(
        "pub struct A<T> {\n    pub size: usize,\n}\n\nimpl<T: B> A<T> {\n    pub async fn join(&self) {}\n    fn own(&self) {}\n}\n\n\
         pub enum C {\n    /// D.\n    D,\n    E { at: usize },\n}\n\nimpl From<A<u8>> for C {\n    fn from(a: A<u8>) {}\n}\n",
    );
    for (of, member) in [
        ("A", "size"),
        ("A", "join"),
        ("C", "D"),
        ("C", "E"),
        ("C", "from"),
    ] {
        assert!(types.has(of, member), "{of}::{member}");
    }
    assert!(!types.has("C", "join") && !types.has("A", "own") && !types.has("F", "join"));
    let found: Vec<_> = named("io.to(a).emit::<T>(B::join, c::d::E)").collect();
    assert_eq!(found, [("B", "join"), ("d", "E")]);
}
