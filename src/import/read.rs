//! Texts in, objects out, each with its own text and place. A document that cannot be read hides none of the others.

use std::collections::BTreeSet;

use serde_json::Value;

use super::live;
use super::template::{self, Template};
use crate::model::{At, Code, Diagnostic, Node, Span, secrets, yaml};
use crate::object::{Key, Kind};

/// An object as it was given.
#[derive(Clone, Debug)]
pub(super) struct Given<'a> {
    /// Path of the text that it stands in.
    pub path: &'a str,
    /// Its place there.
    pub span: Span,
    pub kind: Kind,
    pub key: Key,
    /// With the places of its parts.
    pub node: At<Node>,
    /// Without what only a server says.
    pub value: Value,
    /// How it can be written again.
    pub text: Text<'a>,
}

/// How an object can be written again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Text<'a> {
    /// As it stands there, with its comments.
    Original(&'a str),
    /// Anew: it was an item of a list, a server had added to it, or it has aliases, which a repository has not.
    Anew,
    /// As it stands there, which is no YAML until its gaps are filled in.
    Template(&'a str),
    /// Not at all: it holds a secret.
    Secret,
}

/// A document that nobody can read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Unread<'a> {
    pub path: &'a str,
    pub span: Span,
    /// As it stands there; `None` where it may hold a secret.
    pub text: Option<&'a str>,
}

/// What the texts hold.
#[derive(Debug, Default)]
pub(super) struct Read<'a> {
    pub objects: Vec<Given<'a>>,
    pub found: Vec<Diagnostic>,
    pub unread: Vec<Unread<'a>>,
    /// Lines of templates that have a gap.
    pub gaps: BTreeSet<(&'a str, u32)>,
    /// Secrets in objects of the document that is read.
    secrets: Vec<Diagnostic>,
}

const LEFT_OUT: &str =
    "it is left out: make it in the cluster, or let an operator there decrypt or fetch it (SealedSecret, ExternalSecret)";
const KUSTOMIZATION: &str = "a Kustomization stands for objects that are made from it";
const BUILD: &str = "import what it makes: kustomize build FOLDER | meshfed import -";

/// A part of a text that is a document by itself.
struct Segment<'a> {
    text: &'a str,
    /// Lines before it.
    above: u32,
}

impl<'a> Read<'a> {
    /// Takes all objects of a text.
    pub fn text(&mut self, path: &'a str, text: &'a str) {
        for segment in segments(text.strip_prefix('\u{feff}').unwrap_or(text)) {
            self.segment(path, &segment);
        }
    }

    fn segment(&mut self, path: &'a str, segment: &Segment<'a>) {
        let mut leaks = secrets_in(segment.text);
        let (nodes, mut text) = match yaml::nodes(path, segment.text) {
            Ok(nodes) => (nodes, Text::Original(segment.text)),
            Err(finding) => match yaml::expanded(path, segment.text) {
                Ok(nodes) => (nodes, Text::Anew),
                Err(_) => {
                    let Template { finding, mended, lines } = template::look(path, segment.text, *finding);
                    let finding = moved(finding, segment.above);
                    let span = finding.span;
                    self.found.push(finding);
                    self.gaps.extend(lines.into_iter().map(|line| (path, line + segment.above)));
                    let mended = mended.unwrap_or_default();
                    if leaks.is_empty() {
                        leaks = secrets_in(&mended);
                    }
                    let nodes = yaml::nodes(path, &mended).unwrap_or_default();
                    if nodes.is_empty() {
                        let open = leaks.is_empty() && !may_be_secret(segment.text);
                        self.unread.push(Unread { path, span, text: open.then_some(segment.text) });
                    }
                    (nodes, Text::Template(segment.text))
                }
            },
        };
        if !leaks.is_empty() {
            // What is in comments goes with them.
            text = if matches!(text, Text::Template(_)) { Text::Secret } else { Text::Anew };
        }
        for mut node in nodes {
            node.move_down(segment.above);
            self.node(path, node, text);
        }
        let held = std::mem::take(&mut self.secrets);
        let leaks = leaks.into_iter().map(|leak| moved(Diagnostic { path: path.to_owned(), ..leak }, segment.above));
        // A leak has the more exact place, but of the items of a list only the first is one.
        if held.len() > leaks.len() { self.found.extend(held) } else { self.found.extend(leaks) }
    }

    fn node(&mut self, path: &'a str, node: At<Node>, text: Text<'a>) {
        let field = |name: &str| node.get(name).and_then(|field| field.text());
        let (Some(version), Some(kind)) = (field("apiVersion"), field("kind")) else {
            let (message, help) = match path.rsplit('/').next() {
                Some("kustomization.yaml" | "kustomization.yml") if only_lists(&node) => return,
                Some("kustomization.yaml" | "kustomization.yml") => (KUSTOMIZATION, BUILD),
                _ => (
                    "this is no Kubernetes object: it lacks `apiVersion` or `kind`",
                    "it is left out; values of a chart and the like are filled in by what reads them",
                ),
            };
            self.found.push(Diagnostic::warning(path, node.span, Code::Misplaced, message, help));
            return;
        };
        if let (Some(item), Some(items)) = (kind.strip_suffix("List"), node.get("items")) {
            let text = if matches!(text, Text::Original(_)) { Text::Anew } else { text };
            for mut object in items.items().iter().cloned() {
                name_kind(&mut object, version, item);
                self.node(path, object, text);
            }
            return;
        }
        let kind = Kind::new(version, kind);
        let name = node.at(&["metadata", "name"]).and_then(|name| name.text());
        let namespace = node.at(&["metadata", "namespace"]).and_then(|namespace| namespace.text());
        let Some(name) = name else {
            let (message, help) = match &*kind.kind {
                _ if node.at(&["metadata", "name"]).is_some() => {
                    ("`metadata.name` is no text", "put it in quotes; it is left out until then")
                }
                "Kustomization" if only_lists(&node) => return,
                "Kustomization" => (KUSTOMIZATION, BUILD),
                _ => ("the object has no `metadata.name`", "it is left out; give it a name"),
            };
            return self.found.push(Diagnostic::warning(path, node.span, Code::Misplaced, message, help));
        };
        if let Some(help) = holds_others(&kind) {
            let message = format!("objects that a {} holds are not looked into", kind.kind);
            self.found.push(Diagnostic::warning(path, node.span, Code::Misplaced, message, help));
        }
        let key = Key::new(&kind, namespace, name);
        let given = node.value.value();
        let value = live::stripped(given.clone());
        let leaks = secrets_in(&serde_saphyr::to_string(&value).unwrap_or_default());
        let text = match text {
            Text::Original(_) | Text::Anew if !leaks.is_empty() => Text::Secret,
            Text::Original(_) if value != given => Text::Anew,
            text => text,
        };
        if text == Text::Secret {
            let span = node.get("kind").map_or(node.span, |kind| kind.span);
            self.secrets.extend(leaks.into_iter().take(1).map(|leak| Diagnostic { path: path.to_owned(), span, ..leak }));
        }
        self.objects.push(Given { path, span: node.span, kind, key, node, value, text });
    }
}

/// Whether a text that cannot be read looks like a Secret: its values need not look like secrets.
fn may_be_secret(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| ["Secret", "SecretList"].contains(&word))
}

/// Whether a Kustomization makes nothing of the files that it lists.
fn only_lists(kustomization: &Node) -> bool {
    let plain = ["apiVersion", "kind", "metadata", "resources", "bases", "components"];
    kustomization.fields().iter().all(|(field, _)| plain.contains(&field.as_str()))
}

/// What to do about objects that others are written in.
fn holds_others(kind: &Kind) -> Option<&'static str> {
    match (&*kind.group, &*kind.kind) {
        ("template.openshift.io", "Template") => Some("import what it makes: oc process -f FILE | meshfed import -"),
        ("policy.open-cluster-management.io", "Policy" | "ConfigurationPolicy")
        | ("work.open-cluster-management.io", "ManifestWork") => {
            Some("import what it made: oc get … -o yaml | meshfed import -, or with --live")
        }
        _ => None,
    }
}

/// Secrets in a text, as they are told of what is not in a repository yet.
fn secrets_in(text: &str) -> Vec<Diagnostic> {
    let mut found = secrets::in_file("x.yaml", text.as_bytes());
    for finding in &mut found {
        finding.message = finding.message.replace("lies open in the repository", "goes into no repository");
        LEFT_OUT.clone_into(&mut finding.help);
    }
    found
}

/// Items of a typed list (`ServiceMeshPeerList`) need not say their kind.
fn name_kind(object: &mut At<Node>, version: &str, kind: &str) {
    let span = object.span;
    let Node::Map(fields) = &mut object.value else { return };
    for (name, value) in [("kind", kind), ("apiVersion", version)] {
        if !kind.is_empty() && !fields.iter().any(|(key, _)| **key == name) {
            let value = Node::Scalar(Value::String(value.to_owned()));
            fields.insert(0, (At { value: name.to_owned(), span }, At { value, span }));
        }
    }
}

fn moved(mut finding: Diagnostic, lines: u32) -> Diagnostic {
    if finding.span.line > 0 {
        finding.span.line += lines;
    }
    finding
}

/// The documents of a stream (YAML 1.2, 9.2): a line that begins with `---` ends one. In no document can such a line be content.
fn segments(text: &str) -> Vec<Segment<'_>> {
    let mut all = Vec::new();
    let (mut start, mut above, mut at) = (0, 0, 0);
    for (number, line) in (0..).zip(text.split_inclusive('\n')) {
        let rest = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        let ends = rest.is_some() || line.trim_end() == "...";
        if ends {
            all.push(Segment { text: &text[start..at], above });
            let content = rest.is_some_and(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('#'));
            (start, above) = if content { (at + "---".len(), number) } else { (at + line.len(), number + 1) };
        }
        at += line.len();
    }
    all.push(Segment { text: &text[start..], above });
    let said = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#') && !line.starts_with('%');
    all.retain(|segment| segment.text.lines().any(said));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Read<'_> {
        let mut read = Read::default();
        read.text("a.yaml", text);
        read
    }

    fn places(read: &Read) -> Vec<(String, u32)> {
        read.objects.iter().map(|object| (object.key.to_string(), object.span.line)).collect()
    }

    const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n";

    #[test]
    fn each_object_keeps_its_text_and_its_place() {
        let text =
            format!("%YAML 1.2\n---\n# first\n{}--- # x\n\n{}...\n---\n", MAP.replace("NAME", "a"), MAP.replace("NAME", "b"));
        let read = read(&text);
        assert_eq!(places(&read), [("ConfigMap/a".to_owned(), 4), ("ConfigMap/b".to_owned(), 9)]);
        assert_eq!(read.objects[0].text, Text::Original(&format!("# first\n{}", MAP.replace("NAME", "a"))));
        assert_eq!(read.found, []);
    }

    #[test]
    fn items_of_a_list_are_objects() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n";
        assert_eq!(places(&read(text)), [("ConfigMap/a".to_owned(), 4)]);
        let typed = "apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: a}\n";
        assert_eq!(places(&read(typed)), [("ConfigMap/a".to_owned(), 4)]);
    }

    #[test]
    fn what_cannot_be_read_hides_nothing_else() {
        let text = format!("a: [\n---\n{}---\njust: values\n", MAP.replace("NAME", "b"));
        let read = read(&text);
        assert_eq!(places(&read), [("ConfigMap/b".to_owned(), 3)]);
        let lines: Vec<u32> = read.found.iter().map(|finding| finding.span.line).collect();
        assert_eq!(lines, [1, 7], "{:?}", read.found);
    }

    #[test]
    fn what_cannot_be_read_is_kept_unless_it_may_be_a_secret() {
        let text = "kind: ConfigMap\n\tname: a\n---\nkind: Secret\n\tdata: {a: b}\n---\nx: {{ .A\n  y: {{ .B }}\n";
        let read = read(text);
        let kept: Vec<(u32, Option<&str>)> = read.unread.iter().map(|unread| (unread.span.line, unread.text)).collect();
        assert_eq!(kept, [(1, Some("kind: ConfigMap\n\tname: a\n")), (4, None), (7, Some("x: {{ .A\n  y: {{ .B }}\n"))]);
    }

    #[test]
    fn a_template_is_called_one_and_looked_into() {
        let text = "# {{ x }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  root-cert.pem: {{MESH_CERT}}\n";
        let read = read(text);
        assert_eq!(read.found.len(), 1);
        assert_eq!((read.found[0].span.line, read.found[0].span.column), (6, 18));
        assert!(read.found[0].message.contains("{{MESH_CERT}}"), "{:?}", read.found);
        assert_eq!(read.objects[0].value["data"]["root-cert.pem"], "{{MESH_CERT}}");
        assert_eq!(read.objects[0].text, Text::Template(text));
    }

    #[test]
    fn a_secret_is_never_written_again() {
        let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: hunter2}\n";
        let read = read(text);
        assert_eq!((&read.objects[0].text, read.found[0].code), (&Text::Secret, Code::Secret));
        let gap = read_owned("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  password: {{PASSWORD}}\n");
        assert_eq!(gap, [Text::Secret], "what fills it in is one");
    }

    /// How the objects of a text are written again.
    fn read_owned(text: &'static str) -> Vec<Text<'static>> {
        read(text).objects.iter().map(|object| object.text).collect()
    }

    #[test]
    fn a_secret_in_a_comment_goes_with_it() {
        let text = "# -----BEGIN PRIVATE KEY-----\n# MC4CAQAwBQYDK2VwBCIEIDuI\n# -----END PRIVATE KEY-----\napiVersion: v1\nkind: ConfigMap\n\
                    metadata: {name: a}\n";
        let read = read(text);
        assert_eq!((read.objects[0].text, read.found.len()), (Text::Anew, 1), "{:?}", read.found);
    }

    #[test]
    fn aliases_are_written_out() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: &m\n  name: a\n  labels: &l {a: b}\ndata: *l\n";
        let read = read(text);
        assert_eq!((read.found.len(), read.objects[0].text), (0, Text::Anew), "{:?}", read.found);
        assert_eq!(read.objects[0].value["data"], serde_json::json!({"a": "b"}));
        let merged = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: &d {x: y}\nbinaryData: {<<: *d, z: w}\n";
        let read = self::read(merged);
        assert_eq!(read.objects[0].value["binaryData"], serde_json::json!({"x": "y", "z": "w"}));
    }

    #[test]
    fn a_secret_in_a_list_hides_none_of_the_others() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: b}}\n\
                    - {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n";
        let read = read(text);
        assert_eq!(read.found.len(), 1);
        assert_eq!((read.objects[0].text, read.objects[1].text), (Text::Secret, Text::Anew));
    }
}
