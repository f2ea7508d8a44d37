//! [`Inflate`]: the coding `deflate`, which is zlib's format, and from some servers what zlib wraps.

use std::io::{self, ErrorKind, Write};

use flate2::{Decompress, FlushDecompress, Status};

use super::BUFFER;

/// Unlike flate2's own writer it tells a stream that was cut from a whole one.
pub(super) struct Inflate<W> {
    out: W,
    state: State,
    buffer: Box<[u8]>,
}

enum State {
    /// The first two bytes tell which of the formats it is.
    Begins(Option<u8>),
    Goes(Decompress),
    Ended,
}

impl<W: Write> Inflate<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, state: State::Begins(None), buffer: vec![0; BUFFER].into() }
    }

    pub(super) fn get_ref(&self) -> &W {
        &self.out
    }

    pub(super) fn finish(self) -> io::Result<W> {
        match self.state {
            State::Ended => Ok(self.out),
            State::Begins(_) | State::Goes(_) => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    fn take(&mut self, mut data: &[u8]) -> io::Result<()> {
        let State::Goes(inflate) = &mut self.state else { return Err(ErrorKind::InvalidData.into()) };
        loop {
            let (taken, given) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(data, &mut self.buffer, FlushDecompress::None)?;
            let step = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
            let (taken, given) = (step(inflate.total_in(), taken), step(inflate.total_out(), given));
            self.out.write_all(&self.buffer[..given])?;
            data = &data[taken..];
            if status == Status::StreamEnd {
                self.state = State::Ended;
                return if data.is_empty() { Ok(()) } else { Err(ErrorKind::InvalidData.into()) };
            }
            if data.is_empty() && given < self.buffer.len() {
                return Ok(());
            }
            if taken == 0 && given == 0 {
                return Err(ErrorKind::InvalidData.into());
            }
        }
    }
}

impl<W: Write> Write for Inflate<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let Some((byte, rest)) = data.split_first() else { return Ok(0) };
        match self.state {
            State::Begins(None) => {
                self.state = State::Begins(Some(*byte));
                if !rest.is_empty() {
                    self.write_all(rest)?;
                }
            }
            State::Begins(Some(first)) => {
                // RFC 1950 §2.2: the method is 8, and the two bytes as a number are a multiple of 31.
                let is_zlib = first & 0x0f == 8 && u16::from_be_bytes([first, *byte]) % 31 == 0;
                self.state = State::Goes(Decompress::new(is_zlib));
                self.take(&[first])?;
                self.take(data)?;
            }
            State::Goes(_) => self.take(data)?,
            State::Ended => return Err(ErrorKind::InvalidData.into()),
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
