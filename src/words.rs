//! Words for a message. Text from elsewhere is made fit for it: a server, a webhook or a commit must not write to the reader's terminal, forge a
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

/// `1 change`, `2 changes`.
pub fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// `yes` or `no`.
pub fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// The first few of many, and how many there are besides.
pub fn some(all: &[&str], shown: usize) -> String {
    match all.len().checked_sub(shown) {
        Some(more @ 1..) => format!("{} and {more} more", all[..shown].join(", ")),
        _ => all.join(", "),
    }
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

    #[test]
    fn many_are_counted_and_few_are_named() {
        assert_eq!(some(&["a", "b"], 2), "a, b");
        assert_eq!(some(&["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(some(&[], 2), "");
    }
}
