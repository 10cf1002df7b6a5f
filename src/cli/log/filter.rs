//! Which changes people want to see.

use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::{SignedDuration, Timestamp};

use super::walk::Found;
use crate::changes::{Change, Topic};
use crate::error::Error;
use crate::view::log::Entry;

/// Which changes people want to see: those for which every filter says yes.
#[derive(Args, Debug)]
pub(super) struct Filter {
    /// Only what concerns this mesh, or the whole federation
    #[arg(long, value_name = "MESH")]
    mesh: Option<String>,
    /// Only what concerns the peering of two meshes
    #[arg(long, value_name = "MESH:MESH")]
    peering: Option<Peering>,
    /// Only what concerns this service: `details` or `prod-bookinfo/details`
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Only changes of this kind; may be given more than once
    #[arg(long, value_name = "KIND", value_parser = topics())]
    kind: Vec<Topic>,
    /// Only commits whose signer, author or agent contains this text
    #[arg(long, value_name = "TEXT")]
    signer: Option<String>,
    /// Only commits after this time: `2026-11-20`, `2026-11-20T10:14:00Z`, or a span before now such as `2w`
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Only commits before this time
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
}

fn topics() -> impl TypedValueParser<Value = Topic> {
    let parse = |name: String| Topic::ALL.into_iter().find(|topic| topic.name() == name).ok_or("no such kind");
    PossibleValuesParser::new(Topic::ALL.map(Topic::name)).try_map(parse)
}

/// Two meshes, in any order.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Peering(pub String, pub String);

impl FromStr for Peering {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((a, b)) if !a.is_empty() && !b.is_empty() => Ok(Self(a.to_owned(), b.to_owned())),
            _ => Err("write two meshes as A:B"),
        }
    }
}

impl Peering {
    /// Whether these are the two.
    pub(in crate::cli) fn is(&self, a: &str, b: &str) -> bool {
        (self.0 == a && self.1 == b) || (self.0 == b && self.1 == a)
    }
}

/// A time as people give it.
#[derive(Clone, Copy, Debug)]
enum When {
    At(Timestamp),
    Ago(SignedDuration),
}

impl FromStr for When {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
        let ago = || SignedDuration::try_from(humantime::parse_duration(text).ok()?).ok();
        let at = text.parse().ok().or_else(|| Some(day()?.timestamp()));
        at.map(Self::At).or_else(|| ago().map(Self::Ago)).ok_or("write 2026-11-20, 2026-11-20T10:14:00Z, or 2w")
    }
}

/// From when until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub from: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Range {
    pub fn holds(self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at <= until)
    }
}

impl Filter {
    /// The times between which commits count.
    pub fn since(&self, now: Timestamp) -> Result<Range, Error> {
        let absolute = |when: Option<When>| match when {
            None => Ok(None),
            Some(When::At(at)) => Ok(Some(at)),
            Some(When::Ago(span)) => now.checked_sub(span).map(Some).map_err(|_| Error::usage("the span is too long", "")),
        };
        Ok(Range { from: absolute(self.since)?, until: absolute(self.until)? })
    }

    /// The mesh that is asked for, if no commit is about it.
    pub fn unknown(&self, entries: &[Entry]) -> Option<&str> {
        let mesh = self.mesh.as_deref()?;
        let about = |change: &Change| [&change.mesh, &change.peer].into_iter().any(|of| of.as_deref() == Some(mesh));
        (!entries.iter().flat_map(|entry| &entry.changes).any(about)).then_some(mesh)
    }

    /// What of a commit is to be seen, if anything is. A refused commit is, whatever it changes, unless somebody asks for certain changes.
    pub fn apply(&self, found: Found) -> Option<Entry> {
        let Found { mut entry, refused } = found;
        let who = [Some(entry.author.as_str()), entry.verification.signer()];
        if let Some(text) = &self.signer
            && !who.into_iter().flatten().any(|who| who.contains(text))
        {
            return None;
        }
        entry.changes.retain(|change| self.wants(change));
        let narrow = self.mesh.is_some() || self.peering.is_some() || self.service.is_some() || !self.kind.is_empty();
        (!entry.changes.is_empty() || (refused && !narrow)).then_some(entry)
    }

    fn wants(&self, change: &Change) -> bool {
        let Change { topic, mesh, peer, service, .. } = change;
        let (mesh, peer) = (mesh.as_deref(), peer.as_deref());
        let of_mesh = |name: &String| mesh.is_none() || [mesh, peer].contains(&Some(name));
        let of_peering = |pair: &Peering| mesh.zip(peer).is_some_and(|(a, b)| pair.is(a, b));
        let of_service = |name: &String| {
            service
                .as_ref()
                .is_some_and(|service| service == name || service.rsplit_once('/').is_some_and(|(_, short)| short == name))
        };
        self.mesh.as_ref().is_none_or(of_mesh)
            && self.peering.as_ref().is_none_or(of_peering)
            && self.service.as_ref().is_none_or(of_service)
            && (self.kind.is_empty() || self.kind.contains(topic))
    }
}
