//! New inputs from old ones. The same seed gives the same inputs.

/// Pieces that parsers have opinions about.
const PIECES: [&[u8]; 36] = [
    b"---\n",
    b"...\n",
    b"- ",
    b": ",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\n",
    b"  ",
    b"\t",
    b"&a ",
    b"*a",
    b"!!str ",
    b"<<: ",
    b"|\n",
    b">-\n",
    b"\"",
    b"'",
    b"\\x1b",
    b"\x1b[31m",
    b"\xc3\xa9",
    b"\xff",
    b"-----BEGIN PRIVATE KEY-----\n",
    b"LS0tLS1CRUdJTi",
    b"null",
    b"~",
    b"99999999999999999999",
    b"\n\n",
    b"\n ",
    b"gpgsig ",
    b"parent ",
    b"namespaces=\"git\",",
    b"ssh-ed25519 ",
    b"AAAA",
    b"**",
];

/// Changes inputs.
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// Starts from a seed other than 0.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next input: one of these with a few changes.
    pub fn next(&mut self, inputs: &[Vec<u8>], max: usize) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(6) {
            self.change(&mut input, inputs);
        }
        input.truncate(max);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let (start, end) = self.range(input.len());
        match self.below(8) {
            0 if !input.is_empty() => {
                let at = self.below(input.len());
                input[at] ^= 1 << self.below(8);
            }
            1 => drop(input.drain(start..end)),
            2 => input.truncate(end),
            3 => {
                let copy = input[start..end].to_vec();
                let at = self.below(input.len() + 1);
                input.splice(at..at, copy);
            }
            4 => {
                let other = &inputs[self.below(inputs.len())];
                let (from, to) = self.range(other.len());
                input.splice(start..end, other[from..to].iter().copied());
            }
            5 => {
                let many = 1 << self.below(8);
                let piece = PIECES[self.below(PIECES.len())].repeat(many);
                input.splice(start..start, piece);
            }
            _ => {
                let piece = PIECES[self.below(PIECES.len())];
                input.splice(start..start.saturating_add(piece.len()).min(input.len()), piece.iter().copied());
            }
        }
    }

    /// Two places in order, mostly near each other.
    fn range(&mut self, len: usize) -> (usize, usize) {
        let start = self.below(len + 1);
        let most = if self.below(4) == 0 { len } else { 16 };
        (start, (start + self.below(most + 1)).min(len))
    }

    /// A number below this one (xorshift64).
    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or(0)
    }
}
