//! Who may change what in the shared repository: the verifier of its history.
//!
//! The repository carries CA roots and addresses, so whoever can write there could pass for a mesh. Read from top to bottom:
//!
//! ```text
//! object.rs     ids, and the two questions that the verifier asks of a Git object store
//! refusal.rs    rules with their codes, and what is said when one is broken
//! commit.rs     a commit's bytes → links, date, message, signature and what was signed
//! signature.rs  an OpenSSH signature over those bytes → the key that made it
//! signers.rs    trust/allowed_signers and trust/revoked_keys
//! policy.rs     trust/policy.yaml: roles, and which paths each may change
//! rules.rs      the three of them as one commit has them; the digest of `trust/` for the introduction
//! tree.rs       what changed between two trees, with raw modes and the rules of structure
//! history.rs    the walk along `main`: each step by its parent's rules; acceptance of bad commits
//! published.rs  the same for `published/<mesh>`, by the keys in that mesh's mesh.yaml
//! gate.rs       which commit of each branch is served: introduction, floor, enforce or warn
//! remedy.rs     what people do about a refusal; no part of the verifier, like those below
//! finding.rs    a refusal as `check` shows it
//! edit.rs       changes to the files of `trust/`, for the commands
//! ```
//!
//! Given the last verified commit L and the tip T of `main`:
//!
//! 1. L lies on T's line of first parents, else the branch was rewound or forked.
//! 2. Each commit C after L on that line, oldest first, carries exactly one SSH signature for the namespace `git`, by a key that the
//!    `trust/` of its first parent P lists and does not revoke. What C itself says about keys holds from the next commit on.
//! 3. Every path that differs between P and C, without rename detection, is one that P's policy lets that signer change. Commits
//!    on side branches need no signature: who signs the merge answers for what it brings in.
//! 4. What C adds or changes are regular files and folders with portable names and bounded sizes. `trust/` stays readable, leaves
//!    somebody who can change it, and `revoked_keys` only grows.
//!
//! A commit that breaks a rule, and all after it, are not served until a later one, signed by a member of the role `root`, has
//! the trailer `Meshfed-Accept: <commit>`; a commit that touches `trust/` cannot be accepted so. Or the branch is reset to any
//! descendant of L. What documents mean (schema, references, certificates) is judged elsewhere, on the tip only.
//!
//! Nothing here does I/O or reads a clock: revocation is by position in history, because dates are chosen by whoever commits.

mod commit;
pub mod edit;
mod finding;
mod gate;
mod history;
mod object;
mod policy;
mod published;
mod refusal;
mod remedy;
mod rules;
mod signature;
mod signers;
mod tree;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use crate::model::{MAX_RSA_BITS, MIN_RSA_BITS, PublicKey, public_key};
pub use commit::MAX_COMMIT_BYTES;
pub use finding::finding;
pub use gate::{Gate, Introduction, Marks, Passage, Verification};
pub use history::{ACCEPT, MAX_PENDING, MAX_STEPS, Step, Verdict, Verifier, oldest};
pub use object::{Id, Kind, Objects, Unreadable};
pub use policy::{Decision, Policy, ROOT};
pub use published::{PUBLISHED_FILES, Publisher, published};
pub use refusal::{Fault, Refusal, Rule, Violation};
pub use rules::{Digest, FOLDER, Rules};
pub use signers::{MAX_KEYS, Revoked, Signer, Signers};
pub use tree::{MAX_CHANGES, MAX_DEPTH, MAX_FILE_BYTES, MAX_TREE_BYTES};
