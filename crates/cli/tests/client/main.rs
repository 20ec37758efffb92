//! `kokanee emit`, `listen` and `connect` as programs, against `kokanee serve`.

mod connect;
mod emit;
mod listen;
#[path = "../support/process.rs"]
mod process;
#[cfg(unix)]
mod screen;

use std::{net::TcpListener, process::Output};

use process::kokanee;

fn run(args: &[&str]) -> Output {
    kokanee(args).output().expect("the binary starts")
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).expect("text")
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("text")
}

/// A URL where nobody listens.
fn closed_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}
