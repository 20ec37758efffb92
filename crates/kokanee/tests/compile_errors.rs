//! What the compiler says of mistakes that many make: it leads to the fix.
//!
//! Each program in `ui` does not compile. The lines that begin with `//~` are what the compiler says, among more that may
//! change from one version of it to the next.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

#[test]
fn mistakes_lead_to_their_fix() {
    let mut missing = Vec::new();
    let programs = programs();
    let said = compile(&programs);
    for (name, path) in &programs {
        let program = fs::read_to_string(path).expect("a program");
        let said = said.get(name).map_or("nothing", String::as_str);
        let expected: Vec<_> = program
            .lines()
            .filter_map(|line| line.strip_prefix("//~ "))
            .collect();
        assert!(!expected.is_empty(), "{name} expects nothing");
        for text in expected.iter().filter(|&&text| !said.contains(text)) {
            missing.push(format!("{name}: not said: {text}\n{said}"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// The programs by their names.
fn programs() -> BTreeMap<String, PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let files = fs::read_dir(directory).expect("a directory");
    let paths = files.map(|file| file.expect("a file").path());
    let name = |path: &PathBuf| path.file_stem()?.to_str().map(str::to_owned);
    paths
        .map(|path| (name(&path).expect("a name"), path))
        .collect()
}

/// What the compiler says of each program: a package of their own, beside the workspace and with its versions.
fn compile(programs: &BTreeMap<String, PathBuf>) -> BTreeMap<String, String> {
    let kokanee = env!("CARGO_MANIFEST_DIR");
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ui");
    fs::create_dir_all(&package).expect("a directory");
    let mut manifest = format!(
        "[package]\nname = \"ui\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\nkokanee = {{ path = {kokanee:?} }}\n"
    );
    for (name, path) in programs {
        let path = path.to_str().expect("a path of text");
        write!(manifest, "\n[[bin]]\nname = {name:?}\npath = {path:?}\n").expect("a string");
    }
    fs::write(package.join("Cargo.toml"), manifest).expect("written");
    let lock = Path::new(kokanee).join("../../Cargo.lock");
    fs::copy(lock, package.join("Cargo.lock")).expect("copied");

    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["check", "--bins", "--keep-going", "--offline", "--quiet"])
        .args(["--message-format", "json"])
        .env("CARGO_TARGET_DIR", package.join("target"))
        .current_dir(&package)
        .output()
        .expect("cargo runs");
    let mut said = BTreeMap::<String, String>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Value = serde_json::from_str(line).expect("JSON");
        let (program, text) = (&message["target"]["name"], &message["message"]["rendered"]);
        if let (Some(program), Some(text)) = (program.as_str(), text.as_str()) {
            *said.entry(program.to_owned()).or_default() += text;
        }
    }
    assert!(
        !said.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}
