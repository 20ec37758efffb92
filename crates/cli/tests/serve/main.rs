//! `kokanee serve`, run as a program.

mod demo;
#[cfg(target_os = "linux")]
mod memory;
mod metrics;
#[path = "../support/process.rs"]
mod process;
mod program;
mod raw;
mod support;
