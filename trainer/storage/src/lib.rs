//! Every byte on the shared file system: the ledger and its lock, atomic publication, arrays, datasets, features.
