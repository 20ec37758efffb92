//! The options of a client, from Python values to a builder. The package has checked them: each is of its type.

use std::time::Duration;

use kokanee_client::{Client, ClientBuilder, ParserKind, Revision, Transport};
use parking_lot::Mutex;
use pyo3::{prelude::*, types::PyDict};

use crate::value;

/// Reads an option, if it is there and not `None`.
pub(super) fn option<'py, T>(options: &Bound<'py, PyDict>, name: &str) -> PyResult<Option<T>>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    match options.get_item(name)? {
        Some(value) if !value.is_none() => value.extract().map(Some),
        _ => Ok(None),
    }
}

fn number(options: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<f64>> {
    match options.get_item(name)? {
        Some(value) if !value.is_none() => Ok(Some(value.extract()?)),
        _ => Ok(None),
    }
}

/// A time in seconds. One that is too long for the clock is the longest.
pub(super) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

pub(super) fn flag(options: &Bound<'_, PyDict>, name: &str) -> PyResult<bool> {
    match options.get_item(name)? {
        Some(value) => value.is_truthy(),
        None => Ok(false),
    }
}

fn count(options: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<u32>> {
    match options.get_item(name)? {
        Some(value) if !value.is_none() => Ok(Some(value.extract()?)),
        _ => Ok(None),
    }
}

/// Makes a builder.
pub(super) fn builder(url: &str, options: &Bound<'_, PyDict>) -> PyResult<ClientBuilder> {
    let mut builder = Client::builder(url);
    if let Some(path) = option::<String>(options, "path")? {
        builder = builder.path(&path);
    }
    builder = transports(builder, options)?;
    builder = secured(builder, options)?;
    builder = reconnecting(builder, options)?;
    if let Some(headers) = option::<Vec<(String, String)>>(options, "headers")? {
        for (name, value) in &headers {
            builder = builder.header(name, value);
        }
    }
    if let Some(seconds) = number(options, "connect_timeout")? {
        builder = builder.connect_timeout(duration(seconds));
    }
    if option::<String>(options, "parser")?.as_deref() == Some("msgpack") {
        builder = builder.parser(ParserKind::Msgpack);
    }
    if option::<u8>(options, "eio_version")? == Some(3) {
        builder = builder.revision(Revision::V3);
    }
    if flag(options, "compression")? {
        builder = builder.compression(true);
    }
    builder = builder.raw_messages(flag(options, "raw")?);
    // As python-socketio's client, whose servers read any number.
    builder = builder.max_outbound_attachments(value::MAX_ATTACHMENTS);
    if let Some(seconds) = number(options, "ack_timeout")? {
        builder = builder.ack_timeout(duration(seconds));
    }
    if let Some(retries) = count(options, "retries")? {
        builder = builder.retries(retries);
    }
    if let Some(bytes) = option::<usize>(options, "send_buffer_bytes")? {
        builder = builder.send_buffer_bytes(bytes);
    }
    if let Some(bytes) = option::<usize>(options, "max_message_bytes")? {
        builder = builder.max_message_bytes(bytes);
    }
    Ok(builder)
}

fn transports(mut builder: ClientBuilder, options: &Bound<'_, PyDict>) -> PyResult<ClientBuilder> {
    if let Some(names) = option::<Vec<String>>(options, "transports")? {
        builder = builder.transports(names.iter().filter_map(|name| match name.as_str() {
            "polling" => Some(Transport::Polling),
            "websocket" => Some(Transport::WebSocket),
            _ => None,
        }));
    }
    if let Some(path) = option::<String>(options, "unix_socket")? {
        builder = builder.unix_socket(path);
    }
    match option::<String>(options, "proxy")? {
        Some(proxy) => Ok(builder.proxy(&proxy)),
        None => Ok(builder),
    }
}

/// What the options say of certificates.
#[derive(Default, PartialEq, Eq)]
struct Certificates {
    roots: Vec<Vec<u8>>,
    /// The client's own certificates, and their key.
    client: Option<(Vec<u8>, Vec<u8>)>,
    accept_invalid: bool,
}

/// The last certificates, and a builder with them: clients share what is made of the same ones.
static LAST: Mutex<Option<(Certificates, ClientBuilder)>> = Mutex::new(None);

/// Sets the certificates.
fn secured(builder: ClientBuilder, options: &Bound<'_, PyDict>) -> PyResult<ClientBuilder> {
    let certificates = Certificates {
        roots: option(options, "root_certificates")?.unwrap_or_default(),
        client: option(options, "client_certificate")?,
        accept_invalid: flag(options, "accept_invalid_certificates")?,
    };
    if certificates == Certificates::default() {
        return Ok(builder);
    }
    let mut last = LAST.lock();
    if let Some((same, other)) = &*last
        && *same == certificates
    {
        return Ok(builder.certificates_of(other));
    }
    let mut other = Client::builder("localhost");
    for pem in &certificates.roots {
        other = other.root_certificate(pem.clone());
    }
    if let Some((chain, key)) = &certificates.client {
        other = other.client_certificate(chain.clone(), key.clone());
    }
    if certificates.accept_invalid {
        other = other.danger_accept_invalid_certificates();
    }
    let builder = builder.certificates_of(&other);
    *last = Some((certificates, other));
    Ok(builder)
}

fn reconnecting(
    mut builder: ClientBuilder,
    options: &Bound<'_, PyDict>,
) -> PyResult<ClientBuilder> {
    builder = builder
        .reconnection(flag(options, "reconnection")?)
        .retry_first_connect(flag(options, "retry")?)
        .retry_refused(true);
    if let Some(attempts) = count(options, "reconnection_attempts")?
        && attempts > 0
    {
        builder = builder.reconnection_attempts(attempts);
    }
    if let Some(seconds) = number(options, "reconnection_delay")? {
        builder = builder.reconnection_delay(duration(seconds));
    }
    if let Some(seconds) = number(options, "reconnection_delay_max")? {
        builder = builder.reconnection_delay_max(duration(seconds));
    }
    if let Some(factor) = number(options, "randomization_factor")? {
        builder = builder.randomization_factor(factor);
    }
    Ok(builder)
}
