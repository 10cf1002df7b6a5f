//! As much of HTTP/1.1 as Git clients use.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;

/// More than a test pushes; a length beyond it is a mistake.
const MAX_BODY: usize = 256 << 20;

/// A request, its body as it was sent but for the chunks.
pub struct Request {
    /// `GET`, `POST` …
    pub method: String,
    /// Path and query.
    pub target: String,
    headers: Vec<(String, String)>,
    /// Possibly compressed, as `Content-Encoding` says.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads one; `None` when the client closed the connection instead.
///
/// `stream` is what `reader` reads from; on it a client is told to go on if it asks first.
pub fn read_request(reader: &mut impl BufRead, mut stream: &TcpStream) -> io::Result<Option<Request>> {
    let first = read_line(reader)?;
    let mut words = first.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let mut request = Request { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() };
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        request.body = read_chunks(reader)?;
    } else if let Some(length) = request.header("content-length") {
        read_exactly(reader, length.parse().map_err(io::Error::other)?, &mut request.body)?;
    }
    Ok(Some(request))
}

/// Sends a body whose length is not known before its end.
pub fn write_chunks(body: &mut impl BufRead, mut stream: &TcpStream) -> io::Result<()> {
    loop {
        let piece = body.fill_buf()?;
        if piece.is_empty() {
            return stream.write_all(b"0\r\n\r\n");
        }
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        let length = piece.len();
        stream.write_all(&chunk)?;
        body.consume(length);
    }
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(reader)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        read_exactly(reader, size, &mut body)?;
        let after = read_line(reader)?;
        if size == 0 {
            // Trailers, which nobody sends, would follow here.
            return if after.is_empty() { Ok(body) } else { Err(io::Error::other("trailers")) };
        }
    }
}

fn read_exactly(reader: &mut impl BufRead, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
    if length > MAX_BODY || into.len() + length > MAX_BODY {
        return Err(io::Error::other("too long"));
    }
    let start = into.len();
    into.resize(start + length, 0);
    reader.read_exact(&mut into[start..])
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.take(64 << 10).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
