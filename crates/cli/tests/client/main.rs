//! `kokanee emit`, `listen` and `connect` as programs, against `kokanee serve`.

mod connect;
mod emit;
mod listen;
#[path = "../support/process.rs"]
mod process;
#[cfg(unix)]
mod screen;

use process::{closed_url, run, stderr, stdout};
