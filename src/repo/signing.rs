//! Private keys, the agent's own and people's, and SSH signatures as Git makes and verifies them (`gpg.format = ssh`, OpenSSH's
//! `PROTOCOL.sshsig`).

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey};

use super::error::RepoError;
use super::ssh_keygen::OpenSshKey;

/// What signatures are made for, as Git has it (gitformat-signature(5)); the same key cannot be tricked into other uses.
pub(super) const NAMESPACE: &str = "git";

/// Largest key file read, in bytes; an ed25519 key has about 400.
const MAX_KEY_FILE: u64 = 16 << 10;

/// How Kubernetes mounts a Secret for a pod that does not run as root: root's, and readable for the group of that very pod (`fsGroup`).
const MOUNTED: u32 = 0o440;

/// A key that signs commits. Shows only its public half.
pub struct SigningKey(PrivateKey);

impl SigningKey {
    /// The key in an OpenSSH private key file without passphrase, and whether it was made just now because there was none:
    /// then with mode 0600, whole or not at all, in a directory made with mode 0700 if absent. A file that others may read
    /// is refused.
    pub fn load_or_create(path: &Path) -> Result<(Self, bool), RepoError> {
        match fs::metadata(path) {
            Ok(found) => Self::load(path, &found).map(|key| (key, false)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match Self::create(path, "meshfed")? {
                Some(key) => Ok((key, true)),
                // Another process made one meanwhile.
                None => {
                    let found = fs::metadata(path).map_err(|error| refused(path, error.to_string()))?;
                    Self::load(path, &found).map(|key| (key, false))
                }
            },
            Err(error) => Err(refused(path, error.to_string())),
        }
    }

    /// The public half as a line for `mesh.yaml`, `allowed_signers` or `authorized_keys`: `ssh-ed25519 AAAA… comment`.
    pub fn public_line(&self, comment: &str) -> String {
        public_line(self.0.public_key(), comment)
    }

    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// An armoured signature over a commit's bytes, for its `gpgsig` header.
    pub(super) fn sign(&self, content: &[u8]) -> Result<String, RepoError> {
        let armoured = self.0.sign(NAMESPACE, HashAlg::Sha512, content).and_then(|signature| signature.to_pem(LineEnding::LF));
        let armoured = armoured.map_err(|error| RepoError::Git { doing: "signing the commit", reason: error.to_string() })?;
        // The header's line ends are Git's own; one at the end would become an empty line of the signature.
        Ok(armoured.trim_end().to_owned())
    }

    /// A person's key as a file holds it. Only its owner may read the file.
    pub fn of_person(path: &Path) -> Result<PersonKey, RepoError> {
        let found = fs::metadata(path).map_err(|error| refused(path, error.to_string()))?;
        let key = private(path, &found)?;
        let public = public_line(key.public_key(), "");
        let elsewhere = |why: &str| Ok(PersonKey::OpenSsh(OpenSshKey::of_file(path, public.clone(), why)));
        match key.algorithm() {
            _ if key.is_encrypted() => elsewhere("the key has a passphrase"),
            Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => Ok(PersonKey::Here(Box::new(Self(key)))),
            Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => elsewhere("the key is in hardware that somebody must touch"),
            other => elsewhere(&format!("the key is of type {other}")),
        }
    }

    /// Makes a key in a new file; one that is there stays and is an error.
    pub fn create_new(path: &Path, comment: &str) -> Result<Self, RepoError> {
        Self::create(path, comment)?.ok_or_else(|| refused(path, "it is there already, and is not replaced".to_owned()))
    }

    fn load(path: &Path, found: &fs::Metadata) -> Result<Self, RepoError> {
        let key = private(path, found)?;
        if key.is_encrypted() {
            return Err(refused(path, "it has a passphrase, and nobody is there to type it: use a key without".to_owned()));
        }
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(refused(path, format!("it is of type {}: use ssh-ed25519", key.algorithm())));
        }
        Ok(Self(key))
    }

    /// `None` where there is a file by now.
    fn create(path: &Path, comment: &str) -> Result<Option<Self>, RepoError> {
        let failed = |error: io::Error| refused(path, format!("it is not there, and cannot be made: {error}"));
        let mut key = PrivateKey::random(&mut rand_core::OsRng, Algorithm::Ed25519)
            .map_err(|error| refused(path, format!("it is not there, and cannot be made: {error}")))?;
        key.set_comment(super::error::one_line(comment));
        let text = key.to_openssh(LineEnding::LF).map_err(|error| refused(path, error.to_string()))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let draft = folder.join(format!(".meshfed-key.{}", std::process::id()));
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        // A link, unlike a rename, does not replace a key that another process made meanwhile.
        let placed = written.and_then(|()| fs::hard_link(&draft, path));
        let _ = fs::remove_file(&draft);
        match placed {
            Ok(()) => Ok(Some(Self(key))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

/// A key that a person signs with.
#[derive(Debug)]
pub enum PersonKey {
    /// We can sign with it.
    Here(Box<SigningKey>),
    /// Only OpenSSH can.
    OpenSsh(OpenSshKey),
}

impl PersonKey {
    /// The public half: `type base64`.
    pub fn public_line(&self) -> String {
        match self {
            Self::Here(key) => key.public_line(""),
            Self::OpenSsh(key) => key.public_line().to_owned(),
        }
    }

    /// An armoured signature over a commit's bytes; `program` is OpenSSH's, where that is needed.
    pub(super) fn sign(&self, content: &[u8], program: &str) -> Result<String, RepoError> {
        match self {
            Self::Here(key) => key.sign(content),
            Self::OpenSsh(key) => key.sign(content, program),
        }
    }
}

/// The private key in a file that only its owner may read, or the pod that it is mounted in.
fn private(path: &Path, found: &fs::Metadata) -> Result<PrivateKey, RepoError> {
    let mode = found.permissions().mode() & 0o777;
    if !found.is_file() || found.len() > MAX_KEY_FILE {
        return Err(refused(path, "it is not an OpenSSH private key file".to_owned()));
    }
    if mode & 0o077 != 0 && mode != MOUNTED {
        return Err(refused(path, format!("others may read it (mode {mode:04o}): run chmod 600 on it")));
    }
    let text = fs::read(path).map_err(|error| refused(path, error.to_string()))?;
    PrivateKey::from_openssh(&text).map_err(|error| refused(path, format!("it is not an OpenSSH private key ({error})")))
}

fn public_line(key: &PublicKey, comment: &str) -> String {
    let key = PublicKey::new(key.key_data().clone(), super::error::one_line(comment));
    // Encoding a public key fails only for kinds of key that cannot be read.
    key.to_openssh().unwrap_or_default()
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.fingerprint())
    }
}

fn refused(path: &Path, reason: String) -> RepoError {
    RepoError::Key { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("keys/agent");
        let (made, created) = SigningKey::load_or_create(&path).unwrap();
        assert!(created);
        let permissions = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((permissions(&path), permissions(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside the key");
        let (loaded, created) = SigningKey::load_or_create(&path).unwrap();
        assert!(!created);
        assert_eq!(loaded.public_line("x"), made.public_line("x"));
        assert!(made.public_line("rosa\nprod").starts_with("ssh-ed25519 AAAA"));
        assert!(made.public_line("rosa\nprod").ends_with(" rosa prod"));
        assert!(format!("{made:?}").starts_with("SigningKey(SHA256:"));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("agent");
        SigningKey::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = SigningKey::load_or_create(&path).unwrap_err().to_string();
        assert!(error.ends_with("others may read it (mode 0640): run chmod 600 on it"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(MOUNTED)).unwrap();
        assert!(SigningKey::load_or_create(&path).is_ok(), "a mounted Secret");
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_without_showing_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("agent");
        fs::write(&path, "secret stuff").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = SigningKey::load_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("is not an OpenSSH private key") && !error.contains("secret"), "{error}");
    }
}
