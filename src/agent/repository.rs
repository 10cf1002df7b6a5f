//! The repository's own thread: libgit2 blocks, so the mirror lives here, and the loop talks to it in messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;
use tracing::warn;

use super::declarations::{Declarations, Reader};
use crate::cluster::{Fence, Fenced, Moment};
use crate::decide;
use crate::repo::{self, CommitId, Mirror, Outcome, Refs, RepoError, SigningKey};
use crate::trust::{Marks, Verification};

/// What the loop asks for.
pub enum Command {
    /// Look for news.
    Fetch,
    /// Look for news, of which a webhook has told.
    Hooked,
    /// Look for news, and say so once it is known: the look with this number.
    CatchUp(u64),
    /// From now on this is the commit that was applied last in full.
    Applied(CommitId),
    /// This is how far branches are remembered to be verified: judge them again.
    Remember(Marks),
    /// Put this on the mesh's own branch.
    Publish(decide::Publication),
}

/// What the thread answers.
#[derive(Debug)]
pub enum News {
    /// Git says something new.
    Declarations(Arc<Declarations>),
    /// Git says what it said before.
    Nothing,
    /// What came before was fetched because of a webhook.
    Hooked,
    /// What came before was fetched after the [`Command::CatchUp`] of this number.
    CaughtUp(u64),
    /// The repository could not be read; what is known stays in use.
    Unreadable(RepoError),
    /// The branch now holds these files, in this commit of this time, with this message.
    Published(BTreeMap<String, String>, CommitId, Timestamp, String),
    /// The branch could not be written.
    Unpublished(RepoError),
}

/// Starts the thread. It ends when the sender of commands is dropped.
pub fn start(
    options: repo::Options,
    me: String,
    key: SigningKey,
    verification: Verification,
    fence: Fence,
    news: UnboundedSender<News>,
) -> mpsc::Sender<Command> {
    let (commands, inbox) = mpsc::channel();
    std::thread::spawn(move || {
        let reader = Reader::new(verification, key.public_line(&me));
        let mut repository = Repository { options, me, key, mirror: None, reader, fence, seen: None, moved: None };
        while let Some(commands) = waiting(&inbox) {
            for command in commands {
                let answer = match command {
                    Command::Applied(commit) => {
                        repository.reader.applied(commit);
                        continue;
                    }
                    Command::Remember(marks) => repository.remember(marks).unwrap_or_else(News::Unreadable),
                    Command::CatchUp(number) => repository.fetch_and_tell(&news, News::CaughtUp(number)),
                    Command::Hooked => repository.fetch_and_tell(&news, News::Hooked),
                    Command::Fetch => repository.fetch().unwrap_or_else(News::Unreadable),
                    Command::Publish(publication) => repository.publish(publication).unwrap_or_else(News::Unpublished),
                };
                if news.send(answer).is_err() {
                    return; // the loop has ended
                }
            }
        }
    });
    commands
}

/// Waits for commands and takes all there are, fetches in a row as one: while a server lets us wait, polls go on, and their fetches
/// would be made one after the other when it answers again. `None` when nobody can command any more.
fn waiting(inbox: &mpsc::Receiver<Command>) -> Option<Vec<Command>> {
    let mut commands = vec![inbox.recv().ok()?];
    commands.extend(inbox.try_iter());
    commands.dedup_by(|next, before| matches!((next, before), (Command::Fetch, Command::Fetch)));
    Some(commands)
}

struct Repository {
    options: repo::Options,
    me: String,
    key: SigningKey,
    mirror: Option<Mirror>,
    reader: Reader,
    fence: Fence,
    seen: Option<Refs>,
    /// Where the host says that the repository is now, once that is told.
    moved: Option<String>,
}

impl Repository {
    fn mirror(&mut self) -> Result<&mut Mirror, RepoError> {
        match &mut self.mirror {
            Some(mirror) => Ok(mirror),
            none => Ok(none.insert(Mirror::open(&self.options)?)),
        }
    }

    fn fetch(&mut self) -> Result<News, RepoError> {
        let mirror = self.mirror()?;
        let (refs, moved) = (mirror.fetch()?, mirror.moved());
        if let Some(place) = moved.as_ref().filter(|_| moved != self.moved) {
            warn!(event = "repository", "the repository has moved to {place}, and is read there; give the agent that address");
        }
        self.moved = moved;
        if self.seen.as_ref() == Some(&refs) {
            return Ok(News::Nothing);
        }
        self.read(refs)
    }

    /// Tells what is new, and then why it was looked for.
    fn fetch_and_tell(&mut self, news: &UnboundedSender<News>, why: News) -> News {
        match self.fetch() {
            Ok(answer) => {
                let _ = news.send(answer); // an error: the loop has ended, as the next one shows
                why
            }
            Err(error) => News::Unreadable(error),
        }
    }

    /// Judges and reads once more what was fetched last.
    fn remember(&mut self, marks: Marks) -> Result<News, RepoError> {
        self.reader.remember(marks);
        self.seen = None;
        let refs = self.mirror()?.refs().clone();
        self.read(refs)
    }

    fn read(&mut self, refs: Refs) -> Result<News, RepoError> {
        let Self { mirror: Some(mirror), reader, me, .. } = self else { return Ok(News::Nothing) };
        let declarations = reader.read(mirror, me, Timestamp::now())?;
        // What could not be read is read again from the mirror that the next fetch makes.
        self.seen = Some(refs).filter(|_| !mirror.is_damaged());
        Ok(News::Declarations(Arc::new(declarations)))
    }

    fn publish(&mut self, publication: decide::Publication) -> Result<News, RepoError> {
        let decide::Publication { files, message } = publication;
        let publication = repo::Publication {
            mesh: self.me.clone(),
            files: files.iter().map(|(path, text)| (path.clone(), text.clone().into_bytes())).collect(),
            message: message.clone(),
            at: Timestamp::now(),
            until: match self.fence.until() {
                Ok(end) => end.map(Moment::steady),
                Err(Fenced) => Some(Instant::now()),
            },
        };
        self.mirror()?; // opened before its field is borrowed beside the key
        let Self { mirror: Some(mirror), key, .. } = self else { return Ok(News::Nothing) };
        let (Outcome::Pushed(commit) | Outcome::Unchanged(commit)) = mirror.publish(&publication, key)?;
        // As whoever fetches it sees it. That it cannot be read again would not undo the push.
        let at = mirror.commit(commit).map_or(publication.at, |commit| commit.committed_at);
        match &mut self.seen {
            // It may mend what was refused of our own branch.
            _ if self.reader.refuses(&self.me) => self.seen = None,
            Some(seen) => drop(seen.published.insert(self.me.clone(), commit)), // our own doing is no news
            None => {}
        }
        Ok(News::Published(files, commit, at, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetches_that_pile_up_are_one_fetch() {
        let (commands, inbox) = mpsc::channel();
        let publication = || Command::Publish(decide::Publication { files: BTreeMap::new(), message: String::new() });
        for command in [Command::Fetch, Command::Fetch, publication(), Command::Fetch, Command::Fetch, Command::Fetch] {
            commands.send(command).unwrap();
        }
        drop(commands);
        let taken = waiting(&inbox).unwrap();
        assert!(matches!(taken.as_slice(), [Command::Fetch, Command::Publish(_), Command::Fetch]));
        assert!(waiting(&inbox).is_none());
    }
}
