//! The verifier of histories, given bytes that nobody would sign. The keys that signed what lies in the corpus were thrown away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use meshfed::trust::{Id, Kind, MAX_KEYS, Objects, Policy, Revoked, Signers, Unreadable, Verifier};

use super::{corpus, fuzz};

const SIGNED: &str = "gpgsig ";

/// The parent of every commit of the corpus, and its folders.
const ANCHOR: Id = Id([0x0a; 20]);
const TREE: Id = Id([0x0c; 20]);
const TRUST: Id = Id([0x0d; 20]);
/// The commit in question.
const TIP: Id = Id([0x0f; 20]);

/// Objects by ids that are made up, as no verifier can tell.
struct Store(BTreeMap<Id, (Kind, Vec<u8>)>);

impl Objects for Store {
    fn header(&self, id: Id) -> Result<(Kind, usize), Unreadable> {
        self.read(id).map(|content| (self.0[&id].0, content.len()))
    }

    fn read(&self, id: Id) -> Result<Vec<u8>, Unreadable> {
        let missing = || Unreadable { id, reason: "it is not there".to_owned() };
        self.0.get(&id).map(|(_, content)| content.clone()).ok_or_else(missing)
    }
}

fn text(target: &str, name: &str) -> String {
    fs::read_to_string(corpus(target).join(name)).unwrap()
}

impl Store {
    /// An anchor with the signers and the policy of the corpus.
    fn new() -> Self {
        let files = [("allowed_signers", text("allowed_signers", "people")), ("policy.yaml", text("policy", "roles"))];
        let mut store = Self(BTreeMap::new());
        let mut trust = Vec::new();
        for (number, (name, content)) in files.into_iter().enumerate() {
            let id = Id([u8::try_from(number).unwrap(); 20]);
            trust.extend([format!("100644 {name}\0").as_bytes(), &id.0].concat());
            store.0.insert(id, (Kind::Blob, content.into_bytes()));
        }
        store.0.insert(TRUST, (Kind::Tree, trust));
        store.0.insert(TREE, (Kind::Tree, [&b"40000 trust\0"[..], &TRUST.0].concat()));
        let anchor = format!("tree {TREE}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nBegin\n");
        store.0.insert(ANCHOR, (Kind::Commit, anchor.into_bytes()));
        store
    }

    /// Whether a commit of these bytes is verified after the anchor.
    fn verifies(&mut self, commit: &[u8]) -> bool {
        self.0.insert(TIP, (Kind::Commit, commit.to_vec()));
        let verdict = Verifier::new().main(self, ANCHOR, TIP);
        verdict.is_ok_and(|verdict| {
            if let Some(refusal) = &verdict.refusal {
                assert!(!refusal.to_string().contains(char::is_control), "{refusal}");
            }
            assert_eq!(verdict.refusal.is_none(), verdict.verified == Some(TIP));
            verdict.refusal.is_none()
        })
    }
}

/// A commit without the lines of its signature.
fn payload(commit: &[u8]) -> Vec<u8> {
    let (mut payload, mut head, mut signature) = (Vec::new(), true, false);
    for line in commit.split_inclusive(|byte| *byte == b'\n') {
        head &= line != b"\n";
        signature = head && (line.starts_with(SIGNED.as_bytes()) || (signature && line.starts_with(b" ")));
        if !signature {
            payload.extend(line);
        }
    }
    payload
}

/// Every commit of the corpus that somebody in `allowed_signers` signed.
fn genuine() -> Vec<Vec<u8>> {
    ["ada", "rosa", "aro"].map(|name| text("commit", name).into_bytes()).into()
}

#[test]
fn fuzz_commit() {
    let store = std::cell::RefCell::new(Store::new());
    let signed: BTreeSet<Vec<u8>> = genuine().iter().map(|commit| payload(commit)).collect();
    for commit in genuine() {
        assert!(store.borrow_mut().verifies(&commit), "else this would prove nothing");
    }
    fuzz("commit", |input| {
        if store.borrow_mut().verifies(input) {
            assert!(signed.contains(&payload(input)), "what was changed after it was signed verifies");
        }
    });
}

/// The bytes of a signature, however its lines are broken.
fn decoded(armour: &str) -> Option<Vec<u8>> {
    let inside = armour.trim_end().strip_prefix("-----BEGIN SSH SIGNATURE-----")?.strip_suffix("-----END SSH SIGNATURE-----")?;
    BASE64_STANDARD.decode(inside.replace('\n', "")).ok()
}

#[test]
fn fuzz_signature() {
    let store = std::cell::RefCell::new(Store::new());
    let good: BTreeSet<_> = ["ada", "rosa", "aro"].map(|name| decoded(&text("signature", name))).into();
    let unsigned = text("commit", "unsigned");
    let (head, message) = unsigned.split_once("\n\n").unwrap();
    let with = |armour: &str| format!("{head}\n{SIGNED}{}\n\n{message}", armour.trim_end_matches('\n').replace('\n', "\n "));
    for name in ["ada", "rosa", "aro"] {
        assert!(store.borrow_mut().verifies(with(&text("signature", name)).as_bytes()), "{name}");
    }
    for name in ["eve", "file"] {
        assert!(!store.borrow_mut().verifies(with(&text("signature", name)).as_bytes()), "{name}");
    }
    fuzz("signature", |input| {
        let Ok(armour) = std::str::from_utf8(input) else { return };
        // An empty line would end the header, and with it the signature.
        if !armour.trim_end().contains("\n\n") && store.borrow_mut().verifies(with(armour).as_bytes()) {
            assert!(good.contains(&decoded(armour)), "a signature that nobody made verifies");
        }
    });
}

#[test]
fn fuzz_allowed_signers() {
    fuzz("allowed_signers", |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let parse = |text: &str| Signers::parse("trust/allowed_signers", text);
        let names =
            |signers: &Signers| signers.iter().map(|(key, signer)| (key.clone(), signer.name.clone())).collect::<Vec<_>>();
        match parse(text) {
            Ok(signers) => {
                let names_read = names(&signers);
                assert!(names_read.len() <= MAX_KEYS);
                assert!(
                    names_read.iter().all(|(_, name)| name.bytes().all(|b| b.is_ascii_graphic() && !b"*?!,\"\\".contains(&b)))
                );
                let backwards: Vec<&str> = text.lines().rev().collect();
                assert_eq!(names(&parse(&backwards.join("\n")).unwrap()), names_read, "the order of lines says nothing");
                let twice = parse(&format!("{text}\n{text}"));
                assert_eq!(twice.is_ok(), names_read.is_empty(), "a key stands once");
            }
            Err(finding) => assert!(!finding.to_string().contains(['\n', '\u{1b}']), "{finding}"),
        }
    });
}

#[test]
fn fuzz_revoked_keys() {
    let one = text("revoked_keys", "one");
    fuzz("revoked_keys", |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let parse = |text: &str| Revoked::parse("trust/revoked_keys", text);
        match parse(text) {
            Ok(revoked) => {
                assert_eq!(parse(&format!("{text}\n{text}")), Ok(revoked.clone()), "it is a set");
                let more = parse(&format!("{text}\n{one}")).unwrap();
                assert_eq!(more.missing_from(&revoked), None, "it has grown");
                assert_eq!(more.missing_from(&parse(&one).unwrap()), None);
            }
            Err(finding) => assert!(!finding.to_string().contains(['\n', '\u{1b}']), "{finding}"),
        }
    });
}

#[test]
fn fuzz_policy() {
    let paths = ["federation.yaml", "trust/policy.yaml", "meshes/rosa/mesh.yaml", "old/x/aro", "a/b/c.md", "x", "meshes//"];
    fuzz("policy", |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let parse = |text: &str| Policy::parse("trust/policy.yaml", text);
        match parse(text) {
            Ok(policy) => {
                assert_eq!(parse(text), Ok(policy.clone()));
                let nobody = "nobody-whom-no-role-has@example.com";
                assert!(paths.iter().all(|path| !policy.allows(nobody, path)), "only members of a role may anything");
                assert!(["root", "rosa", "{mesh}"].iter().all(|role| !policy.has_role(nobody, role)));
            }
            Err(finding) => assert!(!finding.to_string().contains(['\n', '\u{1b}']), "{finding}"),
        }
    });
}
