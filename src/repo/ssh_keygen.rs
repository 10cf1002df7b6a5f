//! Signatures by a person's key that only OpenSSH can use: one with a passphrase, in hardware, or in ssh-agent. Git has them made by the same program
//! (git-config(1), `gpg.ssh.program`).

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::RepoError;
use super::signing::NAMESPACE;

/// What Git runs where its configuration names nothing else.
pub const PROGRAM: &str = "ssh-keygen";

/// A key that OpenSSH signs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSshKey {
    /// `type base64`.
    public: String,
    /// The private key, or where that is in ssh-agent, the public one; none where no file has either.
    file: Option<PathBuf>,
    /// Why we cannot sign ourselves.
    why: String,
}

impl OpenSshKey {
    /// The key whose private or public half is in a file.
    pub(super) fn of_file(file: &Path, public: String, why: &str) -> Self {
        Self { public, file: Some(file.to_owned()), why: why.to_owned() }
    }

    /// A key that ssh-agent has, by its public half and by the file with that, if there is one.
    pub fn in_agent(public: String, file: Option<&Path>) -> Self {
        Self { public, file: file.map(Path::to_owned), why: "ssh-agent has to have it: ssh-add -L".to_owned() }
    }

    /// The public half: `type base64`.
    pub fn public_line(&self) -> &str {
        &self.public
    }

    /// Why we cannot sign with it ourselves.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// An armoured signature over a commit's bytes. A passphrase is asked for by OpenSSH, at the terminal; nothing is asked where nobody sits at one.
    pub(super) fn sign(&self, content: &[u8], program: &str) -> Result<String, RepoError> {
        let failed = |reason: String| RepoError::Git { doing: "signing the commit", reason };
        let cannot = |error: io::Error| failed(format!("{program} cannot be run: {error}; it comes with OpenSSH"));
        let mut written = None;
        let file = match &self.file {
            Some(file) => file.clone(),
            None => {
                let mut temporary = tempfile::NamedTempFile::new().map_err(cannot)?;
                writeln!(temporary, "{}", self.public).map_err(cannot)?;
                written.insert(temporary).path().to_owned()
            }
        };
        let mut sign = Command::new(program);
        sign.args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"]).arg(&file);
        if !io::stdin().is_terminal() {
            sign.args(["-P", ""]);
        }
        let mut signer = sign.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(cannot)?;
        // One that cannot sign reads nothing: what matters is how it ends.
        let _ = signer.stdin.take().map(|mut input| input.write_all(content));
        let ended = signer.wait_with_output().map_err(cannot)?;
        let armoured = String::from_utf8_lossy(&ended.stdout).trim_end().to_owned();
        if ended.status.success() && !armoured.is_empty() {
            return Ok(armoured);
        }
        let named = self.file.as_ref().map_or(self.public.clone(), |file| file.display().to_string());
        Err(failed(format!("{program} has not signed with {named}: {}", self.why)))
    }
}
