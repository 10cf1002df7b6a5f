//! `meshfed peer`.

use std::io::{self, IsTerminal as _};

use dialoguer::{Input, MultiSelect};

use super::clone::{Clone, CloneArgs, Judge};
use super::committed;
use crate::error::{Error, Exit};
use crate::model::template::{self, Share};
use crate::model::{Federation, ServiceName, names};
use crate::object::Key;
use crate::repo::Contribution;

/// Let two meshes share services: both halves of a peering, in one signed commit
///
/// Without --share it asks on a terminal which services each side shares, and offers those that its manifests have; elsewhere it asks nothing, and
/// the peering begins without any.
/// Who may write in one folder only makes their own half with --one-side. Example: meshfed peer rosa-prod-mesh aro-stg-mesh
/// --share aro-stg-mesh:stg-bookinfo/details=prod-bookinfo/details-v2
#[derive(clap::Args, Debug)]
pub struct Peer {
    /// A mesh
    #[arg(value_name = "A")]
    mesh: String,
    /// The other mesh
    #[arg(value_name = "B")]
    other: String,
    /// Service that MESH exports and the other one imports; =NAMESPACE/NAME is the name that the other one sees. Once for each
    #[arg(long = "share", value_name = "MESH:NAMESPACE/SERVICE[=NAMESPACE/NAME]", value_parser = Share::parse)]
    shares: Vec<Share>,
    /// Write A's half only
    #[arg(long)]
    one_side: bool,
    #[command(flatten)]
    clone: CloneArgs,
}

impl Peer {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let Self { mesh, other, mut shares, one_side, clone } = self;
        let clone = clone.open()?;
        if mesh == other {
            return Err(Error::usage("a mesh is no peer of its own", "name two meshes"));
        }
        exists(&clone, &mesh, &other)?;
        exists(&clone, &other, &mesh)?;
        if let Some(share) = shares.iter().find(|share| ![&mesh, &other].contains(&&share.from)) {
            return Err(Error::usage(
                format!("{} is neither {mesh} nor {other}", share.from),
                "a share begins with the mesh that has it",
            ));
        }
        let halves = [(&mesh, &other), (&other, &mesh)].into_iter().take(if one_side { 1 } else { 2 });
        let path = |from: &str, to: &str| format!("meshes/{from}/peers/{to}.yaml");
        let mut there = Vec::new();
        for (from, to) in halves.clone() {
            there.extend(Some(path(from, to)).filter(|path| clone.text(path).is_ok_and(|text| !text.is_empty())));
        }
        if let Some(first) = there.first() {
            let hint = if there.len() == 1 && !one_side { "edit it, or write the other half with --one-side" } else { "edit it" };
            return Err(Error::usage(format!("{first} is there already"), hint));
        }
        if shares.is_empty() && io::stdin().is_terminal() && io::stderr().is_terminal() {
            shares = ask(&clone, &mesh, &other)?;
        }
        let files = halves.map(|(from, to)| (path(from, to), template::peer(from, to, &shares))).collect();
        clone.sound(&files)?;
        let message = if one_side {
            format!("Let {mesh} peer with {other}")
        } else {
            format!("Let {mesh} and {other} peer with each other")
        };
        clone.commit(&Contribution { files, message }, Judge::Parent)?;
        if one_side {
            tell!("then: the people of {other} run meshfed peer {other} {mesh} --one-side; until then nothing connects");
        }
        tell!("then: meshfed render --mesh {mesh} shows what its agent makes of it,\n      meshfed status shows how it goes");
        Ok(Exit::Fine)
    }
}

/// Fails where the branch has no mesh of this name; `other` is the one that it is to peer with.
fn exists(clone: &Clone, mesh: &str, other: &str) -> Result<(), Error> {
    names::mesh(mesh).map_err(|message| Error::usage(message, "name two meshes"))?;
    if !clone.text(&format!("meshes/{mesh}/mesh.yaml"))?.is_empty() {
        return Ok(());
    }
    let mut known: Vec<String> = federation(clone)?.meshes.into_keys().collect();
    known.retain(|name| name != other);
    let hint = match names::similar(mesh, &known.iter().map(String::as_str).collect::<Vec<_>>()) {
        Some(meant) => format!("did you mean `{meant}`? meshfed join {mesh} makes a new one"),
        None => format!("meshfed join {mesh} makes it"),
    };
    Err(Error::usage(format!("there is no meshes/{mesh}/mesh.yaml on this branch"), hint))
}

/// The federation as the branch has it.
fn federation(clone: &Clone) -> Result<Federation, Error> {
    Ok(match clone.head.commit {
        Some(commit) => committed::load(&clone.checkout, commit)?.federation,
        None => Federation::default(),
    })
}

/// Asks what each side shares.
fn ask(clone: &Clone, mesh: &str, other: &str) -> Result<Vec<Share>, Error> {
    let federation = federation(clone)?;
    let mut shares = Vec::new();
    for (from, to) in [(mesh, other), (other, mesh)] {
        match services(&federation, from) {
            known if known.is_empty() => type_in(from, to, &mut shares)?,
            known => choose(from, to, &known, &mut shares)?,
        }
    }
    Ok(shares)
}

/// Services of a mesh's members that its manifests have.
fn services(federation: &Federation, mesh: &str) -> Vec<ServiceName> {
    let Some(folder) = federation.meshes.get(mesh) else { return Vec::new() };
    let keys = folder.manifests.iter().map(|manifest| &manifest.object.key);
    let services = keys.filter(|key| key.group.is_empty() && &*key.kind == "Service");
    let name = |key: &Key| Some(ServiceName { namespace: key.namespace.as_deref()?.to_owned(), name: key.name.to_string() });
    services.filter_map(name).collect()
}

/// Lets somebody choose among services, and name each as the other side is to see it.
fn choose(from: &str, to: &str, known: &[ServiceName], shares: &mut Vec<Share>) -> Result<(), Error> {
    let prompt = format!("What does {from} share with {to}? (space chooses, enter goes on)");
    let chosen = MultiSelect::new().with_prompt(prompt).items(known).interact().map_err(|error| nobody(&error))?;
    for service in chosen.into_iter().filter_map(|number| known.get(number)) {
        let own = service.to_string();
        let parse = |alias: &str| {
            let alias = if alias == own { String::new() } else { format!("={alias}") };
            Share::parse(&format!("{from}:{own}{alias}"))
        };
        let said: String = Input::new()
            .with_prompt(format!("Name under which {to} sees {service}"))
            .default(own.clone())
            .validate_with(|alias: &String| parse(alias).map(drop))
            .interact_text()
            .map_err(|error| nobody(&error))?;
        shares.push(parse(&said).map_err(|message| Error::usage(message, ""))?);
    }
    Ok(())
}

/// Takes names of services until somebody has nothing more to say.
fn type_in(from: &str, to: &str, shares: &mut Vec<Share>) -> Result<(), Error> {
    loop {
        let prompt = format!("{from} shares with {to} (NAMESPACE/SERVICE[=NAMESPACE/NAME], empty: nothing more)");
        let parse = |text: &str| if text.is_empty() { Ok(None) } else { Share::parse(&format!("{from}:{text}")).map(Some) };
        let validate = |text: &String| parse(text).map(drop);
        let said: String = Input::new()
            .with_prompt(prompt)
            .allow_empty(true)
            .validate_with(validate)
            .interact_text()
            .map_err(|error| nobody(&error))?;
        match parse(&said).map_err(|message| Error::usage(message, ""))? {
            Some(share) => shares.push(share),
            None => return Ok(()),
        }
    }
}

fn nobody(error: &dialoguer::Error) -> Error {
    Error::unavailable(format!("nobody answers: {error}"), "say --share")
}
