//! A file's bytes: as the process sees them, as a power cut would leave them, and the writes between.

use crate::random::Random;

/// The unit that a disk writes wholly or not at all.
const SECTOR_BYTES: u64 = 512;

/// The bytes of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct Bytes {
    current: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Write>,
}

#[derive(Clone, Debug)]
struct Write {
    offset: u64,
    bytes: Vec<u8>,
}

/// What a power cut does to writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// All of them are gone.
    Everything,
    /// None of them is gone.
    Nothing,
    /// Each is there or not, whatever their order.
    Writes,
    /// Each sector of each is there or not.
    Sectors,
}

impl Loss {
    pub(super) fn draw(random: &mut Random) -> Loss {
        *random.pick(&[Loss::Everything, Loss::Nothing, Loss::Writes, Loss::Sectors])
    }
}

impl Bytes {
    pub(super) fn len(&self) -> u64 {
        self.current.len() as u64
    }

    /// Fills `buffer` from `offset`, if there are so many bytes.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        let from = usize::try_from(offset).ok()?;
        buffer.copy_from_slice(self.current.get(from..from.checked_add(buffer.len())?)?);
        Some(())
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        put(&mut self.current, offset, bytes);
        self.unsynced.push(Write { offset, bytes: bytes.to_vec() });
    }

    pub(super) fn sync(&mut self) {
        for write in self.unsynced.drain(..) {
            put(&mut self.durable, write.offset, &write.bytes);
        }
    }

    /// A sync that failed: some writes reached the disk, the others never will, and later syncs do not try again.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        let loss = Loss::draw(random);
        self.lose(loss, random);
    }

    /// What is there after a power cut.
    pub(super) fn cut_power(&mut self, random: &mut Random) {
        let loss = Loss::draw(random);
        self.lose(loss, random);
        self.current.clone_from(&self.durable);
    }

    fn lose(&mut self, loss: Loss, random: &mut Random) {
        for write in std::mem::take(&mut self.unsynced) {
            match loss {
                Loss::Everything => {}
                Loss::Nothing => put(&mut self.durable, write.offset, &write.bytes),
                Loss::Writes => {
                    if random.percent(50) {
                        put(&mut self.durable, write.offset, &write.bytes);
                    }
                }
                Loss::Sectors => self.put_some_sectors(&write, random),
            }
        }
    }

    fn put_some_sectors(&mut self, write: &Write, random: &mut Random) {
        let end = write.offset + write.bytes.len() as u64;
        let mut from = write.offset;
        while from < end {
            let to = end.min((from / SECTOR_BYTES + 1) * SECTOR_BYTES);
            if random.percent(50) {
                let sector = &write.bytes[(from - write.offset) as usize..(to - write.offset) as usize];
                put(&mut self.durable, from, sector);
            }
            from = to;
        }
    }
}

fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let from = offset as usize;
    let to = from + bytes.len();
    if content.len() < to {
        content.resize(to, 0);
    }
    content[from..to].copy_from_slice(bytes);
}
