//! `kokanee completions`, `kokanee man` and `--help` as a program.

#[cfg(unix)]
mod examples;
#[path = "../support/process.rs"]
mod process;

use std::{fs, process::Output};

use process::run;

fn text(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// The commands, as the program's help lists them.
fn commands() -> Vec<String> {
    let help = text(&run(&["--help"]));
    let commands = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help");
    commands.map(str::to_owned).collect()
}

#[test]
fn every_command_has_examples_in_its_help() {
    let commands = commands();
    assert!(commands.len() >= 4, "{commands:?}");
    for command in commands {
        let help = text(&run(&[&command, "--help"]));
        assert!(help.contains("Examples:"), "{command}");
        assert!(help.contains(&format!("kokanee {command}")), "{command}");
    }
}

#[test]
fn options_are_shown_without_their_environment_variables() {
    for command in [
        &["serve"][..],
        &["emit"],
        &["tcp", "listen"],
        &["udp", "send"],
    ] {
        let help = text(&run(&[command, &["--help"]].concat()));
        assert!(!help.contains("[env:"), "{command:?}");
    }
}

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&run(&["completions", shell]));
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
    }
    assert_eq!(run(&["completions", "abacus"]).status.code(), Some(2));
}

#[test]
fn there_is_a_page_for_the_program_and_each_command() {
    let directory = format!("{}/man", env!("CARGO_TARGET_TMPDIR"));
    // Of an earlier run.
    let _ = fs::remove_dir_all(&directory);
    text(&run(&["man", "--dir", &directory]));
    let mut expected: Vec<_> = commands()
        .iter()
        .map(|command| format!("kokanee-{command}.1"))
        .collect();
    expected.push("kokanee.1".to_owned());
    expected.sort();
    let files = fs::read_dir(&directory).expect("the directory");
    let mut found: Vec<_> = files
        .map(|file| {
            file.expect("a file")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    found.sort();
    assert_eq!(found, expected);
    let page = text(&run(&["man", "inspect"]));
    assert!(page.contains(".SH SYNOPSIS") && page.contains("Exit codes"));
    assert_eq!(run(&["man", "nothing"]).status.code(), Some(1));
}
