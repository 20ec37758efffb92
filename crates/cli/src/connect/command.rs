//! Parses the lines that are typed.

use kokanee_socketio::Value;

use crate::arguments;

/// A parsed line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    /// Send an event.
    Emit {
        name: String,
        args: Vec<Value>,
        /// Whether to ask for an acknowledgement.
        with_ack: bool,
    },
    /// Acknowledge the event with this number.
    Answer {
        number: u64,
        args: Vec<Value>,
    },
    /// Join a namespace or switch to it; without a name, list them.
    Namespace(Option<String>),
    Disconnect,
    Reconnect,
    /// List the names of the received events.
    Events,
    /// Hide events with these names; without a name, list the hidden ones.
    Mute(Vec<String>),
    /// Show events with these names again; without a name, all of them.
    Unmute(Vec<String>),
    Clear,
    Help,
    Quit,
}

/// The commands that start with a slash, and their help.
pub(crate) const COMMANDS: [(&str, &str); 13] = [
    ("/join", "ROOM: joins a room of the demo server"),
    ("/leave", "ROOM: leaves it"),
    (
        "/rooms",
        "lists the rooms of this socket on the demo server",
    ),
    (
        "/ns",
        "[NAME]: joins a namespace and switches to it, or lists the joined ones",
    ),
    (
        "/ack",
        "NUMBER [ARGS…]: acknowledges an event that asks for it",
    ),
    ("/events", "lists the names of the received events"),
    (
        "/mute",
        "[EVENT…]: hides events with these names, or lists the hidden ones",
    ),
    ("/unmute", "[EVENT…]: shows them again, or all hidden ones"),
    ("/disconnect", "leaves the namespace"),
    ("/reconnect", "reconnects immediately"),
    ("/clear", "clears the screen"),
    ("/help", "shows this help"),
    ("/quit", "quits, like Ctrl-D"),
];

/// Parses a line. Returns `None` if it is empty.
pub(crate) fn parse(line: &str) -> Result<Option<Command>, String> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(None);
    }
    let command = if let Some(event) = line.strip_prefix('?') {
        let (name, args) = arguments::line(event)?;
        Command::Emit {
            name,
            args,
            with_ack: true,
        }
    } else if line.starts_with('/') {
        slash(line)?
    } else {
        let (name, args) = arguments::line(line)?;
        Command::Emit {
            name,
            args,
            with_ack: false,
        }
    };
    Ok(Some(command))
}

fn slash(line: &str) -> Result<Command, String> {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let demo = |name: &str, args: Vec<Value>| Command::Emit {
        name: name.to_owned(),
        args,
        with_ack: true,
    };
    let room = || {
        if rest.is_empty() {
            Err(format!("{name} needs the name of a room"))
        } else {
            Ok(vec![Value::from(rest)])
        }
    };
    Ok(match name {
        "/join" => demo("join", room()?),
        "/leave" => demo("leave", room()?),
        "/rooms" => demo("rooms", Vec::new()),
        "/ns" if rest.contains(',') => {
            return Err("the name of a namespace cannot contain a comma".to_owned());
        }
        "/ns" => Command::Namespace((!rest.is_empty()).then(|| match rest.strip_prefix('/') {
            Some(_) => rest.to_owned(),
            None => format!("/{rest}"),
        })),
        "/ack" => {
            let (number, args) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let number = number.trim_start_matches('#').parse();
            Command::Answer {
                number: number.map_err(|_| "/ack needs the number of an event".to_owned())?,
                args: arguments::arguments(args)?,
            }
        }
        "/disconnect" => Command::Disconnect,
        "/reconnect" => Command::Reconnect,
        "/events" => Command::Events,
        "/mute" => Command::Mute(names(rest)?),
        "/unmute" => Command::Unmute(names(rest)?),
        "/clear" => Command::Clear,
        "/help" => Command::Help,
        "/quit" | "/exit" => Command::Quit,
        other => {
            return Err(format!(
                "unknown command {other}; /help lists all commands. To emit an event with this name, put it in quotes"
            ));
        }
    })
}

/// Parses the names of events, in quotes if they have spaces.
fn names(text: &str) -> Result<Vec<String>, String> {
    let name = |value| match value {
        Value::String(name) => Ok(name),
        _ => Err("expected names of events; put names that look like JSON in quotes".to_owned()),
    };
    arguments::arguments(text)?.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "as the parser returns it")]
    fn emit(name: &str, args: Vec<Value>, with_ack: bool) -> Option<Command> {
        Some(Command::Emit {
            name: name.to_owned(),
            args,
            with_ack,
        })
    }

    #[test]
    fn a_line_is_an_event_or_a_command() {
        for (line, command) in [
            ("", None),
            ("echo 1", emit("echo", vec![1.into()], false)),
            ("?echo 1", emit("echo", vec![1.into()], true)),
            (
                "? \"chat message\" hi",
                emit("chat message", vec!["hi".into()], true),
            ),
            ("\"/join\" x", emit("/join", vec!["x".into()], false)),
            (
                "/join the lobby",
                emit("join", vec!["the lobby".into()], true),
            ),
            ("/rooms", emit("rooms", vec![], true)),
            ("/ns", Some(Command::Namespace(None))),
            (
                "/ns admin",
                Some(Command::Namespace(Some("/admin".to_owned()))),
            ),
            ("/ns /", Some(Command::Namespace(Some("/".to_owned())))),
            (
                "/ack #3 ok 1",
                Some(Command::Answer {
                    number: 3,
                    args: vec!["ok".into(), 1.into()],
                }),
            ),
            (
                "/mute clock \"chat message\"",
                Some(Command::Mute(vec![
                    "clock".to_owned(),
                    "chat message".to_owned(),
                ])),
            ),
            ("/unmute", Some(Command::Unmute(vec![]))),
            ("/quit", Some(Command::Quit)),
        ] {
            assert_eq!(parse(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, reason) in [
            ("/dance", "unknown command /dance"),
            ("/join", "name of a room"),
            ("/ack x", "number"),
            ("/ns a,b", "comma"),
            ("/mute 5", "in quotes"),
            ("echo {", "at the end"),
            ("?", "name is missing"),
        ] {
            let said = parse(line).expect_err(line);
            assert!(said.contains(reason), "{line}: {said}");
        }
    }

    #[test]
    fn every_listed_command_is_known() {
        for (name, _) in COMMANDS {
            let known = ["", " 1"]
                .iter()
                .any(|rest| parse(&format!("{name}{rest}")).is_ok());
            assert!(known, "{name}");
        }
    }
}
