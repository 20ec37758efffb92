//! Engine.IO long-polling by hand: one connection for GETs, one for POSTs.

use std::{net::SocketAddr, time::Duration};

use super::{Http, Response, http, sid_of};

/// A polling session.
#[derive(Debug)]
pub(crate) struct Polling {
    /// The session's id.
    pub(crate) sid: String,
    /// The body of the first answer: the open packet, and what came with it.
    pub(crate) opening: String,
    /// `/socket.io/?…&sid=…`
    pub(crate) target: String,
    gets: Http,
    posts: Http,
}

impl Polling {
    /// Opens a session. `query` is what every request has, for instance `EIO=4`.
    pub(crate) async fn open(address: SocketAddr, query: &str) -> Self {
        let target = format!("/socket.io/?{query}&transport=polling");
        let mut gets = Http::connect(address).await;
        let response = gets.get(&target).await;
        assert_eq!(response.status, 200, "{response:?}");
        let opening = response.text();
        let sid = sid_of(&opening);
        let target = format!("{target}&sid={sid}");
        let posts = Http::connect(address).await;
        Self {
            sid,
            opening,
            target,
            gets,
            posts,
        }
    }

    /// Sends a GET; its answer is read with [`answer`](Self::answer).
    pub(crate) async fn begin_poll(&mut self) {
        self.gets.send(http::get(&self.target, &[])).await;
    }

    /// Sends a GET and makes sure that it waits in the server.
    pub(crate) async fn pending_poll(&mut self) {
        self.begin_poll().await;
        let waits = self.gets.is_silent_for(Duration::from_millis(50)).await;
        assert!(waits, "the GET was answered at once");
    }

    /// The answer of the pending GET.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> impl Future<Output = Response> {
        self.gets.response()
    }

    /// GET: the whole answer.
    pub(crate) async fn get(&mut self) -> Response {
        self.begin_poll().await;
        self.answer().await
    }

    /// GET: the payload of an answer 200.
    pub(crate) async fn poll(&mut self) -> String {
        let response = self.get().await;
        assert_eq!(response.status, 200, "{response:?}");
        response.text()
    }

    /// POST: the whole answer.
    pub(crate) async fn post(&mut self, body: impl AsRef<[u8]>) -> Response {
        self.posts.post(&self.target, body).await
    }

    /// POST of a payload that must be taken.
    pub(crate) async fn send(&mut self, payload: &str) {
        let response = self.post(payload).await;
        assert_eq!(
            response.brief(),
            (200, "ok".to_owned()),
            "POST of {payload:?}"
        );
    }

    /// Joins `/` and returns the answer.
    pub(crate) async fn join(&mut self) -> String {
        self.send("40").await;
        self.poll().await
    }

    /// The connection of the GETs.
    pub(crate) fn gets(&mut self) -> &mut Http {
        &mut self.gets
    }

    /// The connection of the POSTs.
    pub(crate) fn posts(&mut self) -> &mut Http {
        &mut self.posts
    }

    /// The two connections, to be dropped or used by themselves.
    pub(crate) fn into_connections(self) -> (Http, Http) {
        (self.gets, self.posts)
    }
}
