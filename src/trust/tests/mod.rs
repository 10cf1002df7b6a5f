//! Tables for the formats, and random histories against what they must give.

mod formats;
mod random;
mod walks;
