//! Staging by `read` into one buffer per worker.

use super::open::changed;
use super::system::file_error;
use super::{OpenFile, Stage, Stop, Take};
use crate::faults::Operation;

impl Stage<'_> {
    /// Reads a file to its end, and one byte past the end that it should have. Returns the bytes that were read.
    pub(super) fn read_blocks(&mut self, file: &mut OpenFile, take: Take<'_>) -> Result<u64, Stop> {
        let size = file.size();
        // One byte past the expected end shows whether there is more.
        let limit = if size == 0 { self.plan.unbounded_bytes_max } else { size };
        let (mut read_bytes, mut forgotten) = (0, 0);
        loop {
            let wanted = usize::try_from(limit - read_bytes)
                .map_or(self.buffer.len(), |left| left.saturating_add(1).min(self.buffer.len()));
            self.strike(Operation::Read)?;
            let read = file.handle.read(&mut self.buffer[..wanted]).map_err(file_error)?;
            read_bytes += read as u64;
            self.check_limit(file, read_bytes)?;
            if read > 0 && take(&self.buffer[..read]).is_break() {
                return Err(Stop::Unwanted);
            }
            // Nothing, or all that was expected and less than was asked for: the end.
            if read == 0 || (read < wanted && read_bytes == size) {
                return Ok(read_bytes);
            }
            if self.control.should_stop() {
                return Err(Stop::Unwanted);
            }
            if read_bytes - forgotten >= self.plan.share_bytes {
                self.forget(file, forgotten, read_bytes - forgotten);
                forgotten = read_bytes;
            }
        }
    }

    /// Reads a part of a file, which may be read by others at the same time; of its last part one byte more.
    pub(super) fn read_range(
        &mut self,
        file: &OpenFile,
        offset: u64,
        bytes: u64,
        take: Take<'_>,
    ) -> Result<(), Stop> {
        let end = offset + bytes;
        let limit = if end == file.size() { end.saturating_add(1) } else { end };
        let mut at = offset;
        while at < limit {
            let wanted =
                usize::try_from(limit - at).map_or(self.buffer.len(), |left| left.min(self.buffer.len()));
            self.strike(Operation::Read)?;
            let read = file.handle.read_at(&mut self.buffer[..wanted], at).map_err(file_error)?;
            if read == 0 {
                break;
            }
            at += read as u64;
            if at > end {
                return Err(changed().into());
            }
            if take(&self.buffer[..read]).is_break() || self.control.should_stop() {
                return Err(Stop::Unwanted);
            }
        }
        if at == end { Ok(()) } else { Err(file.ended(at)?.into()) }
    }
}
