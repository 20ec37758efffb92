//! Values of Python as arguments of events, and back.
//!
//! Texts are read by jiter, which makes Python objects directly. Writing follows Python's `json.dumps` (subclasses of the
//! basic types, keys that are numbers) with two differences: binary values at any depth become attachments, as does the
//! JavaScript client, also inside tuples; and `NaN` and the infinities are an error, because no JavaScript client can read
//! them.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use jiter::{FloatMode, PartialMode, PythonParse, StringCacheMode};
use kokanee_server::Args;
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple},
};

/// Bytes that the text of most events fits into.
const FIRST_CAPACITY: usize = 128;

/// Values nested deeper are refused, as receivers would refuse them.
const MAX_DEPTH: usize = 128;

/// Binary values in one event. Peers of Python read any number.
pub(crate) const MAX_ATTACHMENTS: usize = 10_000;

/// Binary values in one event that peers of JavaScript read.
const MAX_ATTACHMENTS_OF_JAVASCRIPT: usize = 10;

/// Parses a JSON text.
pub(crate) fn loads_text<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let parser = PythonParse {
        allow_inf_nan: false,
        cache_mode: StringCacheMode::Keys,
        partial_mode: PartialMode::Off,
        catch_duplicate_keys: false,
        float_mode: FloatMode::Float,
    };
    if let Ok(value) = parser.python_parse(py, text.as_bytes()) {
        return Ok(value);
    }
    // Half a surrogate pair, for example, is a string for Python's own parser alone.
    py.import(intern!(py, "json"))?
        .call_method1(intern!(py, "loads"), (text,))
}

/// The application's module for JSON, if it is not the usual one: an object with `dumps` and `loads`.
pub(crate) type Json = Option<Py<PyAny>>;

/// Parses a JSON text, with the application's module if there is one.
pub(crate) fn loads_with<'py>(
    py: Python<'py>,
    json: &Json,
    text: &str,
) -> PyResult<Bound<'py, PyAny>> {
    match json {
        None => loads_text(py, text),
        Some(json) => json.bind(py).call_method1(intern!(py, "loads"), (text,)),
    }
}

/// The arguments of an event as a tuple; binary values are `bytes` in their places.
pub(crate) fn args_to_python<'py>(
    py: Python<'py>,
    json: &Json,
    args: &Args,
) -> PyResult<Bound<'py, PyTuple>> {
    let attachments = args.attachments();
    match args.len() {
        0 => Ok(PyTuple::empty(py)),
        1 => {
            let value = loads_with(py, json, args.json())?;
            PyTuple::new(py, [resolve(value, attachments)?])
        }
        _ => {
            let value = loads_with(py, json, &format!("[{}]", args.json()))?;
            let values = resolve(value, attachments)?;
            Ok(values.cast_into::<PyList>()?.to_tuple())
        }
    }
}

/// Puts the attachments in the places of their placeholders.
fn resolve<'py>(value: Bound<'py, PyAny>, attachments: &[Bytes]) -> PyResult<Bound<'py, PyAny>> {
    if attachments.is_empty() {
        return Ok(value);
    }
    let py = value.py();
    if let Ok(list) = value.cast_exact::<PyList>() {
        for (index, item) in list.iter().enumerate() {
            list.set_item(index, resolve(item, attachments)?)?;
        }
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        if let Some(mark) = dict.get_item(intern!(py, "_placeholder"))?
            && mark.is(&*PyBool::new(py, true))
        {
            let num = dict.get_item(intern!(py, "num"))?;
            let num: Option<usize> = num.and_then(|num| num.extract().ok());
            if let Some(bytes) = num.and_then(|num| attachments.get(num)) {
                return Ok(PyBytes::new(py, bytes).into_any());
            }
        }
        let entries: Vec<_> = dict.iter().collect();
        for (key, item) in entries {
            dict.set_item(key, resolve(item, attachments)?)?;
        }
    }
    Ok(value)
}

/// Writes with the application's module: binary values are taken out before.
fn args_with_module(json: &Bound<'_, PyAny>, values: &Bound<'_, PyAny>) -> PyResult<Args> {
    let mut attachments = Vec::new();
    let values = take_out(values, &mut attachments, 0)?;
    let text = dumps_with(json, &values)?;
    Args::from_json(text.into_bytes(), attachments)
        .map_err(|error| PyValueError::new_err(error.to_string()))
}

fn dumps_with(json: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = value.py();
    let options = PyDict::new(py);
    options.set_item(intern!(py, "separators"), (",", ":"))?;
    let text = json.call_method(intern!(py, "dumps"), (value,), Some(&options))?;
    match text.cast::<PyBytes>() {
        Ok(bytes) => Ok(String::from_utf8_lossy(bytes.as_bytes()).into_owned()),
        Err(_) => text.extract(),
    }
}

/// The value with placeholders in the places of binary values. Other values are the module's to write.
fn take_out<'py>(
    value: &Bound<'py, PyAny>,
    attachments: &mut Vec<Bytes>,
    depth: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let bytes = if let Ok(bytes) = value.cast::<PyBytes>() {
        Bytes::copy_from_slice(bytes.as_bytes())
    } else if let Ok(bytes) = value.cast::<PyByteArray>() {
        Bytes::from(bytes.to_vec())
    } else if depth > MAX_DEPTH {
        return Err(PyValueError::new_err(format!(
            "nested deeper than {MAX_DEPTH}"
        )));
    } else if value.is_exact_instance_of::<PyList>() || value.is_exact_instance_of::<PyTuple>() {
        let items = PyList::empty(py);
        for item in value.try_iter()? {
            items.append(take_out(&item?, attachments, depth + 1)?)?;
        }
        return Ok(items.into_any());
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        let items = PyDict::new(py);
        for (key, item) in dict.iter() {
            items.set_item(key, take_out(&item, attachments, depth + 1)?)?;
        }
        return Ok(items.into_any());
    } else {
        return Ok(value.clone());
    };
    let placeholder = PyDict::new(py);
    placeholder.set_item(intern!(py, "_placeholder"), true)?;
    placeholder.set_item(intern!(py, "num"), attachments.len())?;
    attachments.push(bytes);
    Ok(placeholder.into_any())
}

/// A value of Python as JSON, for what has no attachments.
pub(crate) fn to_json(json: &Json, value: &Bound<'_, PyAny>) -> PyResult<serde_json::Value> {
    if let Some(json) = json {
        let text = dumps_with(json.bind(value.py()), value)?;
        return serde_json::from_str(&text)
            .map_err(|error| PyValueError::new_err(error.to_string()));
    }
    let mut writer = Writer::default();
    writer.write_at(value, || "data".to_owned())?;
    if !writer.attachments.is_empty() {
        return Err(PyTypeError::new_err("binary data is not possible here"));
    }
    serde_json::from_slice(&writer.text).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The arguments of an event by python-socketio's rule: a tuple is spread, `None` is none, everything else is one.
pub(crate) fn args_of_data(json: &Json, data: &Bound<'_, PyAny>) -> PyResult<Args> {
    if data.is_none() {
        return Ok(Args::none());
    }
    let several = data.cast::<PyTuple>();
    let args = if let Some(json) = json {
        let json = json.bind(data.py());
        match several {
            Ok(_) => args_with_module(json, data),
            Err(_) => args_with_module(json, PyList::new(data.py(), [data])?.as_any()),
        }?
    } else {
        let mut writer = Writer::with_capacity(FIRST_CAPACITY);
        writer.text.push(b'[');
        match several {
            Ok(several) => {
                for (index, value) in several.iter().enumerate() {
                    if index > 0 {
                        writer.text.push(b',');
                    }
                    writer.write_at(&value, || format!("[{index}]"))?;
                }
            }
            Err(_) => writer.write_at(data, || "data".to_owned())?,
        }
        writer.into_args()?
    };
    if args.attachments().len() > MAX_ATTACHMENTS_OF_JAVASCRIPT {
        warn_of_attachments(args.attachments().len());
    }
    Ok(args)
}

/// Says once that some peers will not read so many binary values.
#[cold]
fn warn_of_attachments(count: usize) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "an event has {count} binary values: JavaScript clients and servers close the connection if it has more than \
             {MAX_ATTACHMENTS_OF_JAVASCRIPT}, unless they use msgpack"
        );
    }
}

/// Writes a value as JSON text; returns the text and the binary values that were taken out.
#[pyfunction]
pub(crate) fn dumps<'py>(
    value: &Bound<'py, PyAny>,
) -> PyResult<(String, Vec<Bound<'py, PyBytes>>)> {
    let py = value.py();
    let mut writer = Writer::default();
    writer.write_at(value, || "data".to_owned())?;
    let text =
        String::from_utf8(writer.text).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let attachments = writer.attachments.iter();
    Ok((
        text,
        attachments.map(|bytes| PyBytes::new(py, bytes)).collect(),
    ))
}

/// Reads a JSON text, with the attachments in the places of their placeholders.
#[pyfunction]
#[pyo3(signature = (text, attachments = Vec::new()))]
pub(crate) fn loads<'py>(
    py: Python<'py>,
    text: &str,
    attachments: Vec<Vec<u8>>,
) -> PyResult<Bound<'py, PyAny>> {
    let attachments: Vec<Bytes> = attachments.into_iter().map(Bytes::from).collect();
    resolve(loads_text(py, text)?, &attachments)
}

#[derive(Default)]
struct Writer {
    text: Vec<u8>,
    attachments: Vec<Bytes>,
}

/// What cannot be written, and the way to it from the outside, its last step first.
struct Unwritable {
    error: PyErr,
    path: Vec<String>,
}

impl From<PyErr> for Unwritable {
    fn from(error: PyErr) -> Self {
        Self {
            error,
            path: Vec::new(),
        }
    }
}

impl Unwritable {
    fn below(mut self, step: String) -> Self {
        self.path.push(step);
        self
    }
}

impl Writer {
    fn into_args(self) -> PyResult<Args> {
        let mut text = self.text;
        text.push(b']');
        Args::from_json(text, self.attachments)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn with_capacity(bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            attachments: Vec::new(),
        }
    }

    /// Writes a value; an error names the way to it, beginning with `root`.
    fn write_at(
        &mut self,
        value: &Bound<'_, PyAny>,
        root: impl FnOnce() -> String,
    ) -> PyResult<()> {
        self.write(value, 0).map_err(|unwritable| {
            let py = value.py();
            let steps: String = unwritable.path.iter().rev().map(String::as_str).collect();
            let error = unwritable.error;
            if !error.is_instance_of::<PyTypeError>(py) && !error.is_instance_of::<PyValueError>(py)
            {
                return error;
            }
            let text = format!("{} (at {}{steps})", error.value(py), root());
            if error.is_instance_of::<PyTypeError>(py) {
                PyTypeError::new_err(text)
            } else {
                PyValueError::new_err(text)
            }
        })
    }

    fn write(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Unwritable> {
        let py = value.py();
        if let Ok(text) = value.cast::<PyString>() {
            return Ok(self.write_str(text)?);
        }
        if value.is_none() {
            self.text.extend_from_slice(b"null");
            return Ok(());
        }
        if let Ok(flag) = value.cast::<PyBool>() {
            let text: &[u8] = if flag.is_true() { b"true" } else { b"false" };
            self.text.extend_from_slice(text);
            return Ok(());
        }
        if let Ok(number) = value.cast::<PyInt>() {
            return Ok(self.write_int(number)?);
        }
        if let Ok(number) = value.cast::<PyFloat>() {
            return Ok(self.write_float(number)?);
        }
        if depth >= MAX_DEPTH {
            return Err(PyValueError::new_err(format!("nested deeper than {MAX_DEPTH}")).into());
        }
        if let Ok(dict) = value.cast::<PyDict>() {
            return self.write_dict(dict, depth);
        }
        if let Ok(list) = value.cast::<PyList>() {
            return self.write_items(list.iter(), depth);
        }
        if let Ok(tuple) = value.cast::<PyTuple>() {
            return self.write_items(tuple.iter(), depth);
        }
        if let Ok(bytes) = value.cast::<PyBytes>() {
            self.write_bytes(Bytes::copy_from_slice(bytes.as_bytes()));
            return Ok(());
        }
        if let Ok(bytes) = value.cast::<PyByteArray>() {
            self.write_bytes(Bytes::from(bytes.to_vec()));
            return Ok(());
        }
        let kind = value.get_type().name()?;
        let kind = kind.to_str()?;
        if kind == "memoryview" {
            let bytes = value.call_method0(intern!(py, "tobytes"))?;
            let bytes = bytes.cast::<PyBytes>().map_err(PyErr::from)?;
            self.write_bytes(Bytes::copy_from_slice(bytes.as_bytes()));
            return Ok(());
        }
        Err(PyTypeError::new_err(format!("Object of type {kind} is not JSON serializable")).into())
    }

    fn write_items<'py>(
        &mut self,
        items: impl Iterator<Item = Bound<'py, PyAny>>,
        depth: usize,
    ) -> Result<(), Unwritable> {
        self.text.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.text.push(b',');
            }
            self.write(&item, depth + 1)
                .map_err(|unwritable| unwritable.below(format!("[{index}]")))?;
        }
        self.text.push(b']');
        Ok(())
    }

    fn write_dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> Result<(), Unwritable> {
        self.text.push(b'{');
        for (index, (key, item)) in dict.iter().enumerate() {
            if index > 0 {
                self.text.push(b',');
            }
            self.write_key(&key)?;
            self.text.push(b':');
            self.write(&item, depth + 1).map_err(|unwritable| {
                let key = key
                    .repr()
                    .map_or_else(|_| "?".to_owned(), |key| key.to_string());
                unwritable.below(format!("[{key}]"))
            })?;
        }
        self.text.push(b'}');
        Ok(())
    }

    /// Writes a key, which is text for JSON.
    fn write_key(&mut self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(text) = key.cast::<PyString>() {
            return self.write_str(text);
        }
        self.text.push(b'"');
        if key.is_none() {
            self.text.extend_from_slice(b"null");
        } else if let Ok(flag) = key.cast::<PyBool>() {
            let text: &[u8] = if flag.is_true() { b"true" } else { b"false" };
            self.text.extend_from_slice(text);
        } else if let Ok(number) = key.cast::<PyInt>() {
            self.write_int(number)?;
        } else if let Ok(number) = key.cast::<PyFloat>() {
            self.write_float(number)?;
        } else {
            let kind = key.get_type().name()?;
            return Err(PyTypeError::new_err(format!(
                "keys must be str, int, float, bool or None, not {kind}"
            )));
        }
        self.text.push(b'"');
        Ok(())
    }

    fn write_int(&mut self, number: &Bound<'_, PyInt>) -> PyResult<()> {
        if let Ok(small) = number.extract::<i64>() {
            let mut buffer = itoa::Buffer::new();
            self.text.extend_from_slice(buffer.format(small).as_bytes());
            return Ok(());
        }
        // The text of the number itself, whatever a subclass prints.
        let py = number.py();
        let text = py
            .get_type::<PyInt>()
            .call_method1(intern!(py, "__repr__"), (number,))?;
        self.text
            .extend_from_slice(text.cast::<PyString>()?.to_str()?.as_bytes());
        Ok(())
    }

    fn write_float(&mut self, number: &Bound<'_, PyFloat>) -> PyResult<()> {
        let number = number.value();
        if !number.is_finite() {
            return Err(PyValueError::new_err(format!(
                "{number} is not a JSON number"
            )));
        }
        let mut buffer = ryu::Buffer::new();
        self.text
            .extend_from_slice(buffer.format(number).as_bytes());
        Ok(())
    }

    fn write_bytes(&mut self, bytes: Bytes) {
        self.text
            .extend_from_slice(b"{\"_placeholder\":true,\"num\":");
        let mut buffer = itoa::Buffer::new();
        self.text
            .extend_from_slice(buffer.format(self.attachments.len()).as_bytes());
        self.text.push(b'}');
        self.attachments.push(bytes);
    }

    fn write_str(&mut self, text: &Bound<'_, PyString>) -> PyResult<()> {
        match text.to_str() {
            Ok(text) => self.write_text(text),
            // Half a surrogate pair, which only an escape can write.
            Err(_) => {
                let py = text.py();
                let escaped = py
                    .import(intern!(py, "json"))?
                    .call_method1(intern!(py, "dumps"), (text,))?;
                let escaped = escaped.cast::<PyString>()?;
                self.text.extend_from_slice(escaped.to_str()?.as_bytes());
            }
        }
        Ok(())
    }

    fn write_text(&mut self, text: &str) {
        self.text.push(b'"');
        let mut rest = text.as_bytes();
        while let Some(at) = first_special(rest) {
            let (plain, special) = rest.split_at(at);
            self.text.extend_from_slice(plain);
            let Some((&byte, after)) = special.split_first() else {
                break;
            };
            match byte {
                b'"' => self.text.extend_from_slice(b"\\\""),
                b'\\' => self.text.extend_from_slice(b"\\\\"),
                b'\n' => self.text.extend_from_slice(b"\\n"),
                b'\r' => self.text.extend_from_slice(b"\\r"),
                b'\t' => self.text.extend_from_slice(b"\\t"),
                _ => self
                    .text
                    .extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            }
            rest = after;
        }
        self.text.extend_from_slice(rest);
        self.text.push(b'"');
    }
}

/// Where the first byte is that must be escaped in a JSON string.
#[expect(
    clippy::needless_bitwise_bool,
    reason = "without a branch for each byte, the compiler looks at many at once"
)]
fn first_special(text: &[u8]) -> Option<usize> {
    let is_special = |byte: &u8| (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\');
    let any = |bytes: &[u8]| bytes.iter().fold(false, |any, byte| any | is_special(byte));
    let plain = text
        .chunks_exact(16)
        .take_while(|bytes| !any(bytes))
        .count()
        * 16;
    let found = text[plain..].iter().position(is_special);
    found.map(|at| plain + at)
}
