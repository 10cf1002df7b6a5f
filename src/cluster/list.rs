//! Listing in pages, each object turned into its lasting form while the page is read, so that a large collection
//! is at no time in memory as a tree.

use std::fmt;
use std::sync::Arc;

use http::Request;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::connect::Transport;
use super::error::{ClusterError, Failure};
use super::view::View;
use super::{Cluster, Edge};
use crate::object::{Kind, Live};

/// Objects in a page. At a few KiB each the buffer of a page stays near 1 MiB, and 1,000 objects take four requests.
const PAGE_SIZE: usize = 250;

/// Objects in a page where the usual one is too large to be read: even at etcd's limit of 1.5 MiB each these can be.
const SMALL_PAGE_SIZE: usize = 25;

/// A whole collection as of one version.
pub(super) struct Listing {
    pub(super) objects: Vec<Arc<Live>>,
    pub(super) version: String,
}

/// Lists what is at `path`, which ends in a query that more can be added to.
pub(super) async fn list(transport: &Transport, kind: &Kind, path: &str, view: &View) -> Result<Listing, Failure> {
    let mut objects = Vec::new();
    let mut next = String::new();
    let mut size = PAGE_SIZE;
    loop {
        let address = format!("{path}&limit={size}{next}");
        let request = Request::get(&address).body(Vec::new()).map_err(|error| Failure::Network(error.to_string()))?;
        let bytes = match transport.bytes(request).await {
            Err(Failure::TooLarge) if size > SMALL_PAGE_SIZE => {
                size = SMALL_PAGE_SIZE;
                continue;
            }
            answer => answer?,
        };
        let page = read_page(kind, &bytes).map_err(|error| Failure::Network(format!("unreadable list of {kind}: {error}")))?;
        drop(bytes);
        objects.extend(page.objects.into_iter().map(|live| view.intern(live)));
        match page.metadata.next {
            Some(token) if !token.is_empty() => next = format!("&continue={}", escape(&token)),
            _ => return Ok(Listing { objects, version: page.metadata.version }),
        }
    }
}

impl Cluster {
    /// All objects of a kind, in one namespace or all, as they are now; none where the kind is not served. For who asks once; what is to stay
    /// true is [watched](Cluster::watch).
    pub async fn list(&self, kind: &Kind, namespace: Option<&str>) -> Result<Vec<Arc<Live>>, ClusterError> {
        let Edge { transport, discovery, view } = &*self.edge;
        let failed = |failure: Failure| failure.of_cluster(&transport.url);
        let Some(resource) = discovery.resolve(kind).await.map_err(failed)? else { return Ok(Vec::new()) };
        let unexpected =
            |_| ClusterError::Unexpected { url: transport.url.clone(), message: format!("{kind} cannot be listed there") };
        let path = resource.collection(namespace).map_err(unexpected)?;
        Ok(list(transport, kind, &format!("{path}?"), view).await.map_err(failed)?.objects)
    }
}

/// The token is the server's; it is in URL-safe base64 today, and this keeps it apart from the query on any day.
fn escape(token: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    token.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    #[serde(rename = "resourceVersion")]
    version: String,
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Default)]
struct Page {
    metadata: ListMeta,
    objects: Vec<Live>,
}

fn read_page(kind: &Kind, bytes: &[u8]) -> serde_json::Result<Page> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let page = PageSeed(kind).deserialize(&mut reader)?;
    reader.end()?;
    Ok(page)
}

struct PageSeed<'a>(&'a Kind);

impl<'de> DeserializeSeed<'de> for PageSeed<'_> {
    type Value = Page;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Page, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PageSeed<'_> {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Page, M::Error> {
        let mut page = Page::default();
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "metadata" => page.metadata = map.next_value()?,
                "items" => page.objects = map.next_value_seed(ItemsSeed(self.0))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(page)
    }
}

struct ItemsSeed<'a>(&'a Kind);

impl<'de> DeserializeSeed<'de> for ItemsSeed<'_> {
    type Value = Vec<Live>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Live>, D::Error> {
        deserializer.deserialize_any(self) // an empty list may be `null`
    }
}

impl<'de> Visitor<'de> for ItemsSeed<'_> {
    type Value = Vec<Live>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects")
    }

    fn visit_unit<E>(self) -> Result<Vec<Live>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Vec<Live>, S::Error> {
        let mut objects = Vec::new();
        let api_version = self.0.api_version();
        while let Some(mut item) = items.next_element::<Value>()? {
            // Built-in kinds leave these two out of the items of a list; watch events carry them.
            if let Some(fields) = item.as_object_mut() {
                fields.entry("apiVersion").or_insert_with(|| Value::String(api_version.clone()));
                fields.entry("kind").or_insert_with(|| Value::String(self.0.kind.to_string()));
            }
            objects.extend(Live::new(&item));
        }
        Ok(objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_a_built_in_list_get_their_kind() {
        let kind = Kind::new("v1", "ConfigMap");
        let text = br#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"t="},
            "items":[{"metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"3"},"data":{"k":"v"}}]}"#;
        let page = read_page(&kind, text).unwrap();
        assert_eq!((page.metadata.version.as_str(), page.metadata.next.as_deref()), ("7", Some("t=")));
        assert_eq!(page.objects[0].key.to_string(), "ConfigMap/n/a");
        assert_eq!(page.objects[0].value()["kind"], "ConfigMap");
        assert_eq!(escape("t="), "t%3D");
    }

    #[test]
    fn an_empty_list_may_be_null() {
        assert!(read_page(&Kind::new("v1", "Pod"), br#"{"items":null,"metadata":{}}"#).unwrap().objects.is_empty());
    }
}
