//! Histories in memory, for tests that make many.

use std::cell::Cell;
use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, LineEnding, PrivateKey};

use super::{Id, Kind, Objects, Unreadable};

/// Files by path; a content that begins with `->` is a symbolic link.
pub type Files = BTreeMap<String, String>;

/// An object store. Its ids are made with SHA-256, which nobody there asks.
#[derive(Default)]
pub struct Store {
    objects: BTreeMap<Id, (Kind, Vec<u8>)>,
    /// Objects read so far.
    pub reads: Cell<usize>,
}

impl Objects for Store {
    fn header(&self, id: Id) -> Result<(Kind, usize), Unreadable> {
        let missing = || Unreadable { id, reason: "it is not there".to_owned() };
        self.objects.get(&id).map(|(kind, content)| (*kind, content.len())).ok_or_else(missing)
    }

    fn read(&self, id: Id) -> Result<Vec<u8>, Unreadable> {
        self.reads.set(self.reads.get() + 1);
        self.header(id)?;
        Ok(self.objects[&id].1.clone())
    }
}

impl Store {
    pub fn put(&mut self, kind: Kind, content: &[u8]) -> Id {
        let digest = Sha256::new().chain_update(format!("{kind:?} {}", content.len())).chain_update(content).finalize();
        let id = Id(digest[..20].try_into().unwrap());
        self.objects.insert(id, (kind, content.to_vec()));
        id
    }

    pub fn remove(&mut self, id: Id) {
        self.objects.remove(&id);
    }

    /// A folder of entries as they are given.
    pub fn raw_tree(&mut self, entries: &[(&str, &str, Id)]) -> Id {
        let mut raw = Vec::new();
        for (mode, name, id) in entries {
            raw.extend(format!("{mode} {name}\0").bytes());
            raw.extend(id.0);
        }
        self.put(Kind::Tree, &raw)
    }

    pub fn tree(&mut self, files: &Files) -> Id {
        let mut folders: BTreeMap<String, Files> = BTreeMap::new();
        let mut entries: Vec<(String, &str, String, Id)> = Vec::new();
        for (path, content) in files {
            match path.split_once('/') {
                Some((folder, rest)) => {
                    folders.entry(folder.to_owned()).or_default().insert(rest.to_owned(), content.clone());
                }
                None => {
                    let mode = if content.starts_with("->") { "120000" } else { "100644" };
                    let id = self.put(Kind::Blob, content.as_bytes());
                    entries.push((path.clone(), mode, path.clone(), id));
                }
            }
        }
        for (name, files) in folders {
            entries.push((format!("{name}/"), "40000", name, self.tree(&files)));
        }
        entries.sort();
        let entries: Vec<_> = entries.iter().map(|(_, mode, name, id)| (*mode, name.as_str(), *id)).collect();
        self.raw_tree(&entries)
    }

    pub fn commit(&mut self, files: &Files, parents: &[Id], message: &str, key: Option<&PrivateKey>) -> Id {
        let tree = self.tree(files);
        let payload = payload(tree, parents, message);
        let signature = key.map(|key| sign(key, "git", payload.as_bytes()));
        self.signed(&payload, signature.as_deref())
    }

    /// A commit of these bytes with this signature.
    pub fn signed(&mut self, payload: &str, signature: Option<&str>) -> Id {
        let raw = signature.map_or_else(|| payload.to_owned(), |armour| with_signature(payload, armour));
        self.put(Kind::Commit, raw.as_bytes())
    }
}

/// A commit's bytes without signature.
pub fn payload(tree: Id, parents: &[Id], message: &str) -> String {
    let parents: Vec<String> = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
    let who = "Ada <ada@example.com> 1700000000 +0000";
    format!("tree {tree}\n{}author {who}\ncommitter {who}\n\n{message}\n", parents.concat())
}

/// A commit's bytes with the header that Git puts a signature into.
pub fn with_signature(payload: &str, armour: &str) -> String {
    let (head, message) = payload.split_once("\n\n").unwrap();
    format!("{head}\ngpgsig {}\n\n{message}", armour.trim_end().replace('\n', "\n "))
}

pub fn sign(key: &PrivateKey, namespace: &str, payload: &[u8]) -> String {
    key.sign(namespace, HashAlg::Sha512, payload).unwrap().to_pem(LineEnding::LF).unwrap()
}

/// The same key for the same number.
pub fn key(number: u8) -> PrivateKey {
    PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[number; 32])), "").unwrap()
}

/// A public key as it stands in a file.
pub fn public(key: &PrivateKey) -> String {
    key.public_key().to_openssh().unwrap().trim_end().to_owned()
}

pub fn files(entries: &[(&str, &str)]) -> Files {
    entries.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned())).collect()
}
