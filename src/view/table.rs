//! Columns of text, two blanks apart. The last one is wrapped where the screen ends, or stands below its row where hardly any
//! room is left for it.

use super::{Look, Tone};
use crate::words::printable;

/// Narrowest last column worth wrapping into; a narrower one goes below its row.
const MIN_WRAP: usize = 20;

/// Fewest characters that a cut name tells something with.
const MIN_CELL: usize = 12;

/// Indentation of what stands below its row.
const BELOW: usize = 4;

/// One field of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A field with its tone.
    pub fn new(text: &str, tone: Tone) -> Self {
        Self { text: printable(text), tone }
    }

    /// Whether this is its text.
    pub fn is(&self, text: &str) -> bool {
        self.text == text
    }

    /// Leaves the middle out where it is longer than `room` characters: both ends of an address tell something.
    pub fn shorten(&mut self, room: usize) {
        let length = self.text.chars().count();
        if length > room {
            let head = room.saturating_sub(1) / 3;
            let tail = length - room.saturating_sub(1 + head);
            let kept = self.text.chars().enumerate().filter(|(at, _)| *at < head || *at >= tail);
            let (before, after): (Vec<_>, Vec<_>) = kept.partition(|(at, _)| *at < head);
            let text = |part: Vec<(usize, char)>| part.into_iter().map(|(_, c)| c).collect::<String>();
            self.text = format!("{}…{}", text(before), text(after));
        }
    }
}

/// Columns that all but the last take, with the blanks after each.
pub fn before_last(header: &[&str], rows: &[Vec<Cell>]) -> usize {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    (0..header.len().saturating_sub(1)).map(|column| width(column) + 2).sum()
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text.as_ref(), Tone::Plain)
    }
}

/// Draws a table; each line ends without blanks. Where the columns before the last are wider than the screen, they lose the middle of what they
/// hold.
pub fn render(header: &[&str], rows: &[Vec<Cell>], look: Look) -> String {
    let rows = &squeezed(header, rows, look.width.unwrap_or(usize::MAX));
    let head: Vec<Cell> = header.iter().map(|text| Cell::new(text, Tone::Strong)).collect();
    let lines = || std::iter::once(&head).chain(rows);
    let widths: Vec<usize> = (0..header.len())
        .map(|column| lines().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max().unwrap_or(0))
        .collect();
    let before = before_last(header, rows);
    let room = look.width.map_or(usize::MAX, |width| width.saturating_sub(before));
    let below = room < MIN_WRAP.min(widths.last().copied().unwrap_or(0));
    let (indent, room) = if below { (BELOW, look.width.unwrap_or(usize::MAX).saturating_sub(BELOW)) } else { (before, room) };
    let mut out = String::new();
    for (number, row) in lines().enumerate() {
        let mut line = String::new();
        let mut pending = 0;
        for (column, cell) in row.iter().enumerate() {
            let last = column + 1 == header.len();
            if last && below && number == 0 {
                continue; // nothing stands under this heading
            }
            let parts = if last { wrap(&cell.text, room) } else { vec![cell.text.clone()] };
            for (i, part) in parts.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
                if i > 0 || (last && below) {
                    line.push('\n');
                    pending = indent;
                }
                line.push_str(&" ".repeat(pending));
                line.push_str(&look.paint(cell.tone, part));
                pending = 0;
            }
            let used = if last { 0 } else { cell.text.chars().count() };
            pending += widths[column] - used.min(widths[column]) + 2;
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// The rows with the columns before the last cut to fit the screen: the first, then the widest.
fn squeezed(header: &[&str], rows: &[Vec<Cell>], screen: usize) -> Vec<Vec<Cell>> {
    let mut rows = rows.to_vec();
    let width = |rows: &[Vec<Cell>], column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max().unwrap_or(0)
    };
    let columns = header.len().saturating_sub(1);
    let widest = |rows: &[Vec<Cell>]| (0..columns).map(|column| (width(rows, column), column)).max();
    // The blanks behind the last of these columns may lie outside.
    while before_last(header, &rows) > screen.saturating_add(2) {
        let excess = before_last(header, &rows) - screen - 2;
        // Names in the first column stand elsewhere too, and whole with `-o wide`.
        let first = Some((width(&rows, 0), 0)).filter(|(wide, _)| *wide > 2 * MIN_CELL);
        let Some((wide, column)) = first.or_else(|| widest(&rows)).filter(|(wide, _)| *wide > MIN_CELL) else { break };
        let room = wide.saturating_sub(excess).max(if first.is_some() { 2 * MIN_CELL } else { MIN_CELL });
        rows.iter_mut().filter_map(|row| row.get_mut(column)).for_each(|cell| cell.shorten(room));
    }
    rows
}

/// Breaks text between words.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > room {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_rows() -> Vec<Vec<Cell>> {
        let row = |cells: [&str; 3]| cells.iter().map(Cell::from).collect();
        vec![row(["a", "", "one two three four five"]), row(["bcd", "→x", ""])]
    }

    #[test]
    fn columns_are_aligned_and_the_last_is_wrapped() {
        insta::assert_snapshot!(render(&["A", "B", "WHY"], &mk_rows(), Look { width: Some(31), colour: false }), @r"
        A    B   WHY
        a        one two three four
                 five
        bcd  →x
        ");
    }

    #[test]
    fn without_room_the_last_column_goes_below_its_row() {
        insta::assert_snapshot!(render(&["A", "B", "WHY"], &mk_rows(), Look { width: Some(20), colour: false }), @r"
        A    B
        a
            one two three
            four five
        bcd  →x
        ");
    }

    #[test]
    fn columns_that_a_screen_has_no_room_for_lose_their_middle() {
        let row = |cells: [&str; 3]| cells.iter().map(Cell::from).collect::<Vec<_>>();
        let long = "payments-and-orders-prod-aws-eu-central-1";
        let rows = [row([long, "no", "it waits for its peer"]), row(["short", "yes", ""])];
        insta::assert_snapshot!(render(&["MESH", "READY", "WHY"], &rows, Look { width: Some(40), colour: false }), @r"
        MESH                               READY
        payments-a…-prod-aws-eu-central-1  no
            it waits for its peer
        short                              yes
        ");
    }

    #[test]
    fn foreign_text_cannot_reach_the_terminal() {
        let text = render(&["A"], &[vec![Cell::from("x\u{1b}[2J\ny")]], Look::default());
        assert_eq!(text, "A\nx [2J y\n");
    }

    #[test]
    fn colour_does_not_move_columns() {
        let look = Look { width: None, colour: true };
        let text = render(&["A", "B"], &[vec![Cell::new("x", Tone::Bad), Cell::from("y")]], look);
        assert_eq!(text, "\u{1b}[1mA\u{1b}[0m  \u{1b}[1mB\u{1b}[0m\n\u{1b}[31mx\u{1b}[0m  y\n");
    }
}
