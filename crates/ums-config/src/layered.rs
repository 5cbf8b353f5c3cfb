//! Several sources, one over the other.

use std::fmt;

use crate::dotenv::DotEnv;
use crate::fault::Fault;
use crate::source::{Origin, ProcessEnv, Source};

/// Several places, the first that has a value wins.
#[derive(Default)]
pub struct Layered(Vec<(Origin, Box<dyn Source>)>);

impl Layered {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The process environment over `.env` in the working directory.
    pub fn process() -> Self {
        Self::new()
            .over(Origin::Environment, ProcessEnv)
            .over(Origin::DotEnv, DotEnv::in_working_directory())
    }

    /// Puts a place beneath those that are already there.
    #[must_use]
    pub fn over(mut self, origin: Origin, source: impl Source + 'static) -> Self {
        self.0.push((origin, Box::new(source)));
        self
    }

    /// A value that is not blank, without white space around it, and where it came from.
    ///
    /// A blank value counts as not set, as container set-ups write it.
    pub fn find(&self, name: &str) -> Option<(String, Origin)> {
        self.0.iter().find_map(|(origin, source)| {
            let value = source.get(name)?;
            let trimmed = value.trim();
            (!trimmed.is_empty()).then(|| (trimmed.to_owned(), *origin))
        })
    }
}

impl Source for Layered {
    fn get(&self, name: &str) -> Option<String> {
        self.find(name).map(|(value, _)| value)
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().flat_map(|(_, source)| source.names()).collect()
    }

    fn faults(&self) -> Vec<Fault> {
        self.0.iter().flat_map(|(_, source)| source.faults()).collect()
    }
}

impl fmt::Debug for Layered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(origin, _)| origin)).finish()
    }
}
