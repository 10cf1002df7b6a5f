//! Random histories: no sequence of legitimate commits freezes, and none with one illegitimate step is accepted.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::trust::testing::*;
use crate::trust::*;

/// Numbers of keys. Ada is root.
pub const ADA: u8 = 1;
pub const ROSA: u8 = 2;
pub const ARO: u8 = 3;
const STRANGER: u8 = 99;

const POLICY: &str = "apiVersion: meshfed.dev/v1alpha1
kind: TrustPolicy
spec:
  roles: {root: [ada], rosa: [rosa], aro: [aro]}
  rules:
  - {paths: ['trust/**', federation.yaml], allow: [root]}
  - {paths: ['meshes/{mesh}/**'], allow: [root, '{mesh}']}
  - {paths: ['**'], allow: [root]}
";

/// A history that grows.
pub struct Federation {
    pub store: Store,
    pub files: Files,
    pub tip: Id,
}

impl Federation {
    /// With an anchor.
    pub fn new() -> Self {
        let names = [("ada", ADA), ("rosa", ROSA), ("aro", ARO)];
        let signers: Vec<String> = names.iter().map(|(name, number)| format!("{name} {}\n", public(&key(*number)))).collect();
        let files = files(&[
            ("federation.yaml", "name: f"),
            ("meshes/rosa/mesh.yaml", "a: 0"),
            ("meshes/aro/mesh.yaml", "a: 0"),
            ("trust/policy.yaml", POLICY),
            ("trust/allowed_signers", &signers.concat()),
        ]);
        let mut store = Store::default();
        let tip = store.commit(&files, &[], "Begin", Some(&key(ADA)));
        Self { store, files, tip }
    }

    /// A commit of the files as they are.
    pub fn commit(&mut self, signer: Option<u8>, parents: &[Id], message: &str) -> Id {
        self.tip = self.store.commit(&self.files, parents, message, signer.map(key).as_ref());
        self.tip
    }

    pub fn write(&mut self, signer: u8, path: &str, content: &str) -> Id {
        self.files.insert(path.to_owned(), content.to_owned());
        self.commit(Some(signer), &[self.tip], path)
    }

    pub fn accept(&mut self, signer: u8, commits: &[Id]) -> Id {
        let trailers: Vec<String> = commits.iter().map(|id| format!("{ACCEPT}: {id}")).collect();
        self.commit(Some(signer), &[self.tip], &format!("Accept\n\n{}", trailers.join("\n")))
    }

    pub fn verdict(&self, verified: Id) -> Verdict {
        Verifier::new().main(&self.store, verified, self.tip).unwrap()
    }

    pub fn refusal(&self, verified: Id) -> Refusal {
        self.verdict(verified).refusal.unwrap()
    }

    /// One step that somebody may do. `n` makes it differ.
    fn legitimate(&mut self, kind: u8, n: u8) -> Id {
        let (mesh, owner) = if n.is_multiple_of(2) { ("rosa", ROSA) } else { ("aro", ARO) };
        let tip = self.tip;
        match kind % 9 {
            0 => self.write(owner, &format!("meshes/{mesh}/peers/p{}.yaml", n % 5), &format!("n: {n}")),
            1 => self.write(ADA, "federation.yaml", &format!("n: {n}")),
            2 => {
                let folder = format!("meshes/{mesh}/peers/");
                self.files.retain(|path, _| !path.starts_with(&folder));
                self.commit(Some(owner), &[tip], "Remove")
            }
            3 => {
                // An unsigned commit of somebody else on a side branch, merged by whose files it changes.
                self.files.insert(format!("meshes/{mesh}/side.yaml"), format!("n: {n}"));
                let side = self.store.commit(&self.files, &[tip], "Side", None);
                self.commit(Some(owner), &[tip, side], "Merge")
            }
            4 => {
                // A new key for a name that is there, then used.
                let number = 100 + n % 100;
                let line = format!("{mesh} {}\n", public(&key(number)));
                let revoked = self.files.get("trust/revoked_keys").is_some_and(|keys| keys.contains(&public(&key(number))));
                let signers = self.files.get_mut("trust/allowed_signers").unwrap();
                if revoked || signers.contains(&public(&key(number))) {
                    return self.commit(Some(ADA), &[tip], "Nothing");
                }
                signers.push_str(&line);
                self.commit(Some(ADA), &[tip], "Add a key");
                self.write(number, &format!("meshes/{mesh}/mesh.yaml"), &format!("n: {n}"))
            }
            5 => self.revoke(100 + n % 100),
            6 => {
                self.files.insert(format!("meshes/{mesh}/mesh.yaml"), format!("nobody signed: {n}"));
                let bad = self.commit(None, &[tip], "Unsigned");
                self.accept(ADA, &[bad])
            }
            7 => {
                // A right is granted, used by who has it now, and taken back.
                let before = self.files["trust/policy.yaml"].clone();
                let granted =
                    before.replacen("  rules:\n", &format!("  rules:\n  - {{paths: [shared/{n}], allow: [{mesh}]}}\n"), 1);
                self.write(ADA, "trust/policy.yaml", &granted);
                self.write(owner, &format!("shared/{n}"), &format!("by {mesh}"));
                self.write(ADA, "trust/policy.yaml", &before)
            }
            _ => self.commit(Some(owner), &[tip], "Nothing"),
        }
    }

    /// One step that nobody may do, perhaps after some that are right: the last that is right, and that which is not.
    fn illegitimate(&mut self, kind: u8, n: u8) -> (Id, Id) {
        let good = match kind % 16 {
            12 => {
                let without = self.files["trust/policy.yaml"].replace("aro: [aro]", "aro: []");
                self.write(ADA, "trust/policy.yaml", &without)
            }
            13 => self.revoke(ARO),
            _ => self.tip,
        };
        (good, self.illegitimate_step(kind, n))
    }

    fn revoke(&mut self, number: u8) -> Id {
        let line = format!("{}\n", public(&key(number)));
        let revoked = self.files.entry("trust/revoked_keys".to_owned()).or_default();
        if !revoked.contains(&line) {
            revoked.push_str(&line);
        }
        self.commit(Some(ADA), &[self.tip], "Revoke a key")
    }

    fn illegitimate_step(&mut self, kind: u8, n: u8) -> Id {
        let tip = self.tip;
        let content = format!("evil: {n}");
        let revoked = self.files.get("trust/revoked_keys").is_some_and(|keys| !keys.is_empty());
        match kind % 16 {
            0 => {
                self.files.insert("meshes/rosa/mesh.yaml".into(), content);
                self.commit(None, &[tip], "Unsigned")
            }
            1 => self.write(STRANGER, "meshes/rosa/mesh.yaml", &content),
            2 => self.write(ROSA, "meshes/aro/mesh.yaml", &content),
            3 => self.write(ROSA, "federation.yaml", &content),
            4 => self.write(ROSA, "README.md", &content),
            5 => {
                // Grant and use in one.
                let policy = self.files.get_mut("trust/policy.yaml").unwrap();
                *policy = policy.replace("root: [ada]", "root: [ada, rosa]");
                self.commit(Some(ROSA), &[tip], "Grant")
            }
            6 if revoked => {
                self.files.remove("trust/revoked_keys");
                self.commit(Some(ADA), &[tip], "Forgive")
            }
            7 => self.write(ADA, "meshes/rosa/link", "->/etc/passwd"),
            8 => self.write(ADA, "meshes/Rosa/mesh.yaml", &content),
            9 => {
                // Another commit's signature.
                self.files.insert("meshes/rosa/mesh.yaml".into(), content);
                let tree = self.store.tree(&self.files);
                let signature = sign(&key(ADA), "git", payload(tree, &[tip], "Other").as_bytes());
                self.tip = self.store.signed(&payload(tree, &[tip], "This"), Some(&signature));
                self.tip
            }
            10 => {
                self.files.insert("meshes/rosa/mesh.yaml".into(), content);
                let payload = payload(self.store.tree(&self.files), &[tip], "For files");
                let signature = sign(&key(ADA), "file", payload.as_bytes());
                self.tip = self.store.signed(&payload, Some(&signature));
                self.tip
            }
            // A right that was taken back, and a key that was revoked.
            12 | 13 => self.write(ARO, "meshes/aro/mesh.yaml", &content),
            14 => {
                // Accepted by who is not root.
                self.files.insert("meshes/rosa/mesh.yaml".into(), content);
                let bad = self.commit(None, &[tip], "Unsigned");
                self.accept(ROSA, &[bad]);
                bad
            }
            15 => {
                // It touches `trust/`, so that nobody can accept it.
                self.files.insert("trust/README.md".into(), content);
                let bad = self.commit(None, &[tip], "Unsigned");
                self.accept(ADA, &[bad]);
                bad
            }
            _ => {
                // A merge that brings in another mesh's change.
                self.files.insert("meshes/aro/mesh.yaml".into(), content);
                let side = self.store.commit(&self.files, &[tip], "Side", Some(&key(ARO)));
                self.commit(Some(ROSA), &[tip, side], "Merge")
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_sequence_of_legitimate_commits_freezes(steps in vec(any::<(u8, u8)>(), 1..12), looks in vec(any::<bool>(), 12)) {
        let mut federation = Federation::new();
        let (anchor, mut verified) = (federation.tip, federation.tip);
        let mut verifier = Verifier::new();
        for ((kind, n), look) in steps.into_iter().zip(looks) {
            federation.legitimate(kind, n);
            if look {
                let verdict = verifier.main(&federation.store, verified, federation.tip).unwrap();
                prop_assert_eq!(&verdict, &Verdict { verified: Some(federation.tip), refusal: None });
                verified = federation.tip;
            }
        }
        prop_assert_eq!(federation.verdict(anchor), Verdict { verified: Some(federation.tip), refusal: None });
    }

    #[test]
    fn no_sequence_with_one_illegitimate_step_is_accepted(
        before in vec(any::<(u8, u8)>(), 0..6),
        bad in any::<(u8, u8)>(),
        after in vec(any::<(u8, u8)>(), 0..6),
    ) {
        let mut federation = Federation::new();
        let anchor = federation.tip;
        for (kind, n) in before {
            federation.legitimate(kind, n);
        }
        let (good, bad) = federation.illegitimate(bad.0, bad.1);
        for (kind, n) in after {
            federation.legitimate(kind, n);
            let verdict = federation.verdict(anchor);
            prop_assert_eq!((verdict.verified, verdict.refusal.map(|refusal| refusal.commit)), (Some(good), Some(bad)));
        }
        let verdict = federation.verdict(anchor);
        prop_assert_eq!((verdict.verified, verdict.refusal.map(|refusal| refusal.commit)), (Some(good), Some(bad)));
        // The way out without an acceptance.
        federation.tip = good;
        prop_assert_eq!(federation.verdict(good).refusal, None);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..400), text in ".{0,200}") {
        let mut store = Store::default();
        for kind in [Kind::Commit, Kind::Tree] {
            let id = store.put(kind, &bytes);
            let _ = Verifier::digest(&store, id);
            let _ = Verifier::new().main(&store, Id([0; 20]), id);
        }
        for text in [text.clone(), format!("a@b namespaces=\"git\",{text}"), format!("a@b ssh-ed25519 {text}")] {
            let _ = Signers::parse("s", &text);
            let _ = Revoked::parse("r", &text);
            let _ = Policy::parse("p", &text);
            let _ = public_key(&text);
        }
    }
}
