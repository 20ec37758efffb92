//! `kokanee serve`, run as a program.

mod demo;
#[path = "../support/process.rs"]
mod process;
mod program;
mod raw;
mod support;
