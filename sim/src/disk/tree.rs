//! Names: as the process sees them, as a power cut would leave them, and the changes between.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
};

use super::file::Bytes;
use crate::random::Random;

/// Symlinks that one path may pass through.
const LINKS_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(u64);

const ROOT: NodeId = NodeId(0);

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(Bytes),
    Directory(Names),
    Link(String),
}

/// The names in one directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    current: BTreeMap<String, NodeId>,
    durable: BTreeMap<String, NodeId>,
}

/// Names that change together, or not at all.
#[derive(Clone, Debug)]
struct Change(Vec<Entry>);

/// One name in one directory: what it names from now on, if anything.
#[derive(Clone, Debug)]
struct Entry {
    directory: NodeId,
    name: String,
    node: Option<NodeId>,
}

#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<NodeId, Node>,
    next: u64,
    unsynced: Vec<Change>,
}

impl Tree {
    pub(super) fn new() -> Tree {
        let nodes = [(ROOT, Node::Directory(Names::default()))].into();
        Tree { nodes, next: 1, unsynced: Vec::new() }
    }

    pub(super) fn create_file(&mut self, path: &str) -> io::Result<NodeId> {
        let (directory, name) = self.absent(path)?;
        let node = self.add(Node::File(Bytes::default()));
        self.change(vec![Entry { directory, name, node: Some(node) }]);
        Ok(node)
    }

    pub(super) fn create_dir(&mut self, path: &str) -> io::Result<()> {
        let mut directory = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            directory = match self.names(directory)?.current.get(name) {
                Some(node) => *node,
                None => {
                    let node = self.add(Node::Directory(Names::default()));
                    self.change(vec![Entry { directory, name: name.to_owned(), node: Some(node) }]);
                    node
                }
            };
        }
        self.names(directory).map(drop)
    }

    pub(super) fn symlink(&mut self, target: &str, path: &str) -> io::Result<()> {
        let (directory, name) = self.absent(path)?;
        let node = self.add(Node::Link(target.to_owned()));
        self.change(vec![Entry { directory, name, node: Some(node) }]);
        Ok(())
    }

    pub(super) fn hard_link(&mut self, existing: &str, path: &str) -> io::Result<()> {
        let node = self.file(existing)?;
        let (directory, name) = self.absent(path)?;
        self.change(vec![Entry { directory, name, node: Some(node) }]);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (from_directory, from_name) = self.parent(from)?;
        let node = self.entry(from_directory, &from_name)?;
        let (directory, name) = self.parent(to)?;
        let replaced = self.names(directory)?.current.get(&name).map(|node| &self.nodes[node]);
        if matches!(replaced, Some(Node::Directory(_))) {
            return Err(ErrorKind::IsADirectory.into());
        }
        let gone = Entry { directory: from_directory, name: from_name, node: None };
        self.change(vec![gone, Entry { directory, name, node: Some(node) }]);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &str) -> io::Result<()> {
        let (directory, name) = self.parent(path)?;
        let node = self.entry(directory, &name)?;
        if matches!(self.nodes[&node], Node::Directory(_)) {
            return Err(ErrorKind::IsADirectory.into());
        }
        self.change(vec![Entry { directory, name, node: None }]);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &str) -> io::Result<()> {
        let (directory, name) = self.parent(path)?;
        let node = self.entry(directory, &name)?;
        if !self.names(node)?.current.is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        self.change(vec![Entry { directory, name, node: None }]);
        Ok(())
    }

    pub(super) fn list(&self, path: &str) -> io::Result<Vec<String>> {
        match self.directory(path) {
            Ok(directory) => Ok(self.names(directory)?.current.keys().cloned().collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn read_link(&self, path: &str) -> Option<String> {
        let (directory, name) = self.parent(path).ok()?;
        match &self.nodes[self.names(directory).ok()?.current.get(&name)?] {
            Node::Link(target) => Some(target.clone()),
            Node::File(_) | Node::Directory(_) => None,
        }
    }

    /// Makes every change of a name in this directory durable.
    pub(super) fn sync_dir(&mut self, path: &str) -> io::Result<()> {
        let directory = self.directory(path)?;
        let touches = |change: &Change| change.0.iter().any(|entry| entry.directory == directory);
        for change in self.unsynced.extract_if(.., |change| touches(change)).collect::<Vec<_>>() {
            self.settle(change);
        }
        Ok(())
    }

    /// The file that `path` names.
    pub(super) fn file(&self, path: &str) -> io::Result<NodeId> {
        let (directory, name) = self.parent(path)?;
        let node = self.entry(directory, &name)?;
        match self.nodes[&node] {
            Node::File(_) => Ok(node),
            Node::Directory(_) => Err(ErrorKind::IsADirectory.into()),
            Node::Link(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    pub(super) fn bytes(&mut self, file: NodeId) -> &mut Bytes {
        match self.nodes.get_mut(&file) {
            Some(Node::File(bytes)) => bytes,
            other => unreachable!("an open file is a file, not {other:?}"),
        }
    }

    /// What is there after a power cut. Changes of names that were not synced are there or not, whatever their order.
    pub(super) fn cut_power(&mut self, random: &mut Random) {
        let kept_percent = *random.pick(&[0, 50, 100]);
        for change in std::mem::take(&mut self.unsynced) {
            if random.percent(kept_percent) {
                self.settle(change);
            }
        }
        for node in self.nodes.values_mut() {
            match node {
                Node::File(bytes) => bytes.cut_power(random),
                Node::Directory(names) => names.current.clone_from(&names.durable),
                Node::Link(_) => {}
            }
        }
        self.forget_unnamed();
    }

    fn settle(&mut self, change: Change) {
        for Entry { directory, name, node } in change.0 {
            if let Some(Node::Directory(names)) = self.nodes.get_mut(&directory) {
                match node {
                    Some(node) => names.durable.insert(name, node),
                    None => names.durable.remove(&name),
                };
            }
        }
    }

    fn forget_unnamed(&mut self) {
        let mut named = BTreeSet::new();
        let mut waiting = vec![ROOT];
        while let Some(node) = waiting.pop() {
            if named.insert(node)
                && let Node::Directory(names) = &self.nodes[&node]
            {
                waiting.extend(names.current.values());
            }
        }
        self.nodes.retain(|node, _| named.contains(node));
    }

    fn add(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.next);
        self.next += 1;
        self.nodes.insert(id, node);
        id
    }

    fn change(&mut self, entries: Vec<Entry>) {
        for Entry { directory, name, node } in &entries {
            if let Some(Node::Directory(names)) = self.nodes.get_mut(directory) {
                match node {
                    Some(node) => names.current.insert(name.clone(), *node),
                    None => names.current.remove(name),
                };
            }
        }
        self.unsynced.push(Change(entries));
    }

    fn names(&self, directory: NodeId) -> io::Result<&Names> {
        match self.nodes.get(&directory) {
            Some(Node::Directory(names)) => Ok(names),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn entry(&self, directory: NodeId, name: &str) -> io::Result<NodeId> {
        self.names(directory)?.current.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn absent(&self, path: &str) -> io::Result<(NodeId, String)> {
        let (directory, name) = self.parent(path)?;
        match self.names(directory)?.current.contains_key(&name) {
            true => Err(ErrorKind::AlreadyExists.into()),
            false => Ok((directory, name)),
        }
    }

    fn parent(&self, path: &str) -> io::Result<(NodeId, String)> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.directory(directory)?, name.to_owned()))
    }

    fn directory(&self, path: &str) -> io::Result<NodeId> {
        let mut waiting: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
        let mut above = vec![ROOT];
        let mut links = 0;
        while let Some(name) = waiting.pop() {
            let directory = above.last().copied().unwrap_or(ROOT);
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    above.pop();
                    continue;
                }
                _ => {}
            }
            let node = self.entry(directory, &name)?;
            match &self.nodes[&node] {
                Node::Link(target) if links < LINKS_MAX => {
                    links += 1;
                    waiting.extend(target.rsplit('/').map(str::to_owned));
                }
                _ => above.push(node),
            }
        }
        let directory = above.last().copied().unwrap_or(ROOT);
        self.names(directory).map(|_| directory)
    }
}
