//! Tables for the formats, and random histories against what they must give.

mod formats;
mod gate;
mod random;
mod walks;
