//! The documents for people must name files that exist.

use std::{
    fs,
    path::{Path, PathBuf},
};

const DOCUMENTS: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "bench/README.md",
    "docs/from-socket-to-event.md",
    "tests/interop/README.md",
];
/// A word that begins with one of these is a path from the root of the repository.
const FOLDERS: [&str; 9] = [
    ".cargo/",
    ".ci/",
    "bench/",
    "crates/",
    "docs/",
    "examples/",
    "fuzz/",
    "tests/",
    "xtask/",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
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
    targets.filter(|target| !target.contains("://") && !target.starts_with('#'))
}

/// Leaves out fenced code, in which backticks and parentheses mean nothing.
fn prose(text: &str) -> String {
    let parts = text.split("```").step_by(2);
    parts.collect::<Vec<_>>().join("\n")
}

#[test]
fn paths_in_documents_exist() {
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let path = root().join(document);
        let text = prose(&fs::read_to_string(&path).unwrap());
        let paths =
            quoted(&text).filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)));
        for named in paths.filter(|word| !word.contains([' ', '*', '…'])) {
            if !root().join(named).exists() {
                missing.push(format!("{document}: `{named}`"));
            }
        }
        for target in links(&text) {
            if !path.with_file_name(target).exists() {
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
}
