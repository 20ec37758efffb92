//! Parsers of values that several subcommands understand.

use std::{fs, time::Duration};

use tracing_subscriber::filter::Targets;

/// Parses a time such as `300ms`, `25s` or `2m`: at least 1 ms, at most a day.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err("expected a number with a unit, such as 300ms, 25s, 2m or 1h".to_owned()),
    };
    let ms = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ms));
    match ms.map(Duration::from_millis) {
        Some(time) if !time.is_zero() && time <= DAY => Ok(time),
        _ => Err("must be between 1ms and 24h".to_owned()),
    }
}

/// Parses a time that may also be `0s`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    match text {
        "0" | "0s" | "0ms" => Ok(Duration::ZERO),
        text => duration(text),
    }
}

/// Parses JSON, or reads it from a file if the text is `@FILE`.
pub(crate) fn json_or_file(text: &str) -> Result<serde_json::Value, String> {
    let file = text.strip_prefix('@').map(fs::read_to_string);
    let read = match &file {
        Some(Ok(content)) => content,
        Some(Err(error)) => return Err(format!("cannot read the file: {error}")),
        None => text,
    };
    serde_json::from_str(read).map_err(|error| format!("not valid JSON: {error}"))
}

/// Parses the path of the Socket.IO requests. It cannot be `/`, where the pages are.
pub(crate) fn path(text: &str) -> Result<String, String> {
    let name = text.trim_matches('/');
    let fits = |c: char| c.is_ascii_graphic() && !"?#%\\\"<>".contains(c);
    if name.is_empty() || !name.chars().all(fits) {
        return Err("expected a path such as /socket.io".to_owned());
    }
    Ok(format!("/{name}"))
}

/// Parses a log filter: a level, or levels by target such as `info,kokanee_client=debug`.
pub(crate) fn log_filter(text: &str) -> Result<Targets, String> {
    text.parse().map_err(|_| {
        "expected off, error, warn, info, debug, trace, or a list such as warn,kokanee_client=debug".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_with_a_unit() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("25s"), Ok(Duration::from_secs(25)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for wrong in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "0s",
            "25h",
            "99999999999999999999s",
            "18446744073709551615h",
            "1 s",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn some_times_may_be_zero() {
        assert_eq!(time("0s"), Ok(Duration::ZERO));
        assert_eq!(time("2s"), duration("2s"));
        assert!(time("-1s").is_err());
    }

    #[test]
    fn json_comes_from_the_command_line_or_a_file() {
        assert_eq!(json_or_file("{\"a\":1}"), Ok(serde_json::json!({"a": 1})));
        assert!(json_or_file("{a:1}").is_err_and(|error| error.contains("not valid JSON")));
        assert!(json_or_file("@/no/such/file").is_err_and(|error| error.contains("cannot read")));
    }

    #[test]
    fn a_path_has_one_leading_slash_and_no_trailing_one() {
        assert_eq!(path("/socket.io/"), Ok("/socket.io".to_owned()));
        assert_eq!(path("live/io"), Ok("/live/io".to_owned()));
        for wrong in ["", "/", "//", "/a b", "/a?b", "/a\n", "/é"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }
}
