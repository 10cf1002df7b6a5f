//! From the shapes that people write to values that hold: names are checked, defaults filled in, all findings collected.

mod mesh;
mod peer;
mod resilience;
mod routes;
mod traffic;

pub use mesh::mesh;
pub use peer::peer;
pub use traffic::traffic;

use jiff::SignedDuration;

use super::at::{At, Span};
use super::code::Code;
use super::diagnostic::Diagnostic;
use super::documents::{FederationDocument, LocalitySpec};
use super::federation::{Gating, Guards, Locality, ServiceName, Settings};
use super::names;
use super::network::Cidr;

/// Collects the findings of one file. Whoever converts goes on after a finding, so that a person sees all of them at once.
pub struct Findings<'a> {
    path: &'a str,
    list: &'a mut Vec<Diagnostic>,
}

impl<'a> Findings<'a> {
    /// Findings of the file at `path`, added to `list`.
    pub fn new(path: &'a str, list: &'a mut Vec<Diagnostic>) -> Self {
        Self { path, list }
    }

    fn error(&mut self, span: Span, code: Code, message: impl Into<String>, help: impl Into<String>) {
        self.list.push(Diagnostic::error(self.path, span, code, message, help));
    }

    fn warning(&mut self, span: Span, code: Code, message: impl Into<String>, help: impl Into<String>) {
        self.list.push(Diagnostic::warning(self.path, span, code, message, help));
    }

    fn name(&mut self, name: &At<String>, rule: impl Fn(&str) -> Result<(), String>) {
        if let Err(message) = rule(name) {
            self.error(name.span, Code::BadName, message, "");
        }
    }

    fn same_name(&mut self, name: &At<String>, expected: &str, of: &str) {
        if **name != *expected {
            let help = match names::label(expected) {
                Ok(()) => format!("call it `{expected}`, or rename the {of}"),
                Err(_) => format!("rename the {of}"),
            };
            self.error(
                name.span,
                Code::NameMismatch,
                format!("this document is called `{}` but its {of} `{expected}`", **name),
                help,
            );
        }
    }

    fn service(&mut self, text: &At<String>) -> Option<At<ServiceName>> {
        let parts = text.split_once('/').filter(|(_, name)| !name.contains('/'));
        let Some((namespace, name)) = parts else {
            self.error(text.span, Code::BadName, format!("`{}` is not a service", text.escape_debug()), "write `namespace/name`");
            return None;
        };
        for part in [namespace, name] {
            if let Err(message) = names::label(part) {
                self.error(text.span, Code::BadName, message, "write `namespace/name`");
                return None;
            }
        }
        Some(At { value: ServiceName { namespace: namespace.into(), name: name.into() }, span: text.span })
    }
}

/// `federation.yaml`.
pub fn federation(document: FederationDocument, findings: &mut Findings) -> Settings {
    let FederationDocument { api_version: _, kind: _, metadata, spec } = document;
    let mut ranges = Vec::new();
    for text in spec.allow_addresses {
        match Cidr::parse(&text) {
            Some(range) => ranges.push(range),
            None => {
                findings.error(text.span, Code::BadValue, format!("`{}` is not a range", *text), "write it like `127.0.0.0/8`");
            }
        }
    }
    let default = Gating::default();
    let mut time = |text: Option<At<String>>, default| match text.and_then(|text| resilience::duration(&text, findings)) {
        Some(time) => SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX),
        None => default,
    };
    let gating = Gating {
        stale_after: time(spec.gating.stale_after, default.stale_after),
        settle: time(spec.gating.settle, default.settle),
    };
    let most = Guards::default();
    let guards = Guards {
        peerings: share(spec.guards.peerings, findings).unwrap_or(most.peerings),
        objects: share(spec.guards.objects, findings).unwrap_or(most.objects),
    };
    Settings { name: metadata.name.value, allow_addresses: ranges, ca_policy: spec.ca_policy, gating, guards }
}

/// A share like `50%`, in percent.
fn share(text: Option<At<String>>, findings: &mut Findings) -> Option<u8> {
    let text = text?;
    let share = text.strip_suffix('%').and_then(|number| number.parse().ok()).filter(|share| *share <= 100);
    if share.is_none() {
        findings.error(text.span, Code::BadValue, format!("`{}` is not a share", text.escape_debug()), "write it like `50%`");
    }
    share
}

fn locality(spec: LocalitySpec, findings: &mut Findings) -> Locality {
    let LocalitySpec { region, zone, subzone } = spec;
    for value in std::iter::once(&region).chain(&zone).chain(&subzone) {
        findings.name(value, names::label_value);
    }
    if let (None, Some(subzone)) = (&zone, &subzone) {
        // maistra/istio drops the whole locality without a word
        findings.error(subzone.span, Code::BadValue, "a `subzone` needs a `zone`", "add the zone that it lies in");
    }
    Locality { region: region.value, zone: zone.map(|text| text.value), subzone: subzone.map(|text| text.value) }
}
