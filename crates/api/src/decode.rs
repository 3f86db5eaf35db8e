//! Reading a body: JSON first, then the shape, naming the field that is wrong.

use crate::Violation;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// A body is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shape {
    /// Not JSON at all.
    #[error("malformed JSON: {0}")]
    Malformed(String),
    /// JSON of another shape.
    #[error("{}: {}", .0.property, .0.message)]
    Field(Violation),
}

/// Bytes as JSON.
pub fn parse(body: &[u8]) -> Result<Value, Shape> {
    serde_json::from_slice(body).map_err(|error| Shape::Malformed(error.to_string()))
}

/// JSON as a value of a shape. The error's property is the path of the field.
pub fn decode<T: DeserializeOwned>(json: Value) -> Result<T, Shape> {
    if !json.is_object() {
        // serde would read an array as a struct's fields in order
        let message = "an object is wanted".to_owned();
        return Err(Shape::Field(Violation {
            property: "body".to_owned(),
            message,
        }));
    }
    serde_path_to_error::deserialize(json).map_err(|error| {
        let message = error.inner().to_string();
        let path = error.path().to_string();
        Shape::Field(Violation {
            property: field(&path, &message),
            message,
        })
    })
}

/// A missing field is reported at the object that misses it; its own name says more.
fn field(path: &str, message: &str) -> String {
    let missing = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next());
    match (path, missing) {
        (".", Some(name)) => name.to_owned(),
        (".", None) => "body".to_owned(),
        (path, Some(name)) if !path.ends_with(name) => format!("{path}.{name}"),
        (path, _) => path.to_owned(),
    }
}

/// For `deserialize_with`: null means the default. Neutron writes null for what is not set.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// For `deserialize_with`: null means yes.
pub(crate) fn null_as_true<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(true))
}

/// For `default`: yes.
pub(crate) fn yes() -> bool {
    true
}
