//! What becomes of the files of one shard in the next generation: pure.
//!
//! A file that shares no key range with another may go on as it is, under another name of the same bytes, if it looks as
//! the files of the generation will: the same columns, no removed keys. If only columns were added since it was written, it is
//! copied with these, undecoded. Small ones are merged with their neighbours all the same, or there would be ever more of them.

use item::Key;

/// A file, as far as that matters here.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    /// Least key.
    pub(crate) min_key: Key,
    /// Greatest key.
    pub(crate) max_key: Key,
    /// Length.
    pub(crate) bytes: u64,
    /// Does it have the columns of the generation, and no removed keys?
    pub(crate) is_finished: bool,
    /// If not, would it have but for columns that are new and null?
    pub(crate) is_copied: bool,
}

/// What becomes of some files, given by their places in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// It goes on as it is.
    Keep(usize),
    /// It is copied, with columns more.
    Copy(usize),
    /// They are merged.
    Merge(Vec<usize>),
}

/// What becomes of a shard's files, in the order of their keys: no part has a key within the range of another.
/// A file of less than `small_bytes` is kept or copied only if it is the only one.
pub(crate) fn parts(files: &[Extent], small_bytes: u64) -> Vec<Part> {
    let mut ascending: Vec<usize> = (0..files.len()).collect();
    ascending.sort_by(|a, b| files[*a].min_key.cmp(&files[*b].min_key));
    let mut groups: Vec<(Vec<usize>, &Key)> = Vec::new();
    for at in ascending {
        let file = &files[at];
        match groups.last_mut() {
            Some((group, greatest)) if file.min_key <= **greatest => {
                group.push(at);
                *greatest = (*greatest).max(&file.max_key);
            }
            _ => groups.push((vec![at], &file.max_key)),
        }
    }
    let mut parts = Vec::new();
    for (group, _) in groups {
        let is_apart = |at: usize| files[at].bytes >= small_bytes || files.len() == 1;
        match (group.as_slice(), parts.last_mut()) {
            (&[at], _) if is_apart(at) && files[at].is_finished => parts.push(Part::Keep(at)),
            (&[at], _) if is_apart(at) && files[at].is_copied => parts.push(Part::Copy(at)),
            (_, Some(Part::Merge(before))) => before.extend(group),
            _ => parts.push(Part::Merge(group)),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: u64 = 100;

    fn file(keys: &str, bytes: u64) -> Extent {
        let (min, max) = keys.split_once('-').unwrap();
        let key = |text: &str| Key { partition: text.to_owned().into(), sort: "".into() };
        Extent { min_key: key(min), max_key: key(max), bytes, is_finished: true, is_copied: false }
    }

    #[test]
    fn the_only_file_is_kept_however_small() {
        assert_eq!(parts(&[file("a-z", 1)], SMALL), [Part::Keep(0)]);
        assert_eq!(parts(&[Extent { is_finished: false, ..file("a-z", 1) }], SMALL), [Part::Merge(vec![0])]);
        assert_eq!(parts(&[], SMALL), []);
    }

    #[test]
    fn files_with_a_key_range_in_common_are_merged() {
        assert_eq!(parts(&[file("a-c", 500), file("b-d", 500)], SMALL), [Part::Merge(vec![0, 1])]);
        assert_eq!(parts(&[file("c-d", 500), file("a-c", 500)], SMALL), [Part::Merge(vec![1, 0])], "they share a key");
        let through_another = [file("a-m", 500), file("b-c", 500), file("k-z", 500)];
        assert_eq!(parts(&through_another, SMALL), [Part::Merge(vec![0, 1, 2])]);
    }

    #[test]
    fn large_files_apart_are_kept_between_merged_ones() {
        let files = [file("a-c", 500), file("d-f", 500), file("b-b", 1), file("x-y", 1), file("g-h", 500)];
        assert_eq!(parts(&files, SMALL), [Part::Merge(vec![0, 2]), Part::Keep(1), Part::Keep(4), Part::Merge(vec![3])]);
    }

    #[test]
    fn large_files_apart_that_lack_columns_are_copied() {
        let lacking = |keys, bytes| Extent { is_finished: false, is_copied: true, ..file(keys, bytes) };
        assert_eq!(parts(&[lacking("a-z", 1)], SMALL), [Part::Copy(0)], "it is the only one");
        let files = [lacking("a-c", 500), lacking("d-e", 1), lacking("f-g", 500), file("g-h", 500), file("i-k", 500)];
        assert_eq!(parts(&files, SMALL), [Part::Copy(0), Part::Merge(vec![1, 2, 3]), Part::Keep(4)]);
    }

    #[test]
    fn small_files_apart_are_merged_into_one() {
        assert_eq!(
            parts(&[file("a-b", 1), file("e-f", 1), file("c-d", 1), file("g-h", 100)], SMALL),
            [Part::Merge(vec![0, 2, 1]), Part::Keep(3)]
        );
    }
}
