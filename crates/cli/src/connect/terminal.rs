//! A session in a terminal: handles keys, and shows the log above the status line and the input line.

use std::{path::PathBuf, thread, time::Duration};

use crossterm::{
    event::{self, Event as Key, KeyEventKind},
    terminal,
};
use tokio::{sync::mpsc, time::interval};

use super::{
    command,
    editor::{Editor, Reaction},
    history::{self, History},
    screen::Screen,
    session::{Said, Session},
};
use crate::{
    args::ConnectArgs,
    escape,
    notice::notices,
    output::Output,
    paint::Paint,
    peer::{self, PeerError},
    pretty::wrap,
    signals::Signals,
};

/// Keys that were pressed and may wait to be handled.
const MAX_KEYS: usize = 256;
/// Maximum number of lines that are shown together before keys are handled again.
const MAX_SHOWN: usize = 64;
/// Time between two updates of the status line.
const REFRESH: Duration = Duration::from_secs(1);

/// Runs the session.
pub(crate) async fn run(args: &ConnectArgs, output: Output) -> Result<(), PeerError> {
    let (reporter, mut notices) = notices();
    let (joined, mut join) = mpsc::unbounded_channel();
    let mut signals = Signals::watch(&output).map_err(PeerError::Start)?;
    let mut session = Session::new(args, reporter, joined)?;
    let file = history::path().filter(|_| !args.no_history);
    let history = file.as_deref().map(History::load).unwrap_or_default();
    let mut window = Window::open(output, Paint::for_stdout(args.connection.color), history)?;
    window.show(&mut session, Vec::new());

    // If the first connection fails, the program ends.
    let socket = session.socket().cloned();
    let first = async {
        match &socket {
            Some(socket) => peer::connect(socket, &mut signals).await,
            None => Ok(()),
        }
    };
    if let Err(error) = first.await {
        window.close(file);
        return Err(error);
    }
    let mut keys = read_keys()?;
    let mut refresh = interval(REFRESH);
    let ended = loop {
        let mut said = tokio::select! {
            signal = signals.first() => break Err(PeerError::Interrupted(signal)),
            Some(key) = keys.recv() => window.on_key(key, &mut session).await,
            Some(joined) = join.recv() => session.on_joined(joined),
            notice = notices.recv() => session.on_notice(&notice).into_iter().collect(),
            _ = refresh.tick() => Vec::new(),
        };
        // Shows everything that arrived meanwhile together.
        while said.len() < MAX_SHOWN {
            match notices.try_recv() {
                Some(notice) => said.extend(session.on_notice(&notice)),
                None => break,
            }
        }
        if said.iter().any(|said| matches!(said, Said::Quit)) {
            break Ok(());
        }
        window.show(&mut session, said);
    };
    session.leave().await;
    let mut last = Vec::new();
    while let Some(notice) = notices.try_recv() {
        last.extend(session.on_notice(&notice));
    }
    window.show(&mut session, last);
    window.close(file);
    ended
}

/// Reads keys on a separate thread, because that read blocks.
fn read_keys() -> Result<mpsc::Receiver<Key>, PeerError> {
    let (sender, receiver) = mpsc::channel(MAX_KEYS);
    let read = move || {
        while let Ok(key) = event::read() {
            if sender.blocking_send(key).is_err() {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("keys".to_owned());
    thread.spawn(read).map_err(PeerError::Start)?;
    Ok(receiver)
}

/// Disables raw mode when it is dropped.
struct RawMode;

impl Drop for RawMode {
    fn drop(&mut self) {
        // There is nothing else to try.
        let _ = terminal::disable_raw_mode();
    }
}

/// The visible state of the session.
struct Window {
    screen: Screen,
    output: Output,
    editor: Editor,
    paint: Paint,
    width: usize,
    raw: RawMode,
}

impl Window {
    fn open(output: Output, paint: Paint, history: History) -> Result<Self, PeerError> {
        let (columns, _) = terminal::size().map_err(PeerError::Start)?;
        terminal::enable_raw_mode().map_err(PeerError::Start)?;
        let raw = RawMode;
        // With bracketed paste, pasted text is one event instead of keys.
        output.screen("\x1b[?2004h".to_owned());
        Ok(Self {
            screen: Screen::new(output.clone(), paint, columns),
            output,
            editor: Editor::new(history),
            paint,
            width: columns.into(),
            raw,
        })
    }

    /// Updates the terminal's width. A key may arrive before the event of a changed width.
    fn measure(&mut self) {
        if let Ok((columns, _)) = terminal::size() {
            self.width = columns.into();
            self.screen.resize(columns);
        }
    }

    /// Shows the output of the session, and the two lines below it.
    fn show(&mut self, session: &mut Session, said: Vec<Said>) {
        self.measure();
        let mut lines = Vec::new();
        let mut is_cleared = false;
        for said in said {
            match said {
                Said::Entry(entry) => lines.push(entry.text(self.paint)),
                Said::Note(text) => lines.extend(
                    escape::lines(&text)
                        .lines()
                        .flat_map(|line| wrap(line, self.width))
                        .map(|line: String| self.paint.dim(&line)),
                ),
                Said::Clear => is_cleared = true,
                Said::Quit => {}
            }
        }
        let status = session.status().line(self.width.saturating_sub(1));
        let view = self.editor.view(self.screen.input_width());
        if is_cleared {
            self.screen.clear(&status, view);
        } else {
            self.screen.show(&lines, &status, view);
        }
    }

    /// Handles a key. Returns the output of the session.
    async fn on_key(&mut self, key: Key, session: &mut Session) -> Vec<Said> {
        match key {
            Key::Key(key) if key.kind != KeyEventKind::Release => {
                match self.editor.on_key(key, session.names().typed()) {
                    Reaction::Edited => Vec::new(),
                    Reaction::Clear => vec![Said::Clear],
                    Reaction::Quit => vec![Said::Quit],
                    Reaction::Candidates(names) => vec![Said::Note(names.join("  "))],
                    Reaction::Line(line) => match command::parse(&line) {
                        Ok(None) => Vec::new(),
                        Ok(Some(command)) => session.on_command(command).await,
                        Err(reason) => vec![Said::Note(format!("{line}: {reason}"))],
                    },
                }
            }
            Key::Paste(text) => {
                self.editor.paste(&text);
                Vec::new()
            }
            // For every other event the lines are only drawn again.
            _ => Vec::new(),
        }
    }

    /// Erases the two lines and saves the history.
    fn close(mut self, file: Option<PathBuf>) {
        self.measure();
        self.screen.leave();
        self.output.screen("\x1b[?2004l".to_owned());
        // Everything must be written before raw mode is disabled.
        self.output.finish_briefly();
        drop(self.raw);
        let history = self.editor.into_history();
        if let Some(Err(error)) = file.map(|path| history.save(&path)) {
            self.output
                .print_err(format!("the history was not saved: {error}"));
        }
    }
}
