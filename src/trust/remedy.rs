//! What people do about a refusal: before it lands, and once it has.

use super::object::Id;
use super::refusal::{Refusal, Rule};
use crate::model::Code;

impl Rule {
    /// The number under which `check` shows it: rules that are mended in the same way have the same.
    pub fn code(self) -> Code {
        match self {
            Self::Unsigned | Self::BadSignature | Self::WrongNamespace => Code::NotSigned,
            Self::UnknownSigner => Code::UnknownSigner,
            Self::RevokedKey | Self::WeakKey | Self::OutsideValidity => Code::BadKey,
            Self::PathDenied => Code::PathDenied,
            Self::SourceRewound | Self::SourceForked => Code::OtherHistory,
            Self::NotRegular | Self::BadName | Self::CaseTwin | Self::TooLarge | Self::Malformed => Code::BadStructure,
            Self::TrustBroken | Self::RevocationShrunk => Code::TrustBroken,
            Self::NotLinear => Code::NotLinear,
            Self::WrongDigest => Code::WrongDigest,
        }
    }

    /// What somebody does whose commits are refused before they land.
    pub fn mend(self) -> &'static str {
        match self.code() {
            Code::NotSigned => "sign it with your key in trust/allowed_signers: git config gpg.format ssh, git commit --amend -S",
            Code::UnknownSigner => "sign it with a key in trust/allowed_signers, or let root add yours: meshfed trust add",
            Code::BadKey => "sign it with another key",
            Code::PathDenied => "leave the path to those who may change it: meshfed trust show lists them",
            Code::OtherHistory => "fetch, rebase onto the branch, and push without force",
            Code::TrustBroken => "make the change to trust/ anew: meshfed trust does it",
            Code::NotLinear => "only the mesh's agent writes this branch",
            Code::WrongDigest => "compare anchor and digest with what those who introduced the repository gave out",
            _ => "take it out of the commit",
        }
    }
}

impl Refusal {
    /// Whether root can take the commit as it is: not one that touches `trust/`, or that is no part of the line.
    pub fn can_be_accepted(&self) -> bool {
        let not = [Code::OtherHistory, Code::WrongDigest, Code::TrustBroken];
        let in_trust = self.path.as_ref().is_some_and(|path| path.starts_with("trust/"));
        !in_trust && !not.contains(&self.rule.code())
    }

    /// What people do once `main` is refused at `tip`, after a last verified commit or none.
    pub fn way_out(&self, verified: Option<Id>, tip: Option<Id>) -> String {
        let Some(verified) = verified else {
            return match self.rule {
                Rule::WrongDigest => "Compare --trust-anchor and --trust-digest with what `meshfed trust show --at COMMIT` prints in a clone that you trust".to_owned(),
                _ => "Push the missing commits to main again, from a clone that has them".to_owned(),
            };
        };
        let short = verified.short();
        let reset = format!(
            "reset main to {short}, or to any commit that follows it: git push {}origin {verified}:main",
            lease("main", tip)
        );
        if self.can_be_accepted() {
            let commit = self.commit;
            format!("If that commit is harmless, a member of the role root runs `meshfed trust accept {commit}`; if not, {reset}")
        } else {
            format!("To go on, {reset}")
        }
    }
}

/// The option that lets a push overwrite exactly what was refused, with a blank behind it; empty where there is nothing to overwrite.
fn lease(branch: &str, tip: Option<Id>) -> String {
    tip.map(|tip| format!("--force-with-lease={branch}:{tip} ")).unwrap_or_default()
}
