//! Responses as Python gives them.

use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use hyper::ext::ReasonPhrase;
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyList, PyString, PyTuple},
};

/// The bytes of a header's name or value: bytes, or a text of Latin-1.
fn bytes_of(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    let text = value.cast::<PyString>().map_err(|_| {
        PyTypeError::new_err("names and values of headers are texts, or bytes under ASGI")
    })?;
    let text = text.to_cow()?;
    if text.is_ascii() {
        return Ok(text.as_bytes().to_vec());
    }
    let bytes: Option<Vec<u8>> = text
        .chars()
        .map(|char| u8::try_from(u32::from(char)).ok())
        .collect();
    bytes.ok_or_else(|| PyValueError::new_err(format!("{text:?} is not Latin-1")))
}

/// Returns whether a response with this status has a body: RFC 9110 6.4.1. Those with 1xx are not Python's.
fn has_body(status: StatusCode) -> bool {
    status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// Returns the body that belongs to a head: no more than the application has declared, as everything after that would be taken
/// for the next response. The declaration is left out, as the body says how long it is.
pub(crate) fn fit<'a>(
    head: &mut Response<()>,
    method: &Method,
    body: &'a [u8],
) -> PyResult<&'a [u8]> {
    if method == Method::HEAD || !has_body(head.status()) {
        return Ok(body);
    }
    let Some(declared) = head.headers_mut().remove(header::CONTENT_LENGTH) else {
        return Ok(body);
    };
    let length = declared.to_str().ok().and_then(|text| text.parse().ok());
    length.and_then(|length| body.get(..length)).ok_or_else(|| {
        PyValueError::new_err(format!(
            "the application has declared {declared:?} bytes and given {}",
            body.len()
        ))
    })
}

/// Makes a response without its body. Headers about the connection are left out, except `Connection: close`, and the length of a
/// body that the status does not allow.
pub(crate) fn head(
    status: u16,
    reason: Option<&str>,
    headers: &Bound<'_, PyAny>,
) -> PyResult<Response<()>> {
    let mut response = Response::new(());
    let code = StatusCode::from_u16(status)
        .ok()
        .filter(|code| !code.is_informational())
        .ok_or_else(|| {
            PyValueError::new_err(format!("{status} is not the status of a response"))
        })?;
    *response.status_mut() = code;
    if let Some(reason) = reason.filter(|reason| Some(*reason) != code.canonical_reason()) {
        let reason = ReasonPhrase::try_from(reason.as_bytes())
            .map_err(|_| PyValueError::new_err(format!("{reason:?} is not a status line")))?;
        response.extensions_mut().insert(reason);
    }
    let map = response.headers_mut();
    let mut add = |pair: &Bound<'_, PyAny>| -> PyResult<()> {
        let (name, value) = if let Ok(pair) = pair.cast::<PyTuple>()
            && pair.len() == 2
        {
            (pair.get_item(0)?, pair.get_item(1)?)
        } else {
            pair.extract()?
        };
        let (name, value) = (bytes_of(&name)?, bytes_of(&value)?);
        let invalid = |what: &str, bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            PyValueError::new_err(format!("{text:?} is not the {what} of a header"))
        };
        let header = HeaderName::from_bytes(&name).map_err(|_| invalid("name", &name))?;
        let value =
            HeaderValue::from_bytes(value.trim_ascii()).map_err(|_| invalid("value", &value))?;
        let is_hop = header == header::TRANSFER_ENCODING
            || header == header::UPGRADE
            || header == "keep-alive"
            || (header == header::CONNECTION && !value.as_bytes().eq_ignore_ascii_case(b"close"));
        if !is_hop {
            map.append(header, value);
        }
        Ok(())
    };
    if let Ok(list) = headers.cast::<PyList>() {
        for pair in list.iter() {
            add(&pair)?;
        }
    } else {
        for pair in headers.try_iter()? {
            add(&pair?)?;
        }
    }
    if !has_body(code) {
        // With 204 it is forbidden, with 304 it would have to be that of another response: RFC 9110 8.6.
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    Ok(response)
}
