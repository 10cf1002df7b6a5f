//! What the cluster does not show, or shows as it was a while ago. What is unknown is not absent: nobody may decide from the want of an
//! object that could not be seen.

use crate::object::{Key, Kind};

/// Places of which too little is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unseen(Vec<Gap>);

/// One such place: what a watch would show that is denied, interrupted or impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Kind of object.
    pub kind: Kind,
    /// In this namespace; `None` everywhere.
    pub namespace: Option<String>,
    /// The one of this name; `None` all.
    pub name: Option<String>,
    /// Nothing was ever seen there. Otherwise what was seen stands for what is, and may be old.
    pub blind: bool,
    /// Only people can end it: a role, a missing definition.
    pub stuck: bool,
    /// Why, and what to do about it.
    pub reason: String,
}

impl Gap {
    /// All objects of a kind that the cluster does not serve.
    pub fn kind(kind: Kind, reason: impl Into<String>) -> Self {
        Self { kind, namespace: None, name: None, blind: true, stuck: true, reason: reason.into() }
    }

    fn hides(&self, key: &Key) -> bool {
        self.kind.group == key.group
            && self.kind.kind == key.kind
            && self.namespace.as_deref().is_none_or(|namespace| key.namespace.as_deref() == Some(namespace))
            && self.name.as_deref().is_none_or(|name| *key.name == *name)
    }
}

impl Unseen {
    /// Why it is not known whether this object exists; `None` where it is.
    pub fn blind(&self, key: &Key) -> Option<&Gap> {
        self.0.iter().find(|gap| gap.blind && gap.hides(key))
    }

    /// Why it is not known how this object is now; `None` where it is.
    pub fn outdated(&self, key: &Key) -> Option<&Gap> {
        self.0.iter().find(|gap| gap.hides(key))
    }
}

impl FromIterator<Gap> for Unseen {
    fn from_iter<T: IntoIterator<Item = Gap>>(gaps: T) -> Self {
        Self(gaps.into_iter().collect())
    }
}

impl Extend<Gap> for Unseen {
    fn extend<T: IntoIterator<Item = Gap>>(&mut self, gaps: T) {
        self.0.extend(gaps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::kinds;

    #[test]
    fn a_gap_hides_what_it_covers_and_nothing_else() {
        let denied = Gap { namespace: Some("a".into()), ..Gap::kind(kinds::kind(kinds::PEER), "denied") };
        let old = Gap { blind: false, stuck: false, ..Gap::kind(kinds::kind(kinds::SERVICE), "interrupted") };
        let unseen: Unseen = [denied, old].into_iter().collect();
        assert!(unseen.blind(&kinds::key(kinds::PEER, "a", "x")).is_some());
        assert!(unseen.blind(&kinds::key(kinds::PEER, "b", "x")).is_none());
        let service = kinds::key(kinds::SERVICE, "b", "x");
        assert!(unseen.blind(&service).is_none() && unseen.outdated(&service).is_some());
    }
}
