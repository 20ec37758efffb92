//! Acknowledgements that are errors: what the peer sees of an error ([`ClientError`]), its form on the wire, and how it
//! is read ([`read_ack`], [`RemoteError`]).
//!
//! A refused acknowledgement is one argument: `{"error":{"code":"…","message":"…","data":…}}`, without `data` if there is none.

use std::{borrow::Cow, collections::HashMap, error::Error, fmt};

use kokanee_socketio::{Args, Value, to_value};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{AckError, EventError, EventErrorKind, ExtractError, RemoteError};

/// The default code of a [`ClientError`].
const DEFAULT_CODE: &str = "error";
/// What the peer sees of every other error.
const INTERNAL: Fault<'static> = Fault {
    code: "internal",
    message: Cow::Borrowed("internal error"),
    data: None,
};

/// An error for the peer: if a handler returns it, the event is acknowledged with its code, message and data.
///
/// For any other error the peer only sees `internal error`. A `ClientError` may also be the source of the returned
/// error, at any depth, also through `#[error(transparent)]` and `anyhow`.
///
/// ```
/// use kokanee_handler::ClientError;
///
/// #[derive(Debug, thiserror::Error)]
/// enum ChatError {
///     /// The client sees this.
///     #[error(transparent)]
///     Refused(#[from] ClientError),
///     /// The client sees `internal error`.
///     #[error("the database failed")]
///     Database(#[from] std::io::Error),
/// }
///
/// fn check(name: &str) -> Result<(), ChatError> {
///     if name.len() > 20 {
///         let error = ClientError::new("this name is too long").code("name_too_long");
///         return Err(error.data(serde_json::json!({ "max": 20 })).into());
///     }
///     Ok(())
/// }
/// assert_eq!(check(&"x".repeat(21)).unwrap_err().to_string(), "this name is too long");
/// ```
///
/// The JavaScript client gets `{ error: { code: "name_too_long", message: "this name is too long", data: { max: 20 } } }` as the
/// first argument of its acknowledgement, Kokanee's client an [`AckError::Remote`].
#[derive(Debug, Clone, PartialEq)]
pub struct ClientError(Box<ErrorDetails>);

/// The content of a [`ClientError`]. It is also the source of that error, so that it is found even if a transparent
/// wrapper replaces the error and keeps only its source.
#[derive(Debug, Clone, PartialEq)]
struct ErrorDetails {
    code: String,
    message: String,
    data: Option<Value>,
}

impl ClientError {
    /// Creates an error with a message for the peer. Its code is `error`.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(ErrorDetails {
            code: DEFAULT_CODE.to_owned(),
            message: message.into(),
            data: None,
        }))
    }

    /// Sets the code: a short, stable name that programs compare. Default `error`.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_handler::ClientError;
    ///
    /// // JavaScript: `if (answer.error?.code === "not_found") …`
    /// let error = ClientError::new("there is no such room").code("not_found");
    /// ```
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.0.code = code.into();
        self
    }

    /// Adds data. Bytes in it are sent as binary; what cannot be written as JSON becomes `null`.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_handler::ClientError;
    ///
    /// let error = ClientError::new("too many messages")
    ///     .code("rate_limited")
    ///     .data(serde_json::json!({ "retry_after_ms": 500 }));
    /// ```
    #[must_use]
    pub fn data(mut self, data: impl Serialize) -> Self {
        self.0.data = Some(to_value(&data).unwrap_or_default());
        self
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

impl fmt::Display for ErrorDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error code {:?}", self.code)
    }
}

impl Error for ErrorDetails {}

/// What the peer sees of an error.
#[derive(Debug, Clone, Serialize)]
pub struct Fault<'a> {
    /// A short, stable name.
    pub code: &'a str,
    /// A text for users.
    pub message: Cow<'a, str>,
    /// Additional data, if there is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<&'a Value>,
}

impl<'a> Fault<'a> {
    /// Returns what the peer sees of an error of the application: all of a [`ClientError`] in it, the peer's mistake in
    /// an [`ExtractError`], otherwise only that something failed.
    pub(crate) fn of(error: &'a (dyn Error + 'static)) -> Self {
        let mut causes = std::iter::successors(Some(error), |error| (*error).source());
        let fault = causes.find_map(|error| {
            if let Some(error) = error.downcast_ref::<ExtractError>() {
                return Some(error.fault());
            }
            let details = error.downcast_ref::<ErrorDetails>()?;
            Some(Self {
                code: &details.code,
                message: Cow::Borrowed(&details.message),
                data: details.data.as_ref(),
            })
        });
        fault.unwrap_or(INTERNAL)
    }

    /// Returns what the peer sees of a panic, or of a mistake of the application.
    pub(crate) const fn internal() -> Self {
        INTERNAL
    }

    /// Returns whether the peer only sees that something failed.
    pub fn is_internal(&self) -> bool {
        self.code == INTERNAL.code
    }
}

impl ExtractError {
    /// Returns a short, stable name of the error, as the peer sees it.
    pub fn code(&self) -> &str {
        match self {
            Self::Payload(_) => "invalid_payload",
            Self::Auth(_) => "invalid_auth",
            Self::State { .. } | Self::Extension { .. } => Fault::internal().code,
            Self::Other(error) => Fault::of(&**error).code,
        }
    }

    /// Returns what the peer sees of the error: code and text of the peer's own mistake, or a
    /// [`ClientError`](crate::ClientError).
    pub fn fault(&self) -> Fault<'_> {
        match self {
            Self::State { .. } | Self::Extension { .. } => Fault::internal(),
            Self::Other(error) => Fault::of(&**error),
            Self::Payload(_) | Self::Auth(_) => Fault {
                code: self.code(),
                message: self.to_string().into(),
                data: None,
            },
        }
    }
}

impl EventErrorKind {
    /// Returns what the peer sees of the error. Panics and the application's errors are hidden, except a
    /// [`ClientError`](crate::ClientError).
    pub fn fault(&self) -> Fault<'_> {
        match self {
            Self::Panic(_) => Fault::internal(),
            Self::Extract(error) => error.fault(),
            Self::Handler(error) => Fault::of(&**error),
        }
    }
}

impl EventError {
    /// Returns a short, stable name of the error, as the peer sees it.
    pub fn code(&self) -> &str {
        self.kind().fault().code
    }

    /// Returns whether the handler has refused the event with an error that the peer sees, which is not a fault of the
    /// application.
    pub fn is_refusal(&self) -> bool {
        matches!(self.kind(), EventErrorKind::Handler(_)) && !self.kind().fault().is_internal()
    }
}

/// The only argument of a refused acknowledgement.
#[derive(Serialize)]
pub(crate) struct Refusal<'a> {
    pub(crate) error: Fault<'a>,
}

/// Returns the error if the arguments of an acknowledgement are a refusal: one object with the only key `error`, whose
/// value is an object with a code, a message and optional data.
fn refusal(args: &Args) -> Option<RemoteError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Refused {
        error: HashMap<String, Value>,
    }
    // The struct could also be deserialised from an array.
    if args.len() != 1 || !args.json().trim_ascii_start().starts_with('{') {
        return None;
    }
    let Refused { mut error } = args.deserialize().ok()?;
    let (code, message) = (error.remove("code"), error.remove("message"));
    let data = error.remove("data");
    match (code, message) {
        (Some(Value::String(code)), Some(Value::String(message))) if error.is_empty() => {
            Some(RemoteError {
                code,
                message,
                data,
            })
        }
        _ => None,
    }
}

/// Reads an acknowledgement as a `T`, or as the error that the peer sent.
///
/// # Errors
/// [`AckError::Remote`] if the peer sent an error, [`AckError::Decode`] if the arguments do not fit `T`.
pub fn read_ack<T: DeserializeOwned>(args: &Args) -> Result<T, AckError> {
    match refusal(args) {
        Some(error) => Err(error.into()),
        None => Ok(args.deserialize()?),
    }
}

impl From<ClientError> for ExtractError {
    fn from(error: ClientError) -> Self {
        Self::other(error)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::BoxError;

    fn seen(error: impl Into<BoxError>) -> serde_json::Value {
        let error = EventErrorKind::Handler(error.into());
        serde_json::to_value(error.fault()).expect("JSON")
    }

    #[derive(Debug, thiserror::Error)]
    enum Wrapped {
        #[error(transparent)]
        Transparent(ClientError),
        #[error("with a text")]
        Source(#[source] ClientError),
        #[error("two levels")]
        Deep(#[source] Box<Self>),
    }

    #[test]
    fn the_peer_sees_only_a_client_error_at_any_depth() {
        let error = || ClientError::new("not yours").code("forbidden").data([1]);
        let shown = json!({ "code": "forbidden", "message": "not yours", "data": [1] });
        assert_eq!(seen(error()), shown);
        assert_eq!(seen(Wrapped::Transparent(error())), shown);
        assert_eq!(seen(Wrapped::Source(error())), shown);
        let deep = Wrapped::Deep(Box::new(Wrapped::Transparent(error())));
        assert_eq!(seen(deep), shown);
        assert_eq!(seen(anyhow::Error::from(error())), shown);
        assert_eq!(seen(anyhow::Error::from(error()).context("why")), shown);
        assert_eq!(seen(ExtractError::from(error())), shown);
        let unfit = Args::none().deserialize::<u32>().expect_err("missing");
        assert_eq!(seen(ExtractError::from(unfit))["code"], "invalid_payload");
        let plain = json!({ "code": "error", "message": "no" });
        assert_eq!(seen(ClientError::new("no")), plain);

        let internal = json!({ "code": "internal", "message": "internal error" });
        assert_eq!(seen("password=hunter2"), internal);
        assert_eq!(seen(anyhow::anyhow!("password=hunter2")), internal);
        let relayed = RemoteError {
            code: "forbidden".into(),
            message: "of another peer".into(),
            data: None,
        };
        assert_eq!(seen(AckError::Remote(relayed)), internal);
    }

    fn read(args: &serde_json::Value) -> Result<Value, AckError> {
        let values = args.as_array().expect("arguments").iter().cloned();
        read_ack(&Args::from_values(values.map(Value::from)).expect("JSON"))
    }

    #[test]
    fn an_acknowledgement_is_a_refusal_if_it_has_exactly_that_form() {
        let Err(AckError::Remote(error)) = read(
            &json!([{ "error": { "message": "no", "code": "forbidden", "data": { "max": 2 } } }]),
        ) else {
            panic!("not a refusal");
        };
        assert_eq!(error.to_string(), "no (forbidden)");
        let data: Value = error.data_as().expect("data");
        assert_eq!(data.get("max"), Some(&2.into()));
        let without = read(&json!([{ "error": { "code": "a", "message": "b" } }]));
        assert!(matches!(
            without,
            Err(AckError::Remote(RemoteError { data: None, .. }))
        ));

        for other in [
            json!([{ "error": "not found" }]),
            json!([{ "error": { "code": 404, "message": "not found" } }]),
            json!([{ "error": { "message": "not found" } }]),
            json!([{ "error": { "code": "a", "message": "b", "stack": "c" } }]),
            json!([{ "error": { "code": "a", "message": "b" }, "ok": false }]),
            json!([{ "error": ["a", "b"] }]),
            json!([[{ "code": "a", "message": "b" }]]),
            json!([{ "error": { "code": "a", "message": "b" } }, 1]),
            json!([null, { "error": { "code": "a", "message": "b" } }]),
            json!([{}]),
        ] {
            let value = read(&other).unwrap_or_else(|error| panic!("{other}: {error}"));
            assert_eq!(value, Value::from(other[0].clone()));
        }
    }
}
