//! `kokanee serve`, run as a program.

mod demo;
mod program;
mod support;
