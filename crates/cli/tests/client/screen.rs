//! The interactive session on a real terminal, which tmux provides: what is typed, and what the screen shows.

use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::process::Server;

/// A terminal of a tmux server of its own, which ends with this value.
struct Terminal {
    /// Used once: a server that was asked to end still answers to its name for a moment.
    name: String,
}

impl Terminal {
    fn start(command: &str) -> Self {
        Self::of_width("100", command)
    }

    fn of_width(columns: &str, command: &str) -> Self {
        static TERMINALS: AtomicUsize = AtomicUsize::new(0);
        let number = TERMINALS.fetch_add(1, Ordering::Relaxed);
        let name = format!("kokanee-{}-screen-{number}", std::process::id());
        let terminal = Self { name };
        terminal.tmux(&["new-session", "-d", "-x", columns, "-y", "24", command]);
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-L", &self.name, "-f", "/dev/null"])
            .args(args)
            .output()
            .expect("tmux is installed");
        assert!(output.status.success(), "tmux {args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn types(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    /// Waits until the screen shows this.
    fn shows(&self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let screen = self.tmux(&["capture-pane", "-p", "-J"]);
            if screen.contains(text) {
                return screen;
            }
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "no {text:?} on the screen:\n{screen}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Terminal {
    /// Waits until the screen does not show this any more.
    fn hides(&self, text: &str) {
        let start = Instant::now();
        while self.tmux(&["capture-pane", "-p"]).contains(text) {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{text:?} stays on the screen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The server may have ended with its program.
        let _ = Command::new("tmux")
            .args(["-L", &self.name, "kill-server"])
            .output();
    }
}

#[test]
#[ignore = "needs tmux"]
fn the_screen_shows_what_happens() {
    let mut server = Server::start(&[]);
    let port = server.port.to_string();
    let program = env!("CARGO_BIN_EXE_kokanee");
    let terminal = Terminal::start(&format!("{program} connect {} ; cat", server.url("/")));
    terminal.shows("● connected  /  websocket");
    terminal.types(r#"echo {"json":1} [2] text"#);
    terminal.shows(r#"←  /         echo {"json": 1}, [2], "text""#);
    terminal.types("?echo 42");
    let screen = terminal.shows(" ms: 42");
    assert!(screen.contains("echo 42  (ack 1)"), "{screen}");
    terminal.types("/join lobby");
    terminal.shows("ms: [\"lobby\"]");
    terminal.types("/ns private");
    terminal.shows(r#"!  /private  refused by the server: not authorized {"code": 401"#);
    terminal.types("/ns /");
    // Names that came are completed.
    terminal.tmux(&["send-keys", "-l", "welc"]);
    terminal.tmux(&["send-keys", "Tab"]);
    terminal.shows("> welcome");
    terminal.tmux(&["send-keys", "C-u"]);
    // History.
    terminal.tmux(&["send-keys", "Up"]);
    terminal.shows("> /ns /");
    terminal.tmux(&["send-keys", "C-u"]);
    // A narrower terminal has one status line all the same.
    terminal.tmux(&["resize-window", "-x", "50"]);
    // What is typed together with the news of another width waits in crossterm for the next key.
    terminal.hides(&server.url(""));
    terminal.types("?echo narrow");
    let screen = terminal.shows("ms: \"narrow\"");
    assert_eq!(screen.matches("● connected").count(), 1, "{screen}");
    // The server goes and comes back.
    server.kill();
    server.wait();
    terminal.shows("◌ reconnecting, attempt ");
    terminal.types("echo meanwhile");
    let _again = Server::start_on(&port, &[]);
    terminal.shows("←  /         echo \"meanwhile\"");
    terminal.shows("● connected");
    terminal.types("/quit");
    // The two lines at the bottom are gone.
    terminal.hides("● connected");
}

#[test]
#[ignore = "needs tmux"]
fn a_terminal_has_colours_unless_the_environment_says_no() {
    let program = env!("CARGO_BIN_EXE_kokanee");
    for (environment, is_colored) in [
        ("", true),
        ("NO_COLOR=1", false),
        // Spec, no-color.org: an empty one says nothing.
        ("NO_COLOR=", true),
        ("TERM=dumb", false),
    ] {
        let inspect = format!("env {environment} {program} inspect '42[\"colour\",1]'");
        let terminal = Terminal::start(&format!("{inspect}; echo the end; cat"));
        terminal.shows("the end");
        let screen = terminal.tmux(&["capture-pane", "-p", "-e"]);
        assert!(screen.contains("colour"), "{screen}");
        assert_eq!(
            screen.contains("\u{1b}["),
            is_colored,
            "{environment}\n{screen}"
        );
    }
}

#[test]
#[ignore = "needs tmux"]
fn muted_events_are_not_on_the_screen() {
    let server = Server::start(&[]);
    let program = env!("CARGO_BIN_EXE_kokanee");
    let command = format!(
        "{program} connect --no-history --mute clock {}",
        server.url("")
    );
    let terminal = Terminal::start(&command);
    terminal.shows("1 muted");
    terminal.types("/mute echo");
    terminal.shows("muted: clock  echo");
    terminal.types("echo hidden");
    terminal.types("?rooms");
    let screen = terminal.shows("ack 1 of rooms");
    assert!(!screen.contains("←  /         echo"), "{screen}");
    // The name after it is completed.
    terminal.tmux(&["send-keys", "-l", "/unmute ec"]);
    terminal.tmux(&["send-keys", "Tab"]);
    terminal.shows("> /unmute echo");
    terminal.tmux(&["send-keys", "Enter"]);
    terminal.shows("muted: clock\n");
    terminal.types("echo shown");
    terminal.shows("←  /         echo \"shown\"");
    terminal.types("/quit");
}

#[test]
#[ignore = "needs tmux"]
fn nothing_is_broken_within_words_in_a_narrow_terminal() {
    let server = Server::start(&[]);
    let program = env!("CARGO_BIN_EXE_kokanee");
    let command = format!(
        "{program} connect --no-history --mute clock {}",
        server.url("")
    );
    let terminal = Terminal::of_width("60", &command);
    terminal.shows("● connected");
    terminal.types("/help");
    terminal.shows("quits, like Ctrl-D");
    let screen = terminal.tmux(&["capture-pane", "-p"]);
    assert!(
        screen.contains("joins a namespace and switches to it,\n"),
        "{screen}"
    );
    assert!(
        screen.contains("\n              or lists the joined ones"),
        "{screen}"
    );
    terminal.types("/quit");

    for command in [
        "", "emit", "connect", "bench", "serve", "tcp", "udp send", "inspect",
    ] {
        let terminal = Terminal::of_width(
            "60",
            &format!("{program} {command} --help; echo the end; cat"),
        );
        terminal.shows("the end");
        // A line that the terminal had to break is joined again with -J, and longer.
        let text = terminal.tmux(&["capture-pane", "-p", "-J", "-S", "-"]);
        for line in text.lines() {
            assert!(line.trim_end().chars().count() <= 60, "{command}: {line}");
        }
    }
}

#[test]
#[ignore = "needs tmux"]
fn the_progress_of_a_load_is_one_line_of_a_narrow_terminal() {
    let server = Server::start(&[]);
    let program = env!("CARGO_BIN_EXE_kokanee");
    for columns in ["30", "60", "80"] {
        let command = format!("{program} bench {} -c 5 -d 1m; cat", server.url(""));
        let terminal = Terminal::of_width(columns, &command);
        let (what, width) = (
            if columns == "30" { "echo" } else { "p99" },
            columns.parse::<usize>(),
        );
        terminal.shows("echo 1 s");
        terminal.shows("echo 2 s");
        let screen = terminal.shows(what);
        let lines = screen.lines().filter(|line| !line.trim().is_empty());
        assert_eq!(lines.count(), 1, "{columns}:\n{screen}");
        assert!(
            screen
                .lines()
                .all(|line| line.chars().count() < width.clone().expect("a number"))
        );
        terminal.tmux(&["send-keys", "C-c"]);
        terminal.shows("echoes in");
    }
}
