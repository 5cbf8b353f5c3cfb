//! The façade as a program uses it: against the simulator, and with providers of its own.

mod sending;
mod settings;
