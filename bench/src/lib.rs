//! Load generator for Socket.IO servers: one thread, one event loop, exact counts.
//!
//! [`run()`] opens connections to a server, keeps a fixed number of messages in flight (a closed loop) and returns a
//! [`Report`]. It works with any Socket.IO server that handles two events:
//!
//! * `echo` args…: emits `echo` with the same args back to the sender;
//! * `blast` text: emits `blast` with the text to every socket of the namespace, the sender included
//!   (or the demo server's `broadcast`, see [`Relay`]).
//!
//! One of two generators makes the connections, see [`Options::client`]:
//!
//! * the raw generator, the default, is meant to cost less than any server under test: it reads and writes in batches,
//!   never parses JSON and masks its frames with a zero key. It speaks Engine.IO 4 over plain HTTP.
//! * Kokanee's client supports everything else: TLS, Socket.IO 2, proxies, and reconnection with back-off in a storm.
//!
//! The report says how much of a core the generator used.
//!
//! ```no_run
//! use kokanee_bench::{Options, Scenario, run};
//! use std::ops::ControlFlow;
//!
//! let options = Options::new("http://127.0.0.1:3000", Scenario::Echo);
//! let report = run(&options, &mut |_| ControlFlow::Continue(()))?;
//! println!("{:.0} messages/s, p99 {:.0} µs", report.rate, report.latency.p99);
//! # Ok::<(), kokanee_bench::Error>(())
//! ```

mod clients;
mod error;
mod fleet;
mod load;
mod meter;
mod options;
pub mod process;
mod raw;
mod report;
mod run;

pub use error::{Error, Violation};
pub use options::{Bound, Generator, Options, Relay, Scenario};
pub use report::{Latency, Memory, Quantile, Report, Sample, ServerUse, Wave};
pub use run::{Progress, run};
