//! [`ClientQueue`]: the events of the clients of one thread pool, hub or event loop.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pyo3::{prelude::*, types::PyTuple};

use crate::queue::{self, Event, Queue};

/// Within this time the GIL is had if no thread of Python works.
const GIL_IS_FREE: Duration = Duration::from_millis(2);

/// What happens to clients, in order, for those who run their handlers.
#[pyclass(frozen, module = "kokanee._engine")]
pub(crate) struct ClientQueue {
    pub(super) queue: Arc<Queue>,
}

impl std::fmt::Debug for ClientQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientQueue")
    }
}

#[pymethods]
impl ClientQueue {
    #[new]
    fn new() -> Self {
        Self {
            queue: Arc::new(Queue::new(None)),
        }
    }

    /// The descriptor that is readable while events wait.
    fn fileno(&self) -> PyResult<i32> {
        Ok(self.queue.fileno()?)
    }

    /// Takes up to `max` events as tuples.
    fn drain<'py>(&self, py: Python<'py>, max: usize) -> Vec<Bound<'py, PyTuple>> {
        queue::all_to_python(py, &None, self.queue.drain(max))
    }

    /// Waits for the next event without the GIL. `None` after the timeout in seconds, or when the queue is closed.
    #[pyo3(signature = (timeout = None))]
    fn wait_event<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> Option<Bound<'py, PyTuple>> {
        let timeout =
            timeout.map(|timeout| Duration::try_from_secs_f64(timeout).unwrap_or_default());
        loop {
            let event = self.queue.wait(py, timeout)?;
            match queue::to_python(py, &None, event) {
                Ok(tuple) => return Some(tuple),
                Err(error) => error.write_unraisable(py, None),
            }
        }
    }

    /// Adds an event that Python has made, which begins as those of the engine do; none if the queue is closed.
    fn put(&self, event: Py<PyTuple>) {
        self.queue.push_open(Event::Made(event));
    }

    /// How many events wait, and how many threads wait for one.
    fn load(&self) -> (usize, usize) {
        self.queue.load()
    }

    /// Waits, without the GIL, until all threads that handle events wait for something else, so that for so many seconds no
    /// event was taken though some are there, and returns how many are. 0: the queue is closed.
    fn wait_busy(&self, py: Python<'_>, patience: f64) -> usize {
        let patience = Duration::try_from_secs_f64(patience).unwrap_or_default();
        loop {
            let (count, found) = py.detach(|| (self.queue.wait_busy(patience), Instant::now()));
            // A thread that keeps the GIL does not wait but works, and others could not help it.
            if count == 0 || found.elapsed() < GIL_IS_FREE {
                return count;
            }
        }
    }

    /// Whether `close` was called.
    fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Ends all waits. Nobody needs the events that are there.
    fn close(&self) {
        self.queue.close_now();
    }
}
