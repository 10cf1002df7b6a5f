//! The numbers of findings, each with a page under `docs/errors/` that says what it means and how to mend it.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// Numbered kinds of finding. Numbers are never used twice, so that people can search for them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All of them, by number.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The number that people see and search for.
            pub fn number(self) -> &'static str {
                match self {
                    $(Self::$name => $number,)*
                }
            }

            /// Its page: what it means, an example, why it matters, how to mend it.
            pub fn page(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!("../../docs/errors/", $number, ".md")),)*
                }
            }
        }
    };
}

codes! {
    /// The file is not the YAML that its place asks for.
    Syntax = "MF001",
    /// A file lies where no document belongs.
    Misplaced = "MF002",
    /// A name breaks the rules of Kubernetes or of the control plane.
    BadName = "MF003",
    /// A document's name is not that of its file or folder.
    NameMismatch = "MF004",
    /// A document names something that is not there.
    Dangling = "MF005",
    /// The same thing is said twice.
    Duplicate = "MF006",
    /// A value is of the right type but cannot be meant.
    BadValue = "MF007",
    /// Weights do not make sense together.
    Weights = "MF008",
    /// An import that the peer does not export.
    NotExported = "MF009",
    /// An object outside the mesh's own namespaces.
    OutsideMesh = "MF010",
    /// A published fact that cannot be trusted or used.
    BadFact = "MF011",
    /// Something legitimate that is probably not meant.
    Suspicious = "MF012",
    /// The repository lacks what every federation has.
    NoFederation = "MF013",
    /// A private key or another secret.
    Secret = "MF014",
    /// A trust domain that is missing, the default, or another mesh's.
    TrustDomain = "MF015",
    /// Failover that cannot work.
    Failover = "MF016",
    /// A peering, an export or an import that only one side declares.
    OneSided = "MF017",
    /// A CA root that has expired, or soon will.
    Expiry = "MF018",
    /// An object that its kind's schema refuses.
    Schema = "MF019",
    /// A policy forbids it, or a policy cannot be evaluated.
    Policy = "MF020",
    /// An object of a federation, written by hand, that does not fit the other side.
    ByHand = "MF021",
    /// A commit without a good signature.
    NotSigned = "MF022",
    /// A commit signed with a key that is not listed.
    UnknownSigner = "MF023",
    /// A commit signed with a key that may sign no more, or never could.
    BadKey = "MF024",
    /// A commit that changes what its signer may not change.
    PathDenied = "MF025",
    /// A branch that does not continue what was verified.
    OtherHistory = "MF026",
    /// A commit with something other than plain files.
    BadStructure = "MF027",
    /// A commit that breaks `trust/`.
    TrustBroken = "MF028",
    /// A published branch that is no line of commits.
    NotLinear = "MF029",
    /// An anchor that is not the one that people meant.
    WrongDigest = "MF030",
}

impl Code {
    /// The code with this number, in any case, with or without `MF` and leading zeros.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.trim().to_ascii_uppercase();
        let number: u16 = digits.trim_start_matches("MF").parse().ok()?;
        Self::ALL.iter().copied().find(|code| code.number() == format!("MF{number:03}"))
    }

    /// What it is called: the heading of its page.
    pub fn title(self) -> &'static str {
        let heading = self.page().lines().next().unwrap_or_default();
        heading.split_once(": ").map_or(heading, |(_, title)| title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_however_it_is_written() {
        for text in ["MF009", "mf9", "9", " MF09 "] {
            assert_eq!(Code::parse(text), Some(Code::NotExported), "{text}");
        }
        for text in ["", "MF", "MF000", "MF999", "E0009"] {
            assert_eq!(Code::parse(text), None, "{text}");
        }
    }

    #[test]
    fn each_page_begins_with_its_number() {
        for code in Code::ALL {
            assert!(code.page().starts_with(&format!("# {}: {}\n\n", code.number(), code.title())), "{}", code.number());
        }
        let numbers: Vec<_> = Code::ALL.iter().map(|code| code.number()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b));
    }
}
