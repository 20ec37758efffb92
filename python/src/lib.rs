//! The engine of the Python package: Kokanee's server and client, as a few classes that the package's Python code drives.
//!
//! Threads of Rust never run Python and never take the GIL. What happens crosses as events in a queue (`queue.rs`); threads,
//! greenlets or tasks of Python take them out, with the conversion of values under the GIL that they hold (`value.rs`), and threads
//! call functions of the application from there (`direct.rs`).
//! What Python sends is encoded under the GIL and leaves without waiting (`here.rs`). A host gives its connections to the
//! engine in one of three ways: as a descriptor (`adopt.rs`), as a request (`request.rs`), or message by message (`feed.rs`).
//! What the engine logs reaches Python's log the same way (`notices.rs`). The package's own host (`host`) is a listener of the engine's server. Tests have a runtime of their own (`test_runtime.rs`).

mod adopt;
mod client;
mod clients;
mod config;
mod direct;
mod engine;
mod feed;
mod here;
mod host;
mod notices;
mod queue;
mod request;
mod runtime;
mod test_runtime;
mod value;
mod waitable;
mod workers;

use pyo3::prelude::*;

#[pymodule(name = "_engine")]
fn engine_module(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<engine::Engine>()?;
    module.add_class::<queue::Connecting>()?;
    module.add_class::<queue::Answer>()?;
    module.add_class::<request::Pending>()?;
    module.add_class::<feed::Channel>()?;
    module.add_class::<test_runtime::TestRuntime>()?;
    module.add_class::<host::Host>()?;
    module.add_class::<host::Exchange>()?;
    module.add_class::<host::HostWebSocket>()?;
    module.add_class::<host::Opening>()?;
    module.add(
        "RequestMalformed",
        module.py().get_type::<host::RequestMalformed>(),
    )?;
    module.add(
        "RequestTooLarge",
        module.py().get_type::<host::RequestTooLarge>(),
    )?;
    module.add_function(wrap_pyfunction!(adopt::swallow, module)?)?;
    module.add_function(wrap_pyfunction!(runtime::after_fork, module)?)?;
    module.add_function(wrap_pyfunction!(runtime::generation_py, module)?)?;
    module.add_function(wrap_pyfunction!(runtime::shutdown, module)?)?;
    module.add_function(wrap_pyfunction!(value::dumps, module)?)?;
    module.add_function(wrap_pyfunction!(value::loads, module)?)?;
    module.add_class::<client::ClientQueue>()?;
    module.add_class::<client::ClientEngine>()?;
    module.add_class::<client::AuthRequest>()?;
    module.add_class::<client::Prepare>()?;
    for (name, kind) in queue::KINDS.iter().chain(client::KINDS) {
        module.add(*name, *kind)?;
    }
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
