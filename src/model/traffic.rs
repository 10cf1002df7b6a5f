//! Where requests for one service go, as the rest of the program uses it: valid, with every default filled in.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::at::{At, Span};
use super::defaults;
use super::documents::WhenUnavailable;
use super::federation::ServiceName;

/// Where requests for one service go.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Name.
    pub name: String,
    /// Path of the document.
    pub path: String,
    /// The service that clients call.
    pub service: At<ServiceName>,
    /// First match first; the last takes every request. Empty where the requests need no routing.
    pub rules: Vec<Rule>,
    /// Copies.
    pub mirror: Option<Mirror>,
    /// How long a request may take with all its retries.
    pub timeout: Option<Duration>,
    /// How often a request is tried again.
    pub retries: Option<Retries>,
    /// Peers that take over when no endpoint here answers: the first, and if it fails too, all others together.
    pub failover: Vec<At<String>>,
    /// When an endpoint that answers with errors is left out for a while; always there with `failover`.
    pub outlier_detection: Option<OutlierDetection>,
    /// Labels of the subsets that are used.
    pub subsets: BTreeMap<String, BTreeMap<String, String>>,
    /// What becomes of the weight of a service that is not there.
    pub when_unavailable: WhenUnavailable,
}

/// Where some of the requests go.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which requests; `None` takes all.
    pub when: Option<Match>,
    /// Destinations; their weights sum to 100.
    pub routes: Vec<Route>,
    /// Place in the document.
    pub span: Span,
}

/// Which requests a rule takes: those that meet every condition. Never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    /// By the header's name in lower case.
    pub headers: BTreeMap<String, TextMatch>,
    /// On the path.
    pub uri: Option<TextMatch>,
}

/// A condition on a text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextMatch {
    /// It is this.
    Exact(String),
    /// It begins with this.
    Prefix(String),
    /// This regular expression (RE2) describes all of it.
    Regex(String),
}

/// One destination and its share.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where to.
    pub to: Destination,
    /// Percent.
    pub weight: u32,
    /// Place in the document.
    pub span: Span,
    /// Where it names a peer and a service.
    pub names: NameSpans,
}

/// Where a destination names what it imports; the place of the whole where it names nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameSpans {
    /// The peer.
    pub peer: Span,
    /// The service.
    pub service: Span,
}

/// Where copies go.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Where to.
    pub to: Destination,
    /// Percent.
    pub percentage: f64,
    /// Place in the document.
    pub span: Span,
    /// Where it names a peer and a service.
    pub names: NameSpans,
}

/// How often a request is tried again.
#[derive(Clone, Debug)]
pub struct Retries {
    /// Number of retries; 0 turns them off.
    pub attempts: u32,
    /// How long each try may take.
    pub per_try_timeout: Option<Duration>,
    /// What is tried again, separated by commas, in Envoy's words.
    pub retry_on: Option<String>,
}

/// When an endpoint that answers with errors is left out for a while.
#[derive(Clone, Debug)]
pub struct OutlierDetection {
    /// Errors (5xx) one after the other until it is left out.
    pub consecutive_5xx_errors: u32,
    /// Time between two looks at the endpoints.
    pub interval: Duration,
    /// How long it is left out the first time.
    pub base_ejection_time: Duration,
    /// How many endpoints may be left out at once, in percent.
    pub max_ejection_percent: u32,
}

/// Where requests can go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// The service here, or one subset of it.
    Local {
        /// Subset.
        subset: Option<String>,
    },
    /// A service imported from a peer.
    Imported {
        /// Peer.
        peer: String,
        /// Name that it is imported as.
        service: ServiceName,
    },
}

impl Traffic {
    /// Whether it makes a DestinationRule, besides the VirtualService of its rules.
    pub fn has_policy(&self) -> bool {
        !self.subsets.is_empty() || self.outlier_detection.is_some()
    }

    /// Every destination of every rule.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.rules.iter().flat_map(|rule| &rule.routes)
    }

    /// Every destination with its place, the mirror's last.
    pub fn destinations(&self) -> impl Iterator<Item = (&Destination, Span, NameSpans)> {
        self.routes().map(|r| (&r.to, r.span, r.names)).chain(self.mirror.iter().map(|m| (&m.to, m.span, m.names)))
    }
}

impl Route {
    /// All to the service itself: what requests do where nothing is declared.
    pub fn to_local(span: Span) -> Self {
        Self { to: Destination::Local { subset: None }, weight: 100, span, names: NameSpans { peer: span, service: span } }
    }
}

impl Rule {
    /// Which requests, for people: `end-user = jason`; empty for all.
    pub fn when(&self) -> String {
        self.when.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = self.uri.iter().map(|text| ("uri", text));
        for (i, (name, text)) in uri.chain(self.headers.iter().map(|(name, text)| (name.as_str(), text))).enumerate() {
            let and = if i == 0 { "" } else { " and " };
            match text {
                TextMatch::Exact(text) => write!(f, "{and}{name} = {text}")?,
                TextMatch::Prefix(text) => write!(f, "{and}{name} = {text}*")?,
                TextMatch::Regex(text) => write!(f, "{and}{name} ~ {text}")?,
            }
        }
        Ok(())
    }
}

/// Labels of a subset that declares none.
pub fn default_subset(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(defaults::SUBSET_LABEL.to_owned(), name.to_owned())])
}
