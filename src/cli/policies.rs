//! `meshfed policies`.

use std::path::PathBuf;

use super::offline;
use super::output::{self, Format};
use super::tree::Tree;
use crate::error::{Error, Exit};
use crate::view::policies::{self, Policies as View};

/// List the policies of a federation, and what each of them judged and denied
///
/// Declarations and the objects that follow from them are judged as `check` does it, without a cluster. With the name of a policy, all that it
/// judged is listed. Exit code 1 means that something is denied.
///
/// Example: meshfed policies repo-layout
#[derive(clap::Args, Debug)]
pub struct Policies {
    /// The folder that has federation.yaml, or anything in it
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Only this policy, with all that it judged
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Format
    #[arg(short, long, default_value = "text")]
    output: Format,
}

impl Policies {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let tree = Tree::read(&self.path)?;
        let loaded = tree.load();
        let mut verdicts = tree.survey(&loaded);
        verdicts.extend(offline::survey(&loaded.federation, &loaded.policies));
        let mut all = View::new(loaded.policies.about(), &verdicts);
        if let Some(name) = &self.policy {
            all = all
                .only(name)
                .map_err(|there| Error::unavailable(format!("there is no policy `{}`", name.escape_debug()), there))?;
        }
        match self.output {
            Format::Text => output::print(&policies::render(&all, self.policy.is_some(), output::look()))?,
            Format::Json => output::print_json(&all)?,
        }
        if let Some(why) = loaded.policies.unreadable() {
            tell!("{why}");
            return Ok(Exit::Findings);
        }
        Ok(Exit::findings(all.denied()))
    }
}
