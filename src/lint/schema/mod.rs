//! Plain objects against what their kinds can have: unknown fields, other types, missing fields. For the kinds that meshfed derives it carries a table,
//! for others, or newer versions of these, people put CustomResourceDefinitions into `crds/`.

mod check;
mod definition;
mod served;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use check::check;
pub use definition::read;

use crate::object::Kind;

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Schema {
    /// Anything.
    Any,
    /// A text.
    Text,
    /// One of these texts.
    OneOf(Vec<String>),
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// A whole number or a text, as a port has it.
    WholeOrText,
    /// A list of such.
    List(Arc<Schema>),
    /// A mapping of any keys to such.
    Map(Arc<Schema>),
    /// A mapping with these fields.
    Fields(Arc<Fields>),
}

/// The fields of a mapping.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    /// By name.
    pub known: BTreeMap<String, Schema>,
    /// Those that must be there.
    pub required: BTreeSet<String>,
    /// Others are kept too.
    pub open: bool,
}

/// The kinds that are known.
#[derive(Clone, Debug)]
pub struct Schemas {
    carried: Arc<table::Table>,
    /// By group and kind, then by version.
    defined: BTreeMap<(String, String), BTreeMap<String, Schema>>,
}

/// What is known of a kind.
pub enum Known<'a> {
    /// What its objects may have.
    Schema(&'a Schema),
    /// The definition in `crds/` does not serve this version, but these.
    NotServed(Vec<&'a str>),
    /// Nothing.
    Nothing,
}

impl Default for Schemas {
    fn default() -> Self {
        Self { carried: table::carried(), defined: BTreeMap::new() }
    }
}

impl Schemas {
    /// Adds the definition of a kind; it counts instead of what is carried.
    pub fn add(&mut self, group: String, kind: String, versions: BTreeMap<String, Schema>) {
        self.defined.insert((group, kind), versions);
    }

    /// Whether `crds/` defines a kind.
    fn defines(&self, kind: &Kind) -> bool {
        self.defined.contains_key(&(kind.group.to_string(), kind.kind.to_string()))
    }

    /// What is known of a kind.
    pub fn of(&self, kind: &Kind) -> Known<'_> {
        let key = (kind.group.to_string(), kind.kind.to_string());
        if let Some(versions) = self.defined.get(&key) {
            return match versions.get(&*kind.version) {
                Some(schema) => Known::Schema(schema),
                None => Known::NotServed(versions.keys().map(String::as_str).collect()),
            };
        }
        self.carried.kinds.get(&key).map_or(Known::Nothing, Known::Schema)
    }

    /// What every object has beside its own fields.
    pub fn metadata(&self) -> &Schema {
        &self.carried.metadata
    }
}
