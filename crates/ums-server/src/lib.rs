//! HTTP service over the messaging engine.
