//! `meshfed join`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;

use super::clone::{Clone, CloneArgs, Judge, public_key, quoted};
use super::committed;
use crate::error::{Error, Exit};
use crate::model::names;
use crate::model::overlay::{self, Site};
use crate::model::template::{self, NewMesh};
use crate::repo::{CommitId, Contribution, Options, Reached, SigningKey};

/// Add a mesh: its mesh.yaml with its agent's key, in one signed commit
///
/// The agent's private key stays where the agent runs: give its public half, or have a pair made here and move the file there. Example:
/// meshfed join rosa-prod-mesh --member prod-bookinfo --platform aws --agent-key rosa-agent.key
#[derive(clap::Args, Debug)]
pub struct Join {
    /// Name of the mesh
    mesh: String,
    /// Namespace whose services belong to the mesh; once for each
    #[arg(long = "member", value_name = "NAMESPACE")]
    members: Vec<String>,
    /// Trust domain of the control plane [default: <MESH>.local]
    #[arg(long, value_name = "DOMAIN")]
    trust_domain: Option<String>,
    /// Where the cluster runs
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Key of the agent: FILE.pub, or a private key file, made if absent [default: <MESH>.key beside the clone]
    #[arg(long, value_name = "FILE")]
    agent_key: Option<PathBuf>,
    /// Have the agent make the control plane (`controlPlane.base`), of this version
    #[arg(long, value_name = "VERSION")]
    control_plane: Option<String>,
    /// Write the Kustomize overlay that runs the agent, as DIR/<MESH>/. DIR is a copy of the project's deploy/; of a mesh that is
    /// there already only this is done
    #[arg(long, value_name = "DIR")]
    overlay: Option<PathBuf>,
    /// Where the cluster pulls the agent's image from, for the overlay: REGISTRY/meshfed:TAG
    #[arg(long, value_name = "IMAGE", requires = "overlay")]
    image: Option<String>,
    #[command(flatten)]
    clone: CloneArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Platform {
    /// Amazon, ROSA
    Aws,
    /// Azure, ARO
    Azure,
    /// Google
    Gcp,
    /// Own machines
    Baremetal,
    /// Anything else
    Other,
}

impl Join {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let Self { mesh, members, trust_domain, platform, agent_key, control_plane, overlay, image, clone } = self;
        names::mesh(&mesh).map_err(|message| Error::usage(message, "say another name"))?;
        let clone = clone.open()?;
        if clone.text("federation.yaml")?.is_empty() {
            return Err(Error::usage("there is no federation.yaml on this branch", "meshfed init begins a federation"));
        }
        let path = format!("meshes/{mesh}/mesh.yaml");
        if !clone.text(&path)?.is_empty() {
            return match (&overlay, clone.head.commit) {
                (Some(dir), Some(commit)) => write_overlay(&clone, commit, &mesh, dir, image).map(|()| Exit::Fine),
                _ => {
                    let hint = "edit it; meshfed peer lets it share services, and --overlay DIR writes what runs its agent";
                    Err(Error::usage(format!("{path} is there already"), hint))
                }
            };
        }
        let file = match agent_key {
            Some(file) => file,
            None => beside(clone.checkout.root()?, &format!("{mesh}.key")),
        };
        let (agent_key, private) = if file.extension().is_some_and(|extension| extension == "pub") {
            (format!("{} agent of {mesh}", public_key(&file)?.line()), None)
        } else {
            if clone.checkout.would_take(&file) {
                let message = format!("{} lies in the clone, from where it would be committed", file.display());
                return Err(Error::usage(message, format!("name a file elsewhere: --agent-key ../{mesh}.key")));
            }
            let (key, made) = SigningKey::load_or_create(&file)?;
            if made {
                tell!("made {}, the agent's private key: it goes where the agent runs, never into Git", file.display());
            }
            (key.public_line(&format!("agent of {mesh}")), Some(file))
        };
        let trust_domain = trust_domain.unwrap_or_else(|| format!("{mesh}.local"));
        let platform = platform.and_then(|platform| Some(platform.to_possible_value()?.get_name().to_owned()));
        let text = template::mesh(&NewMesh { name: mesh.clone(), trust_domain, members, platform, control_plane, agent_key });
        let files = BTreeMap::from([(path, text)]);
        clone.sound(&files)?;
        let contribution = Contribution { files, message: format!("Add the mesh {mesh}") };
        let commit = clone.commit(&contribution, Judge::Parent)?;
        if let Some(dir) = &overlay {
            write_overlay(&clone, commit, &mesh, dir, image)?;
        }
        let key = private.map_or("FILE".to_owned(), |file| quoted(&file.display().to_string()));
        let url = format!("\"$(git remote get-url {})\"", quoted(&clone.head.remote));
        let branch = if clone.has_main()? { String::new() } else { format!(" --branch {}", quoted(&clone.head.branch)) };
        let trust = match clone.anchor_flags(commit.into())? {
            Some(flags) => {
                format!("--verification enforce {}", flags.replace(" --trust-digest", " \\\n        --trust-digest"))
            }
            None => "--verification off".to_owned(), // nobody signs here yet
        };
        tell!(
            "then: meshfed peer {mesh} OTHER shares services with another mesh\n\
             and start the agent, with the cluster's kubeconfig:"
        );
        tell!("      meshfed agent --mesh {mesh} --repo {url}{branch} \\\n        --signing-key {key} \\\n        {trust}");
        Ok(Exit::Fine)
    }
}

/// A file beside a folder, by the shortest path where that is the folder that we are in.
fn beside(folder: &Path, name: &str) -> PathBuf {
    let here = fs::canonicalize(".").ok().is_some_and(|here| fs::canonicalize(folder).is_ok_and(|folder| folder == here));
    let folder = if here { Path::new("..") } else { folder.parent().unwrap_or(folder) };
    folder.join(name)
}

/// Writes what runs the agent of a mesh, as a commit declares it. What is there already stays.
fn write_overlay(clone: &Clone, commit: CommitId, mesh: &str, dir: &Path, image: Option<String>) -> Result<(), Error> {
    let federation = committed::load(&clone.checkout, commit)?.federation;
    let folder = federation.meshes.get(mesh);
    let Some((folder, declared)) = folder.and_then(|folder| Some((folder, folder.mesh.as_ref()?))) else {
        return Err(Error::unavailable(format!("meshes/{mesh}/mesh.yaml has an error"), "meshfed check"));
    };
    let remote = &clone.head.remote;
    let url = clone.checkout.setting(&format!("remote.{remote}.url")).ok_or_else(|| {
        let hint = format!("git remote add {} URL: agents read it there", quoted(remote));
        Error::unavailable(format!("this clone has no remote {remote}"), hint)
    })?;
    let introduction = clone.digest(commit.into())?.map(|digest| (commit.to_string(), digest.to_string()));
    let repository = Options::new(url, "");
    // The names of the files are those of docs/install.md.
    let settings: &[&str] = match repository.reached() {
        Reached::Https | Reached::Clear => &["MESHFED_HTTP_PASSWORD_FILE=/git/password"],
        Reached::Ssh => &["MESHFED_SSH_KEY=/git/ssh-privatekey", "MESHFED_SSH_KNOWN_HOSTS=/git/known_hosts"],
        Reached::Here => &[],
    };
    let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let site = Site { repository: repository.shown(), settings, image, introduction };
    let root = dir.join(mesh);
    if root.exists() {
        return Err(Error::usage(format!("{} is there already", root.display()), "remove it, or edit it"));
    }
    for (path, text) in overlay::overlay(declared, folder, &site) {
        let file = root.join(path);
        let fail = |error: std::io::Error| Error::unavailable(format!("cannot write {}: {error}", file.display()), "");
        fs::create_dir_all(file.parent().unwrap_or(&root)).map_err(fail)?;
        fs::write(&file, text).map_err(fail)?;
    }
    let root = quoted(&root.display().to_string());
    tell!("wrote {root}: make its two Secrets (docs/install.md), then kubectl apply --server-side -k {root}");
    Ok(())
}
