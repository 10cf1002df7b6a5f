//! A value together with its place in the file, so that a finding can point at it.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// A place in a text file. Line and column count from 1; columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Span {
    /// Line, from 1; 0 where the place is not known.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// Byte offset in the file.
    pub offset: u32,
    /// Length in bytes.
    pub len: u32,
}

impl From<serde_saphyr::Location> for Span {
    fn from(location: serde_saphyr::Location) -> Self {
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX); // files are far smaller (`MAX_FILE_BYTES`)
        let span = location.span();
        Self {
            line: small(location.line()),
            column: small(location.column()),
            offset: small(span.byte_offset().unwrap_or(0)),
            len: small(span.byte_len().unwrap_or(0)),
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
}

impl<T> At<T> {
    /// Keeps the place, changes the value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> At<U> {
        At { value: change(self.value), span: self.span }
    }
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_saphyr::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { span: spanned.referenced.into(), value: spanned.value })
    }
}

/// In a schema the place is invisible: only the value counts.
impl<T: schemars::JsonSchema> schemars::JsonSchema for At<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<T>()
    }
}
