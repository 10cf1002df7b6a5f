//! A name server that knows a few names, for programs whose `/etc/resolv.conf` says so.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Names ask there; a resolver cannot be told another port.
const PORT: u16 = 53;

/// A running name server. It ends with the process.
pub struct Dns {
    address: Ipv4Addr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Dns {
    /// Answers 127.0.0.1 for `names` and "no such name" for all others. Fails where the user may not listen on port 53.
    pub fn start(names: &[&str]) -> io::Result<Self> {
        let (address, socket) = listen()?;
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (known, remember) = (names.iter().map(ToString::to_string).collect::<Vec<_>>(), Arc::clone(&asked));
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                // Whoever sends something else gets no answer, as from any server.
                let Some((name, answer)) = answer(&buffer[..length], &known) else { continue };
                remember.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                let _ = socket.send_to(&answer, from);
            }
        });
        Ok(Self { address, asked })
    }

    /// The `/etc/resolv.conf` of its clients.
    pub fn resolv_conf(&self) -> String {
        format!("nameserver {}\n", self.address)
    }

    /// Names that were asked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An address of this machine on which nobody answers for names yet.
fn listen() -> io::Result<(Ipv4Addr, UdpSocket)> {
    let mut last = io::Error::other("no address was tried");
    for number in 1..250 {
        let address = Ipv4Addr::new(127, 53, 0, number);
        match UdpSocket::bind((address, PORT)) {
            Ok(socket) => return Ok((address, socket)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The name in a query of one question (RFC 1035, section 4), and the answer to it.
fn answer(query: &[u8], known: &[String]) -> Option<(String, Vec<u8>)> {
    let mut labels = Vec::new();
    let mut at = 12;
    while let length @ 1.. = usize::from(*query.get(at)?) {
        labels.push(String::from_utf8_lossy(query.get(at + 1..=at + length)?).into_owned());
        at += length + 1;
    }
    let question = query.get(12..at + 5)?;
    let name = labels.join(".").to_lowercase();
    let there = known.contains(&name);
    let address = there && question[question.len() - 4..] == [0, 1, 0, 1]; // type A, class IN
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, if there { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(address), 0, 0, 0, 0]);
    answer.extend(question);
    if address {
        // The name of the question, type A, class IN, for a minute, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some((name, answer))
}
