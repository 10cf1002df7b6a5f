//! Which commit a line of a file comes from.

use git2::BlameOptions;

use super::error::RepoError;
use super::history::Commit;
use super::id::{BlobId, CommitId};
use super::mirror::Mirror;

impl Mirror {
    /// The commit on the line of first parents from `tip` that a line of a file comes from: who brought it onto that branch. Lines count
    /// from 1; for line 0 the commit that changed the file last.
    pub fn blame(&self, tip: CommitId, path: &str, line: u32) -> Result<Commit, RepoError> {
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        let mut options = BlameOptions::new();
        options.newest_commit(tip.oid()).first_parent(true).min_line(line).max_line(line);
        let blame = (line > 0).then(|| self.repository().blame_file(path.as_ref(), Some(&mut options)));
        let hunk = blame.and_then(Result::ok).and_then(|blame| blame.get_line(line).map(|hunk| hunk.final_commit_id()));
        match hunk {
            Some(id) => self.commit(CommitId::from_oid(id)),
            None => self.last_change(tip, path),
        }
    }

    /// The newest commit on the line of first parents that changed a file.
    fn last_change(&self, tip: CommitId, path: &str) -> Result<Commit, RepoError> {
        let now = self.blob_at(tip, path)?;
        let mut commit = self.commit(tip)?;
        while let Some(parent) = commit.parents.first().copied() {
            if self.blob_at(parent, path)? != now {
                break;
            }
            commit = self.commit(parent)?;
        }
        Ok(commit)
    }

    fn blob_at(&self, commit: CommitId, path: &str) -> Result<Option<BlobId>, RepoError> {
        let tree = self.find_commit(commit)?.tree().map_err(|error| self.damaged(&error))?;
        match tree.get_path(path.as_ref()) {
            Ok(entry) => Ok(Some(BlobId::from_oid(entry.id()))),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(self.damaged(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::repo::testing::{Lab, git};

    #[test]
    fn a_line_comes_from_the_commit_that_brought_it_onto_the_branch() {
        let lab = Lab::new();
        let first = lab.commit("Three lines", &[("f", "a\nb\nc\n")]);
        git(&lab.person, &["checkout", "--quiet", "-b", "side"]);
        std::fs::write(lab.person.join("f"), "a\nB\nc\n").unwrap();
        git(&lab.person, &["commit", "--quiet", "--all", "-m", "On a side branch"]);
        git(&lab.person, &["checkout", "--quiet", "main"]);
        lab.commit("Elsewhere", &[("g", "1\n")]);
        git(&lab.person, &["merge", "--quiet", "--no-ff", "-m", "Bring it in", "side"]);
        let merge = lab.push_all("Nothing");
        let mut mirror = lab.mirror();
        mirror.fetch().unwrap();
        let told = |line| mirror.blame(merge, "f", line).unwrap().summary;
        assert_eq!([told(1), told(2)], ["Three lines", "Bring it in"]);
        assert_eq!(told(0), "Bring it in", "the file as a whole");
        assert_eq!(mirror.blame(first, "f", 2).unwrap().summary, "Three lines", "as of then");
    }
}
