//! The table from JavaScript to Kokanee names what there is.

use std::{collections::BTreeSet, fs, path::Path};

/// The names that are defined as public methods below a directory.
fn methods(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            methods(&path, names);
        } else {
            let source = fs::read_to_string(&path).expect("text");
            let after = ["pub fn ", "pub async fn "].map(|start| source.split(start).skip(1));
            let name = |rest: &str| {
                rest.split(|c: char| !is_in_name(c))
                    .next()
                    .map(str::to_owned)
            };
            names.extend(after.into_iter().flatten().filter_map(name));
        }
    }
}

fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[test]
fn all_methods_of_the_table_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // And two of others.
    let mut names = BTreeSet::from(["from_secs", "layer"].map(str::to_owned));
    for crate_name in ["server", "client", "handler"] {
        methods(
            &root.join("crates").join(crate_name).join("src"),
            &mut names,
        );
    }
    let table = fs::read_to_string(root.join("docs/from-javascript.md")).expect("text");
    let mut count = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        let ours = row
            .trim_end_matches(" |")
            .rsplit(" | ")
            .next()
            .unwrap_or_default();
        for code in ours.split('`').skip(1).step_by(2) {
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
