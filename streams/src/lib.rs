//! The change stream: shards, iterators, followers.
