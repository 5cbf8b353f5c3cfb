//! The primitives that the breaker is built from; a model checker's when it is being checked.

#[cfg(feature = "model-check")]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
};
#[cfg(not(feature = "model-check"))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
};
