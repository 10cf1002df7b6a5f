//! JSON as CEL sees it: keys of maps as they are written, whole numbers as `int`.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::Value as Cel;
use kube_cel::cel::objects::{Key, Map};
use serde_json::Value;

/// A tree of JSON as a CEL value. A number without a fraction is an `int`, so that it equals the literals that people write.
pub(super) fn cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Cel::Int(whole),
            (None, Some(float)) => whole(float).map_or(Cel::Float(float), Cel::Int),
            (None, None) => Cel::Null, // no JSON number is neither
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(cel).collect())),
        Value::Object(fields) => {
            let map: HashMap<Key, Cel> =
                fields.iter().map(|(key, value)| (Key::String(Arc::new(key.clone())), cel(value))).collect();
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

/// Above 2^53 a float no longer tells neighbouring whole numbers apart.
fn whole(float: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation, reason = "whole and in range")]
    (float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0).then_some(float as i64)
}
