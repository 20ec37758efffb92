//! The threads of the engine: one tokio runtime in a process, started by the first use in it.
//!
//! A runtime does not survive a fork. `after_fork` counts a generation up in the child, so that engine and runtime are made
//! afresh there; what the parent had is left alone, as its threads do not exist in the child.

use std::{
    mem::ManuallyDrop,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use nix::sys::signal::SigSet;
use parking_lot::Mutex;
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use tokio::runtime::{Builder, Handle, Runtime};

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The interpreter ends: nothing is started any more.
static ENDED: AtomicBool = AtomicBool::new(false);

struct Started {
    generation: u64,
    runtime: Runtime,
}

static STARTED: Mutex<Option<Arc<ManuallyDrop<Started>>>> = Mutex::new(None);

/// The number of forks between the process that imported the module and this one.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// The runtime of this process.
pub(crate) fn handle() -> PyResult<Handle> {
    if ENDED.load(Ordering::Relaxed) {
        return Err(PyRuntimeError::new_err("the interpreter ends"));
    }
    let mut started = STARTED.lock();
    if let Some(started) = &*started
        && started.generation == generation()
    {
        return Ok(started.runtime.handle().clone());
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = Builder::new_multi_thread()
        .worker_threads(if cores > 4 { 2 } else { 1 })
        .thread_name("kokanee")
        .on_thread_start(|| {
            // Signals are for Python's main thread.
            let _ = SigSet::all().thread_block();
        })
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    let generation = generation();
    // What was there is that of the parent process.
    *started = Some(Arc::new(ManuallyDrop::new(Started {
        generation,
        runtime,
    })));
    Ok(handle)
}

/// Forgets the parent's runtime. The package registers it to run in the child after a fork.
#[pyfunction]
pub(crate) fn after_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    ENDED.store(false, Ordering::Relaxed);
}

/// Returns whether the interpreter ends.
pub(crate) fn has_ended() -> bool {
    ENDED.load(Ordering::Relaxed)
}

/// Stops the runtime and joins its threads. The package calls it when the interpreter ends.
#[pyfunction]
pub(crate) fn shutdown(py: Python<'_>) {
    ENDED.store(true, Ordering::Relaxed);
    py.detach(|| {
        let started = STARTED.lock().take();
        if let Some(started) = started.and_then(|started| Arc::try_unwrap(started).ok())
            && started.generation == generation()
        {
            let started = ManuallyDrop::into_inner(started);
            started.runtime.shutdown_timeout(Duration::from_millis(500));
        }
    });
}

/// The number of forks that lie between the import of the module and this process.
#[pyfunction]
#[pyo3(name = "generation")]
pub(crate) fn generation_py() -> u64 {
    generation()
}
