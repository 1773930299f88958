//! As much of PostgreSQL's protocol as it takes to send a statement and read what comes back
//! (PostgreSQL documentation, "Frontend/Backend Protocol", version 3.0): no password, text only.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::Failure;

/// Without an answer for so long, the server counts as gone.
const PATIENCE: Duration = Duration::from_secs(40);
/// Longest message that is read.
const LONGEST: usize = 1 << 20;

/// One connection, and so one process of the server.
pub(super) struct Server {
    output: TcpStream,
    input: BufReader<TcpStream>,
    /// The process that the server has for this connection, in its own numbers.
    pub(super) backend: u32,
}

impl Server {
    /// Connects as `postgres` to the database of that name.
    pub(super) fn connect(address: &str) -> Result<Self, Failure> {
        let output = TcpStream::connect(address)?;
        output.set_nodelay(true)?;
        output.set_read_timeout(Some(PATIENCE))?;
        output.set_write_timeout(Some(PATIENCE))?;
        let input = BufReader::new(output.try_clone()?);
        let mut server = Self {
            output,
            input,
            backend: 0,
        };
        let words = b"user\0postgres\0database\0postgres\0\0";
        let mut startup = u32::try_from(8 + words.len())?.to_be_bytes().to_vec();
        startup.extend(196_608_u32.to_be_bytes());
        startup.extend(words);
        server.output.write_all(&startup)?;
        server.answer()?;
        Ok(server)
    }

    /// Has one statement done; gives the rows that come back. Without an error it is done, and committed if no transaction was begun.
    pub(super) fn ask(&mut self, statement: &str) -> Result<Vec<Vec<String>>, Failure> {
        let mut message = vec![b'Q'];
        message.extend(u32::try_from(statement.len() + 5)?.to_be_bytes());
        message.extend(statement.as_bytes());
        message.push(0);
        self.output.write_all(&message)?;
        self.answer()
    }

    /// Reads until the server is ready for the next statement.
    fn answer(&mut self) -> Result<Vec<Vec<String>>, Failure> {
        let mut rows = Vec::new();
        let mut trouble = None;
        loop {
            let (kind, body) = self.message()?;
            match kind {
                b'Z' => return trouble.map_or(Ok(rows), |trouble: String| Err(trouble.into())),
                b'D' => rows.push(columns(&body)?),
                b'E' => {
                    // After the start of a connection nothing follows an error.
                    let words = String::from_utf8_lossy(&body).replace('\0', " ");
                    if self.backend == 0 {
                        return Err(words.into());
                    }
                    trouble = Some(words);
                }
                b'K' => {
                    let number = body.first_chunk().ok_or("a short message")?;
                    self.backend = u32::from_be_bytes(*number);
                }
                b'R' if body != [0; 4] => return Err("the server wants a password".into()),
                _ => {}
            }
        }
    }

    fn message(&mut self) -> Result<(u8, Vec<u8>), Failure> {
        let mut head = [0; 5];
        self.input.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length))?;
        if !(4..LONGEST).contains(&length) {
            return Err(format!("a message of {length} bytes").into());
        }
        let mut body = vec![0; length - 4];
        self.input.read_exact(&mut body)?;
        Ok((kind, body))
    }
}

/// The columns of one row; nothing is the empty text.
fn columns(body: &[u8]) -> Result<Vec<String>, Failure> {
    let (count, mut rest) = body.split_first_chunk::<2>().ok_or("a short row")?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>().ok_or("a short row")?;
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        let (text, after) = after.split_at_checked(length).ok_or("a short column")?;
        columns.push(String::from_utf8_lossy(text).into_owned());
        rest = after;
    }
    Ok(columns)
}
