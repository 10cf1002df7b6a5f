//! What changed between two trees, read from their raw bytes, and the rules of structure for what was added or changed.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::iter;

use super::object::{Id, Kind, Objects, check, read};
use super::refusal::{Fault, Rule, Violation};
use crate::model::yaml;

/// Largest folder, in bytes: tens of thousands of entries.
pub const MAX_TREE_BYTES: usize = 4 << 20;

/// Largest file: the largest document that is read.
pub const MAX_FILE_BYTES: usize = yaml::MAX_FILE_BYTES;

/// Deepest file, in names. Declarations are four deep and manifests may nest; a tree built to exhaust the stack may not.
pub const MAX_DEPTH: usize = 16;

/// Most entries looked at in what one commit changes: a whole federation. A tree that refers to itself many times over has more.
pub const MAX_CHANGES: usize = 50_000;

/// Longest name, in bytes: what file systems take (`NAME_MAX` of Linux).
const MAX_NAME: usize = 255;

/// A path that differs between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// From the root, `/` between names; where an earlier name was not text, it is shown as near as can be.
    pub path: String,
    /// The file that is there now.
    pub now: Option<Id>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    File,
    Folder,
}

/// One line of a folder, as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry<'a> {
    mode: &'a [u8],
    name: &'a [u8],
    id: Id,
}

impl Entry<'_> {
    /// Only these are taken: Git writes no other modes for regular files and folders.
    fn regular(&self) -> Option<Mode> {
        match self.mode {
            b"100644" | b"100755" => Some(Mode::File),
            b"40000" => Some(Mode::Folder),
            _ => None,
        }
    }

    fn is_folder(&self) -> bool {
        self.regular() == Some(Mode::Folder)
    }

    /// Git sorts folders as if their names ended with a slash (`base_name_compare` in its tree.c).
    fn order(&self, other: &Self) -> Ordering {
        let key = |entry: &Self| entry.is_folder().then_some(b'/');
        self.name.iter().copied().chain(key(self)).cmp(other.name.iter().copied().chain(key(other)))
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(self.name).into_owned()
    }
}

/// The entries of a folder: `mode name\0id` one after the other, in Git's order, none twice.
fn parse(raw: &[u8]) -> Result<Vec<Entry<'_>>, Violation> {
    let mut rest = raw;
    let mut entries: Vec<Entry> = Vec::new();
    while !rest.is_empty() {
        let next = || {
            let space = rest.iter().position(|byte| *byte == b' ')?;
            let (mode, named) = (&rest[..space], &rest[space + 1..]);
            let end = named.iter().position(|byte| *byte == 0)?;
            let (id, rest) = named[end + 1..].split_first_chunk()?;
            Some((Entry { mode, name: &named[..end], id: Id(*id) }, rest))
        };
        let (entry, after) = next().ok_or_else(|| Violation::new(Rule::Malformed, "a folder cannot be read"))?;
        if entries.last().is_some_and(|last| last.order(&entry) != Ordering::Less) {
            return Err(Violation::at(
                Rule::Malformed,
                &entry.shown(),
                "a folder's entries are not in order, or one is there twice",
            ));
        }
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

/// The regular file or folder of this name in a folder.
pub(super) fn entry(objects: &dyn Objects, folder: Id, name: &str) -> Result<Option<(Mode, Id)>, Fault> {
    let raw = read(objects, folder, Kind::Tree, MAX_TREE_BYTES)?;
    let found = parse(&raw)?.into_iter().find(|entry| entry.name == name.as_bytes());
    Ok(found.and_then(|entry| Some((entry.regular()?, entry.id))))
}

/// Every path that differs, by name and mode and content and nothing else; renames are a removal and an addition. What was added or
/// changed is held to the rules of structure. Without `old`, all of `new` was added.
pub(super) fn changes(objects: &dyn Objects, old: Option<Id>, new: Id) -> Result<Vec<Change>, Fault> {
    let mut walk = Walk { objects, looked_at: 0, changes: Vec::new() };
    walk.folder(old, Some(new), "", 1)?;
    Ok(walk.changes)
}

struct Walk<'a> {
    objects: &'a dyn Objects,
    looked_at: usize,
    changes: Vec<Change>,
}

impl Walk<'_> {
    /// Equal folders have equal ids and are not looked into.
    fn folder(&mut self, old: Option<Id>, new: Option<Id>, prefix: &str, depth: usize) -> Result<(), Fault> {
        if old == new {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            return Err(Violation::at(Rule::TooLarge, prefix, format!("it is nested deeper than {MAX_DEPTH} names")).into());
        }
        let load = |id: Option<Id>| id.map_or(Ok(Vec::new()), |id| read(self.objects, id, Kind::Tree, MAX_TREE_BYTES));
        let (old, new) = (load(old)?, load(new)?);
        let (old, new) = (parse(&old)?, parse(&new)?);
        let mut added = false;
        for [was, is] in pairs(&old, &new).filter(|[was, is]| was != is) {
            added |= was.is_none();
            self.entry(was, is, prefix, depth)?;
        }
        match added.then(|| twin(&new)).flatten() {
            None => Ok(()),
            Some(name) => {
                Err(Violation::at(Rule::CaseTwin, &format!("{prefix}{name}"), "another name there differs only in case").into())
            }
        }
    }

    fn entry(&mut self, was: Option<&Entry>, is: Option<&Entry>, prefix: &str, depth: usize) -> Result<(), Fault> {
        let path = format!("{prefix}{}", is.or(was).map(Entry::shown).unwrap_or_default());
        self.looked_at += 1;
        if self.looked_at > MAX_CHANGES {
            return Err(Violation::at(Rule::TooLarge, &path, format!("a commit changes more than {MAX_CHANGES} entries")).into());
        }
        if let Some(entry) = is {
            self.sound(entry, &path)?;
        }
        let [old_file, new_file] = [was, is].map(|entry| entry.filter(|entry| !entry.is_folder()).map(|entry| entry.id));
        if old_file.is_some() || new_file.is_some() {
            self.changes.push(Change { path: path.clone(), now: new_file });
        }
        let [old, new] = [was, is].map(|entry| entry.filter(|entry| entry.is_folder()).map(|entry| entry.id));
        self.folder(old, new, &format!("{path}/"), depth + 1)
    }

    /// Rules for one entry that was added or changed.
    fn sound(&self, entry: &Entry, path: &str) -> Result<(), Fault> {
        if let Err(reason) = portable(entry.name) {
            return Err(Violation::at(Rule::BadName, path, reason).into());
        }
        let (kind, limit) = match entry.regular() {
            Some(Mode::File) => (Kind::Blob, MAX_FILE_BYTES),
            Some(Mode::Folder) => (Kind::Tree, MAX_TREE_BYTES),
            None => {
                let mode = String::from_utf8_lossy(entry.mode).escape_debug().to_string();
                let detail =
                    format!("only regular files and folders are taken (its mode is {mode}): no symbolic links, no submodules");
                return Err(Violation::at(Rule::NotRegular, path, detail).into());
            }
        };
        check(self.objects, entry.id, kind, limit).map_err(|fault| match fault {
            Fault::Violation(violation) => Violation::at(violation.rule, path, violation.detail).into(),
            unreadable @ Fault::Unreadable(_) => unreadable,
        })?;
        if kind == Kind::Tree && self.objects.header(entry.id)?.1 == 0 {
            return Err(Violation::at(Rule::Malformed, path, "an empty folder, which Git does not write").into());
        }
        Ok(())
    }
}

/// The entries of two folders side by side, those of one name and kind together.
fn pairs<'e, 'a>(old: &'e [Entry<'a>], new: &'e [Entry<'a>]) -> impl Iterator<Item = [Option<&'e Entry<'a>>; 2]> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    iter::from_fn(move || {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.order(new),
        };
        Some([old.next_if(|_| order.is_le()), new.next_if(|_| order.is_ge())])
    })
}

/// A name that an earlier one equals in lower case; a file and a folder of one name are such, too.
fn twin(entries: &[Entry]) -> Option<String> {
    let mut seen = BTreeSet::new();
    entries.iter().map(Entry::shown).find(|name| !seen.insert(name.to_lowercase()))
}

/// Whether every system reads a name as this one name. Beyond control characters: Windows takes `\` and `:` for syntax and drops dots
/// and blanks at the end (`.git.`); NTFS calls `.git` also `git~1`; HFS+ leaves characters out that nobody sees, and so hides
/// `.git` (`is_hfs_dotgit` in Git's utf8.c; CVE-2014-9390, CVE-2024-35186).
fn portable(name: &[u8]) -> Result<(), &'static str> {
    let name = str::from_utf8(name).map_err(|_| "its name is not UTF-8")?;
    let lower = name.to_lowercase();
    if name.is_empty() || name.len() > MAX_NAME {
        return Err("its name is empty or too long");
    }
    if name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | ':') || invisible(c)) {
        return Err("its name has a character that does not belong in one");
    }
    if name.ends_with(['.', ' ']) {
        return Err("its name ends with a dot or a blank");
    }
    if lower == ".git" || lower.starts_with("git~") {
        return Err("its name is one that Git keeps for itself");
    }
    Ok(())
}

/// Characters without width, and those that turn the direction of writing (Unicode, categories Cf and Zl, Zp).
fn invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_some_system_reads_differently_are_refused() {
        for name in ["federation.yaml", ".gitlab-ci.yml", ".gitignore", "a b", "Ünïcode", "git", "legit~1", "...a"] {
            assert_eq!(portable(name.as_bytes()), Ok(()), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            ".git",
            ".GIT",
            ".Git ",
            ".git.",
            ".git::$INDEX_ALLOCATION",
            "git~1",
            "GIT~2",
            ".g\u{200c}it",
            "a\\b",
            "a\n",
            "a/b",
            "\u{202e}a",
            "a.",
        ] {
            assert!(portable(name.as_bytes()).is_err(), "{name:?}");
        }
        assert!(portable(b"\xff").is_err());
        assert!(portable(&[b'a'; 256]).is_err());
    }
}
