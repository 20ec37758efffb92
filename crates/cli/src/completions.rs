//! `kokanee completions` and `kokanee man`: the command line for shells and `man`.

use std::{fs, io, path::Path, process::ExitCode};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{
    args::{Cli, ManArgs},
    exit::Exit,
    output::Output,
};

/// Prints the completion script of a shell.
pub(crate) fn print(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kokanee", &mut script);
    write(&script)
}

/// Prints one manual page, or writes all of them to a directory.
pub(crate) fn man(args: &ManArgs) -> ExitCode {
    let mut program = Cli::command();
    program.build();
    if let Some(directory) = &args.dir {
        return match write_pages(&program, directory) {
            Ok(()) => Exit::Success.into(),
            Err(error) => fail(&format!("cannot write to {}: {error}", directory.display())),
        };
    }
    let page = match &args.command {
        None => page(&program),
        Some(name) => match program.find_subcommand(name) {
            Some(command) => page(command),
            None => return fail(&format!("unknown command {name}")),
        },
    };
    match page {
        Ok(page) => write(&page),
        Err(error) => fail(&error.to_string()),
    }
}

/// Writes one page for the program and one for each command.
fn write_pages(program: &clap::Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let commands = program
        .get_subcommands()
        .filter(|command| command.get_name() != "help");
    for command in [program].into_iter().chain(commands) {
        let name = file_name(command);
        fs::write(directory.join(name), page(command)?)?;
    }
    Ok(())
}

fn file_name(command: &clap::Command) -> String {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    format!("{name}.1")
}

fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

fn write(content: &[u8]) -> ExitCode {
    let Ok(output) = Output::start_lossless() else {
        return Exit::Failure.into();
    };
    for line in String::from_utf8_lossy(content).lines() {
        output.print(line.to_owned());
    }
    output.finish();
    Exit::Success.into()
}

fn fail(reason: &str) -> ExitCode {
    if let Ok(output) = Output::start_lossless() {
        output.print_err(format!("error: {reason}"));
        output.finish();
    }
    Exit::Failure.into()
}
