//! The page of a number, on a screen.

use crate::view::Look;
use crate::view::table::wrap;

/// A page in Markdown, its paragraphs broken to fit; what is code stays as it is.
pub fn fit(page: &str, look: Look) -> String {
    let room = look.width.unwrap_or(usize::MAX);
    let mut code = false;
    let mut out = String::new();
    for line in page.lines() {
        let fence = line.starts_with("```");
        code ^= fence;
        let lines = if code || fence || line.starts_with('|') { vec![line.to_owned()] } else { wrap(line, room) };
        out.push_str(&lines.join("\n"));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Code;

    #[test]
    fn pages_fit_a_screen_and_say_the_same() {
        for code in Code::ALL {
            let fitted = fit(code.page(), Look { width: Some(100), colour: false });
            let code_or_table = |line: &str| code.page().lines().any(|known| known == line);
            assert!(fitted.lines().all(|line| line.chars().count() <= 100 || code_or_table(line)), "{fitted}");
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&fitted), words(code.page()));
            assert_eq!(fit(code.page(), Look::default()), code.page());
        }
    }
}
