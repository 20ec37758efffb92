//! Arguments as JSON for programs, without loss: binary data is `{"_binary": "<base64>"}`.

use kokanee_socketio::Value;
use serde_json::json;

/// The key of an object that represents binary data.
pub(crate) const BINARY_KEY: &str = "_binary";

/// Converts a value to JSON.
pub(crate) fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => number.clone().into(),
        Value::String(text) => text.as_str().into(),
        Value::Binary(bytes) => json!({ BINARY_KEY: base64(bytes) }),
        Value::Array(elements) => elements.iter().map(to_json).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, member)| (key.clone(), to_json(member)))
            .collect(),
    }
}

/// Converts JSON to a value, the reverse of [`to_json`].
pub(crate) fn from_json(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Array(elements) => {
            Value::Array(elements.into_iter().map(from_json).collect())
        }
        serde_json::Value::Object(members) => {
            let only = members.get(BINARY_KEY).filter(|_| members.len() == 1);
            let base64 = only.and_then(serde_json::Value::as_str);
            match base64.map(|base64| base64_simd::STANDARD.decode_to_vec(base64)) {
                Some(Ok(bytes)) => Value::Binary(bytes.into()),
                _ => Value::Object(
                    members
                        .into_iter()
                        .map(|(key, member)| (key, from_json(member)))
                        .collect(),
                ),
            }
        }
        plain => Value::from(plain),
    }
}

/// Encodes bytes in base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

#[cfg(test)]
mod tests {
    use kokanee::bytes::Bytes;

    use super::*;

    #[test]
    fn bytes_are_kept_in_base64() {
        let value = Value::Array(vec![
            1.into(),
            Value::Binary(Bytes::from_static(&[1, 2, 3])),
        ]);
        assert_eq!(to_json(&value), json!([1, { "_binary": "AQID" }]));
        assert_eq!(from_json(to_json(&value)), value);
        let text = json!({ "_binary": "!", "a": { "_binary": 1 } });
        assert_eq!(to_json(&from_json(text.clone())), text);
    }
}
