//! Arguments of events as people type them: JSON, plain words, `@FILE` for the bytes of a file.

use std::fs;

use kokanee_socketio::Value;
use serde::de::Deserialize;

use crate::value::from_json;

/// Parses an argument of the command line: `@FILE` for the bytes of a file, JSON, or other text.
pub(crate) fn argument(text: &str) -> Result<Value, String> {
    if let Some(path) = text.strip_prefix('@').filter(|path| !path.is_empty()) {
        return file(path);
    }
    Ok(match serde_json::from_str(text) {
        Ok(json) => from_json(json),
        Err(_) => Value::String(text.to_owned()),
    })
}

/// Reads a file as binary data.
pub(crate) fn file(path: &str) -> Result<Value, String> {
    match fs::read(path) {
        Ok(bytes) => Ok(Value::Binary(bytes.into())),
        Err(error) => Err(format!("cannot read {path}: {error}")),
    }
}

/// Parses a typed line: the name of an event, in quotes if it has spaces, and its arguments, separated by spaces or commas.
pub(crate) fn line(text: &str) -> Result<(String, Vec<Value>), String> {
    let text = text.trim();
    let (name, rest) = if text.starts_with('"') {
        let (name, rest) = json(text).map_err(|reason| format!("the event's name: {reason}"))?;
        match name {
            Value::String(name) => (name, rest),
            _ => return Err("the event's name is not text".to_owned()),
        }
    } else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        (text[..end].to_owned(), &text[end..])
    };
    if name.is_empty() {
        return Err("the event's name is missing".to_owned());
    }
    Ok((name, arguments(rest)?))
}

/// Parses arguments that are separated by spaces or commas.
pub(crate) fn arguments(text: &str) -> Result<Vec<Value>, String> {
    let mut values = Vec::new();
    let mut rest = skip(text);
    while !rest.is_empty() {
        let (value, remainder) = first(rest)?;
        values.push(value);
        rest = skip(remainder);
    }
    Ok(values)
}

fn skip(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_whitespace() || c == ',')
}

/// Parses the first argument. Returns it with the rest of the text.
fn first(text: &str) -> Result<(Value, &str), String> {
    if let Some(path) = text.strip_prefix('@') {
        return if path.starts_with('"') {
            let (path, rest) = json(path)?;
            let path = path.as_str().unwrap_or_default().to_owned();
            Ok((file(&path)?, rest))
        } else {
            let (path, rest) = word(path);
            Ok((file(path)?, rest))
        };
    }
    if text.starts_with(['{', '[', '"']) {
        return json(text);
    }
    let (plain, rest) = word(text);
    // A comma after a number is a separator; a comma within text is part of it.
    let value = serde_json::from_str(plain.trim_end_matches(','));
    Ok((value.map_or_else(|_| Value::from(plain), from_json), rest))
}

fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

/// Parses the JSON at the start of a text. Returns it with the rest of the text.
fn json(text: &str) -> Result<(Value, &str), String> {
    let mut parser = serde_json::Deserializer::from_str(text).into_iter();
    let value = parser
        .next()
        .unwrap_or_else(|| serde_json::Value::deserialize(serde_json::Value::Null));
    match value {
        Ok(value) => Ok((from_json(value), &text[parser.byte_offset()..])),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason
                .split(" at line ")
                .next()
                .unwrap_or_default()
                .to_owned();
            let place = match error.column() {
                _ if error.is_eof() => "at the end".to_owned(),
                column => format!(
                    "at {:?}",
                    text.get(column.saturating_sub(1)..).unwrap_or_default()
                ),
            };
            Err(format!("{reason} {place}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::value::to_json;

    fn parsed(text: &str) -> (String, serde_json::Value) {
        let (name, values) = line(text).expect(text);
        (name, values.iter().map(to_json).collect())
    }

    #[test]
    fn a_line_is_a_name_and_arguments() {
        for (text, name, values) in [
            ("echo", "echo", json!([])),
            (
                r#"  event {"json":1} [2] "#,
                "event",
                json!([{"json": 1}, [2]]),
            ),
            (
                r#""chat message" "hi there" true"#,
                "chat message",
                json!(["hi there", true]),
            ),
            ("join lobby", "join", json!(["lobby"])),
            ("sum 1, 2.5,-3", "sum", json!([1, "2.5,-3"])),
            (r#"a [1],{"b":2},"c""#, "a", json!([[1], {"b": 2}, "c"])),
            ("a null nullable, x", "a", json!([null, "nullable,", "x"])),
            ("größe ä", "größe", json!(["ä"])),
        ] {
            assert_eq!(parsed(text), (name.to_owned(), values), "{text}");
        }
    }

    #[test]
    fn broken_json_is_said_and_where() {
        assert_eq!(
            line("a {\"b\":}").expect_err("broken"),
            "expected value at \"}\""
        );
        assert!(line("a [1").expect_err("broken").ends_with("at the end"));
        assert!(line("").is_err() && line("\"\"").is_err());
    }

    #[test]
    fn files_are_bytes() {
        let directory =
            std::env::temp_dir().join(format!("kokanee-arguments-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("some bytes");
        fs::write(&path, [1, 2, 3]).expect("a file");
        let typed = format!("up @{:?} 1", path.display().to_string());
        assert_eq!(
            parsed(&typed),
            ("up".to_owned(), json!([{"_binary": "AQID"}, 1]))
        );
        let value = argument(&format!("@{}", path.display())).expect("it can be read");
        assert_eq!(to_json(&value), json!({"_binary": "AQID"}));
        assert!(argument("@/no/such/file").is_err_and(|reason| reason.contains("/no/such/file")));
        fs::remove_dir_all(directory).expect("it is there");
    }

    #[test]
    fn an_argument_that_is_no_json_is_text() {
        for (text, value) in [
            ("1", json!(1)),
            ("hello", json!("hello")),
            ("\"1\"", json!("1")),
            ("{\"a\":1}", json!({"a": 1})),
            ("{a:1}", json!("{a:1}")),
            ("@", json!("@")),
        ] {
            assert_eq!(to_json(&argument(text).expect(text)), value, "{text}");
        }
    }
}
