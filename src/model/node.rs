//! Any YAML with the place of every part of it, so that a finding about a plain object can point into it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use super::at::At;

/// A value with places inside.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A text, a number, `true`, `false` or nothing.
    Scalar(Value),
    /// Items in their order.
    List(Vec<At<Node>>),
    /// Fields in their order.
    Map(Vec<(At<String>, At<Node>)>),
}

impl Node {
    /// The field of a mapping.
    pub fn get(&self, field: &str) -> Option<&At<Node>> {
        match self {
            Self::Map(fields) => fields.iter().find(|(key, _)| **key == field).map(|(_, value)| value),
            _ => None,
        }
    }

    /// What a path of fields leads to.
    pub fn at(&self, path: &[&str]) -> Option<&At<Node>> {
        let (first, rest) = path.split_first()?;
        let field = self.get(first)?;
        if rest.is_empty() { Some(field) } else { field.at(rest) }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[At<Node>] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The fields of a mapping; none of anything else.
    pub fn fields(&self) -> &[(At<String>, At<Node>)] {
        match self {
            Self::Map(fields) => fields,
            _ => &[],
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }
}

impl Node {
    /// As plain data, with numbers as kubectl sends them.
    pub fn value(&self) -> Value {
        match self {
            Self::Scalar(value) => {
                let mut value = value.clone();
                super::yaml::whole_numbers(&mut value);
                value
            }
            Self::List(items) => items.iter().map(|item| item.value.value()).collect(),
            Self::Map(fields) => fields.iter().map(|(key, value)| (key.value.clone(), value.value.value())).collect(),
        }
    }
}

impl At<Node> {
    /// Counts lines from further up: this was read from a part of a file.
    pub fn move_down(&mut self, lines: u32) {
        self.span.line += lines;
        match &mut self.value {
            Node::Scalar(_) => {}
            Node::List(items) => items.iter_mut().for_each(|item| item.move_down(lines)),
            Node::Map(fields) => fields.iter_mut().for_each(|(key, value)| {
                key.span.line += lines;
                value.move_down(lines);
            }),
        }
    }

    /// The text with its place, if it is one.
    pub fn located(&self) -> Option<At<&str>> {
        Some(At { value: self.text()?, span: self.span })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(Number::from_f64(value).map_or(Value::Null, Value::Number))) // JSON has neither infinity nor NaN
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use crate::model::yaml;

    #[test]
    fn each_part_knows_its_place() {
        let text = "a: 1\n---\nkind: X\nspec:\n  list: [{b: yes}, 'c']\n  8188: 1.0\n  none:\n";
        let all = yaml::nodes("x.yaml", text).unwrap();
        assert_eq!(all.len(), 2);
        let second = &all[1];
        let place = |path: &[&str]| second.at(path).map(|node| (node.span.line, node.span.column));
        assert_eq!((place(&["kind"]), place(&["spec", "list"])), (Some((3, 7)), Some((5, 9))));
        let b = &second.at(&["spec", "list"]).unwrap().items()[0];
        assert_eq!((b.get("b").unwrap().text(), b.fields()[0].0.span.column), (Some("yes"), 11));
        let port = &second.get("spec").unwrap().fields()[1];
        assert_eq!((port.0.as_str(), port.0.span.line), ("8188", 6));
    }
}
