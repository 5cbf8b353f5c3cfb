//! Test clock, scripted providers and log capture.
