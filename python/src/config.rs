//! The options of `Server(…)` that the engine knows, from Python values to a builder.

use std::{sync::Arc, time::Duration};

use kokanee_server::{
    Cookie, CookieAttributes, Cors, InvalidCookie, Limits, Overflow, ParserKind, Recovery, Server,
    ServerBuilder, Transport, TrustedProxy,
};
use pyo3::{exceptions::PyValueError, prelude::*, types::PyDict};

use crate::value;

/// Acknowledgements that one client may owe. An emit beyond that raises.
const MAX_PENDING_ACKS: usize = 1_000_000;

/// How many binary values of one event may have the size of the largest message.
const MOST_FULL_ATTACHMENTS: usize = 10;

/// Bytes per second that a client sends at least while it sends the largest message.
const SLOWEST_UPLOAD: usize = 33_000;

const LONGEST_UPLOAD: Duration = Duration::from_secs(24 * 3600);

const MAX_ROOMS: usize = 100_000;
const MAX_ROOM_BYTES: usize = 65_536;

/// Reads an option, if it is there and not `None`.
fn option<'py, T>(options: &Bound<'py, PyDict>, name: &str) -> PyResult<Option<T>>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    match options.get_item(name)? {
        Some(value) if !value.is_none() => value.extract().map(Some),
        _ => Ok(None),
    }
}

fn seconds(options: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<Duration>> {
    let seconds: Option<f64> = match options.get_item(name)? {
        Some(value) if !value.is_none() => Some(value.extract()?),
        _ => None,
    };
    seconds
        .map(|seconds| {
            Duration::try_from_secs_f64(seconds)
                .map_err(|error| PyValueError::new_err(format!("{name}: {error}")))
        })
        .transpose()
}

/// Makes a builder. The package has checked the options already, so each is of its type.
pub(crate) fn builder(options: &Bound<'_, PyDict>) -> PyResult<ServerBuilder> {
    let ping_interval = seconds(options, "ping_interval")?;
    let ping_timeout = seconds(options, "ping_timeout")?;
    let max_message: Option<usize> = usize_option(options, "max_http_buffer_size")?;
    let connect_timeout = seconds(options, "connect_timeout")?;
    let max_outbound = usize_option(options, "max_outbound_bytes")?;
    let max_total_outbound = usize_option(options, "max_total_outbound_bytes")?;
    let overflow = overflow(options)?;
    let write_timeout = seconds(options, "write_timeout")?;
    let mut builder = Server::builder().with_limits(|limits| {
        if let Some(interval) = ping_interval {
            limits.ping_interval = interval;
        }
        if let Some(timeout) = ping_timeout {
            limits.ping_timeout = timeout;
        }
        if let Some(bytes) = max_message {
            allow_messages(limits, bytes);
        }
        if let Some(timeout) = connect_timeout {
            limits.connect_timeout = timeout;
        }
        if let Some(bytes) = max_outbound {
            limits.max_outbound_bytes = bytes;
        }
        if let Some(bytes) = max_total_outbound {
            limits.max_total_outbound_bytes = Some(bytes);
        }
        limits.overflow = overflow;
        if let Some(timeout) = write_timeout {
            limits.write_timeout = timeout;
        }
        limits.max_pending_acks = MAX_PENDING_ACKS;
        // These are the application's to choose, not its clients'.
        limits.max_rooms = MAX_ROOMS;
        limits.max_room_bytes = MAX_ROOM_BYTES;
        limits.max_outbound_attachments = value::MAX_ATTACHMENTS;
        // A connect handler of Python may take long, and clients wait for it in the queue.
        limits.max_pending_sessions = usize::MAX;
        limits.max_pending_sessions_per_address = usize::MAX;
    });
    if let Some(names) = options.get_item("trusted_proxies")?
        && !names.is_none()
    {
        let names: Vec<String> = names.extract()?;
        builder = builder.trust_proxies(proxies(&names)?);
    }
    if let Some(path) = string_option(options, "path")? {
        builder = builder.path(&path);
    }
    if let Some(allow) = bool_option(options, "allow_upgrades")? {
        builder = builder.allow_upgrades(allow);
    }
    if let Some(allow) = bool_option(options, "allow_eio3")? {
        builder = builder.allow_eio3(allow);
    }
    if let Some(name) = string_option(options, "parser")?
        && name == "msgpack"
    {
        builder = builder.parser(ParserKind::Msgpack);
    }
    // As python-socketio does.
    builder = builder.any_auth(true);
    if let Some(raw) = bool_option(options, "raw_messages")? {
        builder = builder.raw_messages(raw);
    }
    if let Some(attributes) = options.get_item("cookie")?
        && !attributes.is_none()
    {
        builder = builder.cookie(cookie(attributes.cast::<PyDict>()?)?);
    }
    let compression = bool_option(options, "http_compression")?.unwrap_or(true);
    let threshold = usize_option(options, "compression_threshold")?.unwrap_or(1024);
    builder = builder.http_compression(compression.then_some(threshold));
    if let Some(transports) = options.get_item("transports")?
        && !transports.is_none()
    {
        let names: Vec<String> = transports.extract()?;
        builder = builder.transports(names.iter().filter_map(|name| match name.as_str() {
            "polling" => Some(Transport::Polling),
            "websocket" => Some(Transport::WebSocket),
            _ => None,
        }));
    }
    if let Some(origins) = options.get_item("cors_origins")?
        && !origins.is_none()
    {
        let origins: Vec<String> = origins.extract()?;
        let credentials = bool_option(options, "cors_credentials")?.unwrap_or(true);
        let is_others = bool_option(options, "cors_is_others")?.unwrap_or(false);
        let cors = if origins.iter().any(|origin| origin == "*") {
            Cors::checked_by_host(!is_others)
        } else {
            let origins: Arc<[String]> = origins.into();
            Cors::predicate(move |origin| origins.iter().any(|allowed| allowed == origin))
        };
        builder = builder.cors(cors.credentials(credentials));
    }
    Ok(builder)
}

/// Lets clients send messages of a size, each attachment of an event, too, and gives them the time that they need for these.
fn allow_messages(limits: &mut Limits, bytes: usize) {
    limits.max_message_bytes = bytes;
    limits.max_attachments = value::MAX_ATTACHMENTS;
    limits.max_attachment_bytes = bytes.saturating_mul(MOST_FULL_ATTACHMENTS);
    let message = upload_time(bytes).max(limits.message_timeout);
    limits.message_timeout = message;
    limits.body_timeout = message;
    limits.attachments_timeout = upload_time(limits.max_attachment_bytes).max(message);
}

/// How long a client may take to send so many bytes.
fn upload_time(bytes: usize) -> Duration {
    Duration::from_secs((bytes / SLOWEST_UPLOAD) as u64).min(LONGEST_UPLOAD)
}

/// What is kept of clients whose connection is lost. `None`: nothing is.
pub(crate) fn recovery(options: &Bound<'_, PyDict>) -> PyResult<Option<Recovery>> {
    let Some(given) = options
        .get_item("recovery")?
        .filter(|given| !given.is_none())
    else {
        return Ok(None);
    };
    let given = given.cast::<PyDict>()?;
    // The connect handler is asked each time, as it is what tells the application of a client.
    let mut recovery = Recovery::default().skip_middlewares(false);
    if let Some(time) = seconds(given, "max_disconnection_duration")? {
        recovery = recovery.max_disconnection(time);
    }
    if let Some(packets) = usize_option(given, "max_packets")? {
        recovery = recovery.max_packets(packets);
    }
    if let Some(bytes) = usize_option(given, "max_bytes")? {
        recovery = recovery.max_bytes(bytes);
    }
    if let Some(sessions) = usize_option(given, "max_sessions")? {
        recovery = recovery.max_sessions(sessions);
    }
    if let Some(bytes) = usize_option(given, "max_missed_bytes")? {
        recovery = recovery.max_missed_bytes(bytes);
    }
    Ok(Some(recovery))
}

/// What happens to an event that has no room in the buffer of a client.
fn overflow(options: &Bound<'_, PyDict>) -> PyResult<Overflow> {
    match string_option(options, "overflow")?.as_deref() {
        None | Some("disconnect") => Ok(Overflow::Disconnect),
        Some("drop_oldest") => Ok(Overflow::DropOldest),
        Some("drop_newest") => Ok(Overflow::DropNewest),
        Some(other) => Err(PyValueError::new_err(format!("overflow: {other:?}"))),
    }
}

/// Proxies by their addresses, networks, or the words for them.
pub(crate) fn proxies(names: &[String]) -> PyResult<Vec<TrustedProxy>> {
    let proxy = |name: &String| {
        name.parse()
            .map_err(|error: kokanee_server::InvalidProxy| PyValueError::new_err(error.to_string()))
    };
    names.iter().map(proxy).collect()
}

/// The cookie of an option, whose attributes are a text or a function that returns one.
fn cookie(option: &Bound<'_, PyDict>) -> PyResult<Cookie> {
    let name = string_option(option, "name")?.unwrap_or_else(|| "io".to_owned());
    let attributes = option.get_item("attributes")?;
    let cookie = Cookie::new(&name).map_err(|error| invalid_cookie(&error))?;
    match attributes {
        Some(attributes) => Ok(cookie.attributes(cookie_attributes(&attributes)?)),
        None => Ok(cookie),
    }
}

/// The attributes of a cookie: a text, or what a function returns now.
fn cookie_attributes(attributes: &Bound<'_, PyAny>) -> PyResult<CookieAttributes> {
    let text: String = if attributes.is_callable() {
        attributes.call0()?.extract()?
    } else {
        attributes.extract()?
    };
    CookieAttributes::new(&text).map_err(|error| invalid_cookie(&error))
}

/// The attributes of the cookie of a session that opens now, if they may differ from session to session.
pub(crate) fn own_cookie_attributes(
    options: &Bound<'_, PyDict>,
) -> PyResult<Option<CookieAttributes>> {
    let Some(cookie) = options.get_item("cookie")?.filter(|it| !it.is_none()) else {
        return Ok(None);
    };
    match cookie.cast::<PyDict>()?.get_item("attributes")? {
        Some(attributes) if attributes.is_callable() => cookie_attributes(&attributes).map(Some),
        _ => Ok(None),
    }
}

fn invalid_cookie(error: &InvalidCookie) -> PyErr {
    PyValueError::new_err(format!("cookie: {error}"))
}

/// Whether each packet is an event for the log.
pub(crate) fn logs_packets(options: &Bound<'_, PyDict>) -> PyResult<bool> {
    Ok(bool_option(options, "log_packets")?.unwrap_or(false))
}

/// The heartbeat of the options: interval, timeout, and whether sessions may move to a WebSocket.
pub(crate) fn heartbeat(options: &Bound<'_, PyDict>) -> PyResult<(Duration, Duration, bool)> {
    let defaults = Limits::default();
    Ok((
        seconds(options, "ping_interval")?.unwrap_or(defaults.ping_interval),
        seconds(options, "ping_timeout")?.unwrap_or(defaults.ping_timeout),
        bool_option(options, "allow_upgrades")?.unwrap_or(true),
    ))
}

fn usize_option(options: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<usize>> {
    option(options, name)
}

fn bool_option(options: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<bool>> {
    match options.get_item(name)? {
        Some(value) if !value.is_none() => value.is_truthy().map(Some),
        _ => Ok(None),
    }
}

fn string_option(options: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<String>> {
    option(options, name)
}
