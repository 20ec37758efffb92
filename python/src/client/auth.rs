//! What is sent with CONNECT: a value, or what a function of the application returns for each connection.

use std::{future::ready, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture, future::Shared};
use parking_lot::Mutex;
use pyo3::prelude::*;
use serde_json::Value;
use tokio::sync::oneshot;

use super::event::Origin;
use crate::value::{self, Json};

type Given = Result<Value, String>;
type Giving = Shared<BoxFuture<'static, Given>>;

/// The `auth` of a client. All namespaces that are joined with a connection send the same.
pub(super) struct Auth {
    origin: Arc<Origin>,
    /// Whether Python has a function for it.
    is_function: bool,
    /// `None`: Python must be asked.
    current: Mutex<Option<Giving>>,
}

impl Auth {
    /// Begins with the value for the first connection.
    pub(super) fn new(origin: &Arc<Origin>, first: Value, is_function: bool) -> Self {
        Self {
            origin: Arc::clone(origin),
            is_function,
            current: Mutex::new(Some(ready(Ok(first)).boxed().shared())),
        }
    }

    /// Asks for another one for what is connected next, if Python has a function.
    pub(super) fn renew(&self) {
        if self.is_function {
            self.current.lock().take();
        }
    }

    /// The value for a namespace that is about to be joined.
    pub(super) fn next(&self) -> Giving {
        let mut current = self.current.lock();
        current.get_or_insert_with(|| self.ask()).clone()
    }

    fn ask(&self) -> Giving {
        let (give, given) = oneshot::channel();
        self.origin.ask_auth(give);
        let failed = |_| Err("its function has failed".to_owned());
        given
            .map(move |given| given.unwrap_or_else(failed))
            .boxed()
            .shared()
    }
}

/// The question for an `auth`. Dropped without an answer: the attempt to connect fails.
#[pyclass(frozen, module = "kokanee._engine")]
pub(crate) struct AuthRequest {
    json: Json,
    give: Mutex<Option<oneshot::Sender<Given>>>,
}

impl std::fmt::Debug for AuthRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthRequest")
    }
}

impl AuthRequest {
    pub(super) fn new(json: Json, give: oneshot::Sender<Given>) -> Self {
        Self {
            json,
            give: Mutex::new(Some(give)),
        }
    }
}

#[pymethods]
impl AuthRequest {
    /// Lets the namespaces be joined with this value.
    fn give(&self, auth: &Bound<'_, PyAny>) -> PyResult<()> {
        let auth = value::to_json(&self.json, auth)?;
        if let Some(give) = self.give.lock().take() {
            // The connection may be lost meanwhile.
            let _ = give.send(Ok(auth));
        }
        Ok(())
    }

    /// Lets the attempt fail.
    fn fail(&self) {
        self.give.lock().take();
    }
}
