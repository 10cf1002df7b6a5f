//! meshfed
fn main() {}
