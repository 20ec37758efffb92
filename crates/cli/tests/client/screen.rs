//! The interactive session on a real terminal, which tmux provides: what is typed, and what the screen shows.

use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::process::Server;

/// A terminal of a tmux server of its own, which ends with this value.
struct Terminal {
    /// Used once: a server that was told to end still answers to its name for a moment.
    name: String,
}

impl Terminal {
    fn start(command: &str) -> Self {
        static TERMINALS: AtomicUsize = AtomicUsize::new(0);
        let number = TERMINALS.fetch_add(1, Ordering::Relaxed);
        let name = format!("kokanee-{}-screen-{number}", std::process::id());
        let terminal = Self { name };
        terminal.tmux(&["new-session", "-d", "-x", "100", "-y", "24", command]);
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
    let start = Instant::now();
    while terminal
        .tmux(&["capture-pane", "-p"])
        .contains("● connected")
    {
        assert!(start.elapsed() < Duration::from_secs(10), "it ends");
        std::thread::sleep(Duration::from_millis(20));
    }
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
