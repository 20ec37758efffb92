//! The documents for people must name files that exist.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The documents outside `docs/`, all of whose pages are checked.
const DOCUMENTS: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "bench/README.md",
    "python/examples/README.md",
    "tests/interop/README.md",
];
/// A word that begins with one of these is a path from the root of the repository.
const FOLDERS: [&str; 10] = [
    ".cargo/",
    ".ci/",
    "bench/",
    "crates/",
    "docs/",
    "examples/",
    "fuzz/",
    "python/",
    "tests/",
    "xtask/",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the paths of all documents.
fn documents() -> Vec<PathBuf> {
    let pages = fs::read_dir(root().join("docs")).expect("a directory");
    let pages = pages.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = DOCUMENTS.iter().map(|name| root().join(name)).collect();
    paths.extend(pages.filter(|path| path.extension().is_some_and(|end| end == "md")));
    paths
}

/// Returns the texts between single backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns the relative targets of links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://"))
}

/// Returns whether a document has a heading with this anchor, as GitHub derives it from the heading's text.
fn has_heading(document: &str, anchor: &str) -> bool {
    let headings = document.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| line.trim_start_matches('#').trim())
        .any(|heading| {
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.collect::<String>().to_lowercase().replace(' ', "-") == anchor
        })
}

/// Leaves out fenced code, in which backticks and parentheses mean nothing.
fn prose(text: &str) -> String {
    let parts = text.split("```").step_by(2);
    parts.collect::<Vec<_>>().join("\n")
}

#[test]
fn paths_in_documents_exist() {
    let mut missing = Vec::new();
    for path in documents() {
        let document = path.display();
        let text = prose(&fs::read_to_string(&path).unwrap());
        let paths =
            quoted(&text).filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)));
        for named in paths.filter(|word| !word.contains([' ', '*', '…'])) {
            if !root().join(named).exists() {
                missing.push(format!("{document}: `{named}`"));
            }
        }
        for target in links(&text) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => path.clone(),
                _ => path.with_file_name(file),
            };
            let is_there = match anchor {
                "" => file.exists(),
                _ => fs::read_to_string(file).is_ok_and(|text| has_heading(&prose(&text), anchor)),
            };
            if !is_there {
                missing.push(format!("{document}: link to {target}"));
            }
        }
    }
    assert!(missing.is_empty(), "these do not exist: {missing:#?}");
}

#[test]
fn every_module_of_the_protocol_and_the_server_has_a_header() {
    let mut bare = Vec::new();
    for name in [
        "websocket",
        "engineio",
        "socketio",
        "cluster",
        "server",
        "kokanee",
    ] {
        for entry in fs::read_dir(root().join("crates").join(name).join("src")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && !fs::read_to_string(&path).unwrap().starts_with("//!") {
                bare.push(path);
            }
        }
    }
    assert!(
        bare.is_empty(),
        "these modules do not say what they are: {bare:#?}"
    );
}

#[test]
fn paths_are_found_in_prose_only() {
    let text = "see `a/b` and [c](d.md), [e](https://f) or\n```\n`g/h` [i](j)\n```\nthen `k`";
    let prose = prose(text);
    assert_eq!(quoted(&prose).collect::<Vec<_>>(), ["a/b", "k"]);
    assert_eq!(links(&prose).collect::<Vec<_>>(), ["d.md"]);
    assert!(has_heading(
        "# One\n## Its `own` name, really",
        "its-own-name-really"
    ));
    assert!(!has_heading("One", "one"));
}
