//! Conversions between Rust's types and [`Value`].

use serde::{Serialize, de::DeserializeOwned, ser};

use crate::{
    args::Args,
    error::{ArgsError, EncodeError},
    value::Value,
};

/// Converts anything that can be sent to a value.
///
/// # Errors
/// [`EncodeError`], as when it is sent.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, EncodeError> {
    let values = Args::from_one(value)?
        .to_values()
        .map_err(ser::Error::custom)?;
    Ok(values.into_iter().next().unwrap_or_default())
}

/// Converts a value to any type. Bytes are copied.
///
/// # Errors
/// [`ArgsError`] if the value does not fit `T`.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, ArgsError> {
    T::deserialize(value).map_err(ArgsError)
}
