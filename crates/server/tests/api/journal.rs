//! What handlers note, in order, for the test to read.

use std::fmt::Display;

use kokanee_server::{Namespace, Server, ServerBuilder};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::support::within;

/// The writing end. Handlers get it as `State<Journal>`, closures capture a clone.
#[derive(Debug, Clone)]
pub(crate) struct Journal(UnboundedSender<String>);

/// The reading end.
#[derive(Debug)]
pub(crate) struct Entries(UnboundedReceiver<String>);

/// A journal of its own.
pub(crate) fn journal() -> (Journal, Entries) {
    let (sender, receiver) = unbounded_channel();
    (Journal(sender), Entries(receiver))
}

/// A server's settings with a journal as state.
pub(crate) fn journaling() -> (ServerBuilder, Journal, Entries) {
    let (journal, entries) = journal();
    (Server::builder().state(journal.clone()), journal, entries)
}

impl Journal {
    /// Adds an entry. A test that has ended does not read it any more.
    pub(crate) fn note(&self, entry: impl Display) {
        let _ = self.0.send(entry.to_string());
    }

    /// Notes every error of a namespace as `code: message`.
    pub(crate) fn note_errors(&self, namespace: &Namespace) {
        let journal = self.clone();
        namespace
            .on_error(move |_, error| journal.note(format!("{}: {}", error.code(), error.kind())));
    }
}

impl Entries {
    /// Waits for the next entry.
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = String> {
        let entry = within("an entry in the journal", self.0.recv());
        async { entry.await.expect("the server lives") }
    }

    /// Waits for this many entries.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<String> {
        let mut entries = Vec::with_capacity(count);
        while entries.len() < count {
            entries.push(self.next().await);
        }
        entries
    }

    /// Waits until nobody can note anything any more, and returns what has not been read.
    pub(crate) async fn rest(mut self) -> Vec<String> {
        let mut entries = Vec::new();
        while let Some(entry) = within("the end of the journal", self.0.recv()).await {
            entries.push(entry);
        }
        entries
    }

    /// Whether nothing was noted that has not been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
