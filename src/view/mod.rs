//! What people see: data in, text out. Pure: time, width and colour come from the caller.

pub mod conditions;
pub mod doctor;
pub mod explain;
pub mod federation;
pub mod findings;
pub mod graph;
pub mod import;
pub mod live;
pub mod log;
pub mod plan;
pub mod policies;
pub mod status;
pub mod table;
pub mod trust;
pub mod verification;

/// How text may look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Columns of the terminal; `None` where lines may be as long as they like.
    pub width: Option<usize>,
    /// Use colours.
    pub colour: bool,
}

/// What a piece of text says about the state of things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Needs a look.
    Bad,
    /// A heading.
    Strong,
    /// Less important.
    Faint,
}

impl Look {
    /// Text in its tone: colour never says what the words do not.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Plain => "",
        };
        if self.colour && !code.is_empty() && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
