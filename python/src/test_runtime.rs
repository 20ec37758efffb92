//! [`TestRuntime`]: the runtime of engines under test, which says when nothing is left to do, and whose time a test may rule.
//!
//! One thread runs all tasks, so that it parks exactly when each of them waits: for Python, for a client, or for time. Clients
//! of tests are channels in memory (`feed.rs`), whose messages need no descriptor to become readable. The time of a virtual
//! runtime is tokio's paused clock: it stands still, and moves from one timer to the next when `step` says so.

use std::{
    mem,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use nix::sys::signal::SigSet;
use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    time::{Instant, sleep_until},
};

use crate::runtime;

#[derive(Default)]
struct State {
    /// Marks that were spawned, of these the last that ran, and the last after which nothing was left to do.
    marks: u64,
    run: u64,
    settled: u64,
    /// Where a step began; `None` if there is none, or it has ended.
    step: Option<Instant>,
    /// While this exists, the clock stands still: see `hold`.
    held: Option<mpsc::Sender<()>>,
}

/// What the runtime's thread and Python share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// Nothing is left to do.
    fn parks(&self) {
        let mut state = self.state.lock();
        if state.settled != state.run {
            state.settled = state.run;
            self.changed.notify_all();
        }
    }

    /// Time may have moved: a step ends with that.
    fn unparked(&self) {
        let mut state = self.state.lock();
        if state.step.is_some_and(|start| start != Instant::now()) {
            state.step = None;
            hold(&mut state, &Handle::current());
            self.changed.notify_all();
        }
    }
}

/// Has the clock stand still until `State::held` is dropped: tokio's moves to the next timer whenever nothing is left to do, except
/// while something blocks a thread.
fn hold(state: &mut State, handle: &Handle) {
    let (held, holding) = mpsc::channel();
    state.held = Some(held);
    handle.spawn_blocking(move || {
        let _ = holding.recv();
    });
}

/// The runtime of engines under test.
#[pyclass(frozen, module = "kokanee._engine")]
pub(crate) struct TestRuntime {
    generation: u64,
    handle: Handle,
    start: Instant,
    is_virtual: bool,
    shared: Arc<Shared>,
    running: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl std::fmt::Debug for TestRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestRuntime")
    }
}

impl TestRuntime {
    /// The handle for an engine, if this process has made the runtime and not stopped it.
    pub(crate) fn handle(&self) -> Option<Handle> {
        let is_running = self.generation == runtime::generation() && self.running.lock().is_some();
        is_running.then(|| self.handle.clone())
    }

    /// Has the runtime run all that is ready. `false`: it did not end within the timeout.
    fn wait_settled(&self, timeout: Duration) -> bool {
        let mut state = self.shared.state.lock();
        state.marks += 1;
        let mark = state.marks;
        let shared = Arc::clone(&self.shared);
        self.handle.spawn(async move {
            let mut state = shared.state.lock();
            state.run = state.run.max(mark);
        });
        let unsettled = |state: &mut State| state.settled < mark;
        let result = self
            .shared
            .changed
            .wait_while_for(&mut state, unsettled, timeout);
        !result.timed_out()
    }
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

#[pymethods]
impl TestRuntime {
    /// Starts the thread of a runtime. The clock of a virtual one stands still.
    #[new]
    #[pyo3(signature = (is_virtual = false))]
    fn new(is_virtual: bool) -> PyResult<Self> {
        let shared = Arc::new(Shared::default());
        let (parking, unparking) = (Arc::clone(&shared), Arc::clone(&shared));
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(is_virtual)
            .on_thread_park(move || parking.parks())
            .on_thread_unpark(move || unparking.unparked())
            .build()?;
        let handle = runtime.handle().clone();
        let start = {
            let _inside = handle.enter();
            Instant::now()
        };
        if is_virtual {
            hold(&mut shared.state.lock(), &handle);
        }
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("kokanee-test".to_owned())
            .spawn(move || {
                // Signals are for Python's main thread.
                let _ = SigSet::all().thread_block();
                let _ = runtime.block_on(stopped);
                runtime.shutdown_background();
            })?;
        Ok(Self {
            generation: runtime::generation(),
            handle,
            start,
            is_virtual,
            shared,
            running: Mutex::new(Some((stop, thread))),
        })
    }

    /// Waits, without the GIL, until nothing is left to do but what waits for Python, a client or time. `False` after so many
    /// seconds.
    fn settle(&self, py: Python<'_>, timeout: f64) -> bool {
        self.handle().is_none() || py.detach(|| self.wait_settled(duration(timeout)))
    }

    /// The seconds since the runtime was made.
    fn time(&self) -> f64 {
        let _inside = self.handle.enter();
        self.start.elapsed().as_secs_f64()
    }

    /// Moves the clock to the next timer, at most by so many seconds, which are rounded to milliseconds. Tasks that have waited
    /// for it have run when this returns. `False`: after a timeout in seconds of the system, the clock has not moved.
    fn step(&self, py: Python<'_>, most: f64, timeout: f64) -> bool {
        if !self.is_virtual || self.handle().is_none() {
            return false;
        }
        py.detach(|| {
            let millis = duration(most).as_secs_f64() * 1000.0;
            let most = Duration::from_secs_f64(millis.round() / 1000.0);
            let now = {
                let _inside = self.handle.enter();
                Instant::now()
            };
            if most.is_zero() {
                return true;
            }
            let limit = self
                .handle
                .spawn(async move { sleep_until(now + most).await });
            // The timer is there before the clock is let go.
            self.wait_settled(duration(timeout));
            let mut state = self.shared.state.lock();
            state.step = Some(now);
            let held = mem::take(&mut state.held);
            drop(held);
            let stepping = |state: &mut State| state.step.is_some();
            let moved = self
                .shared
                .changed
                .wait_while_for(&mut state, stepping, duration(timeout));
            drop(state);
            limit.abort();
            self.wait_settled(duration(timeout)) && !moved.timed_out()
        })
    }

    /// Lets the clock run from timer to timer by itself, whenever nothing is left to do: what ends after a time ends at once.
    fn let_go(&self) {
        let held = self.shared.state.lock().held.take();
        drop(held);
    }

    /// Ends the thread. What still waits is dropped.
    fn stop(&self, py: Python<'_>) {
        self.let_go();
        let Some((stop, thread)) = self.running.lock().take() else {
            return;
        };
        if self.generation != runtime::generation() {
            // The thread is the parent's.
            return;
        }
        py.detach(|| {
            let _ = stop.send(());
            let _ = thread.join();
        });
    }
}
