//! A row as it lies in an arena.

use bytes::BufMut;
use item::SequenceNumber;

use super::arena::{Arena, Place, number_bytes, put_number, put_text, take, take_number, take_text, text_bytes};

/// A row.
///
/// ```text
/// row        sort length: number | sort | sequence: number | image length + 1, or 0 if removed: number | image
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) sort: &'a [u8],
    pub(crate) sequence: SequenceNumber,
    pub(crate) image: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    fn read(mut bytes: &'a [u8]) -> Record<'a> {
        let sort = take_text(&mut bytes);
        let sequence = SequenceNumber(take_number(&mut bytes));
        let image = take_number(&mut bytes).checked_sub(1).map(|length| take(&mut bytes, length));
        Record { sort, sequence, image }
    }

    fn write(&self, out: &mut impl BufMut) {
        put_text(self.sort, out);
        put_number(self.sequence.0, out);
        put_number(self.image_number(), out);
        out.put_slice(self.image.unwrap_or_default());
    }

    /// How many bytes [`Record::write`] puts.
    pub(crate) fn bytes(&self) -> usize {
        text_bytes(self.sort)
            + number_bytes(self.sequence.0)
            + number_bytes(self.image_number())
            + self.image.map_or(0, <[u8]>::len)
    }

    fn image_number(&self) -> u64 {
        self.image.map_or(0, |image| image.len() as u64 + 1)
    }

    /// The row at `place`.
    pub(crate) fn at(arena: &'a Arena, place: Place) -> Record<'a> {
        Record::read(arena.at(place))
    }

    /// Adds it to `arena`.
    pub(crate) fn push(&self, arena: &mut Arena) -> Place {
        arena.push(self.bytes(), |mut out| self.write(&mut out))
    }

    /// Sets it in the place of the row at `place`: there, if it fits; answers where it is then.
    pub(crate) fn replace(&self, arena: &mut Arena, place: Place) -> Place {
        let before = Record::at(arena, place).bytes();
        if arena.replace(place, before, self.bytes(), |mut out| self.write(&mut out)) {
            return place;
        }
        arena.forget(before);
        self.push(arena)
    }
}

/// The sort key of the row at `place`.
pub(crate) fn sort_at(arena: &Arena, place: Place) -> &[u8] {
    take_text(&mut arena.at(place))
}
