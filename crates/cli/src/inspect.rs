//! `kokanee inspect`: decodes captured frames, payloads and packets, and shows errors in them.

mod decode;
mod fault;
mod frame;
mod input;
mod message;
mod record;
mod text;

use std::{
    fs,
    io::{self, IsTerminal, Read},
    process::ExitCode,
};

use kokanee_engineio::Revision;

use crate::{
    args::{InspectArgs, InspectForm},
    escape,
    exit::Exit,
    inspect::{
        decode::{Inspector, Layer},
        input::Form,
    },
    log::json_line,
    output::Output,
    paint::Paint,
};

/// Why the input is empty.
#[derive(Debug, thiserror::Error)]
enum InspectError {
    #[error("cannot read {name}: {source}")]
    Read { name: String, source: io::Error },
    #[error("the input is empty")]
    Empty,
    #[error("no input: give it as an argument, as @FILE, or as - for stdin")]
    Nothing,
}

/// Runs the command.
pub(crate) fn run(args: &InspectArgs) -> ExitCode {
    let Ok(output) = Output::start_lossless() else {
        return Exit::Failure.into();
    };
    let exit = match read(args.input.as_deref()) {
        Ok(input) => inspect(args, &input, &output),
        Err(error) => {
            let paint = Paint::for_stderr(args.color);
            output.print_err(format!(
                "{} {}",
                paint.red("error:"),
                escape::lines(&error.to_string())
            ));
            match error {
                InspectError::Nothing => Exit::Usage,
                _ => Exit::Failure,
            }
        }
    };
    output.finish();
    exit.into()
}

/// Reads the input, without line ends at the end of text.
fn read(input: Option<&str>) -> Result<Vec<u8>, InspectError> {
    let failed = |name: &str| {
        let name = name.to_owned();
        move |source| InspectError::Read { name, source }
    };
    let mut bytes = match input {
        None if io::stdin().is_terminal() => return Err(InspectError::Nothing),
        None | Some("-") => {
            let mut bytes = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(failed("stdin"))?;
            bytes
        }
        Some(input) => match input.strip_prefix('@') {
            Some(path) => fs::read(path).map_err(failed(path))?,
            None => input.as_bytes().to_vec(),
        },
    };
    if str::from_utf8(&bytes).is_ok() {
        while bytes.last().is_some_and(|last| b"\r\n".contains(last)) {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err(InspectError::Empty);
    }
    Ok(bytes)
}

/// Prints what is found.
fn inspect(args: &InspectArgs, input: &[u8], output: &Output) -> Exit {
    let form = match args.form {
        InspectForm::Auto => input::guess(input),
        InspectForm::Frame => Form::Frame,
        InspectForm::Payload => Form::Payload,
        InspectForm::Packet => Form::Packet,
        InspectForm::Message => Form::Message,
        InspectForm::Lines => Form::Lines,
    };
    let revision = match args.revision {
        Some(3) => Revision::V3,
        Some(_) => Revision::V4,
        None => input::guess_revision(input),
    };
    let layer = if args.engine_io {
        Layer::Engineio
    } else {
        Layer::Socketio
    };
    let mut inspector = Inspector::new(revision, layer, args.parser.into());
    input::feed(&mut inspector, input, form, revision);
    let records = inspector.take_records();
    let faults = records
        .iter()
        .filter(|record| record.fault.is_some())
        .count();
    let paint = Paint::for_stdout(args.color);
    if !args.json {
        output.print(paint.dim(&summary(form, revision, input.len(), records.len())));
    }
    for record in &records {
        if output.is_closed() {
            break;
        }
        if args.json {
            output.print(json_line(record));
        } else {
            for line in text::lines(record, paint) {
                output.print(line);
            }
        }
    }
    match faults {
        0 => Exit::Success,
        _ => Exit::Protocol,
    }
}

fn summary(form: Form, revision: Revision, length: usize, records: usize) -> String {
    let form = match form {
        Form::Frame => "WebSocket frames",
        Form::Payload => "a payload",
        Form::Packet => "an Engine.IO packet",
        Form::Message => "a Socket.IO packet",
        Form::Lines => "lines",
    };
    let revision = if revision.is_v3() { 3 } else { 4 };
    let things = if records == 1 { "part" } else { "parts" };
    format!("Read as {form} of revision {revision}: {length} bytes, {records} {things}.")
}
