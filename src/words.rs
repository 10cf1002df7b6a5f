//! Text from elsewhere, made fit for a message: a server, a webhook or a commit must not write to the reader's terminal, forge a
//! log line, or fill the screen.

/// Longest text taken from elsewhere into a message, in characters: a hook's or webhook's paragraph, not its whole log.
pub const MAX_WORDS: usize = 1000;

/// One printable line: white space and control characters become single blanks, and what is longer than [`MAX_WORDS`] is cut.
pub fn one_line(text: &str) -> String {
    let blank = |c: char| c.is_whitespace() || c.is_control();
    let line = text.split(blank).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

/// The text as it is, but that a control character becomes a blank.
pub fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_becomes_one_printable_line() {
        assert_eq!(one_line("  a\r\n\tb \u{1b}[31mred\u{7}\n"), "a b [31mred");
        assert_eq!(one_line(&"é".repeat(2 * MAX_WORDS)).chars().count(), MAX_WORDS + 1);
        assert_eq!(printable("a\u{1b}  b\n"), "a   b ");
    }
}
