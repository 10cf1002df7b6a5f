//! `meshfed init`.

use std::path::PathBuf;

use super::clone::{CloneArgs, Judge, quoted};
use super::trust::{first_files, signer_name};
use crate::error::{Error, Exit};
use crate::model::template;
use crate::repo::{Checkout, Contribution};

/// Text of the first README.md.
const README: &str = "\
# A federation of service meshes

`federation.yaml` and `meshes/` say which meshes there are and what they share, `trust/` who may change what. `meshfed check` finds mistakes,
`meshfed trust show` explains the rules, `meshfed status` shows how it goes.
";

/// Begin a federation: a repository with federation.yaml and trust/, in one signed commit
///
/// You become the first root, who may change everything; the printed flags are what agents are started with. Example:
/// meshfed init federation --name ada@example.com --key ~/.ssh/federation
#[derive(clap::Args, Debug)]
pub struct Init {
    /// Folder of the repository; made if absent
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Name of the federation [default: that of the folder]
    #[arg(long, value_name = "NAME")]
    federation: Option<String>,
    /// Your name as a signer [default: Git's user.email]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// OpenSSH key that signs the commit; one with a passphrase, in hardware or in ssh-agent by ssh-keygen [default: Git's
    /// user.signingkey where gpg.format is ssh]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Init {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let (git, folder) = (self.path.join(".git"), self.path.clone());
        let (had_git, had_folder) = (git.exists(), folder.exists());
        let result = self.begin();
        if result.is_err() && !had_git {
            // Nothing half made stays: the next try finds what this one found. The error that is told is the first.
            let _ = std::fs::remove_dir_all(&git);
            let _ = (!had_folder).then(|| std::fs::remove_dir(&folder));
        }
        result
    }

    fn begin(self) -> Result<Exit, Error> {
        let federation = match self.federation {
            Some(name) => name,
            None => folder_name(&self.path)?,
        };
        Checkout::init(&self.path)?;
        let mut clone = CloneArgs { repo: self.path.clone(), key: self.key }.open()?;
        if !clone.text("federation.yaml")?.is_empty() {
            let hint = "meshfed join adds a mesh; meshfed trust introduce begins to verify what is there";
            return Err(Error::usage("there is a federation.yaml already", hint));
        }
        let name = signer_name(&clone, self.name)?;
        let mut files = first_files(&name, &clone.public_key()?)?;
        clone.name = Some(name);
        files.insert("federation.yaml".to_owned(), template::federation(&federation));
        if clone.text("README.md")?.is_empty() {
            files.insert("README.md".to_owned(), README.to_owned());
        }
        clone.sound(&files)?;
        let contribution = Contribution { files, message: format!("Begin the federation {federation}") };
        let commit = clone.commit(&contribution, Judge::Introduction)?;
        let path = self.path.display().to_string();
        let change = if path == "." { String::new() } else { format!("cd {} && ", quoted(&path)) };
        tell!("then: {change}meshfed join MESH --member NAMESPACE, for each mesh");
        tell!("agents that believe this commit are started with:");
        clone.print_anchor(commit.into())?;
        Ok(Exit::Fine)
    }
}

fn folder_name(path: &std::path::Path) -> Result<String, Error> {
    let whole = std::path::absolute(path).ok();
    let name = whole.as_deref().and_then(|path| path.components().next_back()).map(|name| name.as_os_str().to_string_lossy());
    let name = name.map(|name| name.to_lowercase()).filter(|name| crate::model::names::label(name).is_ok());
    name.ok_or_else(|| Error::usage("the folder's name is no name for a federation", "say --federation NAME"))
}
