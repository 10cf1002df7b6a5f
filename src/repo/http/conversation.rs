//! A conversation as libgit2 leads it: it asks for branches, sends what it wants, reads the answer.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use http::Response;
use ureq::{Body, BodyReader};

use super::{Http, MAX_WORDS};
use crate::repo::transport::Trouble;

/// One conversation.
pub(in crate::repo) struct Subtransport {
    pub(in crate::repo) http: Arc<Http>,
    pub(in crate::repo) trouble: Trouble,
    /// Where the branches were listed.
    pub(in crate::repo) place: Mutex<String>,
}

impl SmartSubtransport for Subtransport {
    fn action(&self, _: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let (name, lists) = match service {
            Service::UploadPackLs => ("git-upload-pack", true),
            Service::UploadPack => ("git-upload-pack", false),
            Service::ReceivePackLs => ("git-receive-pack", true),
            Service::ReceivePack => ("git-receive-pack", false),
        };
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer = None;
        if lists {
            let (found, response) = self.http.list(name).map_err(|error| self.trouble.is(error))?;
            *place = found;
            answer = Some(self.http.reader(response));
        }
        let (http, trouble, place) = (self.http.clone(), self.trouble.clone(), place.clone());
        Ok(Box::new(Stream { http, trouble, place, service: name, asked: Vec::new(), answer }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

impl Http {
    fn reader(&self, response: Response<Body>) -> BodyReader<'static> {
        response.into_body().into_with_config().limit(self.max_fetch as u64).reader()
    }
}

/// A request, which goes out when its answer is read, and then the answer.
struct Stream {
    http: Arc<Http>,
    trouble: Trouble,
    place: String,
    service: &'static str,
    asked: Vec<u8>,
    answer: Option<BodyReader<'static>>,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.answer.is_none() {
            let posted = self.http.post(&self.place, self.service, &self.asked);
            self.answer = Some(self.http.reader(posted.map_err(|error| self.trouble.is_of_io(error))?));
        }
        let Some(answer) = &mut self.answer else { return Ok(0) };
        answer.read(buffer).map_err(|error| self.trouble.is_of_io(self.http.failed(&ureq::Error::Io(error))))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.asked.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Stream {
    /// Only a connection whose answer was read to its end can be used again, and libgit2 does not look for that.
    fn drop(&mut self) {
        if let Some(answer) = &mut self.answer {
            let _ = io::copy(&mut answer.take(MAX_WORDS), &mut io::sink());
        }
    }
}
