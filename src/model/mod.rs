//! Declarations: what people write on `main`, as valid types.
//!
//! [`load`] takes files and gives a [`Federation`] and findings; it never fails and never stops at the first error.
//! [`documents`] has the shapes that people write, [`convert`] and [`references`] the rules, [`defaults`] every default.

pub mod address;
pub mod at;
mod code;
mod convert;
pub mod defaults;
mod diagnostic;
pub mod documents;
mod federation;
pub mod grants;
mod key;
mod load;
pub mod names;
mod network;
mod node;
pub mod overlay;
mod place;
mod placeholder;
mod references;
pub mod root;
pub mod schema;
pub mod secrets;
pub mod template;
mod traffic;
pub mod yaml;

pub use at::{At, Span};
pub use code::Code;
pub use diagnostic::{Also, Diagnostic, InCommit, Severity, once};
pub use documents::CaPolicy;
pub use federation::{
    Base, Ca, Export, Federation, Gating, Guards, Import, Ingress, Locality, Manifest, Mesh, MeshFolder, Operator, Peer,
    ServiceName,
};
pub use key::{MAX_RSA_BITS, MIN_RSA_BITS, PublicKey, public_key};
pub use load::{Cache, ContentId, MAX_TOTAL_BYTES, Reader, load, load_some, withdraw};
pub use network::Cidr;
pub use node::Node;
pub use place::{NOT_APPLIED, Place, UNASSIGNED};
pub use placeholder::{has_variable, is_placeholder, is_shouted};
pub use references::offered;
pub use traffic::{Destination, Match, Mirror, NameSpans, OutlierDetection, Retries, Route, Rule, TextMatch, Traffic};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
