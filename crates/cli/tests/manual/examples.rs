//! Every example of every help, as it is written there, in a shell: against servers of this machine, and in seconds.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    commands,
    process::{Server, run},
    text,
};

/// Columns of a narrow terminal, in which no example is broken.
const NARROW: usize = 60;

/// A folder with what the examples read, programs that stand for others, and servers that they talk to.
struct Setup {
    folder: PathBuf,
    server: Server,
    tcp: Running,
    tls: Running,
    udp: Running,
}

/// A command that was started, ended when dropped.
struct Running {
    child: std::process::Child,
    first_line: String,
}

impl Running {
    /// Starts a command, with its output in one, and waits for the first line.
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("it starts");
        let mut first_line = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        lines.read_line(&mut first_line).expect("a line");
        // The writer must not meet a closed pipe.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Self { child, first_line }
    }

    fn kokanee(args: &[&str]) -> Self {
        Self::start(crate::process::kokanee(args))
    }

    fn port(&self) -> &str {
        let (_, port) = self.first_line.trim_end().rsplit_once(':').expect("a port");
        port
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The whole pipeline, which may have ended.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

impl Setup {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples");
        // Of an earlier run.
        let _ = fs::remove_dir_all(&folder);
        for below in [
            "bin",
            "public",
            ".zfunc",
            ".config/fish/completions",
            ".local/share/man",
            ".local/share/bash-completion/completions",
        ] {
            fs::create_dir_all(folder.join(below)).expect("a folder");
        }
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("made");
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        for (name, content) in [
            ("picture.png", &b"\x89PNG"[..]),
            ("auth.json", br#"{"token":"kokanee"}"#),
            ("body.bin", b"7:42[\"a\"]"),
            ("capture.txt", b"> 40\n< 40{\"sid\":\"x\"}\n"),
            ("cert.pem", cert.as_bytes()),
            ("key.pem", key.as_bytes()),
            ("public/index.html", b"<!doctype html>"),
        ] {
            fs::write(folder.join(name), content).expect("a file");
        }
        symlink(env!("CARGO_BIN_EXE_kokanee"), folder.join("bin/kokanee")).expect("a link");
        let server = Server::start(&[]);
        let stands_for = |name: &str, script: &str| {
            let path = folder.join("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
            let made = Command::new("chmod").arg("+x").arg(&path).status();
            assert!(made.expect("chmod").success());
        };
        stands_for("xclip", "echo '42[\"copied\"]'");
        stands_for("jq", "cat");
        stands_for("man", "cat");
        stands_for("pidof", &format!("echo {}", server.pid()));
        let path = |name: &str| folder.join(name).display().to_string();
        let (cert, key) = (path("cert.pem"), path("key.pem"));
        let tls = [
            "tcp",
            "echo",
            "-p",
            "0",
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
        ];
        Self {
            folder,
            server,
            tcp: Running::kokanee(&["tcp", "echo", "-p", "0"]),
            tls: Running::kokanee(&tls),
            udp: Running::kokanee(&["udp", "echo", "-p", "0"]),
        }
    }

    /// The example with the addresses of this machine, small numbers and short times.
    fn adapted(&self, example: &str) -> String {
        let server = format!("127.0.0.1:{}", self.server.port);
        let echo = if example.contains(" udp ") {
            &self.udp
        } else {
            &self.tcp
        };
        let mut script = example.to_owned();
        for (from, to) in [
            ("https://staging.example.com", &*format!("http://{server}")),
            ("https://example.com", &format!("http://{server}")),
            (
                "example.com:443",
                &format!("127.0.0.1:{} --insecure", self.tls.port()),
            ),
            ("localhost:3000", &server),
            ("127.0.0.1:3000", &server),
            ("localhost:5000", &format!("127.0.0.1:{}", echo.port())),
            ("--port 5000", "--port 0"),
            ("--port 5353", "--port 0"),
            ("--port 8080", "--port 0"),
            ("0.0.0.0", "127.0.0.1"),
            ("--tcp 7000", "--tcp 0"),
            ("--interval 1s", "--interval 10ms"),
            ("-d 30s", "-d 300ms"),
            ("--hold 1m", "--hold 300ms"),
            ("-c 10000", "-c 10"),
            ("-c 2000", "-c 10"),
            ("-c 500", "-c 10"),
            ("-c 200", "-c 10"),
            ("--waves 5", "--waves 1"),
            ("--wait 5s", "--wait 300ms"),
        ] {
            script = script.replace(from, to);
        }
        if script.starts_with("kokanee bench") && !script.contains(" -d ") {
            script.push_str(" -d 300ms --warmup 0s");
        }
        script
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .args(["-c", &format!("set -eo pipefail; exec 2>&1; {script}")])
            .current_dir(&self.folder)
            .env("HOME", &self.folder)
            .env(
                "PATH",
                format!("{}:{path}", self.folder.join("bin").display()),
            )
            .env("KOKANEE_PORT", "0")
            .stdin(Stdio::null());
        command
    }
}

/// Whether a command runs until it is asked to stop.
fn is_endless(example: &str) -> bool {
    let serves = ["kokanee serve", "echo --port", "tcp listen", "udp listen"];
    let listens = example.starts_with("kokanee listen") && !example.contains("--count");
    listens || serves.iter().any(|part| example.contains(part))
}

/// The examples of a help: commands, each joined to one line.
fn examples(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    let lines = lines.take_while(|line| line.starts_with("  "));
    let commands = lines.filter(|line| !line.starts_with("  #"));
    let joined = commands.map(str::trim).collect::<Vec<_>>().join("\n");
    let joined = joined.replace("\\\n", "");
    joined.lines().map(str::to_owned).collect()
}

/// All helps, with the command that prints each.
fn helps() -> Vec<(String, String)> {
    let below = |command: &str| -> Vec<String> {
        let help = text(&run(&[command, "--help"]));
        let names = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let names = names.take_while(|line| line.starts_with("  "));
        let names = names.filter_map(|line| line.split_whitespace().next());
        let names = names.filter(|name| *name != "help");
        names.map(|name| format!("{command} {name}")).collect()
    };
    let mut all = Vec::new();
    for command in commands() {
        all.extend(below(&command));
        all.push(command);
    }
    let help = |command: String| {
        let words: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = text(&run(&words));
        (command, help)
    };
    all.into_iter().map(help).collect()
}

#[test]
fn every_example_of_every_help_runs() {
    let setup = Setup::new();
    let mut count = 0;
    for (_, help) in helps() {
        for example in examples(&help) {
            count += 1;
            let script = setup.adapted(&example);
            if is_endless(&example) {
                let running = Running::start(setup.shell(&script));
                let first = &running.first_line;
                let is_wrong = first.is_empty() || first.contains("error:");
                assert!(!is_wrong, "{script}\n{first}");
            } else {
                let output = setup.shell(&script).output().expect("bash");
                let said = String::from_utf8_lossy(&output.stdout);
                assert!(output.status.success(), "{script}\n{said}");
                assert!(!said.contains("error:"), "{script}\n{said}");
            }
        }
    }
    assert!(count > 40, "{count} examples");
}

#[test]
fn an_example_can_be_copied_from_a_narrow_terminal() {
    for (command, help) in helps() {
        let lines = help.lines().skip_while(|line| *line != "Examples:");
        for line in lines.filter(|line| line.starts_with("  ")) {
            assert!(line.chars().count() <= NARROW, "{command}: {line}");
        }
    }
}
