//! The rules of a run: events, job, ledger, decisions. Pure: no files, no clock, no environment.
